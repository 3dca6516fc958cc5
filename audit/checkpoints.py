"""Checkpoints: how far each chain of a company reached, signed (docs/archive.md)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import signing
from audit.canonical import canonical
from audit.chain import GENESIS, timestamp
from audit.merkle import Accumulator, SpooledTree
from audit.models import ChainHead, Company, Workspace

KIND = "hyrelog-checkpoint-v1"
VERSION = 1


class BrokenChain(Exception):
    """A chain does not hold what its head says; names the workspace, the seq and the reason."""

    def __init__(self, workspace_id: uuid.UUID, seq: int, reason: str) -> None:
        super().__init__(f"The chain of workspace {workspace_id} is broken at seq {seq}: {reason}")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the chain of a workspace reaches: events 1 to `seq`, of which `hash` is the last one's."""

    workspace_id: uuid.UUID
    name: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Links:
    """What ties events to each other, of some that follow one another."""

    seqs: list[int]
    prev_hashes: list[str]
    hashes: list[str]


class Walk:
    """Follows a chain from its first event to where it reaches, and builds its Merkle tree on the way.

    The tree is given where more of it is wanted than its root.
    """

    def __init__(self, reach: Reach, *, tree: Accumulator | SpooledTree | None = None) -> None:
        self.reach = reach
        self._tree = tree or Accumulator()
        self._hash = GENESIS

    def take(self, links: Links) -> None:
        """Go on by the next events. Raises BrokenChain where they do not follow those before."""
        after = self._tree.size
        if links.seqs != list(range(after + 1, after + 1 + len(links.seqs))):
            expected, found = next(pair for pair in enumerate(links.seqs, start=after + 1) if pair[0] != pair[1])
            raise self._broken(expected, f"the event is missing, the next one that exists has seq {found}")
        expected_hashes = [self._hash, *links.hashes[:-1]]
        if links.prev_hashes != expected_hashes:
            pairs = zip(links.seqs, links.prev_hashes, expected_hashes, strict=True)
            seq = next(seq for seq, prev_hash, expected_hash in pairs if prev_hash != expected_hash)
            raise self._broken(seq, "its prev_hash is not the hash of the event before it")
        for seq, digest in zip(links.seqs, links.hashes, strict=True):
            try:
                self._tree.append(bytes.fromhex(digest))
            except ValueError:
                raise self._broken(seq, "its hash is none") from None
        self._hash = links.hashes[-1]

    def end(self) -> dict[str, Any]:
        """The chain as a checkpoint tells of it. Raises BrokenChain where it was left before its end."""
        if self._tree.size != self.reach.seq:
            missing = f"the event is missing, the chain's head says that it reaches {self.reach.seq}"
            raise self._broken(self._tree.size + 1, missing)
        if self._hash != self.reach.hash:
            raise self._broken(self.reach.seq, "the chain's head holds another hash than this last event")
        return {
            "workspaceId": str(self.reach.workspace_id),
            "seq": self.reach.seq,
            "hash": self._hash,
            "root": self._tree.root().hex(),
        }

    def _broken(self, seq: int, reason: str) -> BrokenChain:
        return BrokenChain(self.reach.workspace_id, seq, reason)


def reaches(company: Company) -> list[Reach]:
    """How far each chain of the company reaches now, the empty ones too, in a checkpoint's order.

    Raises BrokenChain for a workspace whose chain has no head: nobody knows how far it reached.
    """
    return [_reach(workspace) for workspace in company.workspaces.select_related("chain_head").order_by("pk")]


def _reach(workspace: Workspace) -> Reach:
    try:
        head = workspace.chain_head
    except ChainHead.DoesNotExist:
        raise BrokenChain(workspace.pk, 1, "the chain has no head, which says how far it reaches") from None
    return Reach(workspace.pk, workspace.name, head.seq, head.hash)


def checkpoint(company: Company, *, chains: Sequence[dict[str, Any]], issued_at: datetime) -> dict[str, Any]:
    """The signed statement of `chains`, each as `Walk.end` gives it, in the order of `reaches`."""
    body = {
        "version": VERSION,
        "companyId": str(company.pk),
        "issuedAt": timestamp(issued_at),
        "chains": list(chains),
    }
    return {"body": body, "keyId": signing.current_key_id(), "signature": signing.sign(KIND, canonical(body))}
