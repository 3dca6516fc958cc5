"""The admin's page of one export: what it shows, and what can be done to it."""

import json
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from audit.models import Company
from gdpr import storage
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive, ExportRequest
from jobs.models import Job, JobLog
from tests.conftest import Tenant
from tests.gdpr.officers import ADA, EVIL, archived, button, made, page, said, sign_in, text_of

pytestmark = pytest.mark.django_db
URL = re.compile(r"http://testserver/v1/gdpr/downloads/([\w-]+)")
REASON = {"reason": "Twelve requests came at once."}
POSTED = ["link", "stop", "revoke"]
ASKED = ["extend", "expire"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def company(tenant: Tenant) -> Company:
    return tenant.company


@pytest.fixture
def done(company: Company) -> ExportRequest:
    """A request about a person, answered, with an archive."""
    asked = made(company, "COMPLETED", subject=ADA)
    archived(asked)
    return asked


def issue(asked: ExportRequest) -> DownloadLink:
    link, _ = DownloadLink.objects.issue(archive=asked.job.archive, issued_by="API key CI", now=timezone.now())
    return link


def access(link: DownloadLink, **fields: Any) -> DownloadAccess:
    known = {"company": link.company, "link": link, "at": timezone.now(), "start": 0, "end": 2}
    return DownloadAccess.objects.create(**(known | fields))


# --- What is shown ----------------------------------------------------------------------------------------------


def test_the_page_shows_archive_links_accesses_and_log_escaped(operator: Client, done: ExportRequest) -> None:
    signed = {"body": {"issuedAt": "2026-01-31T12:00:01.000000Z", "chains": [{}, {}]}, "keyId": "0123456789abcdef"}
    ExportArchive.objects.update(checkpoint=signed)
    link = issue(done)
    access(link, address="192.0.2.7", user_agent=EVIL, sent=77)
    access(link, refusal=f"was used {EVIL}")
    JobLog.objects.create(job=done.job, attempt=1, text=f"a line {EVIL}")
    text = text_of(operator, page(done))
    for shown in (
        "ab" * 32,
        "0123456789abcdef",
        "2026-01-31T12:00:01.000000Z",
        "1,234",
        "API key CI",
        "192.0.2.7",
        "77",
    ):
        assert shown in text
    assert "actorId: <strong>u1</strong>" in text
    assert reverse("admin:jobs_job_change", args=[done.pk]) in text
    assert text.count("&lt;script&gt;") == 3
    assert EVIL not in text


def test_each_link_says_whether_it_works(operator: Client, done: ExportRequest) -> None:
    issue(done)
    issue(done).revoke(by="a test", now=timezone.now())
    text = text_of(operator, page(done))
    assert re.findall(r"<td>(works|was revoked)</td>", text) == ["was revoked", "works"]
    assert text.count('value="Revoke"') == 1


def test_ten_links_cost_no_more_statements_than_one(operator: Client, done: ExportRequest) -> None:
    counts = []
    for number in (1, 9):
        for _ in range(number):
            link = issue(done)
            link.revoke(by="a test", now=timezone.now())
            access(link)
        operator.get(page(done))
        with CaptureQueriesContext(connection) as seen:
            operator.get(page(done))
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_a_page_has_only_the_buttons_that_would_do_something(operator: Client, company: Company) -> None:
    ready = made(company, "COMPLETED")
    archived(ready)
    gone = made(company, "COMPLETED")
    archived(gone, status="EXPIRED")
    late = made(company, "FAILED", due=timezone.now() - timedelta(hours=1))
    offered = {
        made(company, "PENDING"): {"extend", "stop"},
        ready: {"link", "expire"},
        gone: set(),
        late: set(),
    }
    for asked, names in offered.items():
        text = text_of(operator, page(asked))
        assert {name for name in ("link", "extend", "stop", "expire") if button(asked, name) in text} == names


def test_the_page_says_whether_the_archive_was_downloaded_and_that_times_are_in_utc(
    operator: Client, done: ExportRequest
) -> None:
    assert '<th scope="row">Downloaded</th><td>no</td>' in text_of(operator, page(done))
    DownloadLink.objects.filter(pk=issue(done).pk).update(used_at=timezone.now())
    text = text_of(operator, page(done))
    assert '<th scope="row">Downloaded</th><td>yes, completely</td>' in text
    assert "All times are in UTC." in text


# --- Links ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_a_link_is_shown_once_and_never_logged(
    operator: Client, done: ExportRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = operator.post(button(done, "link"))
    assert (answer.status_code, "no-store" in answer.headers["cache-control"]) == (200, True)
    match = URL.search(answer.content.decode())
    assert match
    link = DownloadLink.objects.find(match[1])
    assert link
    assert (link.archive.job_id, link.issued_by, link.api_key) == (done.pk, "operator op", None)
    assert match[1] not in operator.get(page(done)).content.decode()
    assert match[1] not in caplog.text
    entry = LogEntry.objects.get()
    assert match[1] not in entry.change_message + entry.object_repr
    assert match[1] not in str([session.get_decoded() for session in Session.objects.all()])
    assert operator.head(f"/v1/gdpr/downloads/{match[1]}").status_code == 200


def test_there_is_no_link_to_what_is_not_there(operator: Client, company: Company) -> None:
    gone = made(company, "COMPLETED")
    archived(gone, expires_at=timezone.now())
    for asked in (made(company, "PROCESSING"), gone):
        assert "no archive to download" in said(operator.post(button(asked, "link"), follow=True))
    assert not DownloadLink.objects.exists()


@pytest.mark.usefixtures("committed")
def test_a_link_is_revoked(operator: Client, done: ExportRequest) -> None:
    link = issue(done)
    assert button(done, "revoke", link.pk) in text_of(operator, page(done))
    assert "was revoked" in said(operator.post(button(done, "revoke", link.pk), follow=True))
    link.refresh_from_db()
    assert link.revoked_at
    assert "Nothing was changed" in said(operator.post(button(done, "revoke", link.pk), follow=True))
    assert LogEntry.objects.count() == 1


def test_a_link_is_revoked_from_its_own_request_only(operator: Client, company: Company, done: ExportRequest) -> None:
    link = issue(done)
    assert operator.post(button(made(company), "revoke", link.pk)).status_code == 404
    link.refresh_from_db()
    assert link.revoked_at is None


# --- Extending --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_the_due_date_is_extended_once_and_with_a_reason(operator: Client, company: Company) -> None:
    asked = made(company)
    before = asked.due_at
    assert "This field is required" in operator.post(button(asked, "extend"), {"reason": " "}).content.decode()
    assert "This field is required" not in operator.get(button(asked, "extend")).content.decode()
    assert "at most 1000" in operator.post(button(asked, "extend"), {"reason": "x" * 1001}).content.decode()
    asked.refresh_from_db()
    assert (asked.due_at, asked.extended_at) == (before, None)
    assert "is due" in said(operator.post(button(asked, "extend"), REASON, follow=True))
    asked.refresh_from_db()
    assert asked.due_at > before
    assert (asked.extended_at is not None, asked.extension_reason) == (True, REASON["reason"])
    assert REASON["reason"] in text_of(operator, page(asked))
    assert "Nothing was changed" in said(operator.post(button(asked, "extend"), REASON, follow=True))
    assert REASON["reason"] not in LogEntry.objects.get().change_message


def test_what_cannot_be_extended_is_said_instead_of_asked(operator: Client, company: Company) -> None:
    late, twice = made(company, "FAILED", due=timezone.now() - timedelta(hours=1)), made(company)
    assert twice.extend(reason="Twelve at once.", now=timezone.now())
    for asked in (late, twice, made(company, "COMPLETED")):
        answer = operator.get(button(asked, "extend"), follow=True)
        assert answer.redirect_chain == [(page(asked), 302)]
        assert "only a request without an archive" in said(answer)


# --- Cancelling and ending --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_a_waiting_export_is_cancelled_and_a_running_one_asked_to_stop(operator: Client, company: Company) -> None:
    waiting, running = made(company), made(company, "PROCESSING")
    for asked in (waiting, running):
        assert said(operator.post(button(asked, "stop"), follow=True)).startswith("Done.")
    assert Job.objects.get(pk=waiting.pk).status == "CANCELLED"
    assert Job.objects.get(pk=running.pk).cancel_requested_at
    assert "Nothing was changed" in said(operator.post(button(waiting, "stop"), follow=True))


@pytest.mark.usefixtures("committed")
def test_an_archive_ends_before_its_time_after_a_question(operator: Client, done: ExportRequest) -> None:
    name = done.job.archive.file
    assert "is deleted at once" in text_of(operator, button(done, "expire"))
    assert storage.holds(name)
    assert "was deleted" in said(operator.post(button(done, "expire"), follow=True))
    assert not storage.holds(name)
    assert ExportArchive.objects.get().status == "EXPIRED"
    text = text_of(operator, page(done))
    assert "Kept until" not in text
    assert "deleted; the events of" in text
    assert "Nothing was deleted" in said(operator.post(button(done, "expire"), follow=True))


def test_a_file_that_is_not_gone_yet_is_not_told_as_deleted(
    operator: Client, done: ExportRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(storage, "delete", refuse)
    answer = said(operator.post(button(done, "expire"), follow=True))
    assert "no link serves it" in answer
    assert "not certain yet" in answer
    assert ExportArchive.objects.get().status == "EXPIRED"


# --- Who may ----------------------------------------------------------------------------------------------------


def addresses(asked: ExportRequest) -> dict[str, str]:
    link = issue(asked)
    return {name: button(asked, name, *([link.pk] if name == "revoke" else [])) for name in [*POSTED, *ASKED]}


def state() -> str:
    """Everything that a button could change."""
    models = (Job, ExportRequest, ExportArchive, DownloadLink, LogEntry)
    return json.dumps([list(model.objects.order_by("pk").values()) for model in models], default=str)


def test_a_viewer_is_shown_no_button_and_refused_each(client: Client, done: ExportRequest) -> None:
    urls, viewer = addresses(done), sign_in(client, "view_exportrequest")
    before, text = state(), text_of(viewer, page(done))
    for url in urls.values():
        assert url not in text
        assert viewer.post(url, REASON).status_code == 403
    assert reverse("admin:jobs_job_change", args=[done.pk]) not in text
    assert state() == before


def test_each_permission_opens_its_own_button_and_none_without_the_view(client: Client, company: Company) -> None:
    needed = {
        "link": "add_downloadlink",
        "revoke": "change_downloadlink",
        "expire": "change_exportarchive",
    }
    for name, permission in needed.items():
        asked = made(company, "COMPLETED")
        archived(asked)
        urls = addresses(asked)
        stranger = sign_in(client, permission)
        assert stranger.post(urls[name]).status_code == 403
        officer = sign_in(client, "view_exportrequest", permission)
        assert {other for other, url in urls.items() if officer.post(url, REASON).status_code != 403} == {name}
    asked = made(company)
    changer = sign_in(client, "change_exportrequest")
    for name in ("extend", "stop"):
        assert changer.post(button(asked, name), REASON).status_code == 302


def test_no_get_changes_anything(operator: Client, company: Company, done: ExportRequest) -> None:
    urls = addresses(done) | {"extend": button(made(company), "extend")}
    before = state()
    assert {name: operator.get(url).status_code for name, url in urls.items()} == {
        **dict.fromkeys(POSTED, 405),
        **dict.fromkeys(ASKED, 200),
    }
    assert state() == before


def test_a_post_needs_the_token_of_its_form(operator: Client, done: ExportRequest) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    urls = addresses(done)
    before = state()
    urls |= {"search": reverse("admin:gdpr_exportrequest_search"), "add": reverse("admin:gdpr_exportrequest_add")}
    assert {strict.post(url, REASON).status_code for url in urls.values()} == {403}
    assert state() == before


def test_what_is_not_there_is_not_found(operator: Client, done: ExportRequest) -> None:
    for name in ("link", "stop", "extend", "expire"):
        url = reverse(f"admin:gdpr_exportrequest_{name}", args=[uuid7()])
        assert operator.post(url, REASON).status_code == 404
    assert operator.post(button(done, "revoke", uuid7())).status_code == 404
