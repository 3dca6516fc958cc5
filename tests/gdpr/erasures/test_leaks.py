"""What is kept, told and logged of an erasure names neither the person nor the reasons of those who decided."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit import notices
from audit.models import AuditEvent
from gdpr.erasures.deciding import Held, approve, reject
from gdpr.erasures.holds import lift
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.models import Erasure
from jobs.models import Job
from jobs.testing import run_enqueued
from tests.api import Api
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.asking import ADA, count, hold, officer

ERASURES = "/v1/key/company/gdpr/erasures"
IDENTIFIERS = ("u-4711", "ada@example.com")
REASONS = ("why-asked", "why-held", "why-not")
KNOWING = ("gdpr_erasure", "gdpr_legalhold")
"""The tables that have to know the person until the end, and keep the reasons."""


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is told as a fact; `logged` has what is logged."""
    caplog.set_level(logging.INFO)
    facts: list[str] = []

    def note(name: str, told: Mapping[str, Any]) -> None:
        facts.append(f"{name} {dict(told)}")

    notices.subscribe(note)
    yield facts
    notices._subscribers.remove(note)


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """Where files go."""
    settings.EXPORT_STORAGE = str(tmp_path)
    return tmp_path


def ask(api: Api) -> Erasure:
    answer = api.post(ERASURES, {"subject": ADA, "reason": "why-asked"}, **{"Idempotency-Key": "k"})
    return Erasure.objects.get(pk=answer.json()["erasureId"])


def approve_twice(erasure: Erasure) -> None:
    for number in (1, 2):
        approve(erasure, user_id=officer(number), approved_by=f"op{number}", now=timezone.now())


def rows(*, without: Collection[str] = ()) -> str:
    """All rows that there are."""
    found = []
    with connection.cursor() as cursor:
        for table in sorted(set(connection.introspection.table_names(cursor)) - set(without)):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" AS t')
            found += [f"{table} {text}" for (text,) in cursor.fetchall()]
    return "\n".join(found)


def leaks(text: str, secrets: Collection[str]) -> list[str]:
    return [line for line in text.splitlines() if any(secret in line for secret in secrets)]


def test_neither_the_person_nor_a_reason_leaves_the_request_and_the_hold(
    api: Api, tenant: Tenant, caplog: pytest.LogCaptureFixture, said: list[str]
) -> None:
    erasure = ask(api)
    assert api.post(ERASURES, {"subject": ADA, "reason": "why-asked" * 200}).status_code == 422
    count(erasure, at=timezone.now())
    held = hold(tenant.company, reason="why-held")
    with pytest.raises(Held):
        approve(erasure, user_id=1, approved_by="op1", now=NOON)
    lift(held, lifted_by="a judge", now=NOON)
    approve_twice(erasure)
    reject(erasure, rejected_by="op", reason="why-not", now=NOON)
    assert [event.action for event in AuditEvent.objects.order_by("seq")] == [
        "gdpr.erasure.requested",
        "gdpr.hold.placed",
        "gdpr.hold.lifted",
        "gdpr.erasure.approved",
        "gdpr.erasure.approved",
        "gdpr.erasure.rejected",
    ]
    kept, told = rows(without=KNOWING), "\n".join(said)
    assert str(erasure.pk) in kept
    assert "job.created" in told
    assert [leaks(text, [*IDENTIFIERS, *REASONS]) for text in (kept, told, caplog.text)] == [[], [], []]
    body = json.dumps({"subject": ADA, "reason": "why-asked"})
    assert not leaks(kept, [hashlib.sha256(body.encode()).hexdigest()])


def test_when_it_is_done_nothing_names_the_person_and_what_was_told_on_the_way_did_not(
    api: Api, tenant: Tenant, caplog: pytest.LogCaptureFixture, said: list[str], folder: Path
) -> None:
    tenant.record(draft(actor={"id": "u-4711", "email": "ada@example.com"}))
    erasure = ask(api)
    run_enqueued(Job.objects.get(type=PREVIEW))
    approve_twice(erasure)
    held = hold(tenant.company, reason="why-held")
    assert run_enqueued(Job.objects.get(type=ERASE)).status == Job.Status.PENDING
    lift(held, lifted_by="a judge", now=NOON)
    job = run_enqueued(Job.objects.get(type=ERASE))
    assert job.status == Job.Status.COMPLETED, job.traceback
    shown = api.get(f"{ERASURES}/{erasure.pk}").json()
    assert (shown["status"], shown["subject"], shown["counts"]["audit_auditevent"]) == ("COMPLETED", None, 1)
    page = api.get(f"{ERASURES}/{erasure.pk}/certificate").content.decode()
    files = "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert str(erasure.pk) in files
    everything = (rows(), "\n".join(said), caplog.text, json.dumps(shown), page, files)
    assert [leaks(text, IDENTIFIERS) for text in everything] == [[]] * len(everything)
    elsewhere = (rows(without=KNOWING), "\n".join(said), caplog.text, files)
    assert [leaks(text, REASONS) for text in elsewhere] == [[]] * len(elsewhere)
