"""What the admin's page of an erasure says in each state: nothing that is not, or not any more, true in it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import Company
from gdpr.models import Erasure
from jobs.models import JobAttempt
from tests.conftest import Tenant
from tests.gdpr.erasures.officers import (
    LIST,
    button,
    certified,
    counting,
    held,
    live,
    made,
    page,
)
from tests.gdpr.officers import sign_in, text_of

pytestmark = pytest.mark.django_db
OFFICER = ("view_erasure", "add_erasure", "approve_erasure", "view_legalhold", "add_legalhold", "change_legalhold")
FORESEEN = ("What would be erased", "What is to be erased", "What will remain", "Archives of exports")


@pytest.fixture
def company(tenant: Tenant) -> Company:
    return tenant.company


@pytest.fixture(autouse=True)
def folder(tmp_path: Any, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


def ago(**time: float) -> Any:
    return timezone.now() - timedelta(**time)


def told_live(operator: Client, asked: Erasure) -> dict[str, str]:
    told: dict[str, str] = live(operator, asked).json()["jobs"][str(asked.pk)]
    return told


# --- How old the count is ---------------------------------------------------------------------------------------


def test_the_page_says_how_old_the_count_is_and_warns_of_an_old_one(operator: Client, company: Company) -> None:
    asked = made(company, previewed_at=ago(minutes=50))
    for url in (page(asked), button(asked, "approve")):
        text = text_of(operator, url)
        assert "Counted <strong>50 minutes ago</strong>, on 2" in text
        assert "Press <em>Count again</em>" not in text
    Erasure.objects.update(previewed_at=ago(hours=3))
    for url in (page(asked), button(asked, "approve")):
        text = text_of(operator, url)
        assert "<strong>Counted 3 hours ago</strong>: what was recorded since is not in it." in text
        assert "Press <em>Count again</em>" in text
        assert f'"{button(asked, "count")}"' in text


def test_an_old_count_is_made_anew_from_the_question_and_nothing_is_approved(
    operator: Client, company: Company
) -> None:
    asked = made(company, previewed_at=ago(hours=3))
    question = text_of(operator, button(asked, "approve"))
    assert f'<input type="submit" formaction="{button(asked, "count")}" value="Count again">' in question
    text = operator.post(button(asked, "count"), follow=True).content.decode()
    assert "<strong>It is being counted again</strong>" in text
    assert "is still the count of 3\N{NO-BREAK SPACE}hours ago" in text
    assert f'data-active="{asked.pk}"' in text
    assert not asked.approvals.exists()


def test_a_first_count_is_told_of_as_one(operator: Client, company: Company) -> None:
    asked = made(company, preview=None, previewed_at=None)
    counting(asked, "PROCESSING", progress=0.42, step="audit_auditevent")
    text = text_of(operator, page(asked))
    assert "<strong>It is being counted</strong>: <progress" in text
    assert "still the count" not in text
    assert ">Audit events</span>" in text


# --- What is true in which state --------------------------------------------------------------------------------


def test_one_that_was_rejected_foresees_nothing(operator: Client, company: Company) -> None:
    text = text_of(operator, page(made(company, "REJECTED")))
    assert "The invoices must be kept." in text
    assert not [told for told in FORESEEN if told in text]


@pytest.mark.parametrize(
    ("status", "told", "begun"),
    [
        ("REQUESTED", "nobody can approve this erasure, and nothing is erased.", False),
        ("APPROVED", "nothing is erased. Once it is lifted, the erasing begins by itself.", False),
        ("PROCESSING", "what was erased before stays erased. Once it is lifted, the erasing goes on by itself.", True),
        ("FAILED", "nothing more is erased; what was erased before stays erased.</p>", True),
    ],
)
def test_a_hold_is_said_to_keep_what_it_keeps(
    operator: Client, company: Company, status: str, told: str, *, begun: bool
) -> None:
    held(company)
    asked = made(company, status, started_at=ago(hours=1) if begun else None)
    text = text_of(operator, page(asked))
    assert told in text.replace(" </p>", "</p>")


def test_one_that_failed_says_what_is_left_of_the_person(operator: Client, company: Company) -> None:
    asked = made(company, "FAILED", started_at=ago(hours=1))
    assert "Nothing was erased: the person is still in the records." in text_of(operator, page(asked))
    Erasure.objects.update(counts={"audit_auditevent": 3})
    text = text_of(operator, page(asked))
    assert "What was erased stays erased; the rest may still name the person." in text
    assert "is still in the records" not in text


def test_between_two_attempts_it_says_when_it_goes_on(operator: Client, company: Company) -> None:
    due = timezone.now() + timedelta(minutes=5)
    lost = {"status": "PENDING", "run_at": due, "attempt": 1, "error": "lost: the worker process died"}
    asked = made(company, "PROCESSING", started_at=ago(hours=1))
    job = asked.job
    assert job
    type(job).objects.filter(pk=job.pk).update(claim_token=None, claimed_by=None, **lost)
    JobAttempt.objects.create(
        id=uuid7(), job=job, company=company, number=1, outcome="lost", started_at=ago(hours=1), ended_at=ago(minutes=1)
    )
    text, when = text_of(operator, page(asked)), f"{due:%Y-%m-%d %H:%M:%S} UTC"
    assert f"attempt 2 of 5 is due at {when}" in text
    assert told_live(operator, asked)["state"] == f"processing, due to go on at {when}"
    assert "<td>1</td><td>lost</td>" in text
    assert "Empty." not in text
    held(company)
    assert told_live(operator, asked)["state"] == "processing, held"
    assert "is due at" not in text_of(operator, page(asked))


def test_a_row_without_anything_to_say_is_left_out(operator: Client, company: Company) -> None:
    for asked in (made(company), certified(made(company, "COMPLETED"))):
        text = text_of(operator, page(asked))
        assert "field-progress_now" not in text
        assert "<h2>Log" not in text
        assert text.count("Approvals") == 1
        assert "field-due_at" not in text
    assert "field-progress_now" in text_of(operator, page(made(company, "PROCESSING", subject={"actorId": ["1"]})))


# --- Holds in the list ------------------------------------------------------------------------------------------


def test_the_list_and_its_banner_say_what_is_held(operator: Client, company: Company, other_tenant: Tenant) -> None:
    hold, bob = held(company), {"email": ["bob@example.com"]}
    kept, free = made(company), made(company, subject=bob)
    elsewhere, answered = made(other_tenant.company), made(company, "REJECTED")
    running = made(company, "PROCESSING", subject={"actorId": ["u-4711"]})
    states = {asked: told_live(operator, asked)["state"] for asked in (kept, free, elsewhere, running, answered)}
    assert states == {
        kept: "requested, held",
        free: "requested, waiting for a decision",
        elsewhere: "requested, waiting for a decision",
        running: "processing, held",
        answered: "rejected",
    }
    text = text_of(operator, LIST)
    assert text.count("requested, held</span>") == 1
    assert "<strong>3</strong> erasures wait for a decision</a> (1 held by a legal hold)." in text
    hold.lift(by="a lawyer", now=timezone.now())
    assert "held" not in text_of(operator, LIST).replace("legalhold", "")


# --- Who may look where -----------------------------------------------------------------------------------------


def test_an_officer_gets_no_link_to_a_company_that_lets_nobody_in(client: Client, company: Company) -> None:
    pages, link = (page(made(company)), page(held(company))), reverse("admin:audit_company_change", args=[company.pk])
    officer = sign_in(client, *OFFICER)
    for url in pages:
        text = text_of(officer, url)
        assert link not in text
        assert '<div class="readonly">Acme</div>' in text
    assert link in text_of(sign_in(Client(), "view_erasure", "view_company"), pages[0])


def test_blanks_of_an_identifier_are_seen(operator: Client, company: Company) -> None:
    asked = made(company, subject={"actorId": ["  ", "u 1", "u-1 "]})
    text = operator.get(page(asked)).content.decode()
    for shown in ("&quot;  &quot;", "u 1", "&quot;u-1 &quot;"):
        assert f"actorId: <strong>{shown}</strong>" in text
    assert "&quot;  &quot;, u 1 and 1 more" in operator.get(LIST).content.decode()
