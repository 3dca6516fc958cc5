from datetime import UTC, datetime, timedelta, timezone

import pytest

from webhooks.sending.outcome import Kind, Outcome

NOW = datetime(2025, 10, 21, 7, 28, 0, tzinfo=UTC)


def waiting(value: str, *, status: int = 429, now: datetime = NOW) -> float | None:
    return Outcome(Kind.REJECTED, status, headers={"retry-after": value}).retry_after(now)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("Tue, 21 Oct 2025 07:29:30 GMT", 90.0),
        ("Tuesday, 21-Oct-25 07:29:30 GMT", 90.0),
        ("Tue Oct 21 07:29:30 2025", 90.0),
        ("Tue, 21 Oct 2025 07:00:00 GMT", 0.0),
        ("Fri, 01 Jan 1990 00:00:00 GMT", 0.0),
    ],
)
def test_both_forms_are_read(value: str, seconds: float) -> None:
    assert waiting(value) == seconds
    assert waiting(value, now=NOW.astimezone(timezone(timedelta(hours=2)))) == seconds


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "1e3", "soon", "120, 240", "\u0661\u0662", "9" * 11, "Tue, 41 Oct 2025 07:29:30 GMT"]
)
def test_what_is_neither_form_is_no_wish(value: str) -> None:
    assert waiting(value) is None


@pytest.mark.parametrize("status", [200, 301, 400, 500])
def test_only_429_and_503_are_heard(status: int) -> None:
    assert waiting("5", status=status) is None
    assert waiting("5", status=503) == 5.0


def test_an_absent_header_is_no_wish() -> None:
    assert Outcome(Kind.REJECTED, 503).retry_after(NOW) is None
