"""Which erasures may have records in the chain, as verification asks: those that two people approved."""

from collections.abc import Collection

from django.db.models import Count

from audit.models import Company
from gdpr.models import Erasure
from gdpr.models.erasure import APPROVALS

UNDECIDED = (Erasure.Status.REQUESTED, Erasure.Status.REJECTED)
"""Nothing is erased for these; one that was completed before a restore is so again once its replay has ended."""


def approved(company: Company, erasure_ids: Collection[str]) -> set[str]:
    """Those of these ids that are erasures of the company which enough people approved."""
    asked = Erasure.objects.of(company).filter(pk__in=erasure_ids).exclude(status__in=UNDECIDED)
    by_enough = asked.annotate(approved_by=Count("approvals")).filter(approved_by__gte=APPROVALS)
    return {str(pk) for pk in by_enough.values_list("pk", flat=True)}
