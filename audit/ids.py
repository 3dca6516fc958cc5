"""Time-ordered identifiers, so that new rows land at the end of an index and not all over it."""

import os
import time
import uuid
from datetime import datetime


def uuid7() -> uuid.UUID:
    """A version 7 UUID: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def earliest_uuid7(moment: datetime) -> uuid.UUID:
    """The least id of a moment: whatever was made before it has a smaller one."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80)
