"""Jobs of dead processes are taken back; what one of them is in the way of is its own end alone."""

from datetime import datetime
from typing import Any

import pytest

from jobs import rescuing
from jobs.alerting import ALERT
from jobs.models import Job
from jobs.registry import handler
from jobs.rescuing import rescue
from tests.conftest import NOON
from tests.jobs.rows import job_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]
TYPE = "mourned"


@pytest.fixture(autouse=True)
def operators(settings: Any) -> None:
    settings.OPERATORS_EMAIL = ("ops@example.com",)


@pytest.fixture
def told() -> list[Job]:
    """Those of whose death was told, in their order; of one at the priority -1 nobody can be told."""
    jobs: list[Job] = []

    def died(job: Job, _: datetime) -> None:
        if job.priority < 0:
            raise RuntimeError("no luck")
        jobs.append(job)

    handler(TYPE, died=died)(lambda context: None)
    return jobs


def orphan(*, attempt: int = 3, **properties: Any) -> Job:
    return job_in(None, job_type=TYPE, status="PROCESSING", attempt=attempt, **properties)


def statuses(*jobs: Job) -> list[str]:
    found = Job.objects.in_bulk([job.pk for job in jobs])
    return [found[job.pk].status for job in jobs]


def test_one_whose_death_cannot_be_told_keeps_no_other_from_its_end(
    told: list[Job], caplog: pytest.LogCaptureFixture
) -> None:
    dying, stuck, goes_on, dies_too = orphan(), orphan(priority=-1), orphan(attempt=1), orphan()
    assert rescue("jobs", now=NOON) == 3
    assert statuses(dying, stuck, goes_on, dies_too) == ["FAILED", "PROCESSING", "PENDING", "FAILED"]
    assert told == [dying, dies_too]
    (logged,) = [record for record in caplog.records if record.name == "jobs.rescuing"]
    assert str(stuck.pk) in logged.getMessage()
    Job.objects.filter(pk=stuck.pk).update(priority=0)
    assert rescue("jobs", now=NOON) == 1
    assert told == [dying, dies_too, stuck]


def test_those_that_go_on_come_before_those_that_die(told: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rescuing, "RESCUED", 2)
    dying, *going_on = orphan(), *(orphan(attempt=1) for _ in range(5))
    seen: list[str] = []
    handler(TYPE, died=lambda *_: seen.extend(statuses(*going_on)))(lambda context: None)
    assert rescue("jobs", now=NOON) == 6
    assert seen == ["PENDING"] * 5
    assert statuses(dying) == ["FAILED"]


def test_of_those_that_die_each_is_told_in_the_order_of_ids(told: list[Job]) -> None:
    ids = [orphan().pk for _ in range(5)]
    Job.objects.filter(pk=ids[0]).update(error="the first row is the last in the table now")
    assert rescue("jobs", now=NOON) == 5
    assert [job.pk for job in told] == sorted(ids)


def test_all_that_died_with_one_worker_are_one_e_mail_to_the_operators(told: list[Job]) -> None:
    for _ in range(3):
        orphan()
    assert rescue("jobs", now=NOON) == 3
    assert Job.objects.filter(type=ALERT).count() == 1


def test_one_that_is_to_be_cancelled_does_not_die(told: list[Job]) -> None:
    job = orphan(cancel_requested_at=NOON)
    assert rescue("jobs", now=NOON) == 1
    assert statuses(job) == ["CANCELLED"]
    assert told == []
