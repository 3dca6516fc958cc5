"""Putting back what was there before, as a restore of some tables does: past the triggers, with the owner's rights."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import models
from django.utils import timezone

from audit import signing
from audit.models import AuditEvent, Company
from audit.verification import verify
from gdpr.erasures.gathering import from_database, from_storage
from gdpr.erasures.known import gathering
from gdpr.erasures.replaying import Repeated, Replay
from tests.conftest import set_append_only

Row = dict[str, Any]


def rows_of(rows: models.QuerySet[Any]) -> list[Row]:
    """As they are now, to be put back later."""
    return list(rows.order_by("pk").values())


def put_back(model: type[models.Model], rows: Iterable[Row]) -> None:
    """Rows as they were, whether they are there or not."""
    set_append_only("DISABLE")
    for row in rows:
        model._base_manager.update_or_create(pk=row["id"], defaults=row)
    set_append_only("ENABLE")


def put_back_events(rows: Iterable[Row]) -> None:
    put_back(AuditEvent, rows)


def forget(rows: models.QuerySet[Any]) -> None:
    """Rows that the backup does not have."""
    set_append_only("DISABLE")
    rows.delete()
    set_append_only("ENABLE")


def replay(*, ledgers: bool = True, **how: Any) -> list[Repeated]:
    """What the command does."""
    with gathering() as gathered:
        found = from_storage(gathered, keys=signing.public_keys()) if ledgers else ()
        faults = [*found, *from_database(gathered)]
        assert faults == []
        return list(Replay(gathered, timezone.now, **how).run())


def faults(company: Company) -> list[str]:
    return [str(fault) for workspace in company.workspaces.all() for fault in verify(workspace)]


def values_of(events: Sequence[AuditEvent]) -> list[Row]:
    """The values of events, without salts and records."""
    columns = ("id", "actor", "target", "payload", "metadata", "changes", "context")
    return list(AuditEvent.objects.filter(pk__in=[event.pk for event in events]).order_by("pk").values(*columns))
