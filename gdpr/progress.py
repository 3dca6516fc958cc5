"""How far the making of an archive is, in rows and bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """What was read so far, and what is expected: an estimate, never less than what was read."""

    step: str
    rows: int
    bytes: int
    expected_rows: int
    expected_bytes: int

    @property
    def fraction(self) -> float:
        """From 0 to 1, by rows."""
        return self.rows / self.expected_rows if self.expected_rows else 1.0

    def as_json(self) -> dict[str, Any]:
        """The progress as a job shows it while it runs."""
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "expectedRows": self.expected_rows,
            "expectedBytes": self.expected_bytes,
        }


Advance = Callable[[Progress], None]


@dataclass(slots=True)
class Meter:
    """Counts what is read, table by table, and tells of it."""

    advance: Advance
    _rows: int = 0
    _bytes: int = 0
    _expected: dict[str, tuple[int, int]] = field(default_factory=dict)
    _read: dict[str, tuple[int, int]] = field(default_factory=dict)

    def expect(self, step: str, *, rows: int, size: int) -> None:
        """Add what a step will probably read; it takes a moment to find out, too."""
        self._expected[step] = (rows, size)
        self.tell("counting")

    def took(self, step: str, *, rows: int, size: int) -> None:
        """Tell of what was read."""
        before = self._read.get(step, (0, 0))
        self._read[step] = (before[0] + rows, before[1] + size)
        self._rows, self._bytes = self._rows + rows, self._bytes + size
        self.tell(step)

    def tell(self, step: str) -> None:
        """Tell where things stand; what rows take is known better once some were read."""
        rows = size = 0
        for name, (expected_rows, expected_size) in self._expected.items():
            read_rows, read_size = self._read.get(name, (0, 0))
            still = max(expected_rows, read_rows)
            rows += still
            size += read_size * still // read_rows if read_rows else expected_size
        self.advance(Progress(step, self._rows, self._bytes, rows, size))
