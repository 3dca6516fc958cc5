"""Erasures as lists and pages of the admin read them: with what moves, without what may be large."""

from django.db.models import Count, OuterRef, QuerySet, Subquery, TextField
from django.db.models.functions import Cast, Coalesce, JSONObject

from gdpr.erasures.requesting import PREVIEW
from gdpr.models import Erasure, ErasureApproval
from jobs.models import Job

LARGE = ("certificate", *(f"job__{column}" for column in ("payload", "secrets", "result", "traceback", "follow_up")))
"""Columns of the erasure and of its job that no list shows."""


def brief(erasures: QuerySet[Erasure]) -> QuerySet[Erasure]:
    """With the job; `approved`, how many have; and `counting`, how the latest count of a preview goes, or went."""
    approvals = ErasureApproval.objects.filter(erasure=OuterRef("pk")).order_by().values("erasure")
    approved = Coalesce(Subquery(approvals.annotate(count=Count("pk")).values("count")), 0)
    known = {"company": OuterRef("company"), "type": PREVIEW, "key": Cast(OuterRef("pk"), TextField())}
    told = JSONObject(status="status", progress="progress", step="step", error="error")
    counting = Subquery(Job.objects.filter(**known).order_by("-id").values(told=told)[:1])
    marked = erasures.annotate(approved=approved, counting=counting)
    return marked.select_related("company", "job").defer(*LARGE)
