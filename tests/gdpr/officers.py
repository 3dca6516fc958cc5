"""What tests of the admin's pages of exports share: requests in any state, archives, and how pages are opened."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import Company
from gdpr import storage
from gdpr.models import ExportArchive, ExportRequest
from gdpr.models.request import months_after
from gdpr.requesting import EXPORT
from jobs.models import Job

LIST = reverse("admin:gdpr_exportrequest_changelist")
ADD = reverse("admin:gdpr_exportrequest_add")
ENDED = ("COMPLETED", "CANCELLED", "FAILED")
EVIL = "<script>alert('x')</script>"
ADA = {"email": ["ada@example.com"], "actorId": ["u1"]}


def made(
    company: Company, status: str = "PENDING", *, due: datetime | None = None, subject: Any = None, **job: Any
) -> ExportRequest:
    """A request whose job is in that state."""
    now = timezone.now()
    claim = {"claim_token": uuid7(), "claimed_by": uuid7()} if status == "PROCESSING" else {}
    ended = {"completed_at": now} if status in ENDED else {}
    known = {"type": EXPORT, "queue": "exports", "run_at": now, "max_attempts": 5, **claim, **ended}
    return ExportRequest.objects.create(
        job=Job.objects.create(company=company, status=status, **(known | job)),
        company=company,
        scope="subject" if subject else "company",
        subject=subject,
        requested_by="API key backend",
        created_at=now,
        due_at=due or months_after(now, 1),
    )


def archived(asked: ExportRequest, *, content: bytes = b"PK", **fields: Any) -> ExportArchive:
    """An archive of a request, with its file."""
    now, name = timezone.now(), f"{asked.pk}-1.zip"
    with storage.draft(name) as file:
        file.write(content)
        storage.publish(name, file)
    known = {"size": len(content), "sha256": "ab" * 32, "counts": {"audit_auditevent": 1234}, "created_at": now}
    known |= {"company": asked.company, "job": asked.job, "scope": asked.scope, "file": name}
    return ExportArchive.objects.create(**(known | {"expires_at": now + timedelta(days=7)} | fields))


def page(asked: ExportRequest) -> str:
    return reverse("admin:gdpr_exportrequest_change", args=[asked.pk])


def button(asked: ExportRequest, name: str, *more: Any) -> str:
    return reverse(f"admin:gdpr_exportrequest_{name}", args=[asked.pk, *more])


def shown(operator: Client, **query: Any) -> list[ExportRequest]:
    return list(operator.get(LIST, query).context["cl"].result_list)


def live(client: Client, *requests: ExportRequest) -> Any:
    return client.get(reverse("admin:gdpr_exportrequest_live"), {"id": [str(asked.pk) for asked in requests]})


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def text_of(client: Client, url: str, **query: Any) -> str:
    """A page as it is sent, spaces and line breaks taken for the same."""
    return re.sub(r"\s+", " ", client.get(url, query).content.decode())


def sign_in(client: Client, *permissions: str) -> Client:
    """A browser in which somebody is signed in who has these permissions and no others."""
    person = get_user_model().objects.create_user(f"staff-{uuid7()}", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(person)
    return client
