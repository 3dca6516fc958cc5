"""Exports of one person: what names them, what follows it, nothing else, and the proof that it is in the chain."""

import json
from pathlib import Path
from typing import Any

import pytest

from audit import signing
from audit.checkpoints import BrokenChain
from audit.drafts import Draft
from gdpr import reading, verify
from gdpr.subjects import Subject
from tests.conftest import Tenant, draft
from tests.gdpr.making import Opened, make_one, remove
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


def of(fields: dict[str, Any]) -> Draft:
    return draft(**{"actor": {"id": "bob"}, "target": None, "payload": None} | fields)


def made(tenant: Tenant, subject: Subject = ADA, **fields: Any) -> Opened:
    return make_one(tenant.company, scope="subject", subject=subject, **fields)


@pytest.fixture(params=[1, 3, 1_000])
def parts(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.searching.PART", request.param)


def test_it_holds_each_event_that_names_the_person_and_no_other(tenant: Tenant, parts: None) -> None:
    drafts = [of(fields) for fields in (*OF_OTHERS, *OF_ADA, *OF_OTHERS, *OF_ADA)]
    events = tenant.record(*drafts)
    archive = made(tenant)
    wanted = [event.seq for event, one in zip(events, (*OF_OTHERS, *OF_ADA) * 2, strict=True) if one in OF_ADA]
    assert [row["seq"] for row in archive.rows("audit_auditevent")] == wanted
    assert archive.faults() == []


def test_what_follows_an_event_comes_with_it(tenant: Tenant, parts: None) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    mine, _ = tenant.record(of(OF_ADA[0]), of(OF_OTHERS[0]))
    archive = made(tenant)
    (delivery,) = archive.rows("webhooks_webhookdelivery")
    assert delivery["event_id"] == str(mine.id)
    assert WebhookDelivery.objects.count() == 2
    assert archive.rows("webhooks_webhook") == []
    assert archive.faults() == []


def test_rows_beside_the_events_are_found_by_their_own_columns(tenant: Tenant) -> None:
    tenant.company.contact_email = "ADA@example.com"
    tenant.company.save()
    archive = made(tenant)
    assert [row["id"] for row in archive.rows("audit_company")] == [str(tenant.company.id)]
    assert archive.rows("audit_workspace") == []


def test_the_table_of_events_is_of_the_same_events(tenant: Tenant) -> None:
    tenant.record(*[of(fields) for fields in (*OF_OTHERS, *OF_ADA)])
    archive = made(tenant, csv=True)
    table = archive.zip.read("data/audit_auditevent.csv").decode()
    assert table.count("\r\n") == 1 + len(OF_ADA)
    assert archive.faults() == []


def test_a_proof_for_another_event_is_found(tenant: Tenant, tmp_path: Path) -> None:
    tenant.record(*[of(fields) for fields in (*OF_OTHERS, *OF_ADA)])
    archive = made(tenant)
    archive.zip.extractall(tmp_path)
    proofs = tmp_path / "proofs" / "audit_auditevent.ndjson"
    first, second, *others = proofs.read_text().splitlines(keepends=True)
    one, two = json.loads(first), json.loads(second)
    one["path"], two["path"] = two["path"], one["path"]
    proofs.write_text(
        "".join(json.dumps(proof, separators=(",", ":")) + "\n" for proof in (one, two)) + "".join(others)
    )
    report = verify.verify(tmp_path, keys=list(signing.public_keys().values()))
    assert any("proof" in str(fault) and "4" in str(fault) for fault in report.faults)


def test_a_missing_event_is_a_fault_though_it_is_nobody_s(tenant: Tenant) -> None:
    remove(tenant.record(*[draft() for _ in range(3)])[1])
    with pytest.raises(BrokenChain):
        made(tenant)


def test_a_person_whom_nothing_names_gets_an_empty_archive_that_verifies(tenant: Tenant) -> None:
    tenant.record(*[of(fields) for fields in OF_OTHERS])
    archive = made(tenant, Subject(actor_ids=("nobody",)))
    assert set(archive.manifest["counts"].values()) == {0}
    assert archive.faults() == []


def test_large_rows_are_bounded_by_their_bytes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.searching.PART_BYTES", 10_000)
    drafts = [draft(actor={"id": "ada"}, payload={"text": chr(97 + n) * 9_000}) for n in range(20)]
    tenant.record(*drafts)
    archive = made(tenant)
    assert len(archive.rows("audit_auditevent")) == 20
    assert reading.PART_BYTES > 10_000
