from django.db import models

from audit.models import Company
from gdpr.models.erasure import Erasure


class ErasedRow(models.Model):
    """A row other than an event in which an erasure replaced something: what it needs to be repeated.

    Events stand in the chain's records; rows that follow an erased row are erased with it, and not listed.
    """

    id = models.BigAutoField(primary_key=True)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    erasure = models.ForeignKey(Erasure, on_delete=models.PROTECT, related_name="rows", db_index=False)
    table = models.CharField(max_length=63)
    key = models.CharField(max_length=64, help_text="The row's primary key.")
    replaced = models.JSONField(help_text="By column, which of its values were replaced (gdpr.erasures.values).")

    class Meta:
        indexes = [
            models.Index(fields=["erasure", "id"], name="erased_row_erasure"),  # its ledger, in order
            models.Index(fields=["company", "id"], name="erased_row_company"),  # exports
        ]

    def __str__(self) -> str:
        return f"{self.table} {self.key}"
