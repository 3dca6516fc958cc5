"""Requesting an erasure, and placing and lifting legal holds, in the admin."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import AuditEvent
from gdpr.erasures import requesting
from gdpr.models import Erasure, LegalHold
from gdpr.models.erasure import MOST_REASON
from gdpr.models.request import months_after
from jobs.models import Job
from jobs.models.job import NOBODY
from tests.conftest import Tenant
from tests.gdpr.erasures.officers import (
    ADA,
    ADD,
    HOLDS,
    IDENTIFIERS,
    PLACE,
    button,
    held,
    logged,
    made,
    page,
    shown,
    state,
)
from tests.gdpr.officers import said, sign_in, text_of

pytestmark = pytest.mark.django_db
WHY = "Ticket 99: the account was closed."
COMPANIES = reverse("admin:gdpr_exportrequest_companies")
Send = Callable[..., Any]


@pytest.fixture
def ask(operator: Client, tenant: Tenant) -> Send:
    """Send the form of an erasure."""

    def send(**fields: Any) -> Any:
        known = {"company": str(tenant.company.pk), "emails": "ada@example.com", "actor_ids": "u-4711", "reason": WHY}
        return operator.post(ADD, known | fields, follow=True)

    return send


@pytest.fixture
def place(operator: Client, tenant: Tenant) -> Send:
    """Send the form of a legal hold, of a person unless told otherwise."""

    def send(**fields: Any) -> Any:
        known = {"company": str(tenant.company.pk), "scope": "subject", "emails": "", "actor_ids": "u-4711"}
        return operator.post(PLACE, known | {"reason": WHY} | fields, follow=True)

    return send


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(told) for name, told in answer.context["form"].errors.items()}


def names_somebody(text: str) -> bool:
    return any(identifier in text for identifier in IDENTIFIERS)


# --- Requesting -------------------------------------------------------------------------------------------------


def test_an_erasure_is_requested_and_counted_and_named_nowhere_else(
    operator: Client, ask: Send, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(emails=" ada@example.com\r\n\r\nada@example.org ")
    asked = Erasure.objects.get()
    assert asked.subject == {"actorId": ["u-4711"], "email": ["ada@example.com", "ada@example.org"]}
    assert (asked.reason, asked.requested_by, asked.status) == (WHY, "operator op", "REQUESTED")
    assert asked.due_at == months_after(asked.created_at, 1)
    assert answer.redirect_chain == [(page(asked), 302)]
    assert "was requested" in said(answer)
    (count,) = Job.objects.all()
    assert (count.type, count.key) == (requesting.PREVIEW, str(asked.pk))
    assert logged() == [f"erasure {asked.pk}: Requested the erasure."]
    sessions = str([session.get_decoded() for session in Session.objects.all()])
    events = str(list(AuditEvent.objects.values_list("payload", flat=True)))
    for kept in (caplog.text, sessions, events, str(count.payload), page(asked)):
        assert not names_somebody(kept)


@pytest.mark.parametrize(("status", "told"), [("APPROVED", "is open already"), ("FAILED", "has failed")])
def test_one_that_is_not_over_is_opened_instead(tenant: Tenant, ask: Send, status: str, told: str) -> None:
    before = made(tenant.company, status)
    answer = ask()
    assert answer.redirect_chain == [(page(before), 302)]
    assert f"An erasure of these identifiers {told}: nothing was requested." in said(answer)
    assert Erasure.objects.get() == before
    assert logged() == []


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"emails": "ada@example.com\nnot an address"}, "emails", "“not an address” is no e-mail address"),
        ({"emails": "", "actor_ids": " \n"}, "emails", "at least one"),
        ({"actor_ids": "x" * 300}, "actor_ids", "characters; it must have"),
        ({"actor_ids": "\n".join(map(str, range(30)))}, "__all__", "has 31 identifiers"),
        ({"actor_ids": "u1\nerased-0123456789abcdef"}, "actor_ids", "has erased-0123456789abcdef, which stands in"),
        ({"reason": " "}, "reason", "required"),
        ({"reason": "x" * (MOST_REASON + 1)}, "reason", "at most 1000"),
        ({"company": ""}, "company", "required"),
        ({"company": str(NOBODY)}, "company", "not one of the available"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    ask: Send, fields: dict[str, str], field: str, told: str
) -> None:
    answer = ask(**fields)
    assert not answer.redirect_chain
    assert told in " ".join(errors(answer)[field])
    assert not Erasure.objects.exists()
    assert ({"emails": "ada@example.com"} | fields)["emails"] in answer.content.decode()


def test_each_field_is_described_by_its_help_and_its_error(ask: Send) -> None:
    text = ask(emails="x").content.decode()
    for field in ("emails", "actor_ids", "reason"):
        assert f'<label for="id_{field}"' in text
        assert f'id="id_{field}_helptext"' in text
    assert 'aria-describedby="id_emails_helptext id_emails_error"' in text
    assert 'aria-invalid="true"' in text
    assert 'id="id_emails_error"' in text


def test_too_many_open_ones_are_refused_in_words(ask: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "MOST_OPEN", 1)
    ask()
    assert "which is the limit" in " ".join(errors(ask(emails="bob@example.com"))["__all__"])
    assert Erasure.objects.count() == 1


def test_who_may_not_request_is_refused(client: Client, tenant: Tenant) -> None:
    viewer = sign_in(client, "view_erasure", "change_erasure", "approve_erasure", "add_legalhold")
    fields = {"company": str(tenant.company.pk), "emails": "ada@example.com", "reason": WHY}
    assert (viewer.get(ADD).status_code, viewer.post(ADD, fields).status_code) == (403, 403)
    assert not Erasure.objects.exists()


def test_an_officer_who_may_only_request_chooses_a_company_and_is_shown_nothing(client: Client, tenant: Tenant) -> None:
    company, fields = str(tenant.company.pk), {"emails": "ada@example.com", "scope": "company", "reason": WHY}
    for permission, form in (("add_erasure", ADD), ("add_legalhold", PLACE)):
        officer = sign_in(client, permission)
        assert f'data-ajax--url="{COMPANIES}"' in officer.get(form).content.decode()
        assert len(officer.get(COMPANIES, {"term": "acm"}).json()["results"]) == 1
        sent = {"company": company, **fields, "emails": "ada@example.com" if form == ADD else ""}
        assert officer.post(form, sent, follow=True).redirect_chain == [(reverse("admin:index"), 302)]
    assert Erasure.objects.get().company == LegalHold.objects.get().company == tenant.company


def test_looking_at_the_forms_does_nothing(operator: Client, tenant: Tenant) -> None:
    before = state()
    for form in (ADD, PLACE):
        answer = operator.get(form, {"company": str(tenant.company.pk), "reason": WHY})
        assert (answer.status_code, answer.context["form"].errors) == (200, {})
    assert state() == before


# --- Legal holds ------------------------------------------------------------------------------------------------


def test_a_hold_of_a_person_is_placed(operator: Client, place: Send) -> None:
    answer = place()
    hold = LegalHold.objects.get()
    assert (hold.subject, hold.reason, hold.placed_by) == ({"actorId": ["u-4711"]}, WHY, "operator op")
    assert answer.redirect_chain == [(page(hold), 302)]
    assert logged() == [f"legal hold {hold.pk}: Placed the legal hold."]
    assert not names_somebody(said(answer) + str(list(AuditEvent.objects.values_list("payload", flat=True))))
    assert "actorId: <strong>u-4711</strong>" in text_of(operator, page(hold))


def test_a_hold_of_the_whole_company_is_placed(operator: Client, place: Send) -> None:
    place(scope="company", actor_ids="")
    assert LegalHold.objects.get().subject is None
    assert "the whole company" in text_of(operator, HOLDS)


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"actor_ids": ""}, "emails", "at least one"),
        ({"emails": "x"}, "emails", "“x” is no e-mail address"),
        ({"scope": "company"}, "actor_ids", "leave this empty"),
        ({"scope": "all"}, "scope", "not one of the available"),
        ({"reason": ""}, "reason", "required"),
        ({"company": "x"}, "company", "required"),
    ],
)
def test_what_is_wrong_with_a_hold_is_said_beside_its_field(
    place: Send, fields: dict[str, str], field: str, told: str
) -> None:
    answer = place(**fields)
    assert told in " ".join(errors(answer)[field])
    assert not LegalHold.objects.exists()


def test_a_hold_is_lifted_after_a_question_and_only_once(operator: Client, tenant: Tenant) -> None:
    hold = held(tenant.company)
    lift = button(hold, "lift")
    assert lift in text_of(operator, page(hold))
    assert "Nothing keeps the data then" in text_of(operator, lift)
    hold.refresh_from_db()
    assert hold.lifted_at is None
    assert said(operator.post(lift, follow=True)) == "The legal hold was lifted."
    hold.refresh_from_db()
    assert (hold.lifted_at is not None, hold.lifted_by) == (True, "operator op")
    assert lift not in text_of(operator, page(hold))
    for again in (operator.get(lift, follow=True), operator.post(lift, follow=True)):
        assert "operator op has lifted this hold before" in said(again)
    assert logged() == [f"legal hold {hold.pk}: Lifted the legal hold."]


def test_the_page_of_a_hold_leads_to_what_it_keeps_waiting(
    client: Client, operator: Client, tenant: Tenant, other_tenant: Tenant
) -> None:
    hold = held(tenant.company)
    mine = made(tenant.company, "APPROVED")
    others = [
        made(tenant.company, subject={"actorId": ["somebody else"]}),
        made(other_tenant.company),
        made(tenant.company, "REJECTED"),
        made(tenant.company, "COMPLETED"),
    ]
    text = text_of(operator, page(hold))
    assert f'<a href="{page(mine)}">{mine}</a>, approved' in text
    assert not [other for other in others if str(other.pk) in text]
    assert page(mine) not in text_of(sign_in(client, "view_legalhold"), page(hold))


def test_holds_are_filtered_by_what_became_of_them(operator: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    active, lifted = held(tenant.company), held(other_tenant.company, lifted=timezone.now() + timedelta(hours=1))
    assert shown(operator, HOLDS, state="active") == [active]
    assert shown(operator, HOLDS, state="lifted") == [lifted]
    assert shown(operator, HOLDS, state="x") == [lifted, active]
    assert shown(operator, HOLDS, company=str(tenant.company.pk)) == [active]


def test_placing_and_lifting_are_permissions_of_their_own(client: Client, tenant: Tenant) -> None:
    hold = held(tenant.company, subject=None)
    lift, fields = button(hold, "lift"), {"company": str(tenant.company.pk), "scope": "company", "reason": WHY}
    for permissions in (["view_legalhold", "add_legalhold"], ["view_legalhold", "approve_erasure"]):
        officer = sign_in(client, *permissions)
        assert lift not in text_of(officer, page(hold))
        assert (officer.get(lift).status_code, officer.post(lift).status_code) == (403, 403)
    lifter = sign_in(client, "change_legalhold")
    assert (lifter.get(PLACE).status_code, lifter.post(PLACE, fields).status_code) == (403, 403)
    assert "Place a legal hold" not in text_of(lifter, HOLDS)
    assert lift in text_of(lifter, page(hold))
    lifter.post(lift)
    hold.refresh_from_db()
    assert hold.lifted_at


def test_a_hold_is_never_edited_or_deleted(operator: Client, tenant: Tenant) -> None:
    for row in (held(tenant.company), made(tenant.company, subject=ADA)):
        before = state()
        assert operator.post(page(row), {"reason": "another", "placed_by": "x"}).status_code == 403
        assert operator.post(button(row, "delete"), {"post": "yes"}).status_code == 403
        assert state() == before


def test_a_hold_that_is_not_there_is_not_found(operator: Client, tenant: Tenant) -> None:
    url = reverse("admin:gdpr_legalhold_lift", args=[uuid7()])
    assert (operator.get(url).status_code, operator.post(url).status_code) == (404, 404)
