from datetime import datetime

from django.db import models
from django.db.models import Q

from audit.ids import uuid7
from audit.models import Company
from gdpr.subjects import Subject


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def active(self) -> "LegalHoldQuerySet":
        return self.filter(lifted_at=None)

    def active_in(self, company: Company) -> "LegalHoldQuerySet":
        """What keeps data of a company now, the oldest first."""
        return self.active().filter(company=company).order_by("placed_at", "id")


class LegalHold(models.Model):
    """That data must be kept although a person wants it erased (GDPR, Art. 17(3)): of a company, or of one person."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="legal_holds", db_index=False)
    subject = models.JSONField(null=True, blank=True, help_text="The person, as gdpr.subjects; empty for everybody.")
    reason = models.TextField(help_text="Why: the claim, the proceedings, the law.")
    placed_by = models.CharField(max_length=250)
    placed_at = models.DateTimeField()
    lifted_by = models.CharField(max_length=250, blank=True)
    lifted_at = models.DateTimeField(null=True)

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by="") | Q(lifted_at__isnull=False) & ~Q(lifted_by=""),
                name="hold_lifted_by_somebody",
            )
        ]
        indexes = [models.Index(fields=["company", "id"], name="hold_company")]  # lists and exports

    def __str__(self) -> str:
        return f"legal hold {self.pk}"

    def person(self) -> Subject | None:
        """Whose data it keeps; None for everybody's."""
        return None if self.subject is None else Subject.read(self.subject)

    def lift(self, *, by: str, now: datetime) -> bool:
        """It keeps nothing any more; says whether it did until now."""
        lifted = bool(LegalHold.objects.active().filter(pk=self.pk).update(lifted_at=now, lifted_by=by))
        self.refresh_from_db()
        return lifted
