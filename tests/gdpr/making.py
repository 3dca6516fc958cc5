"""Archives made without a job, and looked into."""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone

from audit import signing
from audit.models import AuditEvent, Company
from audit.personal_data import Covered, covered
from gdpr import verify
from gdpr.making import Made, Order, make
from gdpr.progress import Advance
from tests.conftest import NOON, set_append_only

EVENTS = "data/audit_auditevent.ndjson"


def order(company: Company, *, csv: bool = False, **fields: Any) -> Order:
    asked = {"scope": "company", "subject": None, "requested_by": "a test", "requested_at": NOON}
    return Order(company=company, csv=csv, **(asked | fields))


@dataclass
class Opened:
    """An archive, and what its making told."""

    file: io.BytesIO
    made: Made

    @cached_property
    def zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.file)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.zip.read("manifest.json"))
        return found

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.zip.read(f"data/{table}.ndjson").splitlines()]

    def faults(self) -> list[str]:
        report = verify.verify(self.file, keys=signing.public_keys().values())
        return [*map(str, report.faults), *report.unchecked]


def make_one(company: Company, *, advance: Advance = lambda _: None, csv: bool = False) -> Opened:
    file = io.BytesIO()
    return Opened(file, make(order(company, csv=csv), file, clock=timezone.now, advance=advance))


def events_table() -> Covered:
    return next(table for table in covered() if table.model is AuditEvent)


def alter(event: AuditEvent, **fields: Any) -> None:
    """Change an event as only the table's owner can."""
    set_append_only("DISABLE")
    AuditEvent.objects.filter(pk=event.pk).update(**fields)
    set_append_only("ENABLE")


def remove(event: AuditEvent) -> None:
    set_append_only("DISABLE")
    AuditEvent.objects.filter(pk=event.pk).delete()
    set_append_only("ENABLE")
