"""What tests of the admin's pages of erasures share: erasures and holds in any state, and how pages are opened."""

import json
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import Company
from gdpr.erasures.certificate import certify
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.models import Erasure, ErasureApproval, LegalHold
from gdpr.models.request import months_after
from gdpr.requesting import scope_key
from gdpr.subjects import Subject
from jobs.models import Job
from tests.gdpr.erasures.asking import officer

LIST = reverse("admin:gdpr_erasure_changelist")
ADD = reverse("admin:gdpr_erasure_add")
HOLDS = reverse("admin:gdpr_legalhold_changelist")
PLACE = reverse("admin:gdpr_legalhold_add")
ADA = {"actorId": ["u-4711"], "email": ["ada@example.com"]}
IDENTIFIERS = ("u-4711", "ada@example", "ada%40example")
COUNTED = {"rows": {"audit_auditevent": 1234, "jobs_job": 2}, "remaining": {"audit_auditevent.action": 3}}
WITH_A_JOB = ("APPROVED", "PROCESSING", "COMPLETED", "FAILED")
JOBS = {"APPROVED": "PENDING"}
"""The state of the job where it is not the same as the erasure's."""


def made(
    company: Company, status: str = "REQUESTED", *, subject: Any = ADA, approvals: int = 0, **fields: Any
) -> Erasure:
    """An erasure in that state, counted, with its job if it has one."""
    now, known = timezone.now(), fields.pop("job", {})
    asked: dict[str, Any] = {
        "subject": subject,
        "key": scope_key(Subject.read(subject)),
        "reason": "Ticket 99: the account was closed.",
        "requested_by": "API key backend",
        "created_at": now,
        "due_at": months_after(now, 1),
        "preview": COUNTED,
        "previewed_at": now,
    }
    match status:
        case "COMPLETED":
            asked |= {"subject": None, "key": "", "started_at": now, "completed_at": now, "counts": COUNTED["rows"]}
        case "REJECTED":
            asked |= {"rejected_by": "operator op", "rejected_at": now, "rejection": "The invoices must be kept."}
    if status in WITH_A_JOB:
        asked["job"] = job(company, JOBS.get(status, status), **known)
        approvals = 2
    erasure = Erasure.objects.create(company=company, status=status, **(asked | fields))
    for number in range(approvals):
        name = f"operator officer-{number}"
        known = {"user_id": officer(number), "approved_by": name, "at": now}
        ErasureApproval.objects.create(company=company, erasure=erasure, **known)
    return erasure


def job(company: Company, status: str, job_type: str = ERASE, **fields: Any) -> Job:
    now = timezone.now()
    claim = {"claim_token": uuid7(), "claimed_by": uuid7()} if status == "PROCESSING" else {}
    ended = {"completed_at": now} if status in ("COMPLETED", "FAILED", "CANCELLED") else {}
    known = {"type": job_type, "queue": "exports", "run_at": now, "max_attempts": 5, **claim, **ended}
    return Job.objects.create(company=company, status=status, **(known | fields))


def counting(erasure: Erasure, status: str, **fields: Any) -> Job:
    """The job that counts what an erasure would erase."""
    return job(erasure.company, status, PREVIEW, key=str(erasure.pk), **fields)


def certified(erasure: Erasure) -> Erasure:
    erasure.certificate = certify(erasure, remaining={"audit_auditevent.action": 3}, now=timezone.now())
    erasure.save()
    return erasure


def held(company: Company, *, subject: Any = ADA, lifted: datetime | None = None, **fields: Any) -> LegalHold:
    known = {"reason": "Proceedings 4 O 12/26.", "placed_by": "operator op", "placed_at": timezone.now()}
    known |= {"lifted_at": lifted, "lifted_by": "operator officer" if lifted else ""}
    return LegalHold.objects.create(company=company, subject=subject, **(known | fields))


def page(row: Erasure | LegalHold) -> str:
    return button(row, "change")


def button(row: Erasure | LegalHold, name: str) -> str:
    return reverse(f"admin:gdpr_{row._meta.model_name}_{name}", args=[row.pk])


def shown(operator: Client, url: str = LIST, **query: Any) -> list[Any]:
    return list(operator.get(url, query).context["cl"].result_list)


def live(client: Client, *erasures: Erasure) -> Any:
    return client.get(reverse("admin:gdpr_erasure_live"), {"id": [str(erasure.pk) for erasure in erasures]})


def another_officer(name: str = "second") -> Client:
    """A browser of somebody else who may do everything."""
    browser = Client()
    browser.force_login(get_user_model().objects.create_superuser(name, f"{name}@example.com"))
    return browser


def state() -> str:
    """Everything that a button could change."""
    models = (Erasure, ErasureApproval, LegalHold, Job, LogEntry)
    return json.dumps([list(model.objects.order_by("pk").values()) for model in models], default=str)


def logged() -> list[str]:
    """What the admin's log says of what was done, the oldest first."""
    return [f"{entry.object_repr}: {entry.change_message}" for entry in LogEntry.objects.order_by("pk")]
