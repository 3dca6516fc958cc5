from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOON
from webhooks.models import WebhookDelivery
from webhooks.policy import JITTER_CAP, RETRY_AFTER_CAP, RetryPolicy
from webhooks.sending.outcome import Kind, Outcome

POLICY = RetryPolicy((60, 300, 1800, 21600))
Status = WebhookDelivery.Status
FAILURE = Outcome(Kind.REJECTED, status=500, error="The endpoint answered 500.")


def test_the_default_schedule_is_one_five_and_thirty_minutes_and_six_hours() -> None:
    pauses = []
    for failures in range(4):
        verdict = POLICY.decide(FAILURE, failures=failures, now=NOON, jitter=0)
        assert verdict.status == Status.FAILED
        assert verdict.failures == failures + 1
        assert verdict.next_attempt_at
        pauses.append(verdict.next_attempt_at - NOON)
    minute = timedelta(minutes=1)
    assert pauses == [minute, 5 * minute, 30 * minute, 360 * minute]


def test_the_fifth_failure_is_the_last() -> None:
    verdict = POLICY.decide(FAILURE, failures=4, now=NOON, jitter=0)
    assert (verdict.status, verdict.next_attempt_at, verdict.failures) == (Status.FAILED, None, 5)
    assert verdict.error == "The endpoint answered 500."


def test_success_ends_it() -> None:
    verdict = POLICY.decide(Outcome(Kind.DELIVERED, status=204), failures=2, now=NOON, jitter=0)
    assert (verdict.status, verdict.next_attempt_at, verdict.failures) == (Status.SUCCESS, None, 2)


def test_410_gives_up_and_disables() -> None:
    verdict = POLICY.decide(Outcome(Kind.REJECTED, status=410), failures=0, now=NOON, jitter=0)
    assert (verdict.status, verdict.next_attempt_at) == (Status.FAILED, None)
    assert "410" in verdict.disable


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("10", timedelta(seconds=60)),  # never earlier than the schedule
        ("120", timedelta(seconds=120)),
        ("Sat, 31 Jan 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("999999999", RETRY_AFTER_CAP),
        ("soon", timedelta(seconds=60)),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_within_bounds(status: int, retry_after: str, pause: timedelta) -> None:
    outcome = Outcome(Kind.REJECTED, status=status, headers={"retry-after": retry_after})
    assert POLICY.decide(outcome, failures=0, now=NOON, jitter=0).next_attempt_at == NOON + pause


@given(
    kind=st.sampled_from(Kind),
    status=st.none() | st.integers(100, 599),
    failures=st.integers(0, 30),
    schedule=st.lists(st.floats(1, 90_000), min_size=1, max_size=10),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after=st.none() | st.text(max_size=12) | st.integers(0, 10**9).map(str),
)
def test_a_verdict_is_always_one_that_a_delivery_can_have(  # noqa: PLR0917  one property of all of them
    kind: Kind, status: int | None, failures: int, schedule: list[float], jitter: float, retry_after: str | None
) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    policy = RetryPolicy(tuple(schedule))
    outcome = Outcome(kind, status=status, headers=headers)
    verdict = policy.decide(outcome, failures=failures, now=NOON, jitter=jitter)
    if kind == Kind.DELIVERED:
        assert (verdict.status, verdict.next_attempt_at, verdict.failures) == (Status.SUCCESS, None, failures)
        return
    assert (verdict.status, verdict.failures) == (Status.FAILED, failures + 1)
    if failures >= len(schedule):
        assert verdict.next_attempt_at is None
    if verdict.next_attempt_at is not None:
        pause = timedelta(seconds=schedule[failures])
        assert NOON + pause <= verdict.next_attempt_at <= NOON + max(pause, RETRY_AFTER_CAP) + JITTER_CAP
