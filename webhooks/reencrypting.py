"""Encrypting what is stored anew, after a new key was put in front, so that the old key can go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Manager, Model, Q

from audit.encryption import UnreadableSecret, decrypt, encrypt, is_current
from jobs.models import Job
from webhooks.models import Webhook
from webhooks.models.webhook import ENCRYPTED

BATCH = 100
"""Rows that are locked at once."""
TABLES: dict[str, tuple[Manager[Any], tuple[str, ...]]] = {
    "webhook": (Webhook.objects, ENCRYPTED),
    "job": (Job.objects, ("secrets", "follow_up")),
}
"""Where tokens are: of each kind of row, the columns; each value that has some comes behind the empty text in order."""


@dataclass
class Batch:
    """What became of the tokens of some rows."""

    renewed: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


def reencrypt() -> Iterator[Batch]:
    """Encrypt all tokens with the first of HYRELOG_ENCRYPTION_KEYS, in short transactions; may be repeated at will."""
    for kind, (table, columns) in TABLES.items():
        after = None
        encrypted = reduce(or_, (Q(**{f"{column}__gt": ""}) for column in columns))
        while True:
            with transaction.atomic():
                rows = table.filter(encrypted).order_by("pk").select_for_update(no_key=True)
                found = list((rows.filter(pk__gt=after) if after else rows)[:BATCH])
                if not found:
                    break
                batch = Batch()
                for row in found:
                    _renew(kind, row, columns, batch)
            yield batch
            after = found[-1].pk


def _renew(kind: str, row: Model, columns: tuple[str, ...], batch: Batch) -> None:
    renewed = []
    for column in columns:
        for token, put in _tokens(row, column):
            if is_current(token):
                batch.current += 1
                continue
            try:
                put(encrypt(decrypt(token)))
            except UnreadableSecret:
                batch.unreadable.append(f"{column} of {kind} {row.pk}")
            else:
                renewed.append(column)
    if renewed:
        row.save(update_fields=set(renewed))
        batch.renewed += len(renewed)


def _tokens(row: Model, column: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """Each token in a column, and what puts another in its place; of jobs that are to follow, each may have one."""
    value = getattr(row, column)
    if isinstance(value, str) and value:
        yield value, partial(setattr, row, column)
    while isinstance(value, dict):
        if value["secrets"]:
            yield value["secrets"], partial(value.__setitem__, "secrets")
        value = value["then"]
