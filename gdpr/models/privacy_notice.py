from django.db import models

from audit.models import Company


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
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"privacy notice of {self.company}"
