"""Verify a HyreLog export offline: each byte by its hash, each event by its chain, all by HyreLog's signature.

    python verify.py                          the folder this file was unpacked into
    python verify.py export.zip --key HEX     a zip, and the signatures too

One file of Python's standard library (3.9 or newer): it is part of each archive, and `python -m hyrelog.verify` is the
same code. Whoever could forge an archive could forge the verifier in it: take this file, and HyreLog's public key, from
where you trust them. Files are read in pieces, so that memory stays small however large an archive is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import math
import re
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Union

try:
    import sqlite3
except ImportError:  # some builds of Python lack it; only archives with erased events ask for it
    sqlite3 = None  # type: ignore[assignment]

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
EVENTS, PROOFS = "data/audit_auditevent.ndjson", "proofs/audit_auditevent.ndjson"
ERASURES = "proofs/erasures.ndjson"
CERTIFICATE = "the certificate"
"""What its faults are found in."""
REQUIRED = ("README.html", "verify.py", "context.json", "fields.json", EVENTS)
GENESIS = "0" * 64
"""The `prev_hash` of the first event of a chain."""

CHUNK = 256 * 1024
"""Bytes read at a time; fewer than a thousand events."""
MOST_TEXT = 32 * 1024 * 1024
"""Bytes of a line and of the manifest. An event has at most 2 Mi characters, of at most six bytes each."""
MOST_DIRECTORY = 1024 * 1024
"""Bytes of a zip's directory."""
MOST_SHOWN = 50
"""Faults that are kept, chains and erasures that are named; the rest is counted."""
MOST_TOLD = 2_000
"""Characters of anything that is told."""

Advance = Callable[[int], object]
Archive = Union[str, Path, IO[bytes]]  # noqa: UP007  Python 3.9 has no other way


# What is found


class Fault(NamedTuple):
    """Something that is not as it must be: in which file, in which line if any, with which event if any."""

    file: str
    line: int | None
    event: str | None
    reason: str

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        event = f", {self.event}" if self.event else ""
        return printable(f"{self.file}{line}{event}: {self.reason}")


class Report:
    """What a verification found: faults, what could not be checked, and figures.

    `faults` holds the first 50 of `fault_count`. `manifest` is None unless it could be read and has its form.
    `erasures` tells by the request's id how many events are erased by it as the chain records; it holds the first 50 of
    `erasure_count`, by which `erased_events` are erased together.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.fault_count = 0
        self.unchecked: list[str] = []
        self.manifest: dict[str, Any] | None = None
        self.checkpoint: Mapping[str, Any] | None = None
        self.certificate: Mapping[str, Any] | None = None
        self.files = self.bytes = self.events = 0
        self.erasures: dict[str, int] = {}
        self.erasure_count = self.erased_events = 0

    @property
    def status(self) -> int:
        """The exit status: 1 for a fault, 2 if something could not be checked, 0 if all was and is right."""
        return 1 if self.fault_count else 2 if self.unchecked else 0

    def fault(self, file: str, reason: str, *, line: int | None = None, event: str | None = None) -> None:
        """Put a fault on record."""
        self.fault_count += 1
        if len(self.faults) < MOST_SHOWN:
            self.faults.append(Fault(file[:MOST_TOLD], line, event and event[:MOST_TOLD], reason[:MOST_TOLD]))


def printable(text: str) -> str:
    """`text` in one line, with each character escaped that could steer a terminal or turn the order of what is read."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:MOST_TOLD])


# JSON: read strictly (RFC 7493), written canonically (RFC 8785)

_quote = json.encoder.encode_basestring
_dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":")).encode


class JsonReader:
    """Reads JSON texts in UTF-8 and refuses what others might read in another way.

    After each, `plain` says whether `json.dumps` writes its values as RFC 8785 does: they hold no number with a
    fraction or an exponent, and no name beyond ASCII, among which UTF-16 units would sort unlike characters.
    """

    def __init__(self) -> None:
        self.plain = True
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._float,
            parse_int=_integer,
            parse_constant=_no_number,
        ).decode

    def read(self, text: bytes) -> Any:
        """The value of a JSON text. Raises ValueError, which says why there is none."""
        self.plain = True
        try:
            return self._decode(text.decode("utf-8"))
        except RecursionError:
            raise ValueError("it is nested too deep") from None

    def canonical(self, value: Any) -> bytes:
        """The canonical form of a part of what was read last, or of what was made of such parts and ASCII names."""
        return _dumps(value).encode() if self.plain else canonical(value)

    def _object(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) != len(members):
            raise ValueError("a name stands twice in one object")
        if self.plain and not "".join(found).isascii():
            self.plain = False
        return found

    def _float(self, text: str) -> float:
        self.plain = False
        number = float(text)
        return number if math.isfinite(number) else _no_number(text)


def _integer(text: str) -> int:
    # Of more digits Python would take a time that grows with the square of their number.
    if len(text) > 17 or abs(int(text)) >= 2**53:
        _no_number(text)
    return int(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no number that JSON carries safely")


def canonical(value: Any) -> bytes:
    """The canonical form of a JSON value, in UTF-8. Raises ValueError where there is none, RecursionError if deep."""
    return _canonical(value).encode()


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join([f"{_quote(name)}:{_canonical(value[name])}" for name in names]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_canonical(item) for item in value]) + "]"
    return _number(value) if isinstance(value, float) else _dumps(value)


def _number(number: float) -> str:
    """A number as ECMAScript writes it (ECMA-262, Number::toString), which RFC 8785, section 3.2.2.3, prescribes."""
    if not math.isfinite(number):
        _no_number(repr(number))
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    written = whole + fraction
    digits = written.lstrip("0").rstrip("0")
    if not digits:
        return "0"
    point = len(whole) + int(exponent or 0) - (len(written) - len(written.lstrip("0")))  # after so many digits
    sign = "-" if number < 0 else ""
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1:+d}"


# Ed25519 signatures (RFC 8032, section 5.1); a point is (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    product = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


def _decompress(encoded: bytes) -> _Point | None:
    """The point that 32 bytes encode (section 5.1.3); None if they encode none, or not in the one canonical way."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _SQRT_MINUS_1 % _P
    if y >= _P or x * x % _P != square or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


_Y = 4 * pow(5, -1, _P) % _P
_BASE = _decompress(_Y.to_bytes(32, "little"))


def is_signed(message: bytes, *, signature: bytes, key: bytes) -> bool:
    """Whether `signature` (64 bytes) is that of `message` by the public key `key` (32 bytes).

    Of each signature there is but one form: S must be less than the group's order (section 5.1.7), points canonical.
    """
    public, r, s = _decompress(key), _decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if public is None or r is None or _BASE is None or len(signature) != 64 or s >= _L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    left, right = _multiply(s, _BASE), _add(r, _multiply(k, public))
    return all((left[axis] * right[2] - right[axis] * left[2]) % _P == 0 for axis in (0, 1))


def public_key(text: str) -> bytes:
    """The key that 64 hex characters spell. Raises ValueError if they spell none."""
    if not re.fullmatch("[0-9a-fA-F]{64}", text) or _decompress(bytes.fromhex(text)) is None:
        raise ValueError(f"{text[:80]!r} is no Ed25519 public key; it must be 64 hex characters")
    return bytes.fromhex(text)


def key_id(key: bytes) -> str:
    """How signatures name a public key."""
    return hashlib.sha256(key).hexdigest()[:16]


# The Merkle tree over a chain (RFC 6962, section 2.1)


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """The root of a tree that grows leaf by leaf; it keeps the roots of complete subtrees only, log2(size) of them."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def append(self, data: bytes) -> None:
        node, size = _leaf(data), self.size
        while size & 1:
            node = _node(self._subtrees.pop(), node)
            size >>= 1
        self._subtrees.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        *others, node = self._subtrees
        for subtree in reversed(others):
            node = _node(subtree, node)
        return node


def root_of_path(data: bytes, *, index: int, size: int, path: Iterable[bytes]) -> bytes | None:
    """The root that a leaf and its audit path lead to (RFC 9162, section 2.1.3.2); None if the path does not fit."""
    if not 0 <= index < size:
        return None
    node, last = _leaf(data), size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = _node(sibling, node)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = _node(node, sibling)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


# The form that JSON values must have

_PARTS = ("actor", "content")
"""Of an event: what one commitment covers, and what is erased as one."""
_CONTENT = ("target", "payload", "metadata", "changes", "context")


class _Rule(NamedTuple):
    name: str
    accepts: Callable[[Any], bool]


def _exactly(*allowed: Any) -> _Rule:
    return _Rule(
        " or ".join(map(repr, allowed)), lambda value: any(type(value) is type(a) and value == a for a in allowed)
    )


def _matching(name: str, pattern: str) -> _Rule:
    matches = re.compile(pattern).fullmatch
    return _Rule(name, lambda value: isinstance(value, str) and matches(value) is not None)


_TEXT = _Rule("a text", lambda value: isinstance(value, str))
_TEXT_OR_NULL = _Rule("a text or null", lambda value: value is None or isinstance(value, str))
_COUNT = _Rule("a whole number from 0 on", lambda value: type(value) is int and value >= 0)
_COUNT_OR_NULL = _Rule("a whole number from 0 on, or null", lambda value: value is None or _COUNT.accepts(value))
_HASH = _matching("64 lower-case hex characters", "[0-9a-f]{64}")
_UUID = _matching("a UUID in lower case", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = _matching("a time in UTC with six digits and Z", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z")
_TIME_OR_NULL = _Rule(f"{_TIME.name}, or null", lambda value: value is None or _TIME.accepts(value))
_KEY_ID = _matching("16 lower-case hex characters", "[0-9a-f]{16}")
_SIGNED = _matching("128 lower-case hex characters", "[0-9a-f]{128}")
_NAME = _matching(
    "the name of a file inside the archive",
    r"(?!.*\.\.)(?!.{201})[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*",
)
_SUBJECT = _Rule(
    "lists of texts",
    lambda value: (
        isinstance(value, dict)
        and value.keys() <= {"actorId", "email"}
        and all(isinstance(texts, list) and texts and all(map(_TEXT.accepts, texts)) for texts in value.values())
        and bool(value)
    ),
)

_CHECKPOINT = {
    "body": {
        "version": _exactly(1),
        "companyId": _TEXT,
        "issuedAt": _TIME,
        "chains": [{"workspaceId": _TEXT, "seq": _COUNT, "hash": _HASH, "root": _HASH}],
    },
    "keyId": _KEY_ID,
    "signature": _SIGNED,
}
_MANIFEST = {
    "format": _exactly("hyrelog-export"),
    "schemaVersion": _exactly(2, 3),
    "scope": _exactly("company", "subject"),
    "subject": _Rule("null or identifiers", lambda value: value is None or _SUBJECT.accepts(value)),
    "company": {"id": _TEXT, "name": _TEXT},
    "request": {"jobId": _TEXT_OR_NULL, "requestedAt": _TIME, "requestedBy": _TEXT},
    "attempt": _Rule("a whole number from 1 on", lambda value: type(value) is int and value >= 1),
    "readFrom": _TIME,
    "readUntil": _TIME,
    "checkpoint": _CHECKPOINT,
    "workspaces": {str: _TEXT},
    "counts": {str: _COUNT},
    "files": [{"name": _NAME, "table": _TEXT_OR_NULL, "rows": _COUNT_OR_NULL, "bytes": _COUNT, "sha256": _HASH}],
    "redactions": {str: {str: _TEXT}},
    "excluded": {str: _TEXT},
}
_SIGNATURE = {"algorithm": _exactly("Ed25519"), "keyId": _KEY_ID, "signature": _SIGNED}
_PROOF = {"id": _TEXT, "workspaceId": _TEXT, "seq": _COUNT, "path": [_HASH]}
_PROVED_RECORD = {"event": _Rule("an object", lambda value: isinstance(value, dict)), "path": [_HASH]}
_LISTED = _Rule(
    "an erased event: id, actor or content or both, and replaced",
    lambda item: (
        isinstance(item, dict)
        and {"id", "replaced"} < item.keys() <= {"id", "replaced", *_PARTS}
        and _UUID.accepts(item["id"])
        and all(_HASH.accepts(item[part]) for part in _PARTS if part in item)
        and isinstance(item["replaced"], dict)
        and item["replaced"].keys() <= {"actor", *_CONTENT}
        and all(isinstance(ns, list) and all(map(_COUNT.accepts, ns)) for ns in item["replaced"].values())
    ),
)
_RECORD = {"erasureId": _UUID, "events": [_LISTED]}
_CERTIFIED = {"workspaceId": _TEXT, "seq": _COUNT, "eventId": _UUID, "hash": _HASH, "events": _COUNT}
_CERTIFICATE = {"keyId": _KEY_ID, "signature": _SIGNED, "body": {str: None}}
_CERTIFICATE_BODY = {
    "version": _exactly(1),
    "erasureId": _UUID,
    "company": {"id": _TEXT, "name": _TEXT},
    "completedAt": _TIME,
    "repeatedAt": _TIME_OR_NULL,
    "records": [_CERTIFIED],
}
"""A certificate's body says more, which nothing in an archive can be compared with."""


def _misfits(value: Any, form: Any, path: str = "it") -> Iterator[str]:
    """Where `value` has not the form: a rule, a list of a form, an object of named forms (`str`: of any names)."""
    if isinstance(form, _Rule):
        if not form.accepts(value):
            yield f"{path} must be {form.name}"
    elif type(value) is not type(form):
        yield f"{path} must be {'a list' if isinstance(form, list) else 'an object'}"
    elif isinstance(form, list):
        for index, item in enumerate(value):
            yield from _misfits(item, form[0], f"{path}[{index}]")
    else:
        if str not in form and value.keys() != form.keys():
            yield f"{path} must have exactly the fields {', '.join(form)}"
        for name, item in value.items():
            if (named := form.get(name, form.get(str))) is not None:
                yield from _misfits(item, named, f"{path}.{name[:80]}")


# Where the bytes come from: a zip, or the folder that it was unpacked into


class _Damaged(Exception):
    """A file of the archive cannot be read as one."""


_DAMAGE = (_Damaged, struct.error, zlib.error)
"""What a damaged archive raises. OSError is not among them: a disk that fails is no fault of the archive."""

_LOCAL_HEADER, _DIRECTORY_ENTRY = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L")
_END, _END64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_IN_ZIP64 = 0xFFFFFFFF
"""What stands in place of a number that is too large for its field, and stands in a Zip64 one."""


class _Entry(NamedTuple):
    """A file of a zip as the directory has it; `shared` (flags, method, time, date) stand before the file too."""

    name: str
    shared: list[int]
    crc: int
    packed: int
    size: int
    start: int


def _entries(directory: bytes) -> Iterator[_Entry]:
    at = 0
    while at < len(directory):
        fields = _DIRECTORY_ENTRY.unpack_from(directory, at)
        signature, made, version, *shared, crc, packed, size, named, extended = fields[:12]
        *others, attributes, start = fields[12:]
        at += _DIRECTORY_ENTRY.size + named + extended
        name = directory[at - extended - named : at - extended].decode("latin-1")
        large = [size, packed, start].count(_IN_ZIP64)
        zip64 = struct.pack("<HH", 1, 8 * large) if large else b""
        if (
            (signature, made >> 8, others) != (b"PK\x01\x02", 3, [0, 0, 0])  # by Unix, whose attributes follow
            or (version not in (20, 45) or shared[0] not in (0, 8) or shared[1] != zlib.DEFLATED)
            or (attributes & ~(0o100777 << 16) or not name.isascii())  # no folder, no link
            or (directory[at - extended : at - 8 * large] != zip64 or at > len(directory))
        ):
            raise _Damaged(f"{name} stands in the zip's directory in another way than docs/archive.md says")
        larger = iter(struct.unpack_from(f"<{large}Q", directory, at - 8 * large))
        size, packed, start = (next(larger) if value == _IN_ZIP64 else value for value in (size, packed, start))
        yield _Entry(name, shared, crc, packed, size, start)


class _Zip:
    """A zip (APPNOTE.TXT, section 4.3) of the one layout that docs/archive.md allows; any other counts as damaged.

    Programs find entries in several ways: by one record or another, from the front, by names in extra fields. All find
    the same if each byte belongs to one entry or to the directory, and whatever is said twice is said alike.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size = file, file.seek(0, 2)
        self._entries: dict[str, tuple[int, _Entry]] = {}
        start, count, directory = self._read_directory()
        end = 0
        for entry in _entries(directory):
            if entry.name in self._entries:
                raise _Damaged(f"{entry.name} stands in the zip twice")
            if entry.start != end:
                raise _Damaged(f"{entry.name} does not begin where the entry before it ends")
            data, end = self._locate(entry)
            self._entries[entry.name] = data, entry
        if (end, len(self._entries)) != (start, count):
            raise _Damaged("the zip's directory does not begin where the last entry ends, or not all are in it")

    def names(self) -> Iterable[str]:
        return self._entries

    def holds(self, name: str) -> bool:
        return name in self._entries

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of an entry; raises for what is no Deflate, or yields something else than the directory says."""
        at, entry = self._entries[name]
        end = at + entry.packed
        inflate, size, crc = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
        while not inflate.eof:
            packed = inflate.unconsumed_tail
            if not packed:
                packed = self._read(at, min(CHUNK, end - at))
                at += len(packed)
            chunk = inflate.decompress(packed, CHUNK)
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
            if chunk:
                yield chunk
            elif not packed:
                break
        if not inflate.eof or inflate.unused_data or at < end or (size, crc) != (entry.size, entry.crc):
            raise _Damaged("its compressed bytes do not end where they must, or its size or CRC is not that of them")

    def _read(self, at: int, count: int) -> bytes:
        if at < 0 or at + count > self._size:
            raise _Damaged("the zip points to before its beginning or behind its end")
        self._file.seek(at)
        data = self._file.read(count)
        if len(data) < count:
            raise _Damaged("the zip ends too early")
        return data

    def _read_directory(self) -> tuple[int, int, bytes]:
        """Where the directory begins, how many entries it has, and its bytes."""
        *_, count, size, start, _ = _END.unpack(self._read(self._size - 22, 22))
        tail = b""
        if self._read(self._size - 42, 4) == b"PK\x06\x07":
            at = self._size - 98
            *_, count, size, start = _END64.unpack(self._read(at, 56))
            tail = _END64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
            tail += _LOCATOR.pack(b"PK\x06\x07", 0, at, 1)
        counts = [min(count, 0xFFFF)] * 2
        tail += _END.pack(b"PK\x05\x06", 0, 0, *counts, min(size, _IN_ZIP64), min(start, _IN_ZIP64), 0)
        end = self._size - len(tail)
        if start + size != end or self._read(end, len(tail)) != tail:
            raise _Damaged("the zip does not end with its directory and the record of it")
        if size > MOST_DIRECTORY:
            raise _Damaged(f"the zip's directory has more than {MOST_DIRECTORY:,} bytes")
        return start, count, self._read(start, size)

    def _locate(self, entry: _Entry) -> tuple[int, int]:
        """Where an entry's compressed bytes begin, and where all that belongs to it ends."""
        header = _LOCAL_HEADER.unpack(self._read(entry.start, _LOCAL_HEADER.size))
        sizes = (entry.crc, entry.packed, entry.size)
        crc, packed, size = (0, 0, 0) if entry.shared[0] else sizes  # with flag 8 they follow upon the file
        zip64 = struct.pack("<HHQQ", 1, 16, size, packed) if header[-1] else b""
        if zip64 and header[7] == _IN_ZIP64:  # which Python before 3.11.4 wrote only where it had to
            packed = size = _IN_ZIP64
        name = entry.name.encode()
        data = entry.start + _LOCAL_HEADER.size + len(name + zip64)
        if (
            header != (b"PK\x03\x04", header[1], *entry.shared, crc, packed, size, len(name), len(zip64))
            or header[1] not in (20, 45)
            or self._read(data - len(name + zip64), len(name + zip64)) != name + zip64
            or (not zip64 and max(sizes[1:]) >= _IN_ZIP64)
        ):
            raise _Damaged(f"{entry.name} begins with a header that does not agree with the zip's directory")
        end = data + entry.packed
        if entry.shared[0]:
            descriptor = struct.pack("<4sL2Q" if zip64 else "<4s3L", b"PK\x07\x08", *sizes)
            if self._read(end, len(descriptor)) != descriptor:
                raise _Damaged(f"{entry.name} ends with sizes that do not agree with the zip's directory")
            end += len(descriptor)
        return data, end


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        for path in self._path.rglob("*"):
            if path.is_symlink() or not path.is_dir():
                yield path.relative_to(self._path).as_posix()

    def holds(self, name: str) -> bool:
        path = self._path / name
        return path.exists() or path.is_symlink()

    def chunks(self, name: str) -> Iterator[bytes]:
        path = self._path / name
        if any((self._path / part).is_symlink() for part in (name, *map(str, Path(name).parents))[:-1]):
            raise _Damaged("it is a symbolic link, which may lead anywhere")
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Damaged("it is no regular file")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


_Source = Union[_Zip, _Folder]  # noqa: UP007


@contextlib.contextmanager
def _opened(archive: Archive) -> Iterator[_Source]:
    """The files of an archive. Raises OSError, and _DAMAGE for what is no zip of HyreLog's."""
    if not isinstance(archive, (str, Path)):
        yield _Zip(archive)
    elif Path(archive).is_dir():
        yield _Folder(Path(archive))
    else:
        with Path(archive).open("rb") as file:
            yield _Zip(file)


# Reading each file once: hashed, counted, compared with what the manifest says of it


class _Run:
    """One verification: what it reads from, what it finds, whom it tells."""

    def __init__(self, source: _Source, report: Report, keys: Mapping[str, bytes], advance: Advance) -> None:
        self.source = source
        self.report = report
        self.keys = keys
        self.json = JsonReader()
        self.company, self.version = "", 0
        self.erasures = _Erasures(report, system=None)
        self.certified: _Certified | None = None
        self._advance = advance

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Take what is needed all along from a manifest that has its form."""
        self.company, self.version = manifest["company"]["id"], manifest["schemaVersion"]
        systems = [workspace for workspace, name in manifest["workspaces"].items() if name == "system"]
        if self.version > 2 and len(systems) == 1:
            self.erasures = _Erasures(self.report, system=systems[0])

    def again(self) -> _Run:
        """For reading once more what was read and checked: what it finds is told to nobody."""
        run = _Run(self.source, Report(), {}, self._advance)
        run.version = self.version
        return run

    def chunks(self, name: str, *, most: int) -> Iterator[bytes]:
        """A file's bytes, at most a chunk more than `most`."""
        chunks, size = self.source.chunks(name), 0
        while size <= most:
            try:
                chunk = next(chunks, b"")
            except _DAMAGE as error:
                self.report.fault(name, f"cannot be read: {error}")
                return
            if not chunk:
                return
            size += len(chunk)
            self.report.bytes += len(chunk)
            self._advance(len(chunk))
            yield chunk

    def whole(self, name: str, *, most: int) -> bytes | None:
        """A small file; None if there is none."""
        if not self.source.holds(name):
            self.report.fault(name, "is missing")
            return None
        data = b"".join(self.chunks(name, most=most))
        if len(data) > most:
            self.report.fault(name, f"has more than {most:,} bytes")
            return None
        return data

    def parsed(self, name: str, data: bytes, form: Any) -> dict[str, Any] | None:
        """A file's JSON object; None if it has not the form."""
        try:
            value = self.json.read(data)
        except ValueError as error:
            self.report.fault(name, f"is not JSON as it must be: {error}")
            return None
        before = self.report.fault_count
        for misfit in _misfits(value, form):
            self.report.fault(name, misfit)
        return value if self.report.fault_count == before else None

    def check_signature(self, file: str, message: bytes, *, by: str, signature: str) -> None:
        """That `message` is signed by one of the keys that were given."""
        if not self.keys:
            return
        if by not in self.keys:
            self.report.fault(
                file, f"the signature is by key {by}, which is none of those given: {', '.join(self.keys)}"
            )
        elif not is_signed(message, signature=bytes.fromhex(signature), key=self.keys[by]):
            self.report.fault(file, f"the signature by key {by} is not one of these bytes")


class _File:
    """A file that the manifest lists. Its bytes are compared with the manifest once they were read to their end."""

    def __init__(self, run: _Run, listed: Mapping[str, Any]) -> None:
        self.name: str = listed["name"]
        self.listed = listed
        self._run = run

    def _chunks(self) -> Iterator[bytes]:
        digest, size, listed, report = hashlib.sha256(), 0, self.listed, self._run.report
        for chunk in self._run.chunks(self.name, most=listed["bytes"]):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        report.files += 1
        if size > listed["bytes"]:
            report.fault(self.name, f"has more bytes than the {listed['bytes']:,} of the manifest")
        elif size < listed["bytes"]:
            report.fault(self.name, f"has {size:,} bytes, not the {listed['bytes']:,} of the manifest")
        elif digest.hexdigest() != listed["sha256"]:
            report.fault(self.name, "was altered: its SHA-256 is not that of the manifest")

    def _compare_rows(self, rows: int, *, ended: bool) -> None:
        if rows != self.listed["rows"]:
            self._run.report.fault(self.name, f"has {rows} rows, not the {self.listed['rows']} of the manifest")
        if not ended:
            self._run.report.fault(self.name, "does not end with a line feed")

    def check(self) -> None:
        """Read the file to its end, and count its rows if it has such."""
        rows, quoted, end = 0, 0, b"\n"
        for chunk in self._chunks():
            if self.name.endswith(".csv"):
                # A line feed between quotes belongs to a value (RFC 4180, section 2).
                parts = chunk.split(b'"')
                rows += sum(part.count(b"\n") for part in parts[quoted::2])
                quoted = (quoted + len(parts) - 1) % 2
            else:
                rows += chunk.count(b"\n")
            end = chunk[-1:]
        if self.listed["rows"] is not None:
            self._compare_rows(rows - self.name.endswith(".csv"), ended=end == b"\n")

    def lines(self) -> Iterator[bytes]:
        """The lines, without their line feeds; no more of them after one that is too long."""
        begun: list[bytes] = []
        rows = size = 0
        for chunk in self._chunks():
            first, *others = chunk.split(b"\n")
            size += len(first)
            if size > MOST_TEXT:
                continue
            begun.append(first)
            if others:
                yield b"".join(begun)
                yield from others[:-1]
                rows, begun, size = rows + len(others), [others[-1]], len(others[-1])
        if size > MOST_TEXT:
            self._run.report.fault(
                self.name, f"has more than {MOST_TEXT:,} bytes; nothing after was read", line=rows + 1
            )
            return
        if any(begun):
            yield b"".join(begun)
        self._compare_rows(rows, ended=not any(begun))


# The manifest: its signature, its form, and what it says of itself


def _manifest(run: _Run) -> dict[str, Any] | None:
    report = run.report
    data = run.whole(MANIFEST, most=MOST_TEXT)
    signed = run.whole(SIGNATURE, most=4_096)
    if data is None:
        return None
    if signed is not None and (signature := run.parsed(SIGNATURE, signed, _SIGNATURE)):
        if canonical(signature) != signed:
            report.fault(SIGNATURE, "is not written in canonical JSON")
        message = b"hyrelog-manifest-v1\n" + data
        run.check_signature(MANIFEST, message, by=signature["keyId"], signature=signature["signature"])
    manifest = run.parsed(MANIFEST, data, _MANIFEST)
    if manifest:
        _check_checkpoint(run, MANIFEST, manifest["checkpoint"])
        _check_agreement(manifest, report)
        _check_names(manifest, run)
    return manifest


def _check_checkpoint(run: _Run, file: str, checkpoint: Mapping[str, Any]) -> None:
    try:
        message = b"hyrelog-checkpoint-v1\n" + canonical(checkpoint["body"])
    except ValueError as error:
        run.report.fault(file, f"the checkpoint has no canonical form: {error}")
        return
    run.check_signature(f"{file}, checkpoint", message, by=checkpoint["keyId"], signature=checkpoint["signature"])
    workspaces = [head["workspaceId"] for head in checkpoint["body"]["chains"]]
    if any(one >= other for one, other in zip(workspaces, workspaces[1:])):  # noqa: B905, RUF007  newer than 3.9
        run.report.fault(file, "the checkpoint's chains are not in ascending order, each once")


def _check_agreement(manifest: Mapping[str, Any], report: Report) -> None:
    if manifest["company"]["id"] != manifest["checkpoint"]["body"]["companyId"]:
        report.fault(MANIFEST, "the checkpoint is another company's")
    if (manifest["scope"] == "subject") != (manifest["subject"] is not None):
        report.fault(MANIFEST, "the subject does not go with the scope")
    counts = {}
    for listed in manifest["files"]:
        folder, _, rest = listed["name"].rpartition("/")
        table, _, kind = rest.partition(".")
        fitting = {table, None} if folder else {None}
        if (folder, kind) == ("data", "ndjson"):
            counts[table] = listed["rows"]
            fitting = {table}
        if (listed["rows"] is None) != (not folder) or listed["table"] not in fitting:
            report.fault(MANIFEST, f"{listed['name']} is listed with rows or a table that do not go with its name")
    if counts != manifest["counts"]:
        report.fault(MANIFEST, "the counts are not the rows of the files")


def _check_names(manifest: Mapping[str, Any], run: _Run) -> None:
    listed = {MANIFEST, SIGNATURE}
    for file in manifest["files"]:
        if file["name"] in listed:
            run.report.fault(MANIFEST, f"{file['name']} is listed twice, or must not be listed")
        listed.add(file["name"])
    for name in sorted({*REQUIRED, *([PROOFS] if manifest["scope"] == "subject" else [])} - listed):
        run.report.fault(MANIFEST, f"{name} is not listed")
    if ERASURES in listed and (manifest["scope"], manifest["schemaVersion"]) != ("subject", 3):
        run.report.fault(MANIFEST, f"{ERASURES} is listed, which only archives of a subject hold, from version 3 on")
    for name in run.source.names():
        if name not in listed:
            run.report.fault(name, "is not listed in the manifest: HyreLog did not put it there")


# Events and the chains they stand in

_TEXT_COLUMNS = (
    *("id", "company_id", "workspace_id", "category", "action", "occurred_at", "recorded_at"),
    *("actor_commitment", "content_commitment", "prev_hash", "hash"),
)
_OF_ERASURES = ("actor_fresh_salt", "actor_erased_by", "content_fresh_salt", "content_erased_by")
_COLUMNS = {
    2: {*_TEXT_COLUMNS, *_CONTENT, "seq", "actor", "actor_salt", "content_salt"},
    3: {*_TEXT_COLUMNS, *_CONTENT, *_OF_ERASURES, "seq", "actor", "actor_salt", "content_salt"},
}
"""By the archive's schemaVersion."""
_is_hash = re.compile("[0-9a-f]{64}").fullmatch
_postgres_time = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,6}))?\+00:00"
).fullmatch


class _Chain:
    """A workspace's chain, as far as its events were read."""

    def __init__(self, position: int, head: Mapping[str, Any]) -> None:
        self.position = position
        self.name = f"workspace {head['workspaceId']}"
        self.head = head
        self.seq = 0
        self.hash = GENESIS
        self.tree = MerkleTree()
        self.kept: Mapping[str, Any] | None = None
        """What a checkpoint from earlier says of it, as long as that was not reached."""

    def follow(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Take the next event; yields why it is not the next one."""
        if row["seq"] != self.seq + 1:
            yield f"seq {self.seq + 1} must stand here: events are missing, stand twice or out of order"
        elif row["prev_hash"] != self.hash:
            yield "prev_hash is not the hash of the event before it"
        self.seq, self.hash = row["seq"], row["hash"]
        self.tree.append(bytes.fromhex(row["hash"]))
        if self.kept and self.kept["seq"] == self.seq:
            if (self.hash, self.tree.root().hex()) != (self.kept["hash"], self.kept["root"]):
                yield "the earlier checkpoint has another hash or root here: the chain was rewritten since"
            self.kept = None

    def end(self) -> Iterator[str]:
        """Why the chain is not the one of the checkpoint."""
        if self.seq != self.head["seq"]:
            yield f"it ends at seq {self.seq}, but the checkpoint says that it reaches {self.head['seq']}"
        elif self.hash != self.head["hash"]:
            yield "its last hash is not that of the checkpoint"
        elif self.tree.root().hex() != self.head["root"]:
            yield "its Merkle root is not that of the checkpoint"
        if self.kept and self.kept["seq"]:
            yield f"it does not reach seq {self.kept['seq']} of the earlier checkpoint (unless that one is the later)"

    def proof_faults(self, row: Mapping[str, Any], proof: Mapping[str, Any]) -> Iterator[str]:
        """Why a proof does not show that the event is in the checkpoint."""
        if (proof["id"], proof["workspaceId"], proof["seq"]) != (row["id"], row["workspace_id"], row["seq"]):
            yield "the proof in this place is another event's"
        else:
            yield from self.path_faults(row, proof["path"])

    def path_faults(self, row: Mapping[str, Any], path: Iterable[str]) -> Iterator[str]:
        """Why the hashes of a path do not lead from the event to the checkpoint."""
        steps = map(bytes.fromhex, path)
        root = root_of_path(bytes.fromhex(row["hash"]), index=row["seq"] - 1, size=self.head["seq"], path=steps)
        if root is None or root.hex() != self.head["root"]:
            yield "its proof does not lead to the root of the checkpoint"


def _as_event(row: Any, *, version: int) -> dict[str, Any]:
    """A JSON value as the row of an event. Raises ValueError, which says why it is none."""
    if not isinstance(row, dict) or row.keys() != _COLUMNS[version]:
        raise ValueError("it has not the fields of an event")
    for name in _TEXT_COLUMNS:
        if not isinstance(row[name], str):
            raise ValueError(f"{name} is not a text")  # noqa: TRY004  the line is at fault
    if type(row["seq"]) is not int or not _is_hash(row["hash"]):
        raise ValueError("seq is not a whole number, or hash is not one")
    return row if version > 2 else {**dict.fromkeys(_OF_ERASURES), **row}


def _event_faults(row: Mapping[str, Any], reader: JsonReader) -> Iterator[str]:
    """Why an event is not what was sealed by its commitments and its hash, but for what stands in erased parts."""
    for part in _PARTS:
        yield from _part_faults(row, part, reader)
    envelope = {
        "id": row["id"],
        "companyId": row["company_id"],
        "workspaceId": row["workspace_id"],
        "seq": row["seq"],
        "category": row["category"],
        "action": row["action"],
        "occurredAt": timestamp(row["occurred_at"]),
        "recordedAt": timestamp(row["recorded_at"]),
        "prevHash": row["prev_hash"],
        "actor": row["actor_commitment"],
        "content": row["content_commitment"],
    }
    if _hash(envelope, reader) != row["hash"]:
        yield "its envelope was altered: it does not match its hash"


def _part_faults(row: Mapping[str, Any], part: str, reader: JsonReader) -> Iterator[str]:
    salt, fresh, record = row[part + "_salt"], row[part + "_fresh_salt"], row[part + "_erased_by"]
    if salt is None and fresh is None and record is None:
        yield f"the salt of its {part} is missing: it was erased without a record"
    elif salt is None and not _HASH.accepts(fresh):
        yield f"the fresh salt of its {part} is not 64 hex characters"
    elif salt is None:
        if not (_UUID.accepts(record) and _UUID.accepts(row["id"])):
            yield f"its {part} was erased without a record: it names none, or has no id by which a record could name it"
    elif not _HASH.accepts(salt):
        yield f"the salt of its {part} is not 64 hex characters"
    elif _hash(_value(row, part), reader, salt=bytes.fromhex(salt)) != row[part + "_commitment"]:
        yield f"its {part} was altered: it does not match its commitment"
    elif fresh is not None or record is not None:
        yield f"its {part} has its salt, and is said to be erased all the same"


def _value(row: Mapping[str, Any], part: str) -> Any:
    """What the commitment of a part covers."""
    return row[part] if part == "actor" else {name: row[name] for name in _CONTENT}


def _hash(value: Any, reader: JsonReader, *, salt: bytes = b"") -> str | None:
    try:
        return hashlib.sha256(salt + reader.canonical(value)).hexdigest()
    except (ValueError, RecursionError):
        return None  # a lone surrogate, deep nesting: no event was recorded so


def timestamp(text: str) -> str | None:
    """A time as events are hashed with it, from Postgres' spelling; None if it is no time in UTC."""
    match = _postgres_time(text)
    return f"{match[1]}.{match[2] or '':0<6}Z" if match else None


# Erasures: what stands in erased parts must be what the latest record of the chain lists

_RECORD_OF_ERASURE = ("hyrelog", "gdpr.erased")
"""Category and action of the events, in the workspace called system, that record erasures."""
_TABLES = """
    CREATE TABLE record (id TEXT PRIMARY KEY, seq INTEGER, erasure TEXT, line INTEGER);
    CREATE INDEX record_seq ON record (seq);
    CREATE TABLE listed (event TEXT, part TEXT, seq INTEGER, commitment TEXT, PRIMARY KEY (event, part, seq))
        WITHOUT ROWID;
    CREATE TABLE erased (event TEXT, part TEXT, record TEXT, commitment TEXT, line INTEGER);
    CREATE INDEX erased_event ON erased (event, part);
    CREATE TABLE present (event TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID;
    CREATE VIEW latest AS
        SELECT event, part, seq, commitment FROM listed AS one WHERE NOT EXISTS (
            SELECT 1 FROM listed WHERE event = one.event AND part = one.part AND seq > one.seq);
    CREATE VIEW sound AS
        SELECT erased.event, record.erasure, record.seq FROM erased JOIN record ON record.id = erased.record
        JOIN latest ON (latest.event, latest.part, latest.seq, latest.commitment)
            = (erased.event, erased.part, record.seq, erased.commitment);
    CREATE VIEW back AS
        SELECT latest.event, latest.part, record.erasure, record.line FROM latest JOIN record USING (seq)
        WHERE NOT EXISTS (SELECT 1 FROM erased WHERE event = latest.event AND part = latest.part);
"""
_EACH_ERASED = """
    SELECT erased.event, erased.part, erased.line, erased.commitment, record.seq,
        (SELECT commitment FROM listed WHERE event = erased.event AND part = erased.part AND seq = record.seq),
        (SELECT max(seq) FROM listed WHERE event = erased.event AND part = erased.part)
    FROM erased LEFT JOIN record ON record.id = erased.record ORDER BY erased.rowid
"""
_EACH_BACK = """
    SELECT back.event, back.part, back.erasure, back.line, present.line FROM back LEFT JOIN present USING (event)
    ORDER BY back.line, back.event, back.part
"""
_EACH_ERASURE = "SELECT erasure, count(DISTINCT event) FROM sound GROUP BY erasure ORDER BY min(seq)"


class _Erasures:
    """What is erased, and the records of that, in any order; compared once all were read.

    There may be millions: they wait in a temporary file, which is made when the first is met.
    """

    def __init__(self, report: Report, *, system: str | None) -> None:
        """`system` is the workspace in whose chain the records stand; None if there is none."""
        self._report = report
        self._system = system
        self._database: sqlite3.Connection | None = None

    def take(self, row: Mapping[str, Any], reader: JsonReader, *, file: str, line: int, lists: bool) -> None:
        """Note which parts of an event are erased and, if it is a record and `lists`, what it lists."""
        is_record = self.is_record(row)
        if not is_record and None not in (row["actor_salt"], row["content_salt"]):
            return
        erased = [part for part in _PARTS if row[part + "_salt"] is None and not any(_part_faults(row, part, reader))]
        if is_record and erased:
            self._report.fault(file, "it records an erasure, and is erased itself", line=line)
        elif is_record and lists:
            self._list(row, file=file, line=line)
        for part in erased:
            fresh = _hash(_value(row, part), reader, salt=bytes.fromhex(row[part + "_fresh_salt"])) or ""
            values = row["id"], part, row[part + "_erased_by"], fresh, line
            self._do("INSERT INTO erased VALUES (?, ?, ?, ?, ?)", *values)

    def is_record(self, row: Mapping[str, Any]) -> bool:
        return row["workspace_id"] == self._system and (row["category"], row["action"]) == _RECORD_OF_ERASURE

    def look(self, row: Mapping[str, Any], *, line: int) -> None:
        """Note that an event which some record lists is there, whatever stands in it."""
        if self._database is not None and _UUID.accepts(row["id"]):
            listed = "SELECT ?, ? WHERE EXISTS (SELECT 1 FROM listed WHERE event = ?)"
            self._do(f"INSERT OR IGNORE INTO present {listed}", row["id"], line, row["id"])

    def lacks_some(self) -> bool:
        """Whether a record lists what is not erased."""
        return any(self._all("SELECT 1 FROM back LIMIT 1"))

    def compare(self, *, records: str, whole: bool) -> None:
        """Put all faults on record; `whole` where the archive must hold each event that a record lists."""
        for event, part, line, *found in self._all(_EACH_ERASED):
            if reason := _fault_of_erased(part, *found):
                self._report.fault(EVENTS, reason, line=line, event=f"event {event}")
        for event, part, erasure, line, present in self._all(_EACH_BACK):
            if present is not None:
                reason = f"its {part} was erased by request {erasure}, but is still here"
                self._report.fault(EVENTS, reason, line=present, event=f"event {event}")
            elif whole:
                self._report.fault(records, f"it lists the {part} of event {event}, which is not here", line=line)
        for erasure, events in self._all(_EACH_ERASURE):
            self._report.erasure_count += 1
            if len(self._report.erasures) < MOST_SHOWN:
                self._report.erasures[erasure] = events
        for (events,) in self._all("SELECT count(DISTINCT event) FROM sound"):
            self._report.erased_events = events

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

    def _list(self, row: Mapping[str, Any], *, file: str, line: int) -> None:
        payload = row["payload"]
        if not _UUID.accepts(row["id"]):
            self._report.fault(file, "it records an erasure, and its id is no UUID", line=line)
            return
        for misfit in _misfits(payload, _RECORD, "payload"):
            self._report.fault(file, f"it has not the form of the record of an erasure: {misfit}", line=line)
            return
        self._do("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", row["id"], row["seq"], payload["erasureId"], line)
        for item in payload["events"]:
            for part in item.keys() & set(_PARTS):
                values = item["id"], part, row["seq"], item[part]
                if not self._do("INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?)", *values):
                    self._report.fault(file, f"it lists the {part} of event {item['id']} twice", line=line)

    def _do(self, statement: str, *values: Any) -> int:
        """How many rows it wrote."""
        if sqlite3 is None:
            missing = "the erased events: this Python was built without sqlite3; take another one"
            if missing not in self._report.unchecked:
                self._report.unchecked.append(missing)
            return 1
        with _naming_temporary_file():
            if self._database is None:
                self._database = sqlite3.connect("")
                self._database.executescript(f"PRAGMA journal_mode = OFF; {_TABLES}")
            return self._database.execute(statement, values).rowcount

    def _all(self, statement: str) -> Iterator[tuple[Any, ...]]:
        if self._database is not None:
            with _naming_temporary_file():
                yield from self._database.execute(statement)


def _fault_of_erased(part: str, commitment: str, seq: int | None, listed: str | None, latest: int | None) -> str | None:
    """Why what stands in an erased part is not what the record at `seq`, which it names, lists for it."""
    if seq is None:
        return f"its {part} was erased without a record: the one that it names is not here, or not sound"
    if listed is None:
        return f"its {part} was erased without a record: the one that it names does not list it"
    if seq != latest:
        return f"its {part} was erased again by the later record at seq {latest}, but is as it was before"
    if listed != commitment:
        return f"its {part} was altered after it was erased: it is not what the record at seq {seq} lists"
    return None


@contextlib.contextmanager
def _naming_temporary_file() -> Iterator[None]:
    """Raise OSError where the temporary file fails, on a full disk say; no values make it fail."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(f"the temporary file of erased events (TMPDIR) fails: {error}") from error


class _Certified:
    """The records that the certificate of an erasure names, as long as they were not met in their chain.

    `issued_at` is when the archive's checkpoint was.
    """

    def __init__(self, certificate: Mapping[str, Any], *, issued_at: str) -> None:
        body = certificate["body"]
        self._erasure = body["erasureId"]
        self._issued_at, self._completed_at = issued_at, body["repeatedAt"] or body["completedAt"]
        self._records = {(record["workspaceId"], record["seq"]): record for record in body["records"]}

    def faults(self, row: Mapping[str, Any], erasures: _Erasures) -> Iterator[str]:
        """Why an event is not the record that the certificate says to stand in its place."""
        record = self._records.pop((row["workspace_id"], row["seq"]), None)
        if record is None:
            return
        payload = row["payload"]
        if (record["eventId"], record["hash"]) != (row["id"], row["hash"]):
            yield "the certificate names another event in this place, or another hash"
        elif (
            not erasures.is_record(row)
            or any(_misfits(payload, _RECORD))
            or (payload["erasureId"], len(payload["events"])) != (self._erasure, record["events"])
        ):
            yield "the certificate says that it records another erasure, or of another number of events"

    def end(self, report: Report) -> None:
        """Tell of the records that the chains do not hold: an archive from before the erasure cannot."""
        if self._records and self._issued_at < self._completed_at:
            report.unchecked.append(
                f"{len(self._records):,} records that the certificate names: the erasure was completed at "
                f"{self._completed_at}, and the archive's checkpoint is of {self._issued_at}; take a later archive"
            )
            return
        for workspace, seq in self._records:
            report.fault(CERTIFICATE, f"the archive holds no seq {seq} of workspace {workspace}, which it names")


# Reading the events


def _events(
    file: _File, run: _Run, chains: Mapping[str, _Chain], *, records: bool
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Each line's number and its event, checked by itself; None in place of what is no event of these chains.

    `records` says that those of erasures stand among them, and nowhere else.
    """
    last = (0, 0)
    for number, row in _rows(file, run):
        if row is None:
            yield number, None
            continue
        event = f"workspace {row['workspace_id']}, seq {row['seq']}"
        reasons = [*_event_faults(row, run.json), *_company_faults(row, run)]
        chain = chains.get(row["workspace_id"])
        if chain is None:
            reasons.append("the checkpoint holds no such chain")
        elif (chain.position, row["seq"]) <= last:
            reasons.append("stands twice or out of order")
        else:
            last = chain.position, row["seq"]
        for reason in reasons:
            run.report.fault(file.name, reason, line=number, event=event)
        run.erasures.take(row, run.json, file=file.name, line=number, lists=records and not reasons)
        run.report.events += 1
        yield number, row if chain else None


def _rows(file: _File, run: _Run) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Each line's number and what it holds; None for what is no row of an event."""
    for number, line in enumerate(file.lines(), start=1):
        try:
            yield number, _as_event(run.json.read(line), version=run.version)
        except ValueError as error:
            run.report.fault(file.name, str(error), line=number)
            yield number, None


def _company_faults(row: Mapping[str, Any], run: _Run) -> Iterator[str]:
    if row["company_id"] != run.company:
        yield "is an event of another company"


def _check_company(run: _Run, events: _File, chains: Mapping[str, _Chain]) -> None:
    """Rebuild each chain from its first event up to the checkpoint."""
    for number, row in _events(events, run, chains, records=True):
        if row:
            chain = chains[row["workspace_id"]]
            certified = run.certified.faults(row, run.erasures) if run.certified else ()
            for reason in itertools.chain(chain.follow(row), certified):
                run.report.fault(events.name, reason, line=number, event=f"{chain.name}, seq {row['seq']}")
    for chain in chains.values():
        for reason in chain.end():
            run.report.fault(events.name, reason, event=chain.name)
    if run.certified:
        run.certified.end(run.report)
    if run.erasures.lacks_some():  # something is wrong, which is worth another look
        again = run.again()
        for number, row in _rows(_File(again, events.listed), again):
            if row:
                run.erasures.look(row, line=number)
    run.erasures.compare(records=events.name, whole=True)


def _check_subject(
    run: _Run, events: _File, proofs: _File, records: _File | None, chains: Mapping[str, _Chain]
) -> None:
    """Lead each event by its proof to the root of its chain in the checkpoint; before that, the records of erasures."""
    if records:
        _read_records(run, records, chains)
    reader = JsonReader()
    pairs = itertools.zip_longest(_events(events, run, chains, records=False), proofs.lines(), fillvalue=None)
    for index, (event, line) in enumerate(pairs, start=1):
        if event is None or line is None:
            run.report.fault(proofs.name, "events and proofs are not the same in number", line=index)
            continue
        try:
            proof = reader.read(line)
        except ValueError as error:
            run.report.fault(proofs.name, str(error), line=index)
            continue
        row, misfit = event[1], next(_misfits(proof, _PROOF), None)
        if misfit:
            run.report.fault(proofs.name, misfit, line=index)
        elif row:
            run.erasures.look(row, line=index)
            chain = chains[row["workspace_id"]]
            for reason in chain.proof_faults(row, proof):
                run.report.fault(proofs.name, reason, line=index, event=f"{chain.name}, seq {row['seq']}")
    run.erasures.compare(records=ERASURES, whole=False)


def _read_records(run: _Run, records: _File, chains: Mapping[str, _Chain]) -> None:
    """The records that erased events of a subject name, each with its proof."""
    last = 0
    for number, line in enumerate(records.lines(), start=1):
        try:
            row, path = _as_proved_record(run.json.read(line), version=run.version)
        except ValueError as error:
            run.report.fault(records.name, str(error), line=number)
            continue
        reasons = [*_event_faults(row, run.json), *_company_faults(row, run)]
        chain = chains.get(row["workspace_id"])
        if chain is None or not run.erasures.is_record(row):
            reasons.append("is no record of an erasure in the chain of the workspace called system")
        else:
            reasons += chain.path_faults(row, path)
        if row["seq"] <= last:
            reasons.append("stands twice or out of order")
        last = max(last, row["seq"])
        for reason in reasons:
            run.report.fault(records.name, reason, line=number)
        run.erasures.take(row, run.json, file=records.name, line=number, lists=not reasons)


def _as_proved_record(proved: Any, *, version: int) -> tuple[dict[str, Any], list[str]]:
    """The row and the path that a line of ERASURES holds. Raises ValueError, which says why it holds none."""
    for misfit in _misfits(proved, _PROVED_RECORD):
        raise ValueError(misfit)
    return _as_event(proved["event"], version=version), proved["path"]


# The whole


def verify(
    archive: Archive,
    *,
    keys: Iterable[str] = (),
    checkpoint: Mapping[str, Any] | None = None,
    certificate: Mapping[str, Any] | None = None,
    advance: Advance = lambda _: None,
) -> Report:
    """Check an archive: a zip (by its path, or open for reading bytes and seekable) or a folder it was unpacked into.

    `keys` are HyreLog's public keys, in hex. `checkpoint` is one kept from earlier, as `read_checkpoint` gives it, and
    `certificate` that of an erasure, as `read_certificate` does.
    `advance(count)` is told of each piece of at most 256 KiB that was read of any file, in bytes; what it raises ends
    the verification and passes through. Raises ValueError for what is no key, and OSError if reading fails; whatever is
    wrong with the archive itself is in the report.
    """
    known = {key_id(key): key for key in map(public_key, keys)}
    report = Report()
    report.checkpoint, report.certificate = checkpoint, certificate
    if not known:
        report.unchecked.append("the signatures: no public key was given (--key)")
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(_opened(archive))
        except _DAMAGE as error:
            report.fault("the zip", f"cannot be read: {error}")
            return report
        run = _Run(source, report, known, advance)
        report.manifest = _manifest(run)
        if report.manifest:
            run.begin(report.manifest)
            with contextlib.closing(run.erasures):
                _check_files(run, report.manifest)
    return report


def _check_files(run: _Run, manifest: Mapping[str, Any]) -> None:
    chains = {
        head["workspaceId"]: _Chain(position, head)
        for position, head in enumerate(manifest["checkpoint"]["body"]["chains"], start=1)
    }
    if run.report.checkpoint:
        _expect_checkpoint(run, manifest, chains, run.report.checkpoint)
    if run.report.certificate:
        _expect_certificate(run, manifest, run.report.certificate)
    files = {}
    for listed in manifest["files"]:
        if run.source.holds(listed["name"]):
            files[listed["name"]] = _File(run, listed)
        elif listed["name"] not in files:
            run.report.fault(listed["name"], "is missing")
    if manifest["scope"] == "company" and EVENTS in files:
        _check_company(run, files.pop(EVENTS), chains)
    elif EVENTS in files and PROOFS in files:
        _check_subject(run, files.pop(EVENTS), files.pop(PROOFS), files.pop(ERASURES, None), chains)
    for file in files.values():
        file.check()


def _expect_checkpoint(
    run: _Run, manifest: Mapping[str, Any], chains: Mapping[str, _Chain], kept: Mapping[str, Any]
) -> None:
    """Have each chain compared with a checkpoint from earlier as soon as it gets there."""
    file = "the earlier checkpoint"
    if manifest["scope"] == "subject":
        run.report.unchecked.append(
            "the earlier checkpoint: that takes an archive of scope company, which holds whole chains; this one holds "
            "the events of a subject"
        )
        return
    _check_checkpoint(run, file, kept)
    if kept["body"]["companyId"] != manifest["company"]["id"]:
        run.report.fault(file, "is another company's")
    for head in kept["body"]["chains"]:
        if head["workspaceId"] in chains:
            chains[head["workspaceId"]].kept = head
        else:
            run.report.fault(
                file, "the archive's checkpoint lacks this chain", event=f"workspace {head['workspaceId']}"
            )


def _expect_certificate(run: _Run, manifest: Mapping[str, Any], certificate: Mapping[str, Any]) -> None:
    """Have the records that a certificate names compared with those of the archive as soon as they are read."""
    body = certificate["body"]
    try:
        message = b"hyrelog-erasure-v1\n" + canonical(body)
        run.check_signature(CERTIFICATE, message, by=certificate["keyId"], signature=certificate["signature"])
    except (ValueError, RecursionError) as error:
        run.report.fault(CERTIFICATE, f"it has no canonical form: {error}")
    if body["company"]["id"] != manifest["company"]["id"]:
        run.report.fault(CERTIFICATE, "is another company's")
    if manifest["scope"] == "company":
        run.certified = _Certified(certificate, issued_at=manifest["checkpoint"]["body"]["issuedAt"])
    else:
        run.report.unchecked.append(
            "the records that the certificate names: that takes an archive of scope company, which holds whole chains"
        )


def read_certificate(path: Path) -> dict[str, Any]:
    """The certificate in a file: by itself, or in what HyreLog's API answers of the erasure.

    Raises ValueError if there is none, OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_TEXT + 1)
    if len(data) > MOST_TEXT:
        raise ValueError(f"it has more than {MOST_TEXT:,} bytes")
    try:
        value = JsonReader().read(data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is no JSON; it must be the certificate as HyreLog's API answers with it") from None
    found = value.get("certificate", value) if isinstance(value, dict) else value
    for misfit in _misfits(found, _CERTIFICATE, "the certificate"):
        raise ValueError(misfit)
    needed = {name: found["body"].get(name) for name in _CERTIFICATE_BODY}
    for misfit in _misfits(needed, _CERTIFICATE_BODY, "the certificate.body"):
        raise ValueError(misfit)
    return dict(found)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint in a file: a manifest.json, an archive (or its folder), or a checkpoint by itself.

    Raises ValueError if there is none, OSError if the file cannot be read.
    """
    data: bytes | None = None
    if not path.is_dir():
        with path.open("rb") as file:
            data = file.read(MOST_TEXT + 1)
    if data is None or data.startswith(b"PK"):
        try:
            with _opened(path) as source:
                data = _Run(source, Report(), {}, lambda _: None).whole(MANIFEST, most=MOST_TEXT)
        except _DAMAGE as error:
            raise ValueError(str(error)) from None
    if data is None or len(data) > MOST_TEXT:
        raise ValueError("it holds no manifest.json that can be read")
    value = JsonReader().read(data)
    found = value.get("checkpoint", value) if isinstance(value, dict) else value
    for misfit in _misfits(found, _CHECKPOINT, "the checkpoint"):
        raise ValueError(misfit)
    return dict(found)


# For a person

_PROVES_COMPANY = (
    "No byte of any file is another than when HyreLog signed the manifest.",
    "The archive holds each event of each chain from the first one up to the checkpoint: none is missing, none was",
    "added, altered or moved since it was sealed into its chain.",
)
_PROVES_SUBJECT = (
    "No byte of any file is another than when HyreLog signed the manifest.",
    "Each event in it stands in a chain of the checkpoint as it is here, at the place it says.",
)
_PROVES_ERASED = (
    "That is but for what was erased: it was erased as the chain records it, by the requests named above, and in its",
    "place stands what was put there.",
)
_PROVES_CERTIFIED = "The erasure that the certificate is of is recorded in the chain, by the records that it names."
_PROVES_CERTIFICATE = "The certificate is as HyreLog signed it. It names no record that an archive could hold."
_PROVES_KEPT = "What the earlier checkpoint covers is in the chains unchanged: nothing before it was rewritten since."
_CANNOT = (
    "That everything that happened was sent to HyreLog and recorded.",
    "That whoever holds HyreLog's signing key did not rewrite events before the earliest checkpoint that you hold:",
    "keep this one (manifest.json), and give it with --checkpoint when you verify later archives.",
    "That rows of tables other than the events are complete and true: they are as HyreLog stated and signed them.",
    "That the public key is HyreLog's, and this verifier the true one: take both from where you trust them.",
)
_CANNOT_ERASED = (
    "What stood in erased events before, nor that no more was erased than had to be: nothing is left to tell it by.",
    "That no copy of what was erased is kept elsewhere.",
)
_CANNOT_LATEST = (
    "That no later erasure replaced more of these events: a company's archive holds the records of all erasures."
)
_CANNOT_SUBJECT = "That all events of the subject were found: a company's archive holds all events there are."
_RESULTS = (
    "OK: every check passed, the signatures too (exit status 0)",
    "FAULTY: this is not what HyreLog signed, or it was not made as it must be (exit status 1)",
    "NOT COMPLETE: nothing wrong was found, but something could not be checked, see above (exit status 2)",
)


def describe(report: Report) -> Iterator[str]:
    """The report, line by line, for a person; nothing in it can steer a terminal."""
    return map(printable, _described(report))


def _described(report: Report) -> Iterator[str]:
    if manifest := report.manifest:
        scope = "everything" if manifest["scope"] == "company" else f"subject {_dumps(manifest['subject'])}"
        yield f"HyreLog export of company {manifest['company']['name']} ({manifest['company']['id']}), {scope}"
        yield f"  requested at {manifest['request']['requestedAt']} by {manifest['request']['requestedBy']}"
        yield f"  read from {manifest['readFrom']} until {manifest['readUntil']}, attempt {manifest['attempt']}"
        body, key = manifest["checkpoint"]["body"], manifest["checkpoint"]["keyId"]
        yield f"  checkpoint of {body['issuedAt']} over {len(body['chains']):,} chains, by key {key}"
        for head in body["chains"][:MOST_SHOWN]:
            name = manifest["workspaces"].get(head["workspaceId"], "")
            yield f"    {head['workspaceId']} {name}: {head['seq']:,} events, hash {head['hash']}"
        if len(body["chains"]) > MOST_SHOWN:
            yield f"    and {len(body['chains']) - MOST_SHOWN:,} more"
    yield f"Checked: {report.files:,} files, {report.bytes:,} bytes, {report.events:,} events"
    if report.erasure_count:
        yield f"Events with erased parts, as the chain records it: {report.erased_events:,}"
        yield from (f"  {events:,} by request {erasure}" for erasure, events in report.erasures.items())
        if report.erasure_count > len(report.erasures):
            yield f"  and some by {report.erasure_count - len(report.erasures):,} more requests"
    if report.fault_count:
        yield f"Faults: {report.fault_count:,}"
        yield from (f"  {fault}" for fault in report.faults)
        if report.fault_count > len(report.faults):
            yield f"  and {report.fault_count - len(report.faults):,} more"
    if report.unchecked:
        yield "Not checked:"
        yield from (f"  {subject}" for subject in report.unchecked)
    if manifest and not report.fault_count:
        yield from _limits(report, subject=manifest["scope"] == "subject")
    yield _RESULTS[report.status]


def _limits(report: Report, *, subject: bool) -> Iterator[str]:
    yield (
        "This proves:" if not report.unchecked else "This would prove, if what was not checked were checked and right:"
    )
    proves, cannot = [*(_PROVES_SUBJECT if subject else _PROVES_COMPANY)], [*_CANNOT]
    if report.erasure_count:
        proves += _PROVES_ERASED
        cannot = [*([_CANNOT_LATEST] if subject else []), *_CANNOT_ERASED, *cannot]
    if subject:
        cannot.insert(0, _CANNOT_SUBJECT)
    else:
        proves += [_PROVES_KEPT] if report.checkpoint else []
        if report.certificate:
            proves += [_PROVES_CERTIFIED if report.certificate["body"]["records"] else _PROVES_CERTIFICATE]
    yield from (f"  {line}" for line in proves)
    yield "It cannot prove:"
    yield from (f"  {line}" for line in cannot)


def main(arguments: list[str] | None = None, *, folder: Path | None = None) -> int:
    """The command; `folder` is what it verifies if no archive is named. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Verify a HyreLog export offline.",
        epilog="Exit status: 0 if every check passed, the signatures too; 1 if there is a fault; 2 if nothing wrong "
        "was found but something could not be checked (without --key: the signatures), and for wrong arguments.",
    )
    parser.add_argument(
        "archive",
        type=Path,
        nargs="?" if folder else None,
        default=folder,
        help="the zip, or the folder it was unpacked into" + (" (default: this one)" if folder else ""),
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="HEX",
        help="a public key of HyreLog, 64 hex characters (GET /v1/signing-keys); repeat it for rotated keys",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a checkpoint kept from earlier (a manifest.json, an archive, or a checkpoint alone), which the chains of "
        "a company's archive must hold: shows that nothing before it was rewritten",
    )
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="the certificate of an erasure, a file of JSON (`certificate` of GET /v1/key/company/gdpr/erasures/ID, or "
        "all of that answer): its signature is checked, and a company's archive of after the erasure must hold the "
        "records that it names",
    )
    chosen = parser.parse_args(arguments)
    try:
        kept = read_checkpoint(chosen.checkpoint) if chosen.checkpoint else None
    except (ValueError, OSError) as error:
        parser.error(printable(f"--checkpoint: {error}"))
    try:
        certificate = read_certificate(chosen.certificate) if chosen.certificate else None
    except (ValueError, OSError) as error:
        parser.error(printable(f"--certificate: {error}"))
    try:
        report = verify(chosen.archive, keys=chosen.key, checkpoint=kept, certificate=certificate)
    except (ValueError, OSError) as error:
        parser.error(printable(str(error)))
    for line in describe(report):
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    return report.status


if __name__ == "__main__":
    sys.exit(main(folder=Path(__file__).resolve().parent))
