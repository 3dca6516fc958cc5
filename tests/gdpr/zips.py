"""Zips written and read byte by byte, from APPNOTE.TXT and without `zipfile`: as forgers write, as others read them."""

import io
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tests.gdpr.archives import Files

IN_ZIP64 = 0xFFFFFFFF


@dataclass
class Part:
    """A file as it stands in a zip: once before its bytes, once in the directory. Each field may be forged."""

    name: bytes
    content: bytes
    flags: int = 0
    method: int = 8
    extra: bytes = b""
    local_extra: bytes = b""
    local_name: bytes | None = None
    local_flags: int | None = None
    comment: bytes = b""
    disk: int = 0
    attributes: int = 0o600 << 16
    behind: bytes = b""
    """Bytes that are counted with the compressed ones, and are none of them."""
    claimed: int | None = None
    """The size that it is said to have, if another than it has."""
    swallows: int = 0
    """Bytes behind its entry in the directory which are said to be its comment."""

    @cached_property
    def packed(self) -> bytes:
        deflate = zlib.compressobj(wbits=-15)
        packed = deflate.compress(self.content) + deflate.flush() if self.method == 8 else self.content
        return packed + self.behind

    @property
    def sizes(self) -> tuple[int, int, int]:
        size = len(self.content) if self.claimed is None else self.claimed
        return zlib.crc32(self.content), len(self.packed), size

    def local(self) -> bytes:
        flags = self.flags if self.local_flags is None else self.local_flags
        name = self.name if self.local_name is None else self.local_name
        sizes = (0, 0, 0) if flags & 8 else self.sizes
        lengths = len(name), len(self.local_extra)
        header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, self.method, 0, 33, *sizes, *lengths)
        descriptor = struct.pack("<4s3L", b"PK\7\x08", *self.sizes) if flags & 8 else b""
        return header + name + self.local_extra + self.packed + descriptor

    def listed(self, start: int) -> bytes:
        lengths = len(self.name), len(self.extra), len(self.comment) + self.swallows
        fixed = (20 | 3 << 8, 20, self.flags, self.method, 0, 33, *self.sizes, *lengths, self.disk, 0, self.attributes)
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *fixed, start)
        return entry + self.name + self.extra + self.comment


def parts(files: Files) -> list[Part]:
    return [Part(name.encode(), content) for name, content in files.items()]


def end(*, count: int, size: int, start: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, 0)


def end64(*, count: int, size: int, start: int) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)


def locator(at: int) -> bytes:
    return struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)


def joined(made: Iterable[Part], *, start: int = 0) -> tuple[bytes, bytes]:
    """The entries, of which the first one begins at `start`, and their directory."""
    body, directory = b"", b""
    for part in made:
        directory += part.listed(start + len(body))
        body += part.local()
    return body, directory


def written(made: list[Part], *, between: bytes = b"", behind: bytes = b"") -> io.BytesIO:
    """A zip, with bytes before and behind its directory that nothing points to."""
    body, directory = joined(made)
    start = len(body + between)
    return io.BytesIO(body + between + directory + behind + end(count=len(made), size=len(directory), start=start))


def from_the_front(data: bytes) -> Files:
    """The files as a program finds them that reads one entry after the other, and never gets to the directory."""
    found: Files = {}
    at = 0
    while data[at : at + 4] == b"PK\3\4":
        flags, method, crc, packed, size, named, extended = struct.unpack_from("<2H4x3L2H", data, at + 6)
        name = data[at + 30 : at + 30 + named].decode()
        extra = data[at + 30 + named : at + 30 + named + extended]
        at += 30 + named + extended
        if packed == IN_ZIP64:
            size, packed = struct.unpack_from("<2Q", extra, 4)
        inflate = zlib.decompressobj(-15)
        content = inflate.decompress(data[at:])
        took = len(data) - at - len(inflate.unused_data)
        assert (method, inflate.eof, name in found) == (8, True, False)
        at += took
        if flags & 8:
            crc, packed, size = struct.unpack_from("<L2Q" if extra else "<3L", data, at + 4)
            at += 24 if extra else 16
        assert (zlib.crc32(content), took, len(content)) == (crc, packed, size)
        found[name] = content
    return found
