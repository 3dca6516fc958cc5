"""A company with a row in each table that an erasure looks through, and a person planted in all of them."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction

from audit.encryption import encrypt
from audit.models import ApiKey, AuditEvent, Company, IdempotencyRecord
from audit.own_words import marked
from audit.personal_data import Erasable, erasable
from gdpr.models import (
    DownloadAccess,
    DownloadLink,
    ErasedRow,
    Erasure,
    ErasureApproval,
    ExportArchive,
    ExportRequest,
    LegalHold,
    PrivacyNotice,
)
from jobs.models import Job, JobAttempt, JobLog
from tests.architecture.test_erasable_data import SEARCHED
from tests.conftest import NOON, Tenant, draft
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

Rows = Mapping[type[models.Model], models.Model]
ENDED = {"status": "COMPLETED", "queue": "jobs", "run_at": NOON, "max_attempts": 3, "completed_at": NOON}


@transaction.atomic
def furnish(tenant: Tenant, marker: str) -> Rows:
    """A row of each erasable table; in the event, which nobody can change, the person stands from the beginning."""
    company = tenant.company
    key = ApiKey.objects.get(company=company, name="company")
    rows: list[models.Model] = [company, tenant.workspace, key]
    webhook, _ = Webhook.objects.register(company=company, url="https://example.com/hook", description="For us.")
    (event,) = tenant.record(draft(**planted_in_event(marker)))
    rows += [event, webhook, *_delivered(event), *_jobs(company), *_exports(company), *_erasures(company)]
    record = IdempotencyRecord(company=company, api_key=key, route="jobs", key="k", fingerprint="f" * 64)
    rows += [
        _stored(record, answer={}, created_at=NOON),
        _stored(PrivacyNotice(company=company)),
        _stored(LegalHold(company=company, subject={"actorId": ["x"]}, placed_at=NOON), lifted_at=NOON, lifted_by="op"),
        _logged(webhook),
    ]
    found = {type(row): row for row in rows}
    assert found.keys() == {table.model for table in erasable()}
    return found


def planted_in_event(marker: str) -> dict[str, Any]:
    return {
        "actor": {"id": "u1", "email": marker},
        "target": {"type": "user", "id": marker},
        "payload": {marker: [{"deep": marker}]},
        "metadata": {"note": marker},
        "changes": [{"field": "owner", "old": marker, "new": None}],
        "context": {"traceId": marker},
    }


def _stored(row: models.Model, **fields: Any) -> models.Model:
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(force_insert=True)
    return row


def _delivered(event: AuditEvent) -> list[models.Model]:
    delivery = WebhookDelivery.objects.get(event=event)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(status="SUCCESS", next_attempt_at=None, completed_at=NOON)
    attempt = WebhookAttempt(company_id=event.company_id, delivery=delivery, number=1, result="delivered")
    return [delivery, _stored(attempt, url="https://example.com/hook", started_at=NOON, finished_at=NOON)]


def _jobs(company: Company) -> list[models.Model]:
    job = _stored(Job(company=company, type="http.request", **ENDED))
    attempt = JobAttempt(id=uuid.uuid4(), job_id=job.pk, company=company, number=1, outcome="completed")
    line = JobLog(job_id=job.pk, company=company, attempt=1, text="Done.")
    return [job, _stored(attempt, ended_at=NOON), _stored(line)]


def _exports(company: Company) -> list[models.Model]:
    job = _stored(Job(company=company, type="gdpr.export", key=f"subject:{uuid.uuid4()}", **ENDED))
    request = ExportRequest(job_id=job.pk, company=company, scope="subject", subject={"actorId": ["x"]})
    archive = ExportArchive(company=company, job_id=job.pk, scope="subject", status="EXPIRED", counts={}, size=1)
    link = DownloadLink(company=company, archive=archive, digest=uuid.uuid4().hex, created_at=NOON, expires_at=NOON)
    access = DownloadAccess(company=company, link=link, at=NOON, start=0, end=1, address="203.0.113.9")
    return [
        _stored(request, created_at=NOON, due_at=NOON, extended_at=NOON, extension_reason="Much of it."),
        _stored(archive, file=f"{job.pk}-1.zip", sha256="f" * 64, created_at=NOON, expires_at=NOON),
        _stored(link),
        _stored(access),
    ]


def _erasures(company: Company) -> list[models.Model]:
    erasure = Erasure(company=company, subject={"actorId": ["x"]}, key="k", status="REJECTED", rejection="No.")
    rows = [_stored(erasure, created_at=NOON, due_at=NOON, rejected_at=NOON, certificate={})]
    approval = ErasureApproval(company=company, erasure=erasure, user_id=1, approved_by="op", at=NOON)
    noted = ErasedRow(company=company, erasure=erasure, table="jobs_job", key="k", replaced={})
    return [*rows, _stored(approval), _stored(noted)]


def _logged(webhook: Webhook) -> models.Model:
    user, _ = get_user_model().objects.get_or_create(username="op")
    kind = ContentType.objects.get_for_model(Webhook)
    entry = LogEntry(user=user, content_type=kind, object_id=str(webhook.pk), action_flag=CHANGE)
    return _stored(entry, object_repr="https://example.com/hook", change_message="")


# Planting.


def plant(rows: Rows, marker: str) -> None:
    """Put the person into each column of text or JSON but the kept and the proved ones, as nobody but SQL could."""
    for table in erasable():
        if table.model is not AuditEvent:
            _plant(table, rows[table.model], marker)


def _plant(table: Erasable, row: models.Model, marker: str) -> None:
    columns = {name: value for name, value in planted(table, marker).items() if name not in table.kept}
    assignments = ", ".join(f'"{name}" = %s' for name in columns)
    with connection.cursor() as cursor:
        key = table.model._meta.pk
        values = [json.dumps(value) if isinstance(value, dict | list) else value for value in columns.values()]
        if columns:
            cursor.execute(f'UPDATE "{table.table}" SET {assignments} WHERE "{key.column}" = %s', [*values, row.pk])
            assert cursor.rowcount == 1, table.table


def planted(table: Erasable, marker: str) -> dict[str, Any]:
    """What is planted in each column of a table: no id where only an address is looked for."""
    document = {"list": [{"userId": marker}], marker: 1}
    found = {
        str(field.column): document if isinstance(field, models.JSONField) else marker
        for field in table.model._meta.concrete_fields
        if isinstance(field, SEARCHED) and field.column not in table.proved
    }
    found |= {name: value for name, value in _special(marker).get(table.table, {}).items() if name in found}
    own = table.own({"type": "http.request", **found}) if table.own and "@" not in marker else {}
    return {name: value for name, value in found.items() if own.get(name) != marked(marker)}


def _special(marker: str) -> dict[str, dict[str, Any]]:
    """What those columns can hold that HyreLog itself reads."""
    person = {"email": [marker]} if "@" in marker else {"actorId": [marker]}
    secrets = encrypt(json.dumps({"headers": {"X-User": marker}}))
    last = {"type": "t", "payload": {}, "secrets": secrets, "takesResult": False, "then": None, "queue": "jobs"}
    payload = {"json": {marker: [marker]}} | ({marker: 1} if "@" in marker else {})  # an id may be a parameter's name
    steps = last | {"payload": {"of": marker}, "secrets": "", "then": last}
    return {
        "audit_apikey": {"allowed_networks": ["203.0.113.0/24", marker]},
        "gdpr_exportrequest": {"subject": person},
        "gdpr_erasure": {"subject": person},
        "gdpr_legalhold": {"subject": person},
        "jobs_job": {"payload": payload, "secrets": secrets, "follow_up": steps},
        "webhooks_webhook": {
            "encrypted_headers": encrypt(json.dumps({"X-User": marker})),
            "encrypted_authentication": encrypt(json.dumps({"type": "basic", "username": marker, "password": "p"})),
        },
    }
