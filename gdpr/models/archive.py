import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from audit.models.company import ChainBusy
from audit.notices import notice
from gdpr import storage
from gdpr.telling import tell
from jobs.models import Job

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=7)
MISSING = "missing"
"""Why an archive is purged whose file somebody else had deleted, or left behind in another storage."""
STRAY_AFTER = timedelta(days=1)
"""How long a file without a record is left alone: an export may still be writing it."""


class Status(models.TextChoices):
    READY = "READY", "ready"  # end: housekeeping, after seven days
    EXPIRED = "EXPIRED", "expired"  # no link serves it; its file is deleted, the record stays


class ExportArchiveQuerySet(models.QuerySet["ExportArchive"]):
    def ready(self) -> "ExportArchiveQuerySet":
        return self.filter(status=Status.READY)

    def expire(self, *, now: datetime) -> int:
        """End the archives whose time is over, and delete their files; says how many ended."""
        for archive in self.exclude(purging="").select_related("company"):
            archive.purge(now=now)
        over = self.ready().filter(expires_at__lte=now).select_related("company")
        ended = sum(archive.expire(now=now) for archive in over)
        self._delete_strays(before=now - STRAY_AFTER)
        return ended

    def _delete_strays(self, *, before: datetime) -> None:
        """A worker that died on a job's last attempt left a file that no further attempt clears away.

        Only what belongs to a job of this database is deleted: others may keep theirs in the same folder.
        """
        for name in storage.strays(before=before):
            job_id = name.lstrip(".")[:36]
            if Job.objects.filter(pk=job_id).exists() and not self.ready().filter(file=name).exists():
                _delete(name)


class ExportArchive(models.Model):
    """The file that an export yielded, as long as it is kept, and what was in it, for ever."""

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="archives", db_index=False)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="archive")
    scope = models.CharField(max_length=10)
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.READY)
    file = models.CharField(max_length=200, help_text="Its name in EXPORT_STORAGE.")
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    counts = models.JSONField(help_text="Rows by table.")
    checkpoint = models.JSONField(null=True, help_text="The signed checkpoint of the chains, as docs/archive.md says.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    purging = models.TextField(
        blank=True,
        db_default="",
        default="",
        editable=False,
        help_text="Why it ended, until its file is deleted and that is told.",
    )

    objects = ExportArchiveQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["expires_at"], name="archive_expiry", condition=models.Q(status="READY")),
            models.Index(fields=["id"], name="archive_purging", condition=~models.Q(purging="")),  # housekeeping
            # Exports, in keyset order.
            models.Index(fields=["company", "id"], name="archive_company_id"),
        ]

    def __str__(self) -> str:
        return self.file

    def downloadable(self, *, now: datetime) -> bool:
        """Whether it is kept still; housekeeping may be some minutes late."""
        return self.status == Status.READY and now < self.expires_at

    def expire(
        self,
        *,
        now: datetime,
        reason: str = "expired",
        missing_is_gone: bool = False,
        within: Callable[[], None] | None = None,
    ) -> bool:
        """End the archive and delete its file, outside any transaction; says whether it has ended.

        `within` is called in the transaction that ends it.

        A file that cannot be deleted now is tried again by housekeeping: `purging` says so.

        Where a folder has none, it may well lie on another machine, if EXPORT_STORAGE is not shared as it should be:
        then the archive stays READY, to be tried again from there; with `missing_is_gone` it ends all the same. What a
        bucket does not have is gone, and told so.
        """
        if not missing_is_gone and storage.may_be_elsewhere(self.file):
            logger.warning(
                "The file %s of an expired archive is not in EXPORT_STORAGE on this machine and cannot be deleted from "
                "here. If it lies on another machine, share the folder; if it is gone for good, put an empty file of "
                "that name there: the next run ends the archive with it.",
                self.file,
            )
            notice("export.file_missing", archive=self.pk, file=self.file)
            return False
        if _is_missing(self.file):
            reason = MISSING
        # The record comes first: no link serves a file that is being deleted, whenever this process dies.
        with transaction.atomic(durable=True):
            if not ExportArchive.objects.ready().filter(pk=self.pk).update(status=Status.EXPIRED, purging=reason):
                return False
            if within:
                within()
        self.status, self.purging = Status.EXPIRED, reason
        self.purge(now=now)
        return True

    def purge(self, *, now: datetime) -> bool:
        """Delete the file of an archive that has ended, and tell so, once; says whether both are done.

        What fails is left for housekeeping.
        """
        if not _delete(self.file):
            return False
        purging = ExportArchive.objects.filter(pk=self.pk, purging=self.purging).exclude(purging="")
        try:
            with transaction.atomic():
                if purging.update(purging=""):
                    tell(self.company, "gdpr.export.purged", now=now, jobId=self.job_id, reason=self.purging)
        except ChainBusy as error:
            logger.warning("That the file of the archive %s was deleted is told later: %s", self.pk, error)
            return False
        self.purging = ""
        return True

    def as_json(self) -> dict[str, Any]:
        """The archive as the API shows it."""
        return {
            "status": self.status,
            "bytes": self.size,
            "sha256": self.sha256,
            "keyId": self.checkpoint and self.checkpoint["keyId"],
            "counts": self.counts,
            "createdAt": timestamp(self.created_at),
            "expiresAt": timestamp(self.expires_at),
        }


def _is_missing(name: str) -> bool:
    """Whether a file is not there; False where its storage does not answer."""
    try:
        return not storage.holds(name)
    except OSError:
        return False


def _delete(name: str) -> bool:
    """Delete a file; says whether it is gone. One that cannot be deleted keeps no other from it."""
    try:
        storage.delete(name)
    except OSError as error:
        logger.warning("The file %s in EXPORT_STORAGE cannot be deleted yet, and is tried again: %s.", name, error)
        return False
    return True
