"""The policy's promises, for whatever comes back."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from webhooks.models import WebhookDelivery
from webhooks.policy import JITTER_CAP, RETRY_AFTER_CAP, RetryPolicy, Verdict
from webhooks.sending.outcome import Kind, Outcome

Status = WebhookDelivery.Status
schedules = st.lists(st.floats(1, 7 * 86_400), min_size=1, max_size=12).map(tuple)
moments = st.integers(0, 80 * 365 * 86_400).map(
    lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
jitters = st.floats(0, 1)
seconds_asked = st.integers(0, 10**10 - 1)
failing_kinds = st.sampled_from([kind for kind in Kind if kind != Kind.DELIVERED])
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(Kind),
    status=st.none() | st.integers(100, 599),
    error=st.text(max_size=20),
    headers=st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text(max_size=30) | seconds_asked.map(str)),
)


def failed(status: int | None = 500, **headers: str) -> Outcome:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Outcome(Kind.REJECTED, status=status, error="no", headers=named)


def pause(verdict: Verdict, now: datetime) -> timedelta:
    assert verdict.next_attempt_at is not None
    return verdict.next_attempt_at - now


@given(outcomes, schedules, st.integers(0, 20), moments, jitters)
def test_a_retry_is_never_earlier_than_the_schedule_nor_later_than_its_bounds(
    outcome: Outcome, schedule: tuple[float, ...], failures: int, now: datetime, jitter: float
) -> None:
    verdict = RetryPolicy(schedule).decide(outcome, failures=failures, now=now, jitter=jitter)
    if verdict.next_attempt_at is not None:
        planned = timedelta(seconds=schedule[failures])
        assert planned <= pause(verdict, now) <= max(planned, RETRY_AFTER_CAP) + JITTER_CAP


@given(outcomes, schedules, st.integers(0, 20), moments)
def test_success_alone_is_success_and_is_never_due(
    outcome: Outcome, schedule: tuple[float, ...], failures: int, now: datetime
) -> None:
    verdict = RetryPolicy(schedule).decide(outcome, failures=failures, now=now, jitter=0.5)
    delivered = outcome.kind == Kind.DELIVERED
    assert verdict.status == (Status.SUCCESS if delivered else Status.FAILED)
    assert verdict.failures == failures + (not delivered)
    if delivered:
        assert (verdict.next_attempt_at, verdict.disable) == (None, "")


@given(schedules, failing_kinds, moments, jitters)
def test_after_as_many_failures_as_there_are_pauses_and_one_more_it_ends(
    schedule: tuple[float, ...], kind: Kind, now: datetime, jitter: float
) -> None:
    policy, failures, attempts = RetryPolicy(schedule), 0, 0
    due: datetime | None = now
    while due is not None:
        verdict = policy.decide(Outcome(kind, status=500), failures=failures, now=due, jitter=jitter)
        attempts, failures, due = attempts + 1, verdict.failures, verdict.next_attempt_at
        assert attempts <= len(schedule) + 1
    assert attempts == failures == len(schedule) + 1
    assert verdict.status == Status.FAILED


@given(schedules, moments, jitters, st.data())
def test_jitter_only_delays_and_only_by_a_tenth_or_its_cap(
    schedule: tuple[float, ...], now: datetime, jitter: float, data: st.DataObject
) -> None:
    failures = data.draw(st.integers(0, len(schedule) - 1))
    policy = RetryPolicy(schedule)
    straight = pause(policy.decide(failed(), failures=failures, now=now, jitter=0), now)
    jittered = pause(policy.decide(failed(), failures=failures, now=now, jitter=jitter), now)
    assert straight == timedelta(seconds=schedule[failures])
    assert straight <= jittered <= straight + min(JITTER_CAP, straight / 10 + timedelta(microseconds=1))


@given(st.sampled_from([429, 503]), seconds_asked, st.floats(1, 86_400), moments, st.sampled_from(["seconds", "date"]))
def test_what_the_receiver_asks_for_is_granted_up_to_a_bound(
    status: int, seconds: int, planned: float, now: datetime, form: str
) -> None:
    seconds = min(seconds, 10**9) if form == "date" else seconds
    asked = format_datetime(now + timedelta(seconds=seconds), usegmt=True) if form == "date" else str(seconds)
    verdict = RetryPolicy((planned,)).decide(failed(status, retry_after=asked), failures=0, now=now, jitter=0)
    granted = min(timedelta(seconds=seconds), RETRY_AFTER_CAP)
    assert pause(verdict, now) == max(granted, timedelta(seconds=planned))


@given(st.integers(400, 599).filter(lambda status: status not in (410, 429, 503)), seconds_asked)
def test_nobody_else_is_asked_how_long_to_wait(status: int, seconds: int) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    verdict = RetryPolicy((60,)).decide(failed(status, retry_after=str(seconds)), failures=0, now=now, jitter=0)
    assert pause(verdict, now) == timedelta(seconds=60)


@given(failing_kinds, schedules, st.integers(0, 20), moments)
def test_410_is_the_end_and_says_why_the_webhook_goes_off(
    kind: Kind, schedule: tuple[float, ...], failures: int, now: datetime
) -> None:
    gone = Outcome(kind, status=410, headers={"retry-after": "5"})
    verdict = RetryPolicy(schedule).decide(gone, failures=failures, now=now, jitter=0)
    assert (verdict.status, verdict.next_attempt_at) == (Status.FAILED, None)
    assert "410" in verdict.disable


@given(outcomes, schedules, st.integers(0, 20), moments)
def test_nothing_else_disables_a_webhook(
    outcome: Outcome, schedule: tuple[float, ...], failures: int, now: datetime
) -> None:
    verdict = RetryPolicy(schedule).decide(outcome, failures=failures, now=now, jitter=0)
    assert bool(verdict.disable) == (outcome.status == 410 and outcome.kind != Kind.DELIVERED)
