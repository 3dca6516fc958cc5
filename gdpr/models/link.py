import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest

from audit.ids import uuid7
from audit.models import ApiKey, Company
from gdpr.models.archive import ExportArchive

VALID_FOR = timedelta(hours=1)
TOKEN_BYTES = 32


class DownloadLinkQuerySet(models.QuerySet["DownloadLink"]):
    def issue(self, *, archive: ExportArchive, created_by: ApiKey, now: datetime) -> tuple["DownloadLink", str]:
        """A new link and its token, which is not kept and cannot be shown again."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        link = self.create(
            company_id=archive.company_id,
            archive=archive,
            digest=digest(token),
            created_by=created_by,
            created_at=now,
            expires_at=min(now + VALID_FOR, archive.expires_at),
        )
        return link, token

    def find(self, token: str) -> "DownloadLink | None":
        return self.select_related("archive", "company").filter(digest=digest(token)).first()


class DownloadLink(models.Model):
    """A secret address of one archive: for an hour, and for one complete download."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+")
    archive = models.ForeignKey(ExportArchive, on_delete=models.PROTECT, related_name="links")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)
    allotted = models.BigIntegerField(default=0, editable=False, help_text="Bytes sent, and being sent.")
    served_until = models.BigIntegerField(default=0, editable=False, help_text="Bytes served without a gap.")

    objects = DownloadLinkQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.archive_id} until {self.expires_at:%Y-%m-%d %H:%M}"

    def refusal(self, *, now: datetime) -> str:
        """Why the link no longer works; empty if it does."""
        if self.revoked_at is not None:
            return "was revoked"
        if self.used_at is not None:
            return "was used: a link serves one complete download"
        if self.expires_at <= now or self.archive.status != ExportArchive.Status.READY:
            return f"expired at {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return ""

    def allot(self, count: int) -> bool:
        """Set `count` bytes aside for a response; says whether the link had as many left.

        One complete download, and half of one for what broken transfers repeat: two complete ones never fit, also where
        both begin at once.
        """
        most = self.archive.size + self.archive.size // 2
        links = DownloadLink.objects.filter(pk=self.pk, used_at=None, allotted__lte=most - count)
        return bool(links.update(allotted=F("allotted") + count))

    def record_served(self, *, start: int, end: int, unsent: int, now: datetime) -> bool:
        """Note that the bytes from `start` up to `end` were sent, and `unsent` of those set aside were not.

        Says whether that completed the download.
        """
        links = DownloadLink.objects.filter(pk=self.pk)
        links.update(allotted=F("allotted") - unsent)
        links.filter(served_until__gte=start).update(served_until=Greatest(F("served_until"), end))
        return bool(links.filter(Q(used_at=None), served_until__gte=self.archive.size).update(used_at=now))


def digest(token: str) -> str:
    """How a token is kept: the hex SHA-256 of its text. It is 256 random bits, so that there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()
