"""Verification: walks a chain from its first event to its head and names each row that does not fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audit import chain
from audit.models import AuditEvent, ChainHead, Workspace

PART = 1_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that does not fit into its chain."""

    workspace: str
    seq: int
    event: str | None
    reason: str

    def __str__(self) -> str:
        where = f"event {self.event} (seq {self.seq})" if self.event else f"seq {self.seq}"
        return f"workspace {self.workspace}, {where}: {self.reason}"


def verify(workspace: Workspace, *, advance: Callable[[int], object] = lambda _: None) -> Iterator[Fault]:
    """Each fault of a workspace's chain, up to the head as it stood at the start; none means that it is intact.

    Reads in parts of 1,000 rows, so that memory stays constant and no long transaction is needed; `advance(n)` is
    told of each part.
    """
    head = ChainHead.objects.get(workspace=workspace)
    seq, prev_hash = 0, chain.GENESIS
    while seq < head.seq:
        part = list(
            AuditEvent.objects.filter(workspace=workspace, seq__gt=seq, seq__lte=head.seq).order_by("seq")[:PART]
        )
        for event in part:
            if event.seq != seq + 1:
                yield Fault(
                    str(workspace.id), seq + 1, None, f"missing: the next event that exists has seq {event.seq}"
                )
            elif event.prev_hash != prev_hash:
                yield _fault(event, "prev_hash is not the hash of the event before it")
            yield from _own_faults(event)
            seq, prev_hash = event.seq, event.hash
        advance(len(part))
        if not part:
            yield Fault(str(workspace.id), seq + 1, None, f"missing: the chain's head says that it reaches {head.seq}")
            return
    if seq == head.seq and prev_hash != head.hash:
        yield Fault(str(workspace.id), head.seq, None, "the chain's head holds another hash than its last event")


def _own_faults(event: AuditEvent) -> Iterator[Fault]:
    for name, salt, value, expected in (
        ("actor", event.actor_salt, event.actor, event.actor_commitment),
        ("content", event.content_salt, event.content, event.content_commitment),
    ):
        if salt is None:
            yield _fault(event, f"the salt of its {name} is missing without an erasure on record")
        elif chain.commitment(salt, value) != expected:
            yield _fault(event, f"its {name} was altered: it does not match its commitment")
    if event.compute_hash() != event.hash:
        yield _fault(event, "its envelope was altered: it does not match its hash")


def _fault(event: AuditEvent, reason: str) -> Fault:
    return Fault(str(event.workspace_id), event.seq, str(event.id), reason)
