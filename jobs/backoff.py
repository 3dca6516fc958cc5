"""Pauses after failed attempts, and the rates at which jobs may start."""

import re
from collections.abc import Callable
from datetime import timedelta

Backoff = Callable[[int], timedelta]
"""The pause after so many failed attempts, the first being 1."""

JITTER = 0.1
"""By up to this share a pause is longer, so that what failed together does not come back together."""

_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class BadRate(ValueError):
    """A rate is a whole number, a slash and a period: s, m, h or d, such as 10/s."""

    def __init__(self, rate: str) -> None:
        super().__init__(f"{rate!r} is no rate. {self.__doc__}")


def exponential(*, base: float, cap: float) -> Backoff:
    """A pause that doubles with each failed attempt: `base` seconds after the first, at most `cap`."""
    return lambda failed: timedelta(seconds=min(cap, base * 2.0 ** min(failed - 1, 64)))


def with_jitter(pause: timedelta, *, lot: float) -> timedelta:
    """A pause made longer by a lot from 0 to 1."""
    return pause * (1 + JITTER * lot)


def interval_of(rate: str | None) -> float | None:
    """Seconds between two starts at a rate such as `10/s`, spread evenly; None for none. Raises BadRate."""
    if rate is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]*)/([smhd])", rate)
    if match is None:
        raise BadRate(rate)
    return _PERIODS[match[2]] / int(match[1])
