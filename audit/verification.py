"""Verification: walks a chain from its first event to its head and names each row that does not fit."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db.models import OuterRef, Q, Subquery, TextField
from django.db.models.functions import Cast, Concat, Length

from audit import chain
from audit.drafts import SYSTEM_CATEGORY
from audit.erased import Erasures, Marks, Told
from audit.erasing import PARTS, is_record
from audit.faults import Fault, has_its_hash, is_sealed, readable
from audit.models import AuditEvent, ChainHead, Workspace
from audit.models.company import SYSTEM_WORKSPACE

PART_ROWS = 1_000
PART_CHARACTERS = 8 * 1024 * 1024
"""Of JSON that is read into memory at once; one event may have a quarter of it."""
_JSON = ("actor", "target", "payload", "metadata", "changes", "context")
# Not what the row takes on disk: there it may be compressed a hundredfold.
CHARACTERS = Length(Concat(*(Cast(name, TextField()) for name in _JSON)))


@dataclass(frozen=True, slots=True)
class _Link:
    """A row's place in its chain: what can be read whatever became of the rest of it."""

    id: uuid.UUID
    seq: int
    prev_hash: str
    hash: str
    characters: int


def verify(
    workspace: Workspace,
    *,
    advance: Callable[[int], object] = lambda _: None,
    erased: Told = lambda _, __: None,
) -> Iterator[Fault]:
    """Each fault of a workspace's chain, up to the head as it stood at the start; none means that it is intact.

    Rows outside the chain, before its first event or beyond its head, are faults too. Reads in parts of at most 1,000
    rows and 8 MiB, so that memory stays bounded and no long transaction is needed; `advance(n)` is told of each part.

    An erased part that stands as the record of its erasure says is no fault; `erased(erasure_id, part)` is told of it.
    What the records list is looked at where they stand: parts that should be erased and are back, in whatever workspace
    of the company, are faults that the verification of its `system` workspace finds.
    """
    head = ChainHead.objects.filter(workspace=workspace).first()
    if head is None:
        yield Fault(str(workspace.id), 0, None, "missing: the chain has no head, which says how far it must reach")
        return
    erasures = Erasures(workspace.company, told=erased)
    seq, prev_hash = 0, chain.GENESIS
    for part in _parts(workspace, up_to=head.seq):
        events = readable([link.id for link in part])
        if workspace.is_system:
            erasures.ask_for_approvals(events.values())
        for link in part:
            if link.seq != seq + 1:
                yield Fault(str(workspace.id), seq + 1, None, f"missing: the next event that exists has seq {link.seq}")
            elif link.prev_hash != prev_hash:
                yield _fault(workspace, link, "prev_hash is not the hash of the event before it")
            yield from _event_faults(workspace, link, events.get(link.id), erasures)
            seq, prev_hash = link.seq, link.hash
        advance(len(part))
    if seq < head.seq:
        yield Fault(str(workspace.id), seq + 1, None, f"missing: the chain's head says that it reaches {head.seq}")
    elif prev_hash != head.hash:
        yield Fault(str(workspace.id), head.seq, None, "the chain's head holds another hash than its last event")
    yield from _outside(workspace)


def _parts(workspace: Workspace, *, up_to: int) -> Iterator[list[_Link]]:
    """The chain's links in order, cut where the rows that they stand for would fill the memory."""
    part: list[_Link] = []
    room = PART_CHARACTERS
    for link in _links(workspace, up_to=up_to):
        if part and (len(part) == PART_ROWS or link.characters > room):
            yield part
            part, room = [], PART_CHARACTERS
        part.append(link)
        room -= link.characters
    if part:
        yield part


def _links(workspace: Workspace, *, up_to: int) -> Iterator[_Link]:
    seq = 0
    while seq < up_to:
        rows = AuditEvent.objects.filter(workspace=workspace, seq__gt=seq, seq__lte=up_to).order_by("seq")
        links = [_Link(*row) for row in rows.values_list("id", "seq", "prev_hash", "hash", CHARACTERS)[:PART_ROWS]]
        if not links:
            return
        yield from links
        seq = links[-1].seq


def _event_faults(workspace: Workspace, link: _Link, event: AuditEvent | None, erasures: Erasures) -> Iterator[Fault]:
    """What is wrong with an event, and with what it records as erased."""
    reasons = [*_own_faults(event, erasures), *_misplaced(workspace, event)]
    for reason in reasons:
        yield _fault(workspace, link, reason)
    if event and not reasons and workspace.is_system and is_record(event):
        yield from erasures.faults_of_record(event)


def _own_faults(event: AuditEvent | None, erasures: Erasures) -> Iterator[str]:
    if event is None:
        yield "it was altered: it holds a value that cannot be read"
        return
    for part in PARTS:
        if not Marks.on(event, part).never_erased:
            yield from erasures.faults_of_part(event, part)
        elif not is_sealed(event, part):
            yield f"its {part} was altered: it does not match its commitment"
    if not has_its_hash(event):
        yield "its envelope was altered: it does not match its hash"


def _misplaced(workspace: Workspace, event: AuditEvent | None) -> Iterator[str]:
    """Why an event cannot be of this workspace, whose name and company are in no hash."""
    if event and event.company_id != workspace.company_id:
        yield f"it is an event of company {event.company_id}, and its workspace is another one's"
    if event and event.category == SYSTEM_CATEGORY and not workspace.is_system:
        only = f"HyreLog records what it did in the workspace `{SYSTEM_WORKSPACE}` only"
        yield f"{only}: this one was renamed, or the event is forged"


def _outside(workspace: Workspace) -> Iterator[Fault]:
    """Rows that no walk from the first event to the head meets."""
    # One statement, one snapshot: an event that is recorded meanwhile is in it together with the head that counts it.
    reach = ChainHead.objects.filter(workspace=OuterRef("workspace")).values("seq")
    strays = AuditEvent.objects.filter(Q(seq__lt=1) | Q(seq__gt=Subquery(reach)), workspace=workspace)
    for event_id, seq in strays.order_by("seq").values_list("id", "seq"):
        where = "beyond the chain's head" if seq > 0 else "before the chain's first event"
        yield Fault(str(workspace.id), seq, str(event_id), f"forged: it stands {where}")


def _fault(workspace: Workspace, link: _Link, reason: str) -> Fault:
    return Fault(str(workspace.id), link.seq, str(link.id), reason)
