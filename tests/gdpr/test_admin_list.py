"""The admin's list of exports: what is due, how far each is, and who may see whom it is about."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.encryption import encrypt
from gdpr.models import DownloadLink, ExportArchive, ExportRequest
from gdpr.models.due import SOON
from jobs.admin import paging
from jobs.models import Job
from tests.conftest import Tenant
from tests.gdpr.officers import ADA, EVIL, LIST, archived, live, made, page, said, shown, sign_in, text_of

pytestmark = pytest.mark.django_db
SEARCH = reverse("admin:gdpr_exportrequest_search")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def due(tenant: Tenant) -> dict[str, list[ExportRequest]]:
    """Requests by the group of the filter, in the order in which each group is listed."""
    now = timezone.now()
    ago, soon, later = now - HOUR, now + SOON - HOUR, now + SOON + HOUR
    made(tenant.company, "CANCELLED", due=ago)
    return {
        "overdue": [
            made(tenant.company, "FAILED", due=ago - HOUR),
            made(tenant.company, "PENDING", due=ago),
        ],
        "soon": [
            made(tenant.company, "PENDING", due=soon - HOUR),
            made(tenant.company, "PROCESSING", due=soon),
        ],
        "later": [made(tenant.company, "PENDING", due=later)],
        "answered": [made(tenant.company, "COMPLETED", due=ago)],
    }


# --- What is due ------------------------------------------------------------------------------------------------


def test_each_group_of_the_filter_holds_what_it_says_the_most_urgent_first(
    operator: Client, due: dict[str, list[ExportRequest]]
) -> None:
    assert {group: shown(operator, due=group) for group in due} == due


def test_the_newest_come_first_where_nothing_is_chosen(operator: Client, tenant: Tenant) -> None:
    older, newer = made(tenant.company), made(tenant.company, due=timezone.now())
    assert shown(operator) == [newer, older]


def test_what_is_urgent_is_marked_in_the_list_and_on_the_page(
    operator: Client, due: dict[str, list[ExportRequest]]
) -> None:
    for says, requests in due.items():
        for asked in requests:
            assert f'data-due="{says}"' in text_of(operator, page(asked))
    listed = text_of(operator, LIST)
    marks = {says: len(re.findall(f'data-due="{says}"', listed)) for says in [*due, "cancelled"]}
    assert marks == {"overdue": 2, "soon": 2, "later": 1, "answered": 1, "cancelled": 1}
    assert "OVERDUE since" in listed


def test_what_has_an_archive_is_shown_as_answered_whatever_became_of_its_job(operator: Client, tenant: Tenant) -> None:
    for status in ("FAILED", "CANCELLED"):
        asked = made(tenant.company, status, due=timezone.now() - HOUR)
        archived(asked)
        assert 'data-due="answered"' in text_of(operator, page(asked))
    assert len(shown(operator, due="answered")) == 2


def test_the_banner_counts_what_is_urgent_and_leads_to_it(
    operator: Client, due: dict[str, list[ExportRequest]]
) -> None:
    listed = text_of(operator, LIST)
    assert f'<a href="{LIST}?due=overdue"><strong>2</strong> requests are overdue</a>' in listed
    assert f'<a href="{LIST}?due=soon"><strong>2</strong> are due within 7 days</a>' in listed


def test_there_is_no_banner_where_nothing_is_urgent(operator: Client, tenant: Tenant) -> None:
    made(tenant.company)
    made(tenant.company, "COMPLETED", due=timezone.now() - HOUR)
    assert "gdpr-urgent" not in text_of(operator, LIST)


def test_one_alone_is_told_of_in_the_singular(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, due=timezone.now() + HOUR)
    assert "<strong>1</strong> request is due within 7 days</a>" in text_of(operator, LIST)


def test_an_archive_that_came_late_is_told_apart_from_one_in_time(operator: Client, tenant: Tenant) -> None:
    archived(made(tenant.company, "COMPLETED"))
    assert "LATE" not in text_of(operator, LIST)
    archived(made(tenant.company, "COMPLETED", due=timezone.now() - HOUR))
    listed = text_of(operator, LIST)
    assert listed.count("LATE: was due") == 1
    assert listed.count('data-due="answered">archive made') == 2


def test_what_nobody_downloaded_is_marked_and_found(operator: Client, tenant: Tenant) -> None:
    now = timezone.now()
    made(tenant.company)
    waiting, over, ended, done = (made(tenant.company, "COMPLETED") for _ in range(4))
    archived(waiting)
    archived(over, expires_at=now)
    archived(ended, status="EXPIRED")
    for _ in range(2):
        link, _ = DownloadLink.objects.issue(archive=archived_once(done), issued_by="a test", now=now)
        DownloadLink.objects.filter(pk=link.pk).update(used_at=now)
    assert shown(operator, download="done") == [done]
    assert shown(operator, download="waiting") == [waiting]
    assert shown(operator, download="never") == [ended, over]
    listed = text_of(operator, LIST)
    marks = ("not downloaded yet", "expired, NEVER DOWNLOADED", ", downloaded<")
    assert [listed.count(mark) for mark in marks] == [1, 2, 1]


def archived_once(asked: ExportRequest) -> ExportArchive:
    return ExportArchive.objects.filter(job=asked.pk).first() or archived(asked)


# --- Finding ----------------------------------------------------------------------------------------------------


def test_the_list_is_filtered_by_company_scope_and_status(
    operator: Client, tenant: Tenant, other_tenant: Tenant
) -> None:
    mine = made(tenant.company, "FAILED", subject=ADA)
    other = made(other_tenant.company)
    assert shown(operator, company=str(tenant.company.pk)) == [mine]
    assert shown(operator, scope__exact="company") == [other]
    assert shown(operator, job__status__exact="FAILED") == [mine]


def seek(operator: Client, term: str, query: str = "") -> Any:
    return operator.post(SEARCH + query, {"q": term}, follow=True)


@pytest.mark.parametrize("term", ["ADA@example", "u1", 'a"b\\c', "Acme", "job", "company"])
def test_a_request_is_found_by_identifier_company_and_id(
    operator: Client, tenant: Tenant, other_tenant: Tenant, term: str
) -> None:
    mine = made(tenant.company, subject={"email": ["ada@example.com"], "actorId": ["u1", 'a"b\\c']})
    made(other_tenant.company, subject={"email": ["bob@example.com"]})
    term = {"job": str(mine.pk), "company": str(tenant.company.pk)}.get(term, term)
    found = seek(operator, term)
    assert list(found.context["cl"].result_list) == [mine]


def test_what_was_sought_stands_in_the_box_and_nowhere_in_an_address(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, subject=ADA)
    found = seek(operator, "ada@example.com", "?scope__exact=subject")
    (address, status) = found.redirect_chain[-1]
    assert (status, parse_qs(urlsplit(address).query)["scope__exact"]) == (302, ["subject"])
    text = found.content.decode()
    assert 'value="ada@example.com" id="searchbar"' in text
    links = re.findall(r'(?:href|action|formaction)="([^"]*)"', text)
    assert len(links) > 20
    assert not [link for link in [address, *links] if re.search("ada(@|%40)", link)]


def test_an_empty_search_shows_all_again(operator: Client, tenant: Tenant) -> None:
    asked = made(tenant.company, subject=ADA)
    found = seek(operator, " ", "?q=x")
    assert list(found.context["cl"].result_list) == [asked]


def test_an_address_opens_no_secret_that_was_not_sought(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, subject=ADA)
    for query in (encrypt("whsec_1"), "ada@example.com", "grün"):
        answer = operator.get(LIST, {"q": query}, follow=True)
        assert list(answer.context["cl"].result_list) == []
        assert b"whsec_1" not in answer.content


def test_a_search_is_a_post_of_those_who_may_look(client: Client) -> None:
    assert client.post(SEARCH, {"q": "x"}).status_code == 302
    assert sign_in(client, "view_job").post(SEARCH, {"q": "x"}).status_code == 403
    assert sign_in(client, "view_exportrequest").get(SEARCH, {"q": "x"}).status_code == 405


@pytest.mark.parametrize(
    "query", [{"company": "x"}, {"due": "x"}, {"download": "x"}, {"job__status__exact": "x"}, {"o": "9.x"}]
)
def test_a_filter_that_is_mistyped_breaks_nothing(operator: Client, tenant: Tenant, query: dict[str, str]) -> None:
    made(tenant.company)
    assert operator.get(LIST, query, follow=True).status_code == 200


# --- What it costs ----------------------------------------------------------------------------------------------


def test_ten_rows_cost_no_more_statements_than_one(operator: Client, tenant: Tenant) -> None:
    counts = []
    for number in (1, 9):
        for _ in range(number):
            archived(made(tenant.company, "COMPLETED", subject=ADA, result={"counts": {}}))
            made(tenant.company, "PROCESSING", result={"rows": 1})
        operator.get(LIST)
        with CaptureQueriesContext(connection) as seen:
            operator.get(LIST)
        counts.append(len(seen))
    assert counts[0] == counts[1]
    assert counts[0] <= 12


def test_the_list_reads_no_column_that_may_be_large(operator: Client, tenant: Tenant) -> None:
    archived(made(tenant.company, "COMPLETED", payload={"a": 1}, result={"bytes": 1}), checkpoint={"body": {}})
    (asked,) = shown(operator)
    assert {"payload", "secrets", "result", "traceback", "follow_up"} <= asked.job.get_deferred_fields()
    assert asked.job.archive.get_deferred_fields() == {"counts", "checkpoint"}


def test_a_list_counts_no_further_than_its_bound_and_says_so(
    operator: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "LISTED", 2)
    monkeypatch.setattr("gdpr.admin.request.LISTED", 2)
    for _ in range(3):
        made(tenant.company, due=timezone.now() - HOUR)
    answer = operator.get(LIST)
    assert answer.context["cl"].result_count == 2
    assert b"2 requests or more match" in answer.content
    assert b"2 or more</strong> requests are overdue" in answer.content


# --- What moves -------------------------------------------------------------------------------------------------


def test_what_moves_is_told_as_the_list_shows_it(operator: Client, tenant: Tenant) -> None:
    read = {"rows": 1234, "expectedRows": 5000, "bytes": 2048, "expectedBytes": 4096}
    asked = made(tenant.company, "PROCESSING", progress=0.42, step="audit_auditevent", result=read)
    told = live(operator, asked).json()["jobs"][str(asked.pk)]
    assert (told["state"], told["progress"], told["step"]) == ("processing", "42%", "audit_auditevent")
    assert told["amount"].replace("\xa0", " ") == "1,234 of about 5,000 rows, 2.0 KB of about 4.0 KB"
    assert (told["archive"], told["active"]) == ("-", "yes")
    listed = operator.get(LIST).content.decode()
    for field in ("state", "progress", "step", "amount", "archive", "error"):
        assert re.search(rf'data-job="{asked.pk}" data-field="{field}"[^>]*>{re.escape(told[field])}</span>', listed)
    assert f'data-active="{asked.pk} "' in listed
    assert f'data-version="{told["version"]}"' in operator.get(page(asked)).content.decode()


@pytest.mark.parametrize("result", [None, [], "x", {"rows": "x", "bytes": None}, {"bytes": 5}])
def test_a_result_of_any_shape_is_shown(operator: Client, tenant: Tenant, result: Any) -> None:
    asked = made(tenant.company, "FAILED", result=result)
    assert live(operator, asked).status_code == operator.get(LIST).status_code == 200


def test_a_page_looks_again_only_while_something_is_active(operator: Client, tenant: Tenant) -> None:
    ended = made(tenant.company, "FAILED")
    for url in (LIST, page(ended)):
        assert 'data-active=""' in operator.get(url).content.decode()


# --- Who may ----------------------------------------------------------------------------------------------------


def test_who_may_not_look_sees_no_identifiers(client: Client, tenant: Tenant) -> None:
    asked = made(tenant.company, "COMPLETED", subject=ADA)
    archived(asked)
    others = ["view_job", "view_exportarchive", "view_downloadlink", "add_downloadlink", "change_downloadlink"]
    stranger = sign_in(client, *others)
    for url in (LIST, page(asked)):
        assert stranger.get(url).status_code == 403
    assert live(stranger, asked).status_code == 403
    for name in ("jobs_job", "gdpr_exportarchive"):
        listed = stranger.get(reverse(f"admin:{name}_changelist"))
        assert listed.status_code == 200
        assert b"ada@example" not in listed.content
    assert b"ada@example" not in stranger.get(reverse("admin:jobs_job_change", args=[asked.pk])).content


def test_who_may_look_is_offered_no_action(client: Client, tenant: Tenant) -> None:
    asked = made(tenant.company)
    viewer = sign_in(client, "view_exportrequest")
    listed = viewer.get(LIST)
    assert listed.context["action_form"] is None
    assert b"Request an export" not in listed.content
    viewer.post(LIST, {"action": "cancel", "_selected_action": [str(asked.pk)], "confirmed": "yes"})
    assert Job.objects.get().status == "PENDING"


def test_everything_is_escaped(operator: Client, tenant: Tenant) -> None:
    tenant.company.name = EVIL
    tenant.company.save()
    asked = made(tenant.company, "FAILED", subject={"email": [EVIL]}, error=EVIL, step=EVIL)
    ExportRequest.objects.update(requested_by=EVIL)
    for url in (LIST, page(asked)):
        text = operator.get(url).content.decode()
        assert EVIL not in text
        assert text.count("&lt;script&gt;") >= 5
    assert EVIL not in seek(operator, EVIL).content.decode()


def test_a_long_subject_is_shortened_in_the_list_and_whole_on_the_page(operator: Client, tenant: Tenant) -> None:
    asked = made(tenant.company, subject={"email": ["a" * 200 + "@example.com", "b@x.de", "c@x.de", "d@x.de"]})
    assert "a" * 39 + "…, b@x.de and 2 more" in text_of(operator, LIST)
    text = text_of(operator, page(asked))
    assert "a" * 200 + "@example.com" in text
    assert "d@x.de" in text


# --- Many -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_the_chosen_ones_are_asked_about_and_then_cancelled(operator: Client, tenant: Tenant) -> None:
    waiting, ended = made(tenant.company), made(tenant.company, "FAILED")
    chosen = {"action": "cancel", "_selected_action": [str(waiting.pk), str(ended.pk)]}
    asked = text_of_answer(operator.post(LIST, chosen))
    assert "<strong>1</strong> of them would be changed" in asked
    assert Job.objects.get(pk=waiting.pk).status == "PENDING"
    done = operator.post(LIST, {**chosen, "confirmed": "yes"}, follow=True)
    assert said(done).startswith("1 jobs were cancelled")
    assert Job.objects.get(pk=waiting.pk).status == "CANCELLED"


def text_of_answer(answer: Any) -> str:
    return str(answer.content.decode())
