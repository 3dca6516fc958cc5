"""Proofs that the events of a person are in the signed checkpoint, without showing anybody else's (docs/archive.md)."""

import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from audit.checkpoints import Reach
from audit.merkle import SpooledTree
from gdpr.reading import PART_BYTES

IN_MEMORY = 16 * 1024
"""Bytes of a chain's tree, of its list of events, and of all proofs, that need no file."""
PART = 500
"""Proofs that are made at a time; each has some 1,500 bytes."""
_SEQ_BYTES = 8


class Proofs:
    """The proofs of an export, made chain after chain; kept in a temporary file until all are to be written.

    A company may have any number of chains: two more files serve each of them in turn, for its tree and for the events
    that are to be proved.
    """

    def __init__(self) -> None:
        self._files = [tempfile.SpooledTemporaryFile(IN_MEMORY) for _ in range(3)]  # noqa: SIM115  see `close`
        self._leaves, self._wanted, self._lines = self._files

    def begin(self, reach: Reach) -> SpooledTree:
        """The tree of the next chain, to be filled; nothing else may go on with the one before."""
        for file in (self._leaves, self._wanted):
            file.seek(0)
            file.truncate()
        self._reach, self._tree, self._count = reach, SpooledTree(self._leaves), 0
        return self._tree

    def want(self, rows: Iterable[dict[str, Any]]) -> None:
        """Have these events of the chain proved, too; in ascending order of their seq."""
        for row in rows:
            self._wanted.write(uuid.UUID(row["id"]).bytes + row["seq"].to_bytes(_SEQ_BYTES, "big"))
            self._count += 1

    def end(self) -> Iterator[int]:
        """Make the proofs of the chain, whose tree is whole: some at a time, and how many."""
        proved = zip(self._events(), self._tree.paths(seq - 1 for _, seq in self._events()), strict=True)
        lines = (self._line(event, seq, path) for (event, seq), path in proved)
        while part := list(islice(lines, PART)):
            self._lines.write("".join(part).encode())
            yield len(part)

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """The lines of all proofs, in parts of bounded size, and how many end in each."""
        self._lines.seek(0)
        while text := self._lines.read(PART_BYTES):
            yield text.count(b"\n"), text

    def close(self) -> None:
        """Give the files back."""
        for file in self._files:
            file.close()

    def _events(self) -> Iterator[tuple[uuid.UUID, int]]:
        size = 16 + _SEQ_BYTES
        for n in range(self._count):
            self._wanted.seek(n * size)
            record = self._wanted.read(size)
            yield uuid.UUID(bytes=record[:16]), int.from_bytes(record[16:], "big")

    def _line(self, event: uuid.UUID, seq: int, path: list[bytes]) -> str:
        proof = {
            "id": str(event),
            "workspaceId": str(self._reach.workspace_id),
            "seq": seq,
            "path": [node.hex() for node in path],
        }
        return json.dumps(proof, separators=(",", ":")) + "\n"
