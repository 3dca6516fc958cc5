"""Pauses and rates, as pure functions."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.backoff import JITTER, BadRate, exponential, interval_of, with_jitter
from jobs.registry import handler


def test_a_pause_doubles_up_to_its_cap() -> None:
    backoff = exponential(base=2, cap=32)
    assert [backoff(failed).total_seconds() for failed in range(1, 8)] == [2, 4, 8, 16, 32, 32, 32]


@given(
    base=st.floats(0.001, 1e6), cap=st.floats(0.001, 1e8), failed=st.integers(1, 10**12), more=st.integers(0, 10**12)
)
def test_no_number_of_failures_overflows_or_shortens_a_pause(base: float, cap: float, failed: int, more: int) -> None:
    backoff = exponential(base=base, cap=cap)
    assert timedelta(0) <= backoff(failed) <= backoff(failed + more) <= timedelta(seconds=cap)


@given(seconds=st.floats(0, 1e7), lot=st.floats(0, 1))
def test_jitter_makes_a_pause_longer_by_a_tenth_at_the_most(seconds: float, lot: float) -> None:
    pause = timedelta(seconds=seconds)
    assert pause <= with_jitter(pause, lot=lot) <= pause * (1 + JITTER)


def test_jitter_spreads_what_failed_together() -> None:
    pause = timedelta(seconds=100)
    assert [with_jitter(pause, lot=lot).total_seconds() for lot in (0, 0.5, 1)] == [100, 105, 110]


@pytest.mark.parametrize(
    ("rate", "interval"),
    [("10/s", 0.1), ("1/s", 1), ("100/m", 0.6), ("90/h", 40), ("24/d", 3600), ("1/d", 86_400), (None, None)],
)
def test_a_rate_is_an_interval_between_two_starts(rate: str | None, interval: float | None) -> None:
    assert interval_of(rate) == interval


BAD = [
    "",
    "10",
    "/s",
    "0/s",
    "-1/s",
    "1.5/s",
    "10 / s",
    "10/S",
    "10/sec",
    "10/w",
    "s/10",
    " 10/s",
    "10/s\n",
    "1e3/s",
    "1\u0660/s",
]


@pytest.mark.parametrize("rate", BAD)
def test_a_bad_rate_is_refused_with_the_rule_where_it_is_declared(rate: str) -> None:
    for declaration in ({"rate": rate}, {"company_rate": rate}):
        with pytest.raises(BadRate, match="is a whole number, a slash and a period: s, m, h or d") as refused:
            handler("test", **declaration)(lambda context: None)  # type: ignore[arg-type]
        assert repr(rate) in str(refused.value)
