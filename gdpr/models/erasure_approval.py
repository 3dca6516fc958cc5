from django.db import models

from audit.ids import uuid7
from audit.models import Company
from gdpr.models.erasure import Erasure


class ErasureApproval(models.Model):
    """That a person approved an erasure, in the admin: nobody counts twice, by whatever name."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    erasure = models.ForeignKey(Erasure, on_delete=models.PROTECT, related_name="approvals")
    user_id = models.BigIntegerField(help_text="The operator's account, which may be gone by now.")
    approved_by = models.CharField(max_length=250, help_text="What the account was called.")
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["erasure", "user_id"], name="erasure_approved_once_by_each")]
        indexes = [models.Index(fields=["company", "id"], name="approval_company")]  # exports

    def __str__(self) -> str:
        return f"{self.approved_by} {self.at:%Y-%m-%d %H:%M:%S}"
