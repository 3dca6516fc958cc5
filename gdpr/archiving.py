"""The archive: a zip of one NDJSON file for each table, and a manifest that says what must be in it."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
BATCH = 64 * 1024
"""Bytes that are compressed at a time, at the least."""


class DamagedArchive(Exception):
    """A sealed archive does not hold what its manifest says."""


@dataclass(slots=True)
class Archive:
    """Writes a zip (with Zip64 where it is needed) row by row; nothing of it is kept in memory but the manifest."""

    file: IO[bytes]
    written_at: datetime
    files: list[dict[str, Any]] = field(default_factory=list)
    _zip: zipfile.ZipFile = field(init=False)

    def __post_init__(self) -> None:
        self._zip = zipfile.ZipFile(self.file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    def add(self, table: str, parts: Iterable[list[str]]) -> int:
        """Write a table's rows, given as parts of JSON texts, as `data/<table>.ndjson`; says how many there were."""
        name, digest, rows, size = f"data/{table}.ndjson", hashlib.sha256(), 0, 0
        with self._zip.open(self._entry(name), "w", force_zip64=True) as entry:
            for text in _batches(parts):
                entry.write(text)
                digest.update(text)
                rows, size = rows + text.count(b"\n"), size + len(text)
        self.files.append({"name": name, "table": table, "rows": rows, "bytes": size, "sha256": digest.hexdigest()})
        return rows

    def seal(self, **facts: Any) -> dict[str, int]:
        """Write the manifest and end the zip; the rows of each table."""
        counts = {file["table"]: file["rows"] for file in self.files}
        manifest = {"schemaVersion": SCHEMA_VERSION, **facts, "counts": counts, "files": self.files}
        with self._zip.open(self._entry(MANIFEST), "w") as entry:
            entry.write(json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True).encode())
        self._zip.close()
        return counts

    def close(self) -> None:
        """End the zip as it stands; one that was not sealed is of no use."""
        self._zip.close()

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, self.written_at.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        return entry


def _batches(parts: Iterable[list[str]]) -> Iterator[bytearray]:
    """The lines of all parts, some at a time: a whole part's text would take its memory once more."""
    batch = bytearray()
    for part in parts:
        for row in part:
            batch += row.encode()
            batch += b"\n"
            if len(batch) >= BATCH:
                yield batch
                batch = bytearray()
    yield batch


def verify(file: IO[bytes]) -> None:
    """Read a sealed archive back and compare each file with the manifest; raises DamagedArchive."""
    with zipfile.ZipFile(file) as sealed:
        manifest = json.loads(sealed.read(MANIFEST))
        names = {MANIFEST, *(listed["name"] for listed in manifest["files"])}
        if names != set(sealed.namelist()):
            raise DamagedArchive(f"the zip holds {sorted(sealed.namelist())}, the manifest lists {sorted(names)}")
        for listed in manifest["files"]:
            digest, rows = hashlib.sha256(), 0
            with sealed.open(listed["name"]) as entry:
                while chunk := entry.read(1 << 20):
                    digest.update(chunk)
                    rows += chunk.count(b"\n")
            if (digest.hexdigest(), rows) != (listed["sha256"], listed["rows"]):
                raise DamagedArchive(f"{listed['name']} differs from what the manifest says of it")


def sha256_of(file: IO[bytes]) -> tuple[str, int]:
    """The hex SHA-256 and the size in bytes of a whole file."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest(), file.tell()
