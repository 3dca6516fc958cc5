"""Time-ordered identifiers, so that new rows land at the end of an index and not all over it."""

import os
import time
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7() -> uuid.UUID:
    """A version 7 UUID: 48 bits of Unix milliseconds, 12 of their fraction, 62 random bits (RFC 9562, section 6.2).

    By the fraction, what one thread makes one after the other stays in this order: lines of a log, jobs of a batch.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    value = milliseconds << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64 | int.from_bytes(os.urandom(8), "big")
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def first_at(moment: datetime) -> uuid.UUID:
    """Less than each id that `uuid7` makes in a moment's millisecond or later, more than each that it made before."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return uuid.UUID(int=max(0, milliseconds) << 80)
