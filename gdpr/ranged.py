"""An object in a bucket as a file: it is read in ranges, a little ahead of who reads it."""

import io
import os
from collections.abc import Callable
from typing import Any

LEAST, MOST = 256 << 10, 4 << 20
"""Bytes of one request: they double as long as reading goes on from where it was, and begin anew after a jump."""


class Ranged(io.RawIOBase):
    """`fetch(start, end)` gives the bytes of a range, the last one excluded; one range is kept in memory."""

    def __init__(self, fetch: Callable[[int, int], bytes], *, size: int) -> None:
        self._fetch, self._size = fetch, size
        self._at = 0
        self._start, self._range = 0, b""
        self._ahead = LEAST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"position {at} lies before the start of the file")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        if not self._start <= self._at < self._start + len(self._range):
            self._read_ahead()
        offset = self._at - self._start
        found = memoryview(self._range)[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _read_ahead(self) -> None:
        went_on = self._range and self._at == self._start + len(self._range)
        self._ahead = min(MOST, 2 * self._ahead) if went_on else LEAST
        self._range = b""  # before the next one takes its memory
        self._range = self._fetch(self._at, min(self._size, self._at + self._ahead))
        self._start = self._at
