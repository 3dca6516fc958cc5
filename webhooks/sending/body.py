import zlib
from typing import Final, Protocol

from webhooks.sending.outcome import READ_CAP

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS


class Decompressor(Protocol):
    """What undoes a compression, as zlib's own objects do."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Body:
    """The body of an answer, decoded here rather than by a library so that one cap holds for what comes out.

    We ask for no encoding; a receiver that compresses all the same (gzip, deflate) is understood, any other encoding
    is kept as it is. A body that does not decode is cut where it breaks: the status has been given and decides.
    """

    __slots__ = ("_came", "_decompressor", "_encoding", "_keep", "_kept", "_made", "_started")

    def __init__(self, encoding: str, *, keep: int) -> None:
        self._encoding = encoding.strip().lower()
        self._decompressor: Decompressor | None = None
        self._started = False
        self._keep = keep
        self._kept = bytearray()
        self._came = 0
        self._made = 0

    def take(self, piece: bytes) -> bool:
        """Take a piece as it came; False once `READ_CAP` is reached.

        Bytes before decompression count as well: an encoding can be made that never yields anything.
        """
        if self._made >= READ_CAP or self._came >= READ_CAP:
            return False
        self._came += len(piece)
        if not self._started:
            self._started = True
            self._decompressor = decompressor_of(self._encoding, piece)
        decoded = piece if self._decompressor is None else self._decode(self._decompressor, piece)
        self._made += len(decoded)
        if room := self._keep - len(self._kept):
            self._kept += decoded[:room]
        return self._made < READ_CAP and self._came < READ_CAP

    def _decode(self, decompressor: Decompressor, piece: bytes) -> bytes:
        try:
            return decompressor.decompress(piece, READ_CAP - self._made)
        except zlib.error:
            self._decompressor = _Nothing()
            return b""

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)


class _Nothing:
    """What follows a break in a compressed body."""

    eof, unconsumed_tail, unused_data = True, b"", b""

    def decompress(self, _data: bytes, _max_length: int, /) -> bytes:
        return b""


def decompressor_of(encoding: str, beginning: bytes) -> Decompressor | None:
    """What undoes an encoding (RFC 9110, 8.4.1), for a body that begins so; None for one that is not known."""
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(_GZIP)
    if encoding == "deflate":
        # Meant to be zlib's format (RFC 9110, 8.4.1.2), sent bare by some: zlib's first byte always ends in 8.
        return zlib.decompressobj(_ZLIB if beginning[:1] and beginning[0] & 0x0F == 8 else _RAW_DEFLATE)
    return None
