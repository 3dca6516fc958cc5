"""The admin's page of one erasure: what it shows, who decides there, and what stands in the way."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import AuditEvent, ChainHead, Company
from audit.models.company import ChainBusy
from gdpr.erasures.requesting import PREVIEW
from gdpr.models import DownloadLink, Erasure, ErasureApproval, ExportArchive
from jobs.models import Job, JobLog
from tests.conftest import Tenant
from tests.gdpr import officers
from tests.gdpr.erasures.officers import (
    ADD,
    IDENTIFIERS,
    PLACE,
    another_officer,
    button,
    certified,
    counting,
    held,
    logged,
    made,
    page,
    state,
)
from tests.gdpr.officers import said, sign_in, text_of

pytestmark = pytest.mark.django_db
WHY = {"reason": "The invoices must be kept for ten years."}
DECIDING = ["approve", "reject", "count"]


@pytest.fixture
def company(tenant: Tenant) -> Company:
    return tenant.company


@pytest.fixture(autouse=True)
def folder(tmp_path: Any, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


def approvals(erasure: Erasure) -> list[str]:
    return list(erasure.approvals.order_by("at").values_list("approved_by", flat=True))


# --- What is shown ----------------------------------------------------------------------------------------------


def test_the_page_shows_who_is_meant_what_would_go_and_what_would_stay(operator: Client, company: Company) -> None:
    text = text_of(operator, page(made(company, approvals=1)))
    for told in (
        "actorId: <strong>u-4711</strong>",
        "email: <strong>ada@example.com</strong>",
        "Ticket 99: the account was closed.",
        "<tr><td>Audit events</td><td>1,234</td></tr>",
        "<tr><td>Audit events: action</td><td>3</td></tr>",
        "Approvals: 1 of 2",
        "<td>operator officer-0</td>",
        "All times are in UTC.",
    ):
        assert told in text


def test_nothing_that_names_the_person_is_said_in_words(operator: Client, company: Company) -> None:
    text = text_of(operator, page(made(company, preview={"rows": {}, "remaining": {}})))
    assert "Nothing names this person." in text
    assert "No column that cannot be changed" in text


def test_the_page_says_which_archives_are_deleted_and_which_of_them_nobody_has(
    operator: Client, company: Company, other_tenant: Tenant
) -> None:
    asked = made(company)
    assert "None is kept now." in text_of(operator, page(asked))
    for whose in (company, company, other_tenant.company):
        officers.archived(officers.made(whose, "COMPLETED"))
    officers.archived(officers.made(company, "COMPLETED"), status="EXPIRED")
    text = text_of(operator, page(asked))
    waiting = f"{officers.LIST}?download=waiting&amp;company={company.pk}"
    assert "may hold the person: <strong>2</strong>" in text
    assert f'<a href="{waiting}"><strong>2</strong> of them were never downloaded</a>' in text
    assert len(officers.shown(operator, download="waiting", company=str(company.pk))) == 2
    for archive in ExportArchive.objects.filter(company=company):
        link, _ = DownloadLink.objects.issue(archive=archive, issued_by="a test", now=timezone.now())
        DownloadLink.objects.filter(pk=link.pk).update(used_at=timezone.now())
    assert "Each was downloaded at least once." in text_of(operator, page(asked))


def test_one_that_failed_shows_why_and_who_can_have_it_go_on(
    operator: Client, client: Client, company: Company
) -> None:
    asked = made(company, "FAILED", job={"error": "the storage was full", "result": None})
    JobLog.objects.create(job=Job.objects.get(), attempt=1, text="a line of the log")
    text = text_of(operator, page(asked))
    assert "The erasing has failed" in text
    assert "the storage was full" in text
    assert "a line of the log" in text
    job = reverse("admin:jobs_job_change", args=[asked.job_id])
    assert f'<a href="{job}">its job</a>' in text
    assert job not in text_of(sign_in(Client(), "view_erasure"), page(asked))


def test_a_hold_in_the_way_is_shown_to_those_who_may_see_it(client: Client, operator: Client, company: Company) -> None:
    hold = held(company)
    for status in ("REQUESTED", "APPROVED", "PROCESSING", "FAILED"):
        asked = made(company, status)
        text = text_of(operator, page(asked))
        assert "keeps this person's data" in text
        assert f'<a href="{page(hold)}">' in text
        assert button(asked, "approve") not in text
        Erasure.objects.filter(pk=asked.pk).update(key=status)  # only one of the same identifiers is open
    asked = made(company)
    assert page(hold) not in text_of(sign_in(client, "view_erasure"), page(asked))
    hold.lift(by="x", now=timezone.now())
    assert "legal hold" not in text_of(operator, page(asked)).replace("legal holds", "").lower()
    held(company, subject=None)
    assert f"keeps all data of {company}" in text_of(operator, page(asked))


def test_the_page_of_one_that_is_over_promises_nothing(operator: Client, company: Company) -> None:
    text = text_of(operator, page(certified(made(company, "COMPLETED"))))
    assert "forgotten: the erasure is completed" in text
    assert "What was erased: rows by table" in text
    assert "What would be erased" not in text
    assert not [name for name in DECIDING if f"/{name}/" in text]


def test_a_page_has_only_the_buttons_that_would_do_something(operator: Client, company: Company) -> None:
    uncounted = made(company, subject={"actorId": ["1"]}, preview=None, previewed_at=None)
    counting(uncounted, "PROCESSING")
    failed = made(company, subject={"actorId": ["2"]}, preview=None, previewed_at=None)
    counting(failed, "FAILED")
    kept = made(company, subject={"actorId": ["3"]})
    held(company, subject={"actorId": ["3"]})
    offered = {
        uncounted: {"reject"},
        failed: {"reject", "count"},
        kept: {"reject", "count"},
        made(company, subject={"actorId": ["4"]}): {"approve", "reject", "count"},
        made(company, "APPROVED", subject={"actorId": ["5"]}): {"reject"},
        made(company, "PROCESSING", subject={"actorId": ["6"]}): set(),
        made(company, "FAILED", subject={"actorId": ["7"]}): set(),
        made(company, "REJECTED"): set(),
        certified(made(company, "COMPLETED")): {"certificate", "certificate_file"},
    }
    names = [*DECIDING, "certificate", "certificate_file"]
    for asked, expected in offered.items():
        text = text_of(operator, page(asked))
        assert {name for name in names if f'"{button(asked, name)}"' in text} == expected


def test_ten_approvals_cost_no_more_statements_than_one(operator: Client, company: Company) -> None:
    asked, counts = made(company, approvals=1), []
    for more in (0, 9):
        for number in range(more):
            ErasureApproval.objects.create(
                company=company, erasure=asked, user_id=100 + number, approved_by="x", at=timezone.now()
            )
        operator.get(page(asked))
        with CaptureQueriesContext(connection) as seen:
            operator.get(page(asked))
        counts.append(len(seen))
    assert counts[0] == counts[1]


# --- Approving --------------------------------------------------------------------------------------------------


def test_two_people_approve_each_after_a_question_and_nobody_twice(operator: Client, company: Company) -> None:
    asked = made(company)
    approve, second = button(asked, "approve"), another_officer()
    question = text_of(operator, approve)
    for told in (
        "This cannot be undone.",
        "ada@example.com",
        "1,234",
        "Audit events: action",
        "Somebody else has to",
    ):
        assert told in question
    assert approvals(asked) == []
    assert "Another person has to approve it" in said(operator.post(approve, follow=True))
    asked.refresh_from_db()
    assert (asked.status, approvals(asked)) == ("REQUESTED", ["operator op"])

    text = text_of(operator, page(asked))
    assert "You have approved this erasure already; somebody else has to" in text
    assert approve not in text
    for again in (operator.get(approve, follow=True), operator.post(approve, follow=True)):
        assert "Nothing was approved. You have approved this erasure already" in said(again)
    assert ErasureApproval.objects.count() == 1

    assert "the erasing begins at once" in text_of(second, approve)
    assert "2 people have approved it" in said(second.post(approve, follow=True))
    asked.refresh_from_db()
    assert (asked.status, approvals(asked)) == ("APPROVED", ["operator op", "operator second"])
    accounts = dict(get_user_model().objects.values_list("pk", "username"))
    assert [accounts[approval.user_id] for approval in asked.approvals.order_by("at")] == ["op", "second"]
    assert asked.job is not None
    assert logged() == [f"erasure {asked.pk}: Approved the erasure."] * 2
    assert "This erasure is APPROVED" in said(operator.post(approve, follow=True))


def test_whoever_has_another_name_by_now_is_still_the_same(operator: Client, company: Company) -> None:
    asked = made(company)
    operator.post(button(asked, "approve"))
    get_user_model().objects.update(username="renamed")
    assert "already" in said(operator.post(button(asked, "approve"), follow=True))
    assert approvals(asked) == ["operator op"]


def test_what_was_not_counted_is_not_approved(operator: Client, company: Company) -> None:
    asked = made(company, preview=None, previewed_at=None)
    assert "is not counted yet" in said(operator.post(button(asked, "approve"), follow=True))
    assert "Not counted yet." in text_of(operator, page(asked))
    assert approvals(asked) == []


@pytest.mark.parametrize("whole_company", [False, True])
def test_a_legal_hold_blocks_and_says_so(operator: Client, company: Company, *, whole_company: bool) -> None:
    asked = made(company, approvals=1)
    hold = held(company, **({"subject": None} if whole_company else {}))
    for answer in (
        operator.get(button(asked, "approve"), follow=True),
        operator.post(button(asked, "approve"), follow=True),
    ):
        assert answer.redirect_chain == [(page(asked), 302)]
        assert f"Nothing was approved. The legal hold {hold.pk}" in said(answer)
        assert not [name for name in IDENTIFIERS if name in said(answer)]
    assert Erasure.objects.get().status == "REQUESTED"
    hold.lift(by="a lawyer", now=timezone.now())
    operator.post(button(asked, "approve"))
    assert Erasure.objects.get().status == "APPROVED"


# --- Rejecting, and counting again ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["REQUESTED", "APPROVED"])
def test_it_is_rejected_with_a_reason(operator: Client, company: Company, status: str) -> None:
    asked = made(company, status)
    reject = button(asked, "reject")
    assert "takes a new request" in text_of(operator, reject)
    for reason, told in ((" ", "This field is required"), ("x" * 1001, "at most 1000")):
        assert told in operator.post(reject, {"reason": reason}).content.decode()
    assert "Tell the person" in said(operator.post(reject, WHY, follow=True))
    asked.refresh_from_db()
    assert (asked.status, asked.rejected_by, asked.rejection) == ("REJECTED", "operator op", WHY["reason"])
    assert WHY["reason"] in text_of(operator, page(asked))
    assert logged() == [f"erasure {asked.pk}: Rejected the erasure."]
    for again in (operator.get(reject, follow=True), operator.post(reject, WHY, follow=True)):
        assert "Nothing was rejected. This erasure is REJECTED" in said(again)
    (event,) = AuditEvent.objects.filter(action="gdpr.erasure.rejected")
    assert WHY["reason"] not in str(event.payload)


@pytest.mark.parametrize("status", ["PROCESSING", "COMPLETED", "FAILED"])
def test_what_has_begun_is_not_rejected(operator: Client, company: Company, status: str) -> None:
    asked = made(company, status)
    answer = operator.post(button(asked, "reject"), WHY, follow=True)
    assert f"Nothing was rejected. This erasure is {status}" in said(answer)
    asked.refresh_from_db()
    assert asked.status == status


def test_it_is_counted_again(operator: Client, company: Company) -> None:
    asked = made(company)
    assert "is being counted again" in said(operator.post(button(asked, "count"), follow=True))
    (count,) = Job.objects.all()
    assert (count.type, count.key) == (PREVIEW, str(asked.pk))
    assert button(asked, "count") not in text_of(operator, page(asked))
    assert "Nothing was changed" in said(operator.post(button(asked, "count"), follow=True))
    assert logged() == [f"erasure {asked.pk}: Had it counted again."]


def test_what_is_decided_is_not_counted_any_more(operator: Client, company: Company) -> None:
    asked = made(company, "REJECTED")
    assert "Nothing was changed" in said(operator.post(button(asked, "count"), follow=True))
    assert not Job.objects.exists()


def test_a_busy_chain_is_told_of_and_nothing_is_done(
    operator: Client, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: ChainHead) -> None:
        raise ChainBusy

    asked, hold = made(company), held(company, subject={"actorId": ["x"]})
    fields = {"company": str(company.pk), "scope": "subject", "emails": "bob@example.com", **WHY}
    before = state()
    monkeypatch.setattr(ChainHead, "lock", busy)
    for url in (button(asked, "approve"), button(asked, "reject"), button(hold, "lift"), ADD, PLACE):
        assert "is busy" in operator.post(url, fields, follow=True).content.decode()
    assert state() == before


# --- The certificate --------------------------------------------------------------------------------------------


def test_the_certificate_is_read_as_a_page_and_kept_as_a_file(operator: Client, company: Company) -> None:
    asked = certified(made(company, "COMPLETED"))
    written = operator.get(button(asked, "certificate"))
    assert (written.status_code, written.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in written.headers["Content-Security-Policy"]
    assert str(asked.pk) in written.content.decode()
    kept = operator.get(button(asked, "certificate_file"))
    assert kept.json() == asked.certificate
    assert kept.headers["Content-Disposition"] == f'attachment; filename="erasure-{asked.pk}.json"'


def test_there_is_no_certificate_of_what_is_not_done(operator: Client, company: Company) -> None:
    asked = made(company, "FAILED")
    for name in ("certificate", "certificate_file"):
        assert operator.get(button(asked, name)).status_code == 404
        assert operator.get(reverse(f"admin:gdpr_erasure_{name}", args=[uuid7()])).status_code == 404


# --- Who may ----------------------------------------------------------------------------------------------------


def test_a_viewer_is_shown_no_button_and_refused_each(client: Client, company: Company) -> None:
    asked = made(company, approvals=1)
    viewer = sign_in(client, "view_erasure", "view_legalhold", "change_erasure", "delete_erasure")
    before, text = state(), text_of(viewer, page(asked))
    for name in DECIDING:
        assert button(asked, name) not in text
        assert viewer.post(button(asked, name), WHY).status_code == 403
        assert viewer.get(button(asked, name)).status_code in (403, 405)
    assert state() == before
    running = made(company, "PROCESSING", subject={"actorId": ["x"]})
    assert reverse("admin:jobs_job_change", args=[running.job_id]) not in text_of(viewer, page(running))


def test_each_permission_opens_its_own_buttons_and_none_without_the_view(client: Client, company: Company) -> None:
    for permission, opened in (("approve_erasure", set(DECIDING)), ("add_erasure", {"count"})):
        asked = made(company, subject={"actorId": [permission]})
        stranger = sign_in(client, permission)
        assert {stranger.post(button(asked, name), WHY).status_code for name in DECIDING} == {403}
        officer = sign_in(client, "view_erasure", permission)
        text = text_of(officer, page(asked))
        assert {name for name in DECIDING if button(asked, name) in text} == opened
        answers = {name: officer.post(button(asked, name), WHY).status_code for name in DECIDING}
        assert {name for name, status in answers.items() if status != 403} == opened


def test_no_get_changes_anything(operator: Client, company: Company) -> None:
    asked, hold = made(company), held(company, subject={"actorId": ["x"]})
    urls = {name: button(asked, name) for name in DECIDING} | {"lift": button(hold, "lift")}
    before = state()
    assert {name: operator.get(url).status_code for name, url in urls.items()} == {
        "approve": 200,
        "reject": 200,
        "count": 405,
        "lift": 200,
    }
    assert state() == before
    done = certified(made(company, "COMPLETED"))
    assert operator.post(button(done, "certificate")).status_code == 405


def test_a_post_needs_the_token_of_its_form(operator: Client, company: Company) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    asked, hold = made(company), held(company, subject={"actorId": ["x"]})
    urls = [*(button(asked, name) for name in DECIDING), button(hold, "lift"), ADD, PLACE]
    urls += [reverse("admin:gdpr_erasure_search"), reverse("admin:gdpr_legalhold_search")]
    before = state()
    assert {strict.post(url, WHY).status_code for url in urls} == {403}
    assert state() == before


def test_what_is_not_there_is_not_found(operator: Client, company: Company) -> None:
    for name in DECIDING:
        assert operator.post(reverse(f"admin:gdpr_erasure_{name}", args=[uuid7()]), WHY).status_code == 404
    another = held(company).pk  # the id of something else
    assert operator.post(reverse("admin:gdpr_erasure_approve", args=[another])).status_code == 404
