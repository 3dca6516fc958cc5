"""`manage.py jobs`, as an operator types it."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.ids import uuid7
from jobs import bulk, doorbell
from jobs.models import Job, Pause
from tests.conftest import NOON, Tenant

pytestmark = pytest.mark.usefixtures("committed")
HOUR = timedelta(hours=1)
ENDED = ("COMPLETED", "CANCELLED", "FAILED")


def jobs(*arguments: Any) -> list[str]:
    """What the command says, line by line."""
    said = StringIO()
    call_command("jobs", *[str(argument) for argument in arguments], stdout=said)
    return said.getvalue().splitlines()


def made(status: str = "FAILED", job_type: str = "sleep", **fields: Any) -> Job:
    claim = {"claim_token": uuid7(), "claimed_by": uuid7()} if status == "PROCESSING" else {}
    ended = {"completed_at": NOON} if status in ENDED else {}
    known = {"queue": "jobs", "run_at": NOON, "attempt": 3, "max_attempts": 3, **claim, **ended}
    return Job.objects.create(type=job_type, status=status, **(known | fields))


def statuses() -> dict[Any, str]:
    return dict(Job.objects.values_list("pk", "status"))


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    lanes: set[str] = set()
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: lanes.add(lane))
    return lanes


# --- Retry ------------------------------------------------------------------------------------------------------


def test_retry_makes_dead_letters_of_a_type_due_again_and_rings(rung: set[str]) -> None:
    job, other, done = made(), made(job_type="email.send"), made("COMPLETED")
    before = timezone.now()
    assert jobs("retry", "--type", "sleep") == ["1 jobs are due again."]
    job.refresh_from_db()
    assert (job.status, job.attempt, job.completed_at) == ("PENDING", 0, None)
    assert before <= job.run_at <= timezone.now()
    assert statuses() == {job.pk: "PENDING", other.pk: "FAILED", done.pk: "COMPLETED"}
    assert "jobs" in rung


def test_retry_that_keeps_the_attempts_adds_one() -> None:
    job = made()
    jobs("retry", "--id", job.pk, "--keep-attempts")
    job.refresh_from_db()
    assert (job.attempt, job.max_attempts) == (3, 4)


@pytest.mark.parametrize(
    "filters",
    [
        lambda job, tenant: ["--status", "cancelled"],
        lambda job, tenant: ["--error", "NO ROUTE"],
        lambda job, tenant: ["--company", tenant.company.pk],
        lambda job, tenant: ["--since", "2026-01-31T12:30:00Z"],
        lambda job, tenant: ["--since", "2026-01-31T12:30:00Z", "--until", "2026-01-31T15:00:00+01:00"],
        lambda job, tenant: ["--id", job.pk, uuid7()],
        lambda job, tenant: ["--type", "email.send", "--status", "CANCELLED", "--error", "route"],
    ],
)
def test_each_filter_chooses(tenant: Tenant, filters: Callable[[Job, Tenant], list[Any]]) -> None:
    fields = {"company": tenant.company, "error": "no route to host", "completed_at": NOON + HOUR}
    job, other = made("CANCELLED", "email.send", **fields), made()
    assert jobs("retry", *filters(job, tenant)) == ["1 jobs are due again."]
    assert statuses() == {job.pk: "PENDING", other.pk: "FAILED"}


def test_until_is_not_included() -> None:
    made()
    assert jobs("retry", "--until", NOON.isoformat()) == ["0 jobs are due again."]


def test_what_does_not_match_stays_although_it_is_named_by_its_id() -> None:
    job = made()
    assert jobs("retry", "--id", job.pk, "--type", "email.send") == ["0 jobs are due again."]


def test_many_are_taken_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)
    made_ = [made() for _ in range(5)]
    assert jobs("retry", "--all") == ["5 jobs are due again."]
    assert statuses() == dict.fromkeys([job.pk for job in made_], "PENDING")


@pytest.mark.parametrize("page", [1, 2, 500])
def test_of_those_that_share_a_key_only_the_newest_begins_again(
    monkeypatch: pytest.MonkeyPatch, tenant: Tenant, page: int
) -> None:
    monkeypatch.setattr(bulk, "PAGE", page)
    old, new, other = made(key="k"), made(key="k"), made(key="k", company=tenant.company)
    taken = made("PENDING", key="l")
    late = made(key="l")
    assert jobs("retry", "--all") == ["2 jobs are due again."]
    assert [statuses()[job.pk] for job in (old, new, other, taken, late)] == [
        "FAILED", "PENDING", "PENDING", "PENDING", "FAILED",
    ]  # fmt: skip


# --- Cancel -----------------------------------------------------------------------------------------------------


def test_cancel_ends_what_waits_and_asks_what_runs() -> None:
    waiting, running, dead = made("PENDING"), made("PROCESSING"), made()
    assert jobs("cancel", "--all") == ["2 jobs were cancelled or asked to stop."]
    assert statuses() == {waiting.pk: "CANCELLED", running.pk: "PROCESSING", dead.pk: "FAILED"}
    running.refresh_from_db()
    assert running.cancel_requested_at


def test_cancel_chooses_by_the_time_of_creation_and_by_status() -> None:
    old, young, running = made("PENDING"), made("PENDING"), made("PROCESSING")
    Job.objects.filter(pk=old.pk).update(created_at=NOON)
    assert jobs("cancel", "--until", "2026-01-31T12:00:01Z") == ["1 jobs were cancelled or asked to stop."]
    assert statuses()[young.pk] == "PENDING"
    assert jobs("cancel", "--status", "PROCESSING", "--since", "2026-01-31T12:00:00Z")[0].startswith("1 jobs")
    assert statuses() == {old.pk: "CANCELLED", young.pk: "PENDING", running.pk: "PROCESSING"}


# --- Safeguards -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subcommand", ["retry", "cancel"])
def test_a_dry_run_counts_and_changes_nothing(subcommand: str, rung: set[str]) -> None:
    made(), made("PENDING")
    before = statuses()
    assert jobs(subcommand, "--all", "--dry-run") == ["1 jobs match; nothing was changed."]
    assert statuses() == before
    assert not rung


@pytest.mark.parametrize("arguments", [["retry"], ["cancel", "--dry-run"], ["retry", "--all", "--type", "sleep"]])
def test_everything_has_to_be_asked_for_by_name(arguments: list[str]) -> None:
    made()
    before = statuses()
    with pytest.raises(CommandError, match="--all"):
        jobs(*arguments)
    assert statuses() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["retry", "--type", "nap"], "No handler declares the job type 'nap'; there are: .*sleep"),
        (["dead", "--type", "nap"], "'nap'"),
        (["retry", "--status", "PENDING"], "invalid choice: 'PENDING' .*FAILED.*CANCELLED"),
        (["cancel", "--status", "FAILED"], "invalid choice: 'FAILED' .*PENDING.*PROCESSING"),
        (["retry", "--since", "yesterday"], "'yesterday' is no time with an offset"),
        (["retry", "--until", "2026-01-31T12:00:00"], "is no time with an offset"),
        (["retry", "--company", "acme"], "invalid UUID value: 'acme'"),
        (["retry", "--company", str(uuid7())], "There is no company"),
        (["retry", "--id", "1"], "invalid UUID value: '1'"),
        (["dead", "--limit", "0"], "'0' is not a whole number from 1"),
        (["pause"], "one of the arguments --queue --type is required"),
        (["pause", "--queue", "jobs", "--type", "sleep"], "not allowed with"),
        (["pause", "--queue", "post"], "'post'; there are: jobs, exports"),
        (["pause", "--queue", ""], "''; there are: jobs, exports"),
        (["resume", "--type", "nap"], "'nap'"),
        ([], "required: COMMAND"),
        (["reap"], "invalid choice: 'reap'"),
    ],
)
def test_what_is_mistyped_is_named_with_its_rule(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        jobs(*arguments)


def test_a_type_that_no_handler_declares_any_more_can_still_be_named() -> None:
    made("PENDING", "abandoned")
    assert jobs("cancel", "--type", "abandoned") == ["1 jobs were cancelled or asked to stop."]


# --- Dead letters -----------------------------------------------------------------------------------------------


def test_dead_lists_the_dead_letters_oldest_first_up_to_a_limit() -> None:
    young, old = made(completed_at=NOON + HOUR), made(error="no\nluck \x1b[31m", completed_at=NOON)
    made("CANCELLED")
    assert jobs("dead", "--limit", 1) == [f"2026-01-31 12:00:00 UTC  {old.pk}  sleep  attempt 3: no luck  [31m"]
    assert [line.split()[3] for line in jobs("dead")] == [str(old.pk), str(young.pk)]
    assert jobs("dead", "--error", "luck", "--since", "2026-01-31T12:30:00Z") == []


def test_dead_as_json_has_what_is_needed_to_look_further(tenant: Tenant) -> None:
    job = made(company=tenant.company, payload={"seconds": "ü"}, traceback="Traceback")
    (line,) = jobs("dead", "--json")
    shown = json.loads(line)
    assert (shown["jobId"], shown["companyId"]) == (str(job.pk), str(tenant.company.pk))
    assert (shown["payload"], shown["traceback"], shown["attempts"]) == ({"seconds": "ü"}, "Traceback", 3)


# --- Pause and resume -------------------------------------------------------------------------------------------


def test_a_queue_and_a_type_are_paused_listed_and_resumed(rung: set[str]) -> None:
    assert jobs("pause", "--queue", "jobs", "--reason", "upgrade") == [
        "The queue jobs is paused; what runs goes on."
    ]  # fmt: skip
    assert jobs("pause", "--type", "sleep") == ["The type sleep is paused; what runs goes on."]
    assert jobs("pause", "--type", "sleep") == ["The type sleep is paused, as it was before; what runs goes on."]
    first, second = jobs("paused")
    assert first.startswith("queue jobs, since ")
    assert first.endswith(" UTC: upgrade")
    assert second.startswith("type sleep, since ")
    assert jobs("resume", "--queue", "jobs") == ["The queue jobs goes on."]
    assert rung == {"jobs"}
    assert jobs("resume", "--queue", "jobs") == ["The queue jobs was not paused."]
    assert Pause.objects.get().name == "sleep"
