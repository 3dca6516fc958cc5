import uuid
from datetime import datetime
from typing import Any

from django.db import models

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from gdpr.clients import Client
from gdpr.models.link import DownloadLink

MOST_REFUSALS = 100
"""Of one link, that are kept: whoever knows a link that has ended could fill the table."""
MOST_WHY = 200


class DownloadAccessQuerySet(models.QuerySet["DownloadAccess"]):
    def served(self) -> "DownloadAccessQuerySet":
        return self.filter(refusal="")

    def refused(self) -> "DownloadAccessQuerySet":
        return self.exclude(refusal="")

    def serve(  # noqa: PLR0913  each is a fact of an access
        self, response: uuid.UUID, *, link: DownloadLink, start: int, end: int, client: Client, now: datetime
    ) -> None:
        """Put on record a response that is about to begin, in the caller's transaction; it bears the response's id."""
        self.create(id=response, start=start, end=end, **_who(link, client), at=now)

    def refuse(self, *, link: DownloadLink, client: Client, why: str, now: datetime) -> None:
        """Put a refusal on record, of each link the first hundred; or some more, where many come at once."""
        if self.filter(link=link).refused()[:MOST_REFUSALS].count() < MOST_REFUSALS:
            self.create(refusal=why[:MOST_WHY], start=0, end=0, **_who(link, client), at=now)


class DownloadAccess(models.Model):
    """One use of a download link: who came from where, and how many bytes left."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    link = models.ForeignKey(DownloadLink, on_delete=models.PROTECT, related_name="accesses")
    at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True, help_text="From where it came, as the web server saw it.")
    user_agent = models.CharField(max_length=200, blank=True)
    start = models.BigIntegerField(help_text="The first byte that was asked for.")
    end = models.BigIntegerField(help_text="The byte behind the last one that was asked for.")
    sent = models.BigIntegerField(default=0, help_text="Bytes.")
    refusal = models.CharField(max_length=200, blank=True, help_text="Why nothing was served; empty if it was.")

    objects = DownloadAccessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "download accesses"
        indexes = [models.Index(fields=["company", "id"], name="access_company_id")]  # exports, in keyset order

    def __str__(self) -> str:
        return f"{self.address} {self.at:%Y-%m-%d %H:%M:%S}"

    def as_json(self) -> dict[str, Any]:
        """The access as the API shows it; `start` and `end` are of the bytes that were to be served, null for none."""
        refused = bool(self.refusal)
        return {
            "accessId": str(self.id),
            "at": timestamp(self.at),
            "issuedBy": self.link.issued_by,
            "address": self.address,
            "userAgent": self.user_agent,
            "start": None if refused else self.start,
            "end": None if refused else self.end,
            "bytes": self.sent,
            "refusal": self.refusal or None,
        }


def _who(link: DownloadLink, client: Client) -> dict[str, Any]:
    return {
        "company_id": link.company_id,
        "link": link,
        "address": client.address,
        "user_agent": client.user_agent,
    }
