"""Exports of one person: what names them, what follows it, nothing else, and the proof that it is in the chain."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit import signing
from audit.checkpoints import BrokenChain
from gdpr import reading, verify
from gdpr.making import Order, make
from gdpr.subjects import Subject
from tests.conftest import Tenant, draft, set_append_only
from webhooks.models import Webhook, WebhookDelivery

ADA = Subject(actor_ids=("ada",), emails=("ada@example.com",))
OF_ADA: list[dict[str, Any]] = [
    {"actor": {"id": "ada"}},
    {"actor": {"id": "x", "email": "Ada@Example.com"}},
    {"target": {"type": "user", "id": "ada"}},
    {"payload": {"list": [{"deep": "mail to <ada@example.com>"}]}},
    {"metadata": {"ada": 1}},
    {"changes": [{"field": "owner", "old": "bob", "new": "ada"}]},
]
OF_OTHERS: list[dict[str, Any]] = [
    {"actor": {"id": "nada", "email": "nada@example.com"}},
    {"payload": {"text": "ada was here", "address": "ada@example.com.br"}},
    {"target": {"type": "user", "id": "Ada"}},
]


def made(tenant: Tenant, subject: Subject | None = ADA, *, csv: bool = False) -> bytes:
    file = io.BytesIO()
    order = Order(
        company=tenant.company,
        scope="subject" if subject else "company",
        subject=subject,
        csv=csv,
        requested_by="a test",
        requested_at=timezone.now(),
    )
    make(order, file, clock=timezone.now)
    return file.getvalue()


def rows(content: bytes, table: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [json.loads(line) for line in archive.read(f"data/{table}.ndjson").splitlines()]


def faults(content: bytes) -> list[str]:
    report = verify.verify(io.BytesIO(content), keys=list(signing.public_keys().values()))
    return [str(fault) for fault in report.faults] + list(report.unchecked)


@pytest.fixture(params=[1, 3, 1_000])
def parts(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.searching.PART", request.param)


def test_it_holds_each_event_that_names_the_person_and_no_other(tenant: Tenant, parts: None) -> None:
    drafts = [draft(**fields) for fields in (*OF_OTHERS, *OF_ADA, *OF_OTHERS, *OF_ADA)]
    events = tenant.record(*drafts)
    content = made(tenant)
    wanted = [event.seq for event, one in zip(events, (*OF_OTHERS, *OF_ADA) * 2, strict=True) if one in OF_ADA]
    assert [row["seq"] for row in rows(content, "audit_auditevent")] == wanted
    assert faults(content) == []


def test_what_follows_an_event_comes_with_it(tenant: Tenant, parts: None) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    mine, _ = tenant.record(draft(**OF_ADA[0]), draft(**OF_OTHERS[0]))
    content = made(tenant)
    (delivery,) = rows(content, "webhooks_webhookdelivery")
    assert delivery["event_id"] == str(mine.id)
    assert WebhookDelivery.objects.count() == 2
    assert rows(content, "webhooks_webhook") == []
    assert faults(content) == []


def test_rows_beside_the_events_are_found_by_their_own_columns(tenant: Tenant) -> None:
    tenant.company.contact_email = "ADA@example.com"
    tenant.company.save()
    content = made(tenant)
    assert [row["id"] for row in rows(content, "audit_company")] == [str(tenant.company.id)]
    assert rows(content, "audit_workspace") == []


def test_the_table_of_events_is_of_the_same_events(tenant: Tenant) -> None:
    tenant.record(*[draft(**fields) for fields in (*OF_OTHERS, *OF_ADA)])
    content = made(tenant, csv=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        table = archive.read("data/audit_auditevent.csv").decode()
    assert table.count("\r\n") == 1 + len(OF_ADA)
    assert faults(content) == []


def test_a_proof_for_another_event_is_found(tenant: Tenant, tmp_path: Path) -> None:
    tenant.record(*[draft(**fields) for fields in (*OF_OTHERS, *OF_ADA)])
    content = made(tenant)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    proofs = tmp_path / "proofs" / "audit_auditevent.ndjson"
    first, second, *others = proofs.read_text().splitlines(keepends=True)
    one, two = json.loads(first), json.loads(second)
    one["path"], two["path"] = two["path"], one["path"]
    proofs.write_text("".join(json.dumps(proof, separators=(",", ":")) + "\n" for proof in (one, two)) + "".join(others))
    report = verify.verify(tmp_path, keys=list(signing.public_keys().values()))
    assert any("proof" in str(fault) and "4" in str(fault) for fault in report.faults)


def test_a_missing_event_is_a_fault_though_it_is_nobody_s(tenant: Tenant) -> None:
    first, second, third = tenant.record(*[draft() for _ in range(3)])
    set_append_only("DISABLE")
    second.delete()
    with pytest.raises(BrokenChain):
        made(tenant)


def test_a_person_whom_nothing_names_gets_an_empty_archive_that_verifies(tenant: Tenant) -> None:
    tenant.record(*[draft(**fields) for fields in OF_OTHERS])
    content = made(tenant, Subject(actor_ids=("nobody",)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        counts = json.loads(archive.read("manifest.json"))["counts"]
    assert set(counts.values()) == {0}
    assert faults(content) == []


def test_large_rows_are_bounded_by_their_bytes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.searching.PART_BYTES", 10_000)
    drafts = [draft(actor={"id": "ada"}, payload={"text": chr(97 + n) * 9_000}) for n in range(20)]
    tenant.record(*drafts)
    content = made(tenant)
    assert len(rows(content, "audit_auditevent")) == 20
    assert reading.PART_BYTES > 10_000
