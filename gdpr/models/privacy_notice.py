from typing import Any

from django.db import models

from audit.models import Company

TEXTS = (
    "controller",
    "contact",
    "purposes",
    "sources",
    "retention",
    "recipients",
    "transfers",
    "automated_decisions",
)
"""What a notice says, each in words of the company."""


class PrivacyNotice(models.Model):
    """What a company tells the people in its events, beside what HyreLog knows itself (GDPR, Art. 15(1)).

    Whatever is empty is said in general words in the archives.
    """

    company = models.OneToOneField(Company, on_delete=models.PROTECT, primary_key=True, related_name="privacy_notice")
    controller = models.TextField(blank=True, help_text="Who decides on the processing: name and address.")
    contact = models.TextField(blank=True, help_text="Whom to ask: the data protection officer, say.")
    purposes = models.TextField(blank=True, help_text="Why the events are recorded, and on which legal basis.")
    sources = models.TextField(blank=True, help_text="Where the data comes from, if not from the person.")
    retention = models.TextField(blank=True, help_text="For how long the events are kept, and what decides that.")
    recipients = models.TextField(
        blank=True, default="", db_default="", help_text="Who receives the data beside those whom HyreLog knows."
    )
    transfers = models.TextField(
        blank=True, default="", db_default="", help_text="To which countries data goes, and by which safeguards."
    )
    automated_decisions = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Whether anything is decided automatically, how and with what effect.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"privacy notice of {self.company}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Forms send CR LF where a line ends; what is kept is for every reader, and has LF."""
        for name in TEXTS:
            setattr(self, name, getattr(self, name).replace("\r\n", "\n").replace("\r", "\n"))
        super().save(*args, **kwargs)
