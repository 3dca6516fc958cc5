"""Small archives as docs/archive.md has them, without a database: with real chains, and signed by a key of the test's.

Written from the format and not from the code that writes archives, so that each is held to the same page.
"""

import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import chain
from tests.conftest import NOON

EVENTS, PROOFS = "data/audit_auditevent.ndjson", "proofs/audit_auditevent.ndjson"
ERASURES = "proofs/erasures.ndjson"
CONTENT = ("target", "payload", "metadata", "changes", "context")
OF_ERASURES = ("actor_fresh_salt", "actor_erased_by", "content_fresh_salt", "content_erased_by")
"""Columns that schema version 2 lacks."""
VERIFIER = Path(__file__).parents[2] / "gdpr" / "verify.py"
TIME = chain.timestamp(NOON)

Row = dict[str, Any]
Files = dict[str, bytes]


@dataclass
class Signer:
    """HyreLog's key, or a forger's."""

    seed: bytes = b"\x07" * 32

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def key(self) -> str:
        return self.private.public_key().public_bytes_raw().hex()

    @property
    def key_id(self) -> str:
        return hashlib.sha256(bytes.fromhex(self.key)).hexdigest()[:16]

    def sign(self, kind: bytes, message: bytes) -> dict[str, str]:
        return {"keyId": self.key_id, "signature": self.private.sign(kind + b"\n" + message).hex()}


HYRELOG, FORGER = Signer(), Signer(b"\x09" * 32)


@dataclass
class Company:
    """A company's chains: rows of events by workspace, of which `system` is the number of the one of that name."""

    number: int = 1
    chains: dict[str, list[Row]] = field(default_factory=dict)
    system: int = 3

    @property
    def id(self) -> str:
        return str(uuid.UUID(int=self.number << 64))

    def workspace(self, number: int) -> str:
        name = str(uuid.UUID(int=self.number << 64 | number))
        self.chains.setdefault(name, [])
        return name

    def record(self, workspace: int = 1, **fields: Any) -> Row:
        rows = self.chains[self.workspace(workspace)]
        seq = len(rows) + 1
        row: Row = {
            "id": str(uuid.UUID(int=self.number << 96 | workspace << 64 | seq)),
            "company_id": self.id,
            "workspace_id": self.workspace(workspace),
            "seq": seq,
            "category": "auth",
            "action": "user.login",
            "occurred_at": NOON + timedelta(seconds=seq, microseconds=500_000 * (seq % 2)),
            "recorded_at": NOON + timedelta(seconds=seq, microseconds=seq),
            "actor": {"id": f"u{seq}", "email": "ada@example.com"},
            "target": None,
            "payload": {"n": seq},
            "metadata": None,
            "changes": None,
            "context": None,
            "actor_salt": hashlib.sha256(f"a{workspace}/{seq}".encode()).hexdigest(),
            "content_salt": hashlib.sha256(f"c{workspace}/{seq}".encode()).hexdigest(),
            **dict.fromkeys(OF_ERASURES),
            **fields,
        }
        rows.append(seal(row, prev_hash=rows[-1]["hash"] if rows else chain.GENESIS))
        return row

    def erase(self, *rows: Row, parts: Sequence[str] = ("actor", "content"), erasure: int = 1) -> Row:
        """Replace parts of events as HyreLog does, and record it in the system's chain; the record."""
        listed = []
        for row in rows:
            replaced: Row = {"actor": {"id": f"erased-{erasure}"}} if "actor" in parts else {}
            replaced |= {"payload": {"by": f"erased-{erasure}"}} if "content" in parts else {}
            item: Row = {"id": row["id"], "replaced": {name: [0] for name in replaced}}
            row.update(replaced)
            for part in parts:
                salt = hashlib.sha256(f"{erasure}{part}{row['id']}".encode()).hexdigest()
                row |= {f"{part}_salt": None, f"{part}_fresh_salt": salt}
                item[part] = chain.commitment(salt, covered(row, part))
            listed.append(item)
        payload = {"erasureId": erasure_id(erasure), "events": listed}
        record = self.record(self.system, category="hyrelog", action="gdpr.erased", payload=payload)
        for row in rows:
            row |= {f"{part}_erased_by": record["id"] for part in parts}
        return record

    def checkpoint(self, signer: Signer = HYRELOG) -> dict[str, Any]:
        heads = []
        for workspace, rows in sorted(self.chains.items()):
            hashes = [bytes.fromhex(row["hash"]) for row in rows]
            last = rows[-1]["hash"] if rows else chain.GENESIS
            heads.append({"workspaceId": workspace, "seq": len(rows), "hash": last, "root": root(hashes).hex()})
        body: dict[str, Any] = {"version": 1, "companyId": self.id, "issuedAt": TIME, "chains": heads}
        return {"body": body, **signer.sign(b"hyrelog-checkpoint-v1", rfc8785.dumps(body))}

    def copy(self) -> "Company":
        chains = {name: [dict(row) for row in rows] for name, rows in self.chains.items()}
        return Company(self.number, chains, self.system)


def company(*, number: int = 1, events: int = 5) -> Company:
    """A company with events in two chains, and an empty third, which is the system's."""
    made = Company(number)
    for seq in range(1, events + 1):
        made.record(1, payload={"text": 'é\n"😀', "n": 0.5 if seq % 2 else 10**15, "ﬀ😀": [None, True, {}]})
    for _ in range(events // 2):
        made.record(2, changes=[{"field": "name", "old": "a", "new": "=1+1"}])
    made.workspace(3)
    return made


def seal(row: Row, *, prev_hash: str) -> Row:
    """Compute an event's commitments and hash from its other fields; commitments of erased parts stay."""
    for part in ("actor", "content"):
        if row[f"{part}_salt"] is not None:
            row[f"{part}_commitment"] = chain.commitment(row[f"{part}_salt"], covered(row, part))
    row["prev_hash"] = prev_hash
    row["hash"] = chain.chain_hash(
        chain.envelope(
            event_id=row["id"],
            **{name: row[name] for name in ("company_id", "workspace_id", "seq", "category", "action")},
            **{name: row[name] for name in ("occurred_at", "recorded_at", "prev_hash")},
            **{name: row[name] for name in ("actor_commitment", "content_commitment")},
        )
    )
    return row


def covered(row: Row, part: str) -> Any:
    """What a part's commitment is of."""
    return row["actor"] if part == "actor" else {name: row[name] for name in CONTENT}


def erasure_id(number: int) -> str:
    return str(uuid.UUID(int=0xE << 120 | number))


def reseal(rows: list[Row]) -> None:
    """Make a forged list of events a chain again: numbers, links and hashes fit."""
    last = chain.GENESIS
    for seq, row in enumerate(rows, start=1):
        row["seq"] = seq
        last = seal(row, prev_hash=last)["hash"]


def as_postgres(row: Row) -> bytes:
    """A row as `row_to_json` writes it."""
    texts = {name: value if isinstance(value, str | int | None) else _text(value) for name, value in row.items()}
    members = [
        f'"{name}":{value if isinstance(row[name], dict | list) else json.dumps(value, ensure_ascii=False)}'
        for name, value in texts.items()
    ]
    return ("{" + ",".join(members) + "}\n").encode()


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    written = str(value.isoformat())
    base, dot, rest = written.removesuffix("+00:00").partition(".")
    return base + (dot + rest).rstrip("0") + "+00:00"


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is defined there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, as it is defined there."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*path(index, leaves[:k]), root(leaves[k:])]
    return [*path(index - k, leaves[k:]), root(leaves[:k])]


def export(
    of: Company,
    *,
    signer: Signer = HYRELOG,
    chosen: Callable[[Row], bool] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    schema: int = 3,
    **changes: Any,
) -> Files:
    """The files of an archive in their order; with `chosen`, of scope subject. `changes` replace manifest fields."""
    rows = [row for _, chained in sorted(of.chains.items()) for row in chained if not chosen or chosen(row)]
    if schema == 2:
        rows = [{name: row[name] for name in row if name not in OF_ERASURES} for row in rows]
    files: Files = {
        "data/audit_company.ndjson": b'{"id":"1","name":"Acme"}\n',
        EVENTS: b"".join(map(as_postgres, rows)),
        "data/audit_auditevent.csv": b"".join(
            [b"seq,text\r\n", *[b'%d,"two\r\nlines"\r\n' % row["seq"] for row in rows]]
        ),
    }
    if chosen:
        files[PROOFS] = b"".join(_proof(row, of) for row in rows)
        named = {row[name] for row in rows for name in ("actor_erased_by", "content_erased_by") if name in row} - {None}
        if named:
            records = [row for row in of.chains[of.workspace(of.system)] if row["id"] in named]
            files[ERASURES] = b"".join(proved_record(row, of) for row in records)
    files["context.json"] = b'{"purposes":[]}'
    files["fields.json"] = b'{"audit_auditevent":{}}'
    files["README.html"] = b"<!doctype html><title>Export</title>"
    files["verify.py"] = VERIFIER.read_bytes()
    counts = {"audit_company": 1, "audit_auditevent": len(rows)}
    system = str(uuid.UUID(int=of.number << 64 | of.system))
    manifest = {
        "format": "hyrelog-export",
        "schemaVersion": schema,
        "scope": "subject" if chosen else "company",
        "subject": {"actorId": ["u1"], "email": ["ada@example.com"]} if chosen else None,
        "company": {"id": of.id, "name": "Acme"},
        "request": {"jobId": None, "requestedAt": TIME, "requestedBy": "API key backend (hlk_abcdefgh…)"},
        "attempt": 1,
        "readFrom": TIME,
        "readUntil": TIME,
        "checkpoint": checkpoint or of.checkpoint(signer),
        "workspaces": {name: "system" if name == system else "production" for name in of.chains},
        "counts": counts,
        "files": [listed(name, data, rows=_rows(name, data, counts)) for name, data in files.items()],
        "redactions": {"audit_apikey": {"digest": "why it is left out"}},
        "excluded": {"audit_chainhead": "why no export holds it"},
        **changes,
    }
    return sign(files, json.dumps(manifest, ensure_ascii=False, indent=2).encode(), signer=signer)


def sign(files: Files, manifest: bytes, *, signer: Signer = HYRELOG) -> Files:
    """`files` with a manifest, whatever it says, and the signature of it."""
    signature = {"algorithm": "Ed25519", **signer.sign(b"hyrelog-manifest-v1", manifest)}
    return {**files, "manifest.json": manifest, "signature.json": rfc8785.dumps(signature)}


def relist(files: Files, *, signer: Signer = HYRELOG, **changes: Any) -> Files:
    """The archive with a manifest that fits its files as they are now."""
    manifest = json.loads(files["manifest.json"])
    rows = {entry["name"]: entry["rows"] for entry in manifest["files"]}
    for name in rows:
        if name.endswith(".ndjson"):
            rows[name] = files[name].count(b"\n")
    entries = [listed(name, files[name], rows=rows[name]) for name in rows]
    manifest["counts"]["audit_auditevent"] = rows[EVENTS]
    changed = {**manifest, "files": entries, **changes}
    return sign(files, json.dumps(changed, ensure_ascii=False).encode(), signer=signer)


def listed(name: str, data: bytes, *, rows: int | None) -> dict[str, Any]:
    folder, _, rest = name.rpartition("/")
    return {
        "name": name,
        "table": rest.partition(".")[0] if folder and name != ERASURES else None,
        "rows": rows,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def zipped(files: Mapping[str, bytes]) -> io.BytesIO:
    """The zip of an archive's files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file


def unpacked(files: Mapping[str, bytes], folder: Path) -> Path:
    """The archive's files in a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def proved_record(row: Row, of: Company) -> bytes:
    """A record of an erasure with its proof, as a subject's archive holds it."""
    return b'{"event":%b,"path":%b}\n' % (as_postgres(row).rstrip(), json.dumps(_steps(row, of)).encode())


def _proof(row: Row, of: Company) -> bytes:
    proof = {"id": row["id"], "workspaceId": row["workspace_id"], "seq": row["seq"], "path": _steps(row, of)}
    return json.dumps(proof).encode() + b"\n"


def _steps(row: Row, of: Company) -> list[str]:
    hashes = [bytes.fromhex(other["hash"]) for other in of.chains[row["workspace_id"]]]
    return [step.hex() for step in path(row["seq"] - 1, hashes)]


def _rows(name: str, data: bytes, counts: Mapping[str, int]) -> int | None:
    if name == ERASURES:
        return data.count(b"\n")
    if not name.startswith(("data/", "proofs/")):
        return None
    return counts[name.partition("/")[2].partition(".")[0]]
