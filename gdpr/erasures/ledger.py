"""The ledger of an erasure: a signed file beside the archives, by which it can be repeated once a backup was restored.

A backup that was made before an erasure brings the person back, and takes with it what the database knew of the
erasure. So that is kept outside of the database too, in EXPORT_STORAGE: which events, which of their values by number
(gdpr.erasures.values), and the pseudonym. It holds no identifier of the person, and nothing that was erased. Nor does
it name whoever asked for it or approved it, but for the numbers of accounts: no later erasure changes a ledger, and
that one may be of one of them.

One JSON object a line: the header, a line for each record in the chain, a line for each other row, and the signature
of the SHA-256 of all bytes before it.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any

from django.utils import timezone

from audit import erasing, signing
from audit.canonical import canonical
from audit.chain import timestamp
from audit.models import AuditEvent
from gdpr import storage, verify
from gdpr.erasures.ledger_lines import FORMAT, VERSION, Header, Line, Record, Row, Signature, read_line
from gdpr.models import ErasedRow, Erasure

KIND = "hyrelog-erasure-ledger-v1"
MOST_LINE = verify.MOST_TEXT
"""Bytes: a record is an event."""
RECORDS, ROWS = 20, 1_000
"""That one statement reads: a record has some 100 KB, a row some hundred bytes."""


class FaultyLedger(ValueError):
    """A file that is no ledger, or not as HyreLog wrote it; the message names the file, the line and the rule."""

    def __init__(self, name: str, line: int, rule: str) -> None:
        super().__init__(f"{name}, line {line}: {rule}.")


def name_of(erasure_id: uuid.UUID) -> str:
    """What an erasure's ledger is called in EXPORT_STORAGE."""
    return f"{storage.LEDGERS}{erasure_id}.ndjson"


def write(erasure: Erasure) -> None:
    """Put the ledger into the storage of archives; one that is there already is replaced. Raises OSError.

    The erasure may not be complete yet, but for that: the time of its completion is that of the writing. What was
    published is read back, since it is needed when nothing else is left.
    """
    name = name_of(erasure.pk)
    with storage.draft(name) as file:
        digest = hashlib.sha256()
        for line in _lines(erasure, now=timezone.now()):
            digest.update(line)
            file.write(line)
        file.write(_signed(digest.digest()))
        storage.publish(name, file)
    try:
        with storage.open_file(name) as published:
            for _ in read(published, name=name):
                pass
    except FaultyLedger as error:
        raise storage.StorageUnavailable(f"The storage does not give back what was written to it: {error}") from error


def _lines(erasure: Erasure, *, now: datetime) -> Iterator[bytes]:
    approvals = erasure.approvals.order_by("at", "id")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "erasureId": str(erasure.pk),
        "companyId": str(erasure.company_id),
        "pseudonym": erasure.pseudonym,
        "requestedAt": timestamp(erasure.created_at),
        "dueAt": timestamp(erasure.due_at),
        "approvals": [{"userId": one.user_id, "at": timestamp(one.at)} for one in approvals],
        "startedAt": erasure.started_at and timestamp(erasure.started_at),
        "completedAt": timestamp(now),
        "counts": dict(erasure.counts),
    }
    yield _line(header)
    yield from map(_line, _records(erasure))
    yield from map(_line, _rows(erasure))


def _records(erasure: Erasure) -> Iterator[dict[str, Any]]:
    mine = erasing.records_of(erasure.company).filter(payload__erasureId=str(erasure.pk))
    page: list[AuditEvent] = list(mine[:RECORDS])
    while page:
        for record in page:
            events = (record.payload or {})["events"]
            recorded = timestamp(record.recorded_at)
            yield {"record": {"id": str(record.pk), "seq": record.seq, "recordedAt": recorded, "events": events}}
        page = list(mine.filter(seq__gt=page[-1].seq)[:RECORDS])


def _rows(erasure: Erasure) -> Iterator[dict[str, Any]]:
    mine = ErasedRow.objects.filter(erasure=erasure).order_by("id")
    page = list(mine[:ROWS])
    while page:
        for row in page:
            yield {"row": {"table": row.table, "key": row.key, "replaced": row.replaced}}
        page = list(mine.filter(id__gt=page[-1].id)[:ROWS])


def _signed(digest: bytes) -> bytes:
    signature = signing.sign(KIND, digest)
    said = {"algorithm": "Ed25519", "keyId": signing.current_key_id(), "sha256": digest.hex(), "signature": signature}
    return _line({"signature": said})


def _line(said: Mapping[str, Any]) -> bytes:
    return canonical(said) + b"\n"


def read(file: IO[bytes], *, name: str, keys: Mapping[str, str] | None = None) -> Iterator[Line]:
    """The lines of a ledger from its start, each as it is read: believe none before this has come to its end.

    `keys` are the public keys by which it may be signed, in hex by key id; HyreLog's own where they are left out.
    Raises FaultyLedger for whatever is not exactly as `write` makes it, OSError.
    """
    trusted = signing.public_keys() if keys is None else keys
    digest, number = hashlib.sha256(), 0
    order, reader = _Order(), verify.JsonReader()
    while sent := file.readline(MOST_LINE + 1):
        number += 1
        try:
            line = _read_line(sent, reader)
            order.check(line)
            if isinstance(line, Signature):
                _check_signature(line, digest.digest(), trusted)
        except ValueError as error:
            raise FaultyLedger(name, number, str(error)) from None
        digest.update(sent)
        yield line
    if not order.is_complete():
        raise FaultyLedger(name, number + 1, "the file ends without the signature" if number else "the file is empty")


class _Order:
    """That the lines stand in their order: the header, records as in the chain, rows, the signature."""

    _KINDS: tuple[type[Line], ...] = (Header, Record, Row, Signature)

    def __init__(self) -> None:
        self._last: Line | None = None

    def check(self, line: Line) -> None:
        """Raise ValueError if this line may not stand behind the last one."""
        last, self._last = self._last, line
        if last is None or isinstance(line, Header):
            if last is not None or not isinstance(line, Header):
                raise ValueError("the header must stand in the first line, and nowhere else")
        elif isinstance(last, Signature):
            raise ValueError("nothing may stand behind the signature")
        elif self._KINDS.index(type(line)) < self._KINDS.index(type(last)):
            raise ValueError("records must stand before rows, and the signature last")
        elif isinstance(line, Record) and isinstance(last, Record) and line.seq <= last.seq:
            raise ValueError(f"record.seq is {line.seq}, behind {last.seq}: records must stand as in the chain")

    def is_complete(self) -> bool:
        """Whether the signature was the last line so far."""
        return isinstance(self._last, Signature)


def _read_line(sent: bytes, reader: verify.JsonReader) -> Line:
    if len(sent) > MOST_LINE:
        raise ValueError(f"it is longer than {MOST_LINE:,} bytes")
    if not sent.endswith(b"\n"):
        raise ValueError("it must end with a line feed: the file was cut off")
    return read_line(reader.read(sent))


def _check_signature(line: Signature, digest: bytes, keys: Mapping[str, str]) -> None:
    if line.sha256 != digest.hex():
        raise ValueError("the lines before it are not those that were signed: their SHA-256 is another")
    if line.key_id not in keys:
        known = ", ".join(keys) or "none"
        raise ValueError(f"it is signed by the key {line.key_id}, which is not among those that are trusted: {known}")
    message = f"{KIND}\n".encode() + digest
    signature, key = bytes.fromhex(line.signature), bytes.fromhex(keys[line.key_id])
    if not verify.is_signed(message, signature=signature, key=key):
        raise ValueError(f"the signature is not that of the key {line.key_id}")
