"""How many events a second an export reads, compresses and hashes, beside a plain COPY through the same compressor.

A workspace of 500,000 events is read by `COPY (SELECT row_to_json(…) …) TO STDOUT`, compressed as archives are while
the next rows come, into a file; then made into a whole archive; then made into one and verified as an export is. Each
in a process of its own, in turn, three times each; the ratio is of the medians. `peak_mb` is the most memory that a
process took at a time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from benchmarks import memory
from benchmarks.stage import ROOT, stage

EVENTS = 500_000
ROUNDS = 3
PIECE = 1024 * 1024
"""Bytes of COPY that are compressed at a time."""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--way", choices=WAYS, help="only this, on the database of the environment")
    options = parser.parse_args(arguments)
    if options.way:
        print(json.dumps(_take(WAYS[options.way])))
        return
    with stage():
        _fill(options.events)
        print(json.dumps(_measure(options.events, options.rounds)), flush=True)


def _fill(events: int) -> None:
    from django.db import connection

    from audit.models import Company
    from benchmarks.chains import fill

    fill(Company.objects.open(name="Benchmark").add_workspace(name="production"), events=events)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) audit_auditevent")
        cursor.execute("CHECKPOINT")


def _measure(events: int, rounds: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, results in found.items():
            command = [sys.executable, "-m", "benchmarks.exports", "--way", way]
            said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
            results.append(json.loads(said))
    rates = {way: events / statistics.median(one["seconds"] for one in results) for way, results in found.items()}
    return {
        "benchmark": "exports",
        "events": events,
        **{f"{way}_rows_per_s": round(rate) for way, rate in rates.items()},
        "peak_mb": {way: round(max(one["peak"] for one in results) / 1e6) for way, results in found.items()},
        "ratio": round(rates["made"] / rates["copied"], 2),
    }


def _take(way: Callable[[IO[bytes]], None]) -> dict[str, float]:
    """Seconds and the most bytes of memory that one way takes in this process."""
    import django

    django.setup()
    from django.db import connection

    connection.ensure_connection()
    with TemporaryFile(dir=Path(os.environ["HYRELOG_HOME"])) as file:
        began = time.monotonic()
        way(file)
        seconds = time.monotonic() - began
    return {"seconds": seconds, "peak": memory.peak()}


def _copy(file: IO[bytes]) -> None:
    """What the archive is measured by: the same columns of the same rows in the same order, compressed in a thread."""
    from django.db import connection

    from audit.models import AuditEvent, Company, Workspace
    from audit.personal_data import covered
    from gdpr.archiving import LEVEL
    from gdpr.reading import columns

    table = next(table for table in covered() if table.model is AuditEvent)
    chosen = ", ".join(f'"{column}"' for column in columns(table))
    workspace = Workspace.objects.get(company=Company.objects.get(), name="production")
    events = f"SELECT {chosen} FROM {table.table} WHERE workspace_id = '{workspace.pk}' ORDER BY seq"  # noqa: S608
    statement = f"COPY (SELECT row_to_json(chosen) FROM ({events}) AS chosen) TO STDOUT"  # noqa: S608
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    with ThreadPoolExecutor(1) as thread, connection.cursor() as cursor, cursor.copy(statement) as rows:
        piece = bytearray()
        under_way: Future[int] | None = None
        for row in rows:
            piece += row
            if len(piece) >= PIECE:
                if under_way:
                    under_way.result()
                under_way = thread.submit(_compress, compressor, piece, file)
                piece = bytearray()
        if under_way:
            under_way.result()
        file.write(compressor.compress(piece) + compressor.flush())


def _compress(compressor: "zlib._Compress", piece: bytearray, file: IO[bytes]) -> int:
    return file.write(compressor.compress(piece))


def _make(file: IO[bytes]) -> None:
    from django.utils import timezone

    from audit.models import Company
    from gdpr.archiving import sha256_of
    from gdpr.making import Order, make

    order = Order(
        company=Company.objects.get(),
        scope="company",
        subject=None,
        csv=False,
        requested_by="a benchmark",
        requested_at=timezone.now(),
    )
    make(order, file, clock=timezone.now)
    sha256_of(file)


def _make_and_verify(file: IO[bytes]) -> None:
    from audit import signing
    from gdpr import verify

    _make(file)
    report = verify.verify(file, keys=signing.public_keys().values())
    assert report.status == 0, list(verify.describe(report))


WAYS = {"copied": _copy, "made": _make, "made_and_verified": _make_and_verify}

if __name__ == "__main__":
    main(sys.argv[1:])
