"""The admin's list and page of jobs: what they show, what moves, and what can be done to one or to many."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.ids import first_at, uuid7
from jobs import bulk, doorbell
from jobs.admin import history, paging, showing
from jobs.models import Job, JobAttempt, JobLog, Pause
from jobs.models.pause import Kind
from tests.conftest import NOON, Tenant

pytestmark = pytest.mark.django_db
LIST = reverse("admin:jobs_job_changelist")
ENDED = ("COMPLETED", "CANCELLED", "FAILED")
EVIL = "<script>alert('x')</script>"


def made(status: str = "FAILED", job_type: str = "sleep", **fields: Any) -> Job:
    claim = {"claim_token": uuid7(), "claimed_by": uuid7()} if status == "PROCESSING" else {}
    ended = {"completed_at": NOON} if status in ENDED else {}
    known = {"queue": "jobs", "run_at": NOON, "attempt": 3, "max_attempts": 3, **claim, **ended}
    return Job.objects.create(type=job_type, status=status, **(known | fields))


def shown(operator: Client, **query: Any) -> set[Job]:
    return set(operator.get(LIST, query).context["cl"].result_list)


def page(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def button(job: Job, act: str) -> str:
    return reverse("admin:jobs_job_act", args=[job.pk, act])


def live(client: Client, *jobs: Job) -> Any:
    return client.get(reverse("admin:jobs_job_live"), {"id": [str(job.pk) for job in jobs]})


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def statuses() -> dict[Any, str]:
    return dict(Job.objects.values_list("pk", "status"))


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """A browser in which somebody is signed in who has these permissions and no others."""

    def sign_in(*permissions: str) -> Client:
        person = get_user_model().objects.create_user("staff", is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(person)
        return client

    return sign_in


# --- The list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"status__exact": "CANCELLED"},
        {"type": "email.send"},
        {"queue": "exports"},
        {"company": "acme"},
        {"created": "1h"},
        {"q": "the-key"},
        {"q": "id"},
        {"q": "company"},
    ],
    ids=str,
)
def test_each_filter_and_search_finds(operator: Client, tenant: Tenant, query: dict[str, str]) -> None:
    made(id=first_at(timezone.now() - timedelta(days=2)))
    job = made("CANCELLED", "email.send", queue="exports", company=tenant.company, key="the-key")
    values = {"acme": tenant.company.pk, "id": job.pk, "company": tenant.company.pk}
    assert shown(operator, **{name: values.get(value, value) for name, value in query.items()}) == {job}


def test_jobs_of_no_company_can_be_chosen(operator: Client, tenant: Tenant) -> None:
    own = made()
    made(company=tenant.company)
    assert shown(operator, company="none") == {own}


def test_a_part_of_an_error_is_found_among_dead_letters_alone(operator: Client) -> None:
    dead = made(error="No route to host")
    made("PENDING", error="No route to host")
    assert shown(operator, q="ROUTE to") == {dead}


def test_a_search_looks_no_further_than_its_bound(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.admin.job.SEARCHED", 1)
    made(error="no luck")
    newest = made(error="no luck")
    assert shown(operator, q="luck") == {newest}


def test_a_list_counts_no_further_than_its_bound_and_says_so(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "LISTED", 2)
    monkeypatch.setattr("jobs.admin.job.LISTED", 2)
    for _ in range(3):
        made()
    answer = operator.get(LIST)
    assert answer.context["cl"].result_count == 2
    assert b"2 jobs or more match" in answer.content


@pytest.mark.parametrize("query", [{"company": "x"}, {"type": "nap"}, {"created": "x"}, {"q": "a\0b"}, {"q": "%"}])
def test_a_filter_that_is_mistyped_breaks_nothing(operator: Client, query: dict[str, str]) -> None:
    made()
    assert operator.get(LIST, query, follow=True).status_code == 200


def test_the_list_reads_no_column_that_may_be_large(operator: Client) -> None:
    made(payload={"a": "payload-text"}, traceback="traceback-text", result="result-text", error="e" * 500)
    listed = operator.get(LIST)
    (job,) = listed.context["cl"].result_list
    assert {"payload", "secrets", "traceback", "result", "follow_up", "error"} <= job.get_deferred_fields()
    assert "e" * 200 in listed.content.decode()
    assert "e" * 201 not in listed.content.decode()


def test_ten_rows_cost_no_more_statements_than_one(operator: Client, tenant: Tenant) -> None:
    counts = []
    for number in (1, 9):
        for _ in range(number):
            made(company=tenant.company)
        operator.get(LIST)
        with CaptureQueriesContext(connection) as seen:
            operator.get(LIST)
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_what_is_paused_is_said_above_the_list_and_on_the_page(operator: Client) -> None:
    job = made("PENDING")
    Pause.objects.pause(Kind.TYPE, "sleep", reason=EVIL)
    Pause.objects.pause(Kind.QUEUE, "exports")
    listed, opened = operator.get(LIST).content.decode(), operator.get(page(job)).content.decode()
    assert "nothing is claimed from it (&lt;script&gt;" in listed
    assert ">exports</a> is paused" in listed
    assert "&lt;script&gt;" in opened
    assert ">exports</a> is paused" not in opened
    assert EVIL not in listed + opened


# --- The page ---------------------------------------------------------------------------------------------------


def test_the_page_shows_payload_result_error_attempts_and_log_escaped(operator: Client, tenant: Tenant) -> None:
    job = made(
        company=tenant.company, payload={"html": EVIL}, result=[EVIL], error=EVIL, traceback=EVIL, step=EVIL, key=EVIL,
        follow_up={"type": "sleep", "payload": {"p": EVIL}, "then": None},
    )  # fmt: skip
    ended = {"outcome": "failed", "ended_at": NOON, "started_at": NOON}
    JobAttempt.objects.create(id=uuid7(), job=job, number=1, worker="host:1", error=EVIL, traceback=EVIL, **ended)
    JobLog.objects.create(job=job, attempt=1, text=EVIL, at=NOON)
    for url in (page(job), LIST):
        text = operator.get(url).content.decode()
        assert EVIL not in text
        assert "&lt;script&gt;" in text
    text = operator.get(page(job)).content.decode()
    assert text.count("&lt;script&gt;") >= 9
    assert "host:1" in text


def test_what_is_large_is_cut_off(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "SHOWN", 30)
    text = operator.get(page(made(payload={"a": "x" * 100}))).content.decode()
    assert "x" * 31 not in text
    assert re.search(r"… and \d+ characters more", text)


def test_only_the_latest_attempts_and_lines_are_shown(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ATTEMPTS", 2)
    monkeypatch.setattr(history, "LINES", 2)
    job = made()
    for number in range(1, 4):
        ended = {"outcome": "failed", "ended_at": NOON}
        JobAttempt.objects.create(id=uuid7(), job=job, number=number, worker=f"worker-{number}", **ended)
        JobLog.objects.create(id=first_at(NOON + timedelta(seconds=number)), job=job, attempt=1, text=f"line-{number}")
    text = operator.get(page(job)).content.decode()
    assert [number for number in (1, 2, 3) if f"worker-{number}" in text] == [2, 3]
    assert re.findall(r"line-\d", text) == ["line-2", "line-3"]


def test_the_claim_s_token_stands_on_no_page(operator: Client) -> None:
    job = made("PROCESSING")
    assert str(job.claim_token) not in operator.get(page(job)).content.decode()


# --- What moves -------------------------------------------------------------------------------------------------


def test_what_moves_is_told_as_the_page_shows_it(operator: Client) -> None:
    job = made("PROCESSING", progress=0.42, step="half", attempt=1, error="e" * 500, lost=2)
    waiting = made("PENDING")
    told = live(operator, job, waiting).json()["jobs"]
    assert told.keys() == {str(job.pk), str(waiting.pk)}
    mine = told[str(job.pk)]
    assert (mine["state"], mine["progress"], mine["fraction"]) == ("processing", "42%", "0.42")
    assert (mine["step"], mine["attempts"], mine["lost"], mine["active"]) == ("half", "1/3", "2", "yes")
    assert len(mine["error"]) == 200
    listed = operator.get(LIST).content.decode()
    for field in ("state", "progress", "step", "attempts", "lost", "run_at"):
        says = "processing" if field == "state" else ""
        assert f'<span data-job="{job.pk}" data-field="{field}" data-says="{says}">{mine[field]}</span>' in listed
    assert f'data-version="{mine["version"]}"' in operator.get(page(job)).content.decode()


def test_a_page_looks_again_only_while_something_is_active(operator: Client) -> None:
    waiting = made("PENDING")
    made("COMPLETED")
    assert f'data-active="{waiting.pk} "' in operator.get(LIST).content.decode()
    assert f'data-active="{waiting.pk}"' in operator.get(page(waiting)).content.decode()
    assert 'data-active=""' in operator.get(page(made("COMPLETED"))).content.decode()


def test_what_moves_is_for_those_who_may_look(client: Client, staff: Callable[..., Client]) -> None:
    job = made("PENDING")
    assert live(client, job).status_code == 302
    assert live(staff("view_webhook"), job).status_code == 403


def test_what_is_no_id_is_passed_over_and_too_many_are_cut_off(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.job.WATCHED", 2)
    job = made("PENDING")
    url = reverse("admin:jobs_job_live")
    assert list(operator.get(url, {"id": ["x'--", str(job.pk)]}).json()["jobs"]) == [str(job.pk)]
    assert operator.get(url, {"id": ["x", "y", str(job.pk)]}).json() == {"jobs": {}}


def test_no_page_carries_a_script_of_its_own(operator: Client) -> None:
    job = made("PENDING")
    for url in (LIST, page(job)):
        scripts = re.findall(r"<script([^>]*)>([^<]*)", operator.get(url).content.decode())
        ours = [attributes for attributes, _ in scripts if "jobs/live.js" in attributes]
        assert len(ours) == 1
        assert not [text for attributes, text in scripts if "live" in text or "fetch(" in text]


# --- One --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("status", "act", "after"),
    [
        ("FAILED", "retry", ("PENDING", 0, 3)),
        ("CANCELLED", "retry", ("PENDING", 0, 3)),
        ("FAILED", "retry_once", ("PENDING", 3, 4)),
        ("PENDING", "cancel", ("CANCELLED", 3, 3)),
        ("PROCESSING", "cancel", ("PROCESSING", 3, 3)),
    ],
)
def test_a_button_does_what_it_says(
    operator: Client, monkeypatch: pytest.MonkeyPatch, status: str, act: str, after: tuple[Any, ...]
) -> None:
    rung: set[str] = set()
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: rung.add(lane))
    job = made(status)
    assert button(job, act) in operator.get(page(job)).content.decode()
    answer = operator.post(button(job, act), follow=True)
    assert said(answer).startswith("Done.")
    job.refresh_from_db()
    assert (job.status, job.attempt, job.max_attempts) == after
    assert job.cancel_requested_at or status != "PROCESSING"
    assert ("jobs" in rung) == (after[0] == "PENDING")
    assert LogEntry.objects.get().object_id == str(job.pk)


@pytest.mark.parametrize(("status", "act"), [("COMPLETED", "retry"), ("PENDING", "retry_once"), ("FAILED", "cancel")])
def test_a_button_that_comes_too_late_says_why_nothing_changed(operator: Client, status: str, act: str) -> None:
    job = made(status)
    assert button(job, act) not in operator.get(page(job)).content.decode()
    assert said(operator.post(button(job, act), follow=True)).startswith("Nothing was changed: only")
    assert statuses() == {job.pk: status}
    assert not LogEntry.objects.exists()


def test_a_dead_letter_whose_key_is_active_is_not_retried(operator: Client) -> None:
    job = made(key="k")
    made("PENDING", key="k")
    assert "whose key belongs to an active one" in said(operator.post(button(job, "retry"), follow=True))


def test_a_button_takes_a_post_with_a_token_from_those_who_may(staff: Callable[..., Client], client: Client) -> None:
    job = made("PENDING")
    viewer = staff("view_job")
    assert button(job, "cancel") not in viewer.get(page(job)).content.decode()
    assert viewer.post(button(job, "cancel")).status_code == 403
    assert viewer.get(button(job, "cancel")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(get_user_model().objects.create_superuser("root"))
    assert strict.post(button(job, "cancel")).status_code == 403
    assert statuses() == {job.pk: "PENDING"}


def test_an_unknown_job_or_act_is_not_there(operator: Client) -> None:
    job = made()
    assert operator.post(reverse("admin:jobs_job_act", args=[uuid7(), "retry"])).status_code == 404
    assert operator.post(button(job, "delete")).status_code == 404


def test_who_may_change_jobs_can_look_and_act(staff: Callable[..., Client]) -> None:
    job = made()
    changer = staff("change_job")
    assert changer.get(page(job)).status_code == 200
    assert said(changer.post(button(job, "retry"), follow=True)).startswith("Done.")


# --- Many -------------------------------------------------------------------------------------------------------


def ask(operator: Client, action: str, *jobs: Job, query: str = "", **data: Any) -> Any:
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs], "index": 0}
    return operator.post(LIST + query, chosen | data, follow=True)


def fields_of(asked: Any) -> dict[str, list[str]]:
    """What the page that asks would send."""
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.content.decode()):
        fields.setdefault(name, []).append(value)
    return fields


def test_the_chosen_ones_are_asked_about_and_then_retried(committed: None, operator: Client) -> None:
    dead, waiting, other = made(), made("PENDING"), made()
    asked = ask(operator, "retry", dead, waiting)
    assert "<strong>2</strong> jobs are chosen" in asked.content.decode()
    assert "<strong>1</strong> of them would be changed" in asked.content.decode()
    assert statuses() == {dead.pk: "FAILED", waiting.pk: "PENDING", other.pk: "FAILED"}
    done = operator.post(LIST, fields_of(asked), follow=True)
    assert said(done).startswith("1 jobs are due again")
    assert statuses() == {dead.pk: "PENDING", waiting.pk: "PENDING", other.pk: "FAILED"}


@pytest.mark.parametrize(
    ("action", "expected"),
    [("retry", ("PENDING", 0, 3)), ("retry_once", ("PENDING", 3, 4)), ("cancel", ("FAILED", 3, 3))],
)
def test_all_that_the_filters_match_are_changed_in_pages(
    committed: None, operator: Client, monkeypatch: pytest.MonkeyPatch, action: str, expected: tuple[Any, ...]
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)
    monkeypatch.setattr(paging, "LISTED", 3)  # a list that shows fewer than match
    dead = [made(error="no route") for _ in range(5)]
    others = [made(error="timeout"), made("CANCELLED"), made(job_type="email.send", error="no route")]
    before = statuses()
    query = "?status__exact=FAILED&type=sleep&q=route"
    asked = ask(operator, action, dead[0], query=query, select_across=1)
    assert "The filters match <strong>5</strong> jobs" in asked.content.decode()
    done = operator.post(LIST + query, fields_of(asked), follow=True)
    assert said(done).startswith("0 jobs" if action == "cancel" else "5 jobs")
    for job in dead:
        job.refresh_from_db()
        assert (job.status, job.attempt, job.max_attempts) == expected
    for job in others:
        assert statuses()[job.pk] == before[job.pk]


def test_many_can_be_cancelled_by_a_filter(committed: None, operator: Client) -> None:
    waiting, running, other = made("PENDING"), made("PROCESSING"), made("PENDING", "email.send")
    asked = ask(operator, "cancel", waiting, query="?type=sleep", select_across=1)
    done = operator.post(LIST + "?type=sleep", fields_of(asked), follow=True)
    assert said(done).startswith("2 jobs were cancelled or asked to stop")
    assert statuses() == {waiting.pk: "CANCELLED", running.pk: "PROCESSING", other.pk: "PENDING"}


def test_who_may_only_look_changes_nothing_however_it_is_asked(staff: Callable[..., Client]) -> None:
    job = made("PENDING")
    ask(staff("view_job"), "cancel", job, confirmed="yes")
    assert statuses() == {job.pk: "PENDING"}


def test_what_is_chosen_is_escaped_on_the_page_that_asks(operator: Client) -> None:
    asked = operator.post(LIST, {"action": "retry", "select_across": 1, "_selected_action": '"><script>x'})
    assert b"<script>x" not in asked.content


def test_json_of_any_shape_is_shown(operator: Client) -> None:
    results: list[Any] = [None, 0, "", [], {"a": {"b": [1]}}]
    for result in results:
        assert operator.get(page(made("COMPLETED", result=result))).status_code == 200
