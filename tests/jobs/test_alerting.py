"""Dead letters are told of: once for many, of each at least once, and never in circles."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import alerting, registry, rescuing
from jobs.alerting import ALERT, GATHERED_FOR
from jobs.claiming import Claimer
from jobs.context import JobContext, Unrecoverable
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job, WorkerProcess
from jobs.models.attempt import Outcome
from jobs.registry import handler
from jobs.running import _time_out
from tests.conftest import Tenant
from tests.jobs import steps
from tests.mail_server import MailServer, serve_mail

TO = ("ops@example.com", "On call <oncall@example.com>")


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types that die at their first attempt."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
    for job_type in ("frail", "weak"):

        @handler(job_type, max_attempts=1, timeout=60)
        def die(context: JobContext) -> None:
            raise Unrecoverable(context.payload.get("why", "no luck"))


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    with serve_mail() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS, settings.SENDS_EMAIL = False, True
        settings.OPERATORS_EMAIL = TO
        yield server


def die(lease: ProcessLease, *types: str, **payload: Any) -> list[Job]:
    """One dead letter of each type."""
    dead = []
    for job_type in types:
        job, _ = enqueue(job_type, payload)
        assert steps.run_next(lease)
        job.refresh_from_db()
        assert job.status == "FAILED"
        dead.append(job)
    return dead


def send(lease: ProcessLease) -> None:
    """Whatever alert is due a minute from now."""
    later = timezone.now() + GATHERED_FOR
    assert steps.run_next(lease, clock=lambda: later)


def alerts() -> list[Job]:
    return list(Job.objects.filter(type=ALERT).order_by("pk"))


def told(mail: MailServer) -> list[str]:
    return [letter.get_content() for letter in mail.letters]


def test_many_deaths_of_a_type_within_a_minute_are_one_e_mail(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    dead = die(lease, "frail", "frail", "frail", why="no luck")
    assert not steps.run_next(lease)  # nothing is sent before the minute is over
    send(lease)
    (letter,) = mail.letters
    assert letter["subject"] == "HyreLog: 3 jobs of the type frail failed for good"
    assert mail.recipients == ["ops@example.com", "oncall@example.com"]
    for job in dead:
        assert f"{job.pk}  attempt 1: no luck" in letter.get_content()
    assert [alert.status for alert in alerts()] == ["COMPLETED"]


def test_a_death_after_that_is_a_new_e_mail_of_its_own(committed: None, lease: ProcessLease, mail: MailServer) -> None:
    (before,) = die(lease, "frail")
    send(lease)
    (after,) = die(lease, "frail")
    send(lease)
    first, second = told(mail)
    assert str(before.pk) in first
    assert str(after.pk) in second
    assert str(before.pk) not in second


def test_each_type_has_its_own_e_mail(committed: None, lease: ProcessLease, mail: MailServer) -> None:
    die(lease, "frail", "weak")
    send(lease)
    send(lease)
    assert {letter["subject"] for letter in mail.letters} == {
        "HyreLog: 1 job of the type frail failed for good",
        "HyreLog: 1 job of the type weak failed for good",
    }


def test_more_than_can_be_read_are_counted(
    committed: None, lease: ProcessLease, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "SHOWN", 2)
    monkeypatch.setattr(alerting, "ERROR", 10)
    die(lease, "frail", "frail", "frail", why="x" * 50)
    send(lease)
    (text,) = told(mail)
    assert text.count("attempt 1: xxxxxxxxxx\r\n") == 2
    assert "and 1 more" in text


def test_a_timeout_is_told_of(committed: None, lease: ProcessLease, mail: MailServer) -> None:
    enqueue("frail", {})
    job = steps.claim(lease, now=timezone.now())
    assert _time_out(job, clock=timezone.now)
    assert job.history.get().outcome == Outcome.TIMED_OUT
    send(lease)
    assert "timeout: the attempt took longer" in told(mail)[0]


def test_jobs_that_died_with_their_workers_are_told_of_by_type(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    for job_type in ("weak", "frail", "weak"):
        enqueue(job_type, {})
        steps.claim(lease, now=timezone.now())
    WorkerProcess.objects.filter(pk=lease.process_id).delete()
    other = ProcessLease(queues=["jobs"])
    assert rescuing.rescue("jobs", now=timezone.now()) == 3
    assert len(alerts()) == 2
    send(other)
    send(other)
    assert sorted(letter["subject"] for letter in mail.letters) == [
        "HyreLog: 1 job of the type frail failed for good",
        "HyreLog: 2 jobs of the type weak failed for good",
    ]
    assert "lost: the worker process died" in told(mail)[0]
    other.give_up(other.process_id)


def test_a_retry_or_a_cancellation_is_no_death(
    committed: None, lease: ProcessLease, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue("frail", {}, max_attempts=2)
    job = steps.claim(lease, now=timezone.now())
    assert _time_out(job, clock=timezone.now)
    assert job.status == "PENDING"
    enqueue("weak", {})
    cancelled = steps.claim(lease, now=timezone.now())
    Job.objects.filter(pk=cancelled.pk).cancel(now=timezone.now())
    steps.run(cancelled)
    cancelled.refresh_from_db()
    assert cancelled.status == "CANCELLED"
    assert alerts() == []


def test_an_alert_that_dies_is_not_told_of(committed: None, lease: ProcessLease, mail: MailServer) -> None:
    mail.reply = "554 no"
    die(lease, "frail")
    Job.objects.filter(type=ALERT).update(max_attempts=1)
    send(lease)
    assert [alert.status for alert in alerts()] == ["FAILED"]


def test_without_operators_there_is_no_alert(
    committed: None, lease: ProcessLease, mail: MailServer, settings: Any
) -> None:
    settings.OPERATORS_EMAIL = ()
    die(lease, "frail")
    assert alerts() == []


def test_dead_letters_that_were_retried_meanwhile_are_not_told_of(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    (job,) = die(lease, "frail")
    Job.objects.filter(pk=job.pk).cancel(now=timezone.now())
    Job.objects.filter(pk=job.pk).retry(now=timezone.now() + timedelta(days=1))
    send(lease)
    assert (mail.came, alerts()[0].result) == (0, {"sent": False})


def test_who_dies_while_the_alert_is_being_sent_is_told_of_by_the_next(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    (first,) = die(lease, "frail")
    sending = steps.claim(lease, now=timezone.now() + GATHERED_FOR)
    late = die(lease, "frail", "frail")
    assert steps.run(sending)
    send(lease)
    assert len(mail.letters) == 2
    assert not steps.run_next(lease, clock=lambda: timezone.now() + GATHERED_FOR)
    assert str(first.pk) in told(mail)[0]
    for job in late:
        assert str(job.pk) in told(mail)[1]


def test_an_alert_waits_for_a_death_that_has_joined_it_and_is_not_committed_yet(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    die(lease, "frail")
    enqueue("frail", {})
    dying = steps.claim(lease, now=timezone.now())
    later = timezone.now() + GATHERED_FOR
    with transaction.atomic():
        dying.fail(error="late")
        alerting.died([dying], now=timezone.now())
        assert _elsewhere(lambda: Claimer("jobs").claim(process=lease.process_id, now=later).job) is None
    send(lease)
    assert str(dying.pk) in told(mail)[0]
    assert len(alerts()) == 1


def test_a_death_whose_transaction_began_before_the_alert_is_in_it(
    committed: None, lease: ProcessLease, mail: MailServer
) -> None:
    enqueue("frail", {})
    slow, other = steps.claim(lease, now=timezone.now()), ProcessLease(queues=["jobs"])
    with transaction.atomic():
        slow.fail(error="slow")  # its end is when its transaction began
        _elsewhere(lambda: die(other, "frail"))
        alerting.died([slow], now=timezone.now())
    send(lease)
    other.give_up(other.process_id)
    assert str(slow.pk) in told(mail)[0]
    assert len(alerts()) == 1


def test_hyrelog_s_own_clock_being_ahead_of_the_database_s_hides_no_death(
    tenant: Tenant, lease: ProcessLease, mail: MailServer
) -> None:
    enqueue("frail", {})
    ahead = timezone.now() + timedelta(minutes=5)
    assert steps.run_next(lease, clock=lambda: ahead)
    assert steps.run_next(lease, clock=lambda: ahead + GATHERED_FOR)
    assert len(mail.letters) == 1


def _elsewhere(do: Any) -> Any:
    """What `do` gives in another connection."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(do())
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    return found[0]
