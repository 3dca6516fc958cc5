from django.db import models

from audit.ids import uuid7
from audit.models import Company
from gdpr.models.link import DownloadLink


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

    class Meta:
        verbose_name_plural = "download accesses"
        indexes = [models.Index(fields=["company", "id"], name="access_company_id")]  # exports, in keyset order

    def __str__(self) -> str:
        return f"{self.address} {self.at:%Y-%m-%d %H:%M:%S}"
