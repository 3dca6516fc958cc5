import hashlib
import logging
import secrets
import uuid
from datetime import datetime, timedelta

from django.db import connection, models, transaction
from django.db.models import Count, Q

from audit.ids import uuid7
from audit.models import ApiKey, Company
from audit.models.company import ChainBusy
from gdpr.clients import Client
from gdpr.models.archive import ExportArchive
from gdpr.telling import tell

logger = logging.getLogger(__name__)

VALID_FOR = timedelta(hours=1)
CONTINUABLE_FOR = timedelta(minutes=10)
"""How long after its complete download a link still serves the rest to a client that lost the end of it."""
HELD_FOR = timedelta(seconds=30)
"""How long a response that takes no further chunk keeps another from beginning: one whose process died, say."""
TIMES_SENT = 3
"""How many times an archive's bytes one link sends at the most, broken transfers included."""
MOST_RESPONSES = 1_000
"""Of one link: each leaves a row, and a response may be of a single byte."""
TOKEN_BYTES = 32

# One statement for both, as it comes with each chunk: the response's id is that of its access.
_NOTE = """
    WITH noted AS (
        UPDATE gdpr_downloadlink
        SET sent = sent + %(end)s - %(start)s, held_until = %(held_until)s,
            served_until = greatest(served_until, CASE WHEN served_until >= %(start)s THEN %(end)s END)
        WHERE id = %(link)s AND holder = %(holder)s AND revoked_at IS NULL
        RETURNING holder
    )
    UPDATE gdpr_downloadaccess AS access SET sent = sent + %(end)s - %(start)s FROM noted WHERE access.id = noted.holder
"""


class DownloadLinkQuerySet(models.QuerySet["DownloadLink"]):
    @transaction.atomic
    def issue(
        self,
        *,
        archive: ExportArchive,
        issued_by: str,
        api_key: ApiKey | None = None,
        valid_for: timedelta = VALID_FOR,
        now: datetime,
    ) -> tuple["DownloadLink", str]:
        """A new link and its token, which is not kept and cannot be shown again. It ends with the key that made it.

        Raises audit.models.company.ChainBusy.
        """
        ends = [now + valid_for, archive.expires_at]
        if api_key and api_key.expires_at:
            ends.append(api_key.expires_at)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        link = self.create(
            company_id=archive.company_id,
            archive=archive,
            digest=digest(token),
            api_key=api_key,
            issued_by=issued_by,
            created_at=now,
            expires_at=min(ends),
        )
        issued = {"jobId": archive.job_id, "linkId": link.pk, "issuedBy": issued_by, "expiresAt": link.expires_at}
        tell(archive.company, "gdpr.link.issued", now=now, **issued)
        return link, token

    def counting_accesses(self) -> "DownloadLinkQuerySet":
        """Each with how often it was asked for its archive (`asked`), and how often that was refused (`refused`)."""
        served = Count("accesses", filter=Q(accesses__refusal=""))
        return self.annotate(asked=Count("accesses"), refused=Count("accesses") - served)

    def tell_downloads(self, *, now: datetime) -> int:
        """Tell of the downloads that could not be told when they ended; says how many."""
        untold = self.filter(untold__isnull=False).select_related("archive", "company")
        return sum(link.tell_downloaded(now=now) for link in untold)

    def find(self, token: str) -> "DownloadLink | None":
        return self.select_related("archive", "company", "api_key").filter(digest=digest(token)).first()


class DownloadLink(models.Model):
    """A secret address of one archive: for an hour (or another time), and for one complete download.

    - One response at a time holds the link. Each chunk is noted before it leaves, which also prolongs the hold; a hold
      that was not prolonged for 30 s has lapsed.
    - A request from the first byte waits its turn: while another holds the link, it is refused (409).
    - A request from a later byte continues what broke, and takes the hold over at once; the response before it ends. It
      begins where the link has come to, or before: nothing is served behind bytes that were not.
    - So the link is used when a response that ran to its normal end served the last byte: every byte before it was
      served too, by that response or by those it continued. From then on only continuing is allowed, for 10 minutes:
      the end of what was handed to the network may still have been lost there, unseen from here.
    - Its use is told once, in a transaction of its own: a chain that is busy must not undo it.
    - All responses together send at most three times the archive's bytes. There are at most 1,000 of them, each an
      access on record (`DownloadAccess`) before its first byte leaves.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    archive = models.ForeignKey(ExportArchive, on_delete=models.PROTECT, related_name="links")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # Nothing looks links up by their key, and keys are revoked, not deleted.
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    issued_by = models.CharField(max_length=250, db_default="", help_text="An API key, or an operator.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True, editable=False)
    holder = models.UUIDField(null=True, blank=True, editable=False, help_text="The response that is being sent.")
    held_until = models.DateTimeField(null=True, blank=True, editable=False)
    sent = models.BigIntegerField(default=0, editable=False, help_text="Bytes sent, repeated ones included.")
    served_until = models.BigIntegerField(default=0, editable=False, help_text="Bytes served without a gap.")
    untold = models.UUIDField(null=True, editable=False, help_text="The access that used it up, until that is told.")

    objects = DownloadLinkQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["company", "id"], name="link_company_id"),  # exports, in keyset order
            models.Index(fields=["id"], name="link_untold", condition=Q(untold__isnull=False)),  # housekeeping
        ]

    def __str__(self) -> str:
        return f"{self.archive_id} until {self.expires_at:%Y-%m-%d %H:%M}"

    def refusal(self, *, start: int, end: int, now: datetime) -> str:
        """Why the link does not serve the bytes from `start` up to `end` any more; empty if it does."""
        if withdrawn := self._withdrawal():
            return withdrawn
        if self.expires_at <= now or not self.archive.downloadable(now=now):
            return f"expired at {self.expires_at:%Y-%m-%d %H:%M} UTC"
        if self._is_used(start=start, now=now):
            return "was used: a link serves one complete download"
        if self.sent > self._most(end - start):
            return f"has sent all that one link sends: {TIMES_SENT} times the archive's {self.archive.size} bytes"
        if self.accesses.served().count() >= MOST_RESPONSES:
            return f"has been used for {MOST_RESPONSES:,} responses, which is the most"
        return ""

    def _withdrawal(self) -> str:
        """Whose decision ended the link before its time; empty if nobody's."""
        if self.revoked_at is not None:
            return "was revoked"
        if self.api_key and self.api_key.revoked_at is not None:
            return "was made with an API key that was revoked"
        return "belongs to a company that was closed" if self.company.closed_at is not None else ""

    def _is_used(self, *, start: int, now: datetime) -> bool:
        if self.used_at is not None:
            return start == 0 or self.used_at <= now - CONTINUABLE_FOR
        # The last byte was noted and is leaving: whoever has it may ask again before the end of it is on record.
        return start == 0 and self.is_held(now=now) and self.served_until >= self.archive.size

    def is_held(self, *, now: datetime) -> bool:
        return self.held_until is not None and self.held_until > now

    def _most(self, count: int) -> int:
        """How much may have been sent before, for a response of `count` bytes to begin."""
        return TIMES_SENT * self.archive.size - count

    # What follows changes the row by compare-and-set and says whether it won.

    @transaction.atomic
    def revoke(self, *, by: str, now: datetime) -> bool:
        """Have it serve nothing more; says whether that is new. Raises audit.models.company.ChainBusy."""
        if not DownloadLink.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now):
            return False
        tell(self.company, "gdpr.link.revoked", now=now, jobId=self.archive.job_id, linkId=self.pk, revokedBy=by)
        return True

    @transaction.atomic
    def begin(self, *, start: int, end: int, client: Client, now: datetime) -> uuid.UUID | None:
        """Take hold of the link for a response of the bytes from `start` up to `end`; its holder's id, or None.

        The holder is the access that goes on record.
        """
        free = DownloadLink.objects.filter(pk=self.pk, revoked_at=None, sent__lte=self._most(end - start))
        if start == 0:
            free = free.filter(Q(held_until=None) | Q(held_until__lte=now), used_at=None)
        else:
            free = free.filter(Q(used_at=None) | Q(used_at__gt=now - CONTINUABLE_FOR), served_until__gte=start)
        holder = uuid7()
        if not free.update(holder=holder, held_until=now + HELD_FOR):
            return None
        self.accesses.serve(holder, link=self, start=start, end=end, client=client, now=now)
        return holder

    def note(self, *, holder: uuid.UUID, start: int, end: int, now: datetime) -> bool:
        """Note that the bytes from `start` up to `end` are about to leave; False once another took the link over."""
        with connection.cursor() as cursor:
            cursor.execute(
                _NOTE,
                {"link": self.pk, "holder": holder, "start": start, "end": end, "held_until": now + HELD_FOR},
            )
            return bool(cursor.rowcount)

    def let_go(self, *, holder: uuid.UUID) -> bool:
        """End the hold of a response that broke."""
        held = DownloadLink.objects.filter(pk=self.pk, holder=holder)
        return bool(held.update(holder=None, held_until=None))

    @transaction.atomic
    def finish(self, *, holder: uuid.UUID, now: datetime) -> bool:
        """End the hold of a response that ended normally with the last byte; says whether that used the link up.

        It does so even where another response has taken the hold over since: the last byte has left.
        """
        whole = DownloadLink.objects.filter(pk=self.pk, used_at=None, served_until__gte=self.archive.size)
        used = bool(whole.update(used_at=now, untold=holder))
        self.let_go(holder=holder)
        if used:
            self.untold = holder
        return used

    def tell_downloaded(self, *, now: datetime) -> bool:
        """Tell that the link was used; says whether that was still to be told. While the chain is busy, it stays so."""
        if self.untold is None:
            return False
        untold = DownloadLink.objects.filter(pk=self.pk, untold=self.untold)
        try:
            with transaction.atomic():
                if not untold.update(untold=None):
                    return False
                address = self.accesses.get(pk=self.untold).address
                facts = {"jobId": self.archive.job_id, "linkId": self.pk, "address": address}
                tell(self.company, "gdpr.export.downloaded", now=now, **facts)
        except ChainBusy as error:
            logger.warning("The download by the link %s is told later, by housekeeping: %s", self.pk, error)
            return False
        return True


def digest(token: str) -> str:
    """How a token is kept: the hex SHA-256 of its text. It is 256 random bits, so that there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()
