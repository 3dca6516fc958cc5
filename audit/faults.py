"""Faults of chains, and whether a single event is what was recorded."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DataError

from audit import chain
from audit.erasing import PARTS, Part
from audit.models import AuditEvent


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that does not fit into its chain."""

    workspace: str
    seq: int
    event: str | None
    reason: str

    def __str__(self) -> str:
        where = f"event {self.event} (seq {self.seq})" if self.event else f"seq {self.seq}"
        return f"workspace {self.workspace}, {where}: {self.reason}"


def readable(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, AuditEvent]:
    """The events of `ids`, but for those that hold what no Python value can: `infinity` as a time, say."""
    try:
        return AuditEvent.objects.in_bulk(ids)
    except (DataError, ValueError, RecursionError):
        if len(ids) == 1:
            return {}
        middle = len(ids) // 2
        return readable(ids[:middle]) | readable(ids[middle:])


def is_whole(event: AuditEvent) -> bool:
    """Whether the event is as it was recorded: nothing of it was altered, nor erased."""
    return all(is_sealed(event, part) for part in PARTS) and has_its_hash(event)


def is_sealed(event: AuditEvent, part: Part) -> bool:
    """Whether a part of the event gives its commitment, by the salt that it was recorded with."""
    return gives(getattr(event, f"{part}_commitment"), getattr(event, f"{part}_salt"), getattr(event, part))


def has_its_hash(event: AuditEvent) -> bool:
    """Whether the event's envelope gives its hash."""
    return _gives(event.hash, event.compute_hash)


def gives(commitment: str, salt: str | None, value: object) -> bool:
    """Whether the salt and the value give the commitment; a missing salt does not."""
    return salt is not None and _gives(commitment, lambda: chain.commitment(salt, value))


def _gives(expected: str, compute: Callable[[], str]) -> bool:
    try:
        return compute() == expected
    except (ValueError, OverflowError, RecursionError):
        return False  # no canonical form, a salt that is no hex, a time that UTC has not: no event was recorded so
