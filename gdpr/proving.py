"""Proofs that the events of a person are in the signed checkpoint, without showing anybody else's (docs/archive.md)."""

import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from audit.checkpoints import Reach
from audit.merkle import SpooledTree

IN_MEMORY = 16 * 1024
"""Bytes of a chain's tree, and of its list of events, that need no file."""
PART = 500
"""Proofs that are written at a time; each has some 1,500 bytes."""
_SEQ_BYTES = 8


class Proofs:
    """The tree of a chain, and which of its events are to be proved; both in temporary files where they are large."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._files = [tempfile.SpooledTemporaryFile(IN_MEMORY) for _ in range(2)]  # noqa: SIM115  see `close`
        leaves, self._wanted = self._files
        self.tree = SpooledTree(leaves)
        self._count = 0

    def want(self, rows: Iterable[dict[str, Any]]) -> None:
        """Have these events proved, too; in ascending order of their seq."""
        for row in rows:
            self._wanted.write(uuid.UUID(row["id"]).bytes + row["seq"].to_bytes(_SEQ_BYTES, "big"))
            self._count += 1

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """The proofs' lines, some at a time, and how many; once the tree is whole."""
        proved = zip(self._events(), self.tree.paths(seq - 1 for _, seq in self._events()), strict=True)
        lines = (self._line(event, seq, path) for (event, seq), path in proved)
        while part := [line for _, line in zip(range(PART), lines, strict=False)]:
            yield len(part), "".join(part).encode()

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
