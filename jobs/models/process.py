import os
import socket
import uuid
from collections.abc import Sequence
from datetime import timedelta

from django.db import models
from django.db.models import Value
from django.db.models.functions import Now

from audit.ids import uuid7

LEASE = timedelta(seconds=30)
"""How long a process counts as alive without a sign of life."""


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    def alive(self) -> "WorkerProcessQuerySet":
        return self.filter(lease_expires_at__gt=Now())

    def expired(self) -> "WorkerProcessQuerySet":
        return self.filter(lease_expires_at__lte=Now())

    def register(self, *, queues: list[str], types: Sequence[str] = ()) -> "WorkerProcess":
        """A row for the calling process, with a fresh lease."""
        return self.create(
            host=socket.gethostname()[:200],
            pid=os.getpid(),
            queues=queues,
            types=list(types),
            lease_expires_at=Now() + LEASE,
        )

    def renew(self, process_id: uuid.UUID) -> bool:
        """Extend a lease that has not run out; says whether it had not.

        One that has run out is never revived: its rows may be somebody else's already.
        """
        return bool(self.alive().filter(pk=process_id).update(lease_expires_at=Now() + LEASE))


class WorkerProcess(models.Model):
    """A process that claims rows. Its lease, by the database's clock, is its heartbeat.

    A claimed row names its process here; where that process has no live lease, the row is an orphan.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    host = models.CharField(max_length=200)
    pid = models.IntegerField()
    queues = models.JSONField(default=list)
    types = models.JSONField(db_default=Value([], models.JSONField()))
    """Patterns of the types of jobs that it takes; empty for all."""
    processed = models.PositiveBigIntegerField(db_default=0)
    """Attempts at jobs that came to an end in it: not those that it handed back or that snoozed."""
    failed = models.PositiveBigIntegerField(db_default=0)
    """Of these, how many failed or took too long."""
    started_at = models.DateTimeField(db_default=Now())
    lease_expires_at = models.DateTimeField()

    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "worker processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
