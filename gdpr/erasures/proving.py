"""Proofs of erasures: the records that a person's erased events name, with what leads from each to the checkpoint."""

import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from audit.checkpoints import Links, Reach, Walk
from audit.erasing import PARTS, records_of
from audit.merkle import SpooledTree
from audit.models import AuditEvent, Company
from audit.personal_data import Covered
from gdpr.proving import IN_MEMORY
from gdpr.reading import read
from gdpr.selecting import Selection, events_of_chain

LINKS = 5_000
"""Links of the chain that one statement reads: less than a megabyte."""
RECORDS = 500
"""Records that one statement looks up."""

T = TypeVar("T")


class ErasureProofs:
    """The records of erasures that belong into a person's archive.

    What names them is met before, between or after them, and few exports need any: so the `system` chain is walked
    once more at the end, by its hashes alone. In memory is an id for each record that is named, of which a company has
    one for every 200 events that it erased.
    """

    def __init__(self) -> None:
        self._named: set[uuid.UUID] = set()

    def want(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Have the records proved, too, that these events name."""
        for row in rows:
            self._named.update(uuid.UUID(by) for part in PARTS if (by := row[f"{part}_erased_by"]))

    def __bool__(self) -> bool:
        return bool(self._named)

    def lines(self, company: Company, table: Covered, reach: Reach) -> Iterator[bytes]:
        """Each record with its path, in the order of the chain; empty ones between them tell that the work goes on.

        What an event names that is no record of this chain, as far as it reaches, is left out: the verifier tells of
        that. Raises audit.checkpoints.BrokenChain.
        """
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as leaves:
            tree = SpooledTree(leaves)
            for _ in _walk(reach, tree):
                yield b""
            seqs = self._seqs(company, reach)
            paths = tree.paths(seq - 1 for seq in seqs)
            for some in _parts(seqs):
                for row in _rows(table, reach, some):
                    path = json.dumps([node.hex() for node in next(paths)], separators=(",", ":"))
                    yield b'{"event":%b,"path":%b}\n' % (row, path.encode())

    def _seqs(self, company: Company, reach: Reach) -> list[int]:
        seqs: list[int] = []
        for some in _parts(list(self._named)):
            records = records_of(company).filter(pk__in=some, seq__lte=reach.seq)
            seqs += records.values_list("seq", flat=True)
        return sorted(seqs)


def _walk(reach: Reach, tree: SpooledTree) -> Iterator[None]:
    """Fill the tree with the chain's hashes, some at a time."""
    walk, after = Walk(reach, tree=tree), 0
    while after < reach.seq:
        events = AuditEvent.objects.filter(workspace=reach.workspace_id, seq__gt=after, seq__lte=reach.seq)
        links = list(events.order_by("seq").values_list("seq", "prev_hash", "hash")[:LINKS])
        if not links:
            break
        walk.take(Links(*map(list, zip(*links, strict=True))))
        after = links[-1][0]
        yield
    walk.end()


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + RECORDS] for start in range(0, len(items), RECORDS))


def _rows(table: Covered, reach: Reach, seqs: Iterable[int]) -> Iterator[bytes]:
    """The lines of events of a chain as the archive has them, without their line feeds."""
    chain = events_of_chain(table, reach)
    where, values = f'{chain.where} AND "seq" = ANY(%s)', (*chain.values, list(seqs))
    for part in read(Selection(table, where=where, values=values, keyset=chain.keyset, first=chain.first)):
        yield from part.text.splitlines()
