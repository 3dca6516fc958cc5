from datetime import datetime, timedelta
from typing import Any

from django.db import models

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from gdpr import storage
from jobs.models import Job

KEPT_FOR = timedelta(days=7)
STRAY_AFTER = timedelta(days=1)
"""How long a file without a record is left alone: an export may still be writing it."""


class Status(models.TextChoices):
    READY = "READY", "ready"  # end: housekeeping, after seven days
    EXPIRED = "EXPIRED", "expired"  # the file is gone, the record stays


class ExportArchiveQuerySet(models.QuerySet["ExportArchive"]):
    def ready(self) -> "ExportArchiveQuerySet":
        return self.filter(status=Status.READY)

    def expire(self, *, now: datetime) -> int:
        """Delete the files of archives whose time is over; says how many."""
        over = list(self.ready().filter(expires_at__lte=now))
        for archive in over:
            archive.expire()
        self._delete_strays(before=now - STRAY_AFTER)
        return len(over)

    def _delete_strays(self, *, before: datetime) -> None:
        """A worker that died on a job's last attempt left a file that no further attempt clears away.

        Only what belongs to a job of this database is deleted: others may keep theirs in the same folder.
        """
        for name in storage.strays(before=before):
            job_id = name.lstrip(".")[:36]
            if Job.objects.filter(pk=job_id).exists() and not self.ready().filter(file=name).exists():
                storage.delete(name)


class ExportArchive(models.Model):
    """The file that an export yielded, as long as it is kept, and what was in it, for ever."""

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="archives")
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="archive")
    scope = models.CharField(max_length=10)
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.READY)
    file = models.CharField(max_length=200, help_text="Its name in EXPORT_STORAGE.")
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    counts = models.JSONField(help_text="Rows by table.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    objects = ExportArchiveQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="archive_expiry", condition=models.Q(status="READY"))]

    def __str__(self) -> str:
        return self.file

    def expire(self) -> None:
        """Delete the file; a second call finds nothing to do."""
        storage.delete(self.file)
        self.status = Status.EXPIRED
        self.save(update_fields=["status"])

    def as_json(self) -> dict[str, Any]:
        """The archive as the API shows it."""
        return {
            "status": self.status,
            "bytes": self.size,
            "sha256": self.sha256,
            "counts": self.counts,
            "createdAt": timestamp(self.created_at),
            "expiresAt": timestamp(self.expires_at),
        }
