"""The archive as a file: a zip whose entries are compressed by a thread, beside whoever reads the rows."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Any, Self

from audit import signing
from audit.canonical import canonical

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
KIND = "hyrelog-manifest-v1"
LEVEL = 1
"""Of Deflate: on events three times as fast as level 6, for a tenth more bytes."""
SLICE = 256 * 1024
"""Bytes that are compressed at a time: what the compressor holds beside a part stays small."""


class Entry:
    """A file of the archive that is being written. One part is compressed while the next one is read."""

    def __init__(self, file: IO[bytes], *, compressor: ThreadPoolExecutor) -> None:
        self.rows = self.bytes = 0
        self._file = file
        self._compressor = compressor
        self._digest = hashlib.sha256()
        self._under_way: Future[None] | None = None

    def write(self, text: bytes, *, rows: int = 0, then: Callable[[], None] | None = None) -> None:
        """Add so many rows, and have `then` called in the compressing thread.

        What the part before raised in there is raised here.
        """
        self.wait()
        self.rows += rows
        self.bytes += len(text)
        self._under_way = self._compressor.submit(self._write, text, then)

    def wait(self) -> None:
        """Until all that was written is compressed; raises what that raised."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _write(self, text: bytes, then: Callable[[], None] | None) -> None:
        whole = memoryview(text)
        for start in range(0, len(text), SLICE):
            part = whole[start : start + SLICE]
            self._digest.update(part)
            self._file.write(part)
        if then is not None:
            then()


class Archive:
    """Writes a zip (with Zip64 where it is needed) part by part; nothing of it stays in memory but the manifest.

    As a context it ends the zip; one without its manifest is of no use.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.files: list[dict[str, Any]] = []
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._compressor = ThreadPoolExecutor(1, thread_name_prefix="compressor")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._compressor.shutdown()
        self._zip.close()

    @contextmanager
    def table(self, name: str, *, table: str | None = None) -> Iterator[Entry]:
        """A file of rows; listed once it was left without an exception."""
        with self._open(name) as file:
            entry = Entry(file, compressor=self._compressor)
            try:
                yield entry
                entry.wait()
            except BaseException:
                with suppress(Exception):  # what it raised first is what is told
                    entry.wait()
                raise
        self._list(name, table, entry.rows, entry.bytes, entry.sha256())

    def add(self, name: str, text: str) -> None:
        """A small file that has no rows."""
        self._put(name, text.encode())
        self._list(name, None, None, len(text.encode()), hashlib.sha256(text.encode()).hexdigest())

    def seal(self, facts: dict[str, Any]) -> None:
        """Write the manifest, of `facts` and of what was written, and its signature."""
        manifest = as_text({**facts, "files": self.files}).encode()
        self._put(MANIFEST, manifest)
        signed = {
            "algorithm": "Ed25519",
            "keyId": signing.current_key_id(),
            "signature": signing.sign(KIND, manifest),
        }
        self._put(SIGNATURE, canonical(signed))

    def _list(self, name: str, table: str | None, rows: int | None, size: int, sha256: str) -> None:
        self.files.append({"name": name, "table": table, "rows": rows, "bytes": size, "sha256": sha256})

    def _put(self, name: str, data: bytes) -> None:
        with self._open(name) as file:
            file.write(data)

    def _open(self, name: str) -> IO[bytes]:
        # By its name alone: an entry of one's own making, with a date say, would be compressed by level 6.
        return self._zip.open(name, "w", force_zip64=True)


def as_text(value: Any) -> str:
    """A JSON value for a program and, if need be, for a person."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def sha256_of(file: IO[bytes], *, advance: Callable[[int], None] = lambda _: None) -> tuple[str, int]:
    """The hex SHA-256 and the size in bytes of a whole file; `advance` is told of the bytes of each MiB."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
        advance(len(chunk))
    return digest.hexdigest(), file.tell()
