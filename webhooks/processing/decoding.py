"""Undoing compressions, step by step, however much comes out of them."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from webhooks.sending.body import Decompressor, decompressor_of

MOST: Final = 1024**3
"""Bytes of an input, before and after decompression."""
STEP: Final = 64 * 1024
"""Bytes that are made of a piece at once."""

_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1; no text in UTF-8 begins so


class Undecodable(ValueError):
    """An input that cannot be read to its end; the message says why."""


def decoded(pieces: Iterable[bytes], *, encoding: str) -> Iterator[bytes]:
    """The pieces without their Content-Encoding, and without the gzip of a file, where they are one.

    Raises Undecodable for more than MOST bytes, and for what cannot be decompressed to its end.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity"):
        if decompressor_of(encoding, b"") is None:
            raise Undecodable(f"it has the Content-Encoding {encoding[:60]!r}; gzip and deflate are understood")
        pieces = _decompressed(_bounded(pieces), encoding)
    beginning, pieces = _peeked(pieces)
    if beginning == _GZIP:
        pieces = _decompressed(_bounded(pieces), "gzip")
    return _bounded(pieces)


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST:
            raise Undecodable(f"it has more than {MOST:,} bytes")
        yield piece


def _peeked(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first two bytes, and the pieces from the first one on."""
    pieces, beginning = iter(pieces), b""
    while len(beginning) < len(_GZIP) and (piece := next(pieces, None)) is not None:
        beginning += piece
    return beginning[: len(_GZIP)], chain([beginning], pieces)


def _decompressed(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Bodies may hold several compressed members, one behind the other (RFC 1952, 2.2), and zeros behind the last."""
    member: Decompressor | None = None
    begun = False
    try:
        for piece in pieces:
            left = piece
            while left:
                if member is None:
                    left = left.lstrip(b"\0") if begun else left
                    member = decompressor_of(encoding, left) if left else None
                    begun = True
                    continue
                yield from _some(member.decompress(left, STEP))
                left = member.unused_data if member.eof else member.unconsumed_tail
                member = None if member.eof else member
        while member is not None:
            made = member.decompress(b"", STEP)
            if not made and not member.eof:
                raise Undecodable("its compressed data ends too early")
            yield from _some(made)
            member = None if member.eof else member
    except zlib.error:
        raise Undecodable("its compressed data is damaged") from None


def _some(piece: bytes) -> Iterator[bytes]:
    if piece:
        yield piece
