"""Inputs of data.process that come from a URL, over both transports: large ones, compressed ones, hostile ones."""

import gzip
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.conftest import Tenant
from tests.jobs.steps import run_next
from tests.system import wait_until
from tests.webhooks.cancelling import cancel_once
from tests.webhooks.sending.peers import Behaviour, Connection, answering, closing, status
from tests.webhooks.sending.senders import PATIENCE, Serve
from webhooks.processing import decoding, process
from webhooks.processing.inflow import AHEAD, Inflow
from webhooks.processing.process import PROCESS
from webhooks.requesting.request import transport_of_job
from webhooks.sending.request import Request

Status = Job.Status
Process = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("transport_name")

ROW = b'{"kind": "a", "text": "%s"}\n' % (b"x" * 1000)
LINES = b"".join(b'{"kind": "%s"}\n' % kind for kind in [b"a", b"b", b"a"])
HEAD = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 1 << 20


@pytest.fixture
def process_url(lease: ProcessLease, tenant: Tenant) -> Process:
    """Enqueue a job for a URL and run it once; the job as it is then."""

    def run(url: str, *, headers: dict[str, str] | None = None, **payload: Any) -> Any:
        values = {"source": {"url": url, "headers": headers or {}}, "format": "ndjson", "groupBy": ["kind"], **payload}
        job, _ = enqueue(PROCESS, values, company=tenant.company)
        assert run_next(lease)
        job.refresh_from_db()
        return job

    return run


def counted(job: Any) -> dict[Any, int]:
    assert job.status == Status.COMPLETED, job.error + job.traceback
    return {group["key"][0]: group["count"] for group in job.result["groups"]}


def stream(*pieces: bytes, head: bytes, times: int = 1, gone: threading.Event | None = None) -> Behaviour:
    """Send a head and pieces, again and again, and close."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(head + b"\r\n")
        for _ in range(times):
            if not all(connection.send(piece) for piece in pieces):
                break
        if gone:
            gone.set()

    return behave


def test_a_download_is_counted(process_url: Process, serve: Serve) -> None:
    requests = []

    def behave(connection: Connection) -> None:
        requests.append(connection.request().decode())
        connection.send(status("200 OK", body=LINES))

    job = process_url(serve(behave).url("/data?x=1"), headers={"Authorization": "Bearer t"})
    assert counted(job) == {"a": 2, "b": 1}
    assert requests[0].startswith("GET /data?x=1 HTTP/1.1\r\n")
    assert "Authorization: Bearer t\r\n" in requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"\r\n" + LINES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in LINES) + b"0\r\n\r\n",
        status("200 OK", body=LINES + b'{"kind"'),
    ],
    ids=["until-close", "tiny-chunks", "cut-by-itself"],
)
def test_whatever_the_framing_the_rows_are_the_same(process_url: Process, serve: Serve, answer: bytes) -> None:
    assert counted(process_url(serve(closing(answer)).url())) == {"a": 2, "b": 1}


def test_csv_is_downloaded_too(process_url: Process, serve: Serve) -> None:
    answer = status("200 OK", body=b'kind,text\r\na,"x\ny"\r\nb,\xff\r\na,z')
    job = process_url(serve(answering(answer)).url(), format="csv")
    assert counted(job) == {"a": 2}
    assert job.result["unreadable"] == [{"line": 4, "reason": "is not UTF-8"}]


def test_bytes_that_are_no_utf_8_are_bad_rows(process_url: Process, serve: Serve) -> None:
    body = LINES + b'{"kind": "\xff"}\n{"kind": "\xed\xa0\x80"}\n\xfe\xff\0{\n{\0"\0\n' + LINES
    job = process_url(serve(answering(status("200 OK", body=body))).url())
    assert counted(job) == {"a": 4, "b": 2}
    assert job.result["rowsUnreadable"] == 4


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Encoding: gzip"], gzip.compress(LINES)),
        (["Content-Encoding: deflate"], zlib.compress(LINES)),
        (["Content-Encoding: identity"], LINES),
        (["Content-Type: application/gzip"], gzip.compress(LINES)),  # a file that is compressed
        (["Content-Encoding: gzip"], gzip.compress(gzip.compress(LINES))),
        ([], gzip.compress(LINES[:10]) + gzip.compress(b"") + gzip.compress(LINES[10:]) + b"\0" * 100),
    ],
    ids=["gzip", "deflate", "identity", "file", "both", "members"],
)
def test_what_is_compressed_is_decompressed(
    process_url: Process, serve: Serve, headers: list[str], body: bytes
) -> None:
    assert counted(process_url(serve(answering(status("200 OK", *headers, body=body))).url())) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        (["Content-Encoding: gzip"], gzip.compress(LINES)[:-3], "its compressed data ends too early"),
        ([], gzip.compress(LINES)[:-9], "its compressed data ends too early"),
        ([], gzip.compress(LINES)[:10] + b"\xff" * 20, "its compressed data is damaged"),
        (["Content-Encoding: gzip"], LINES, "its compressed data is damaged"),
        ([], gzip.compress(LINES) + b"more", "its compressed data is damaged"),
        (["Content-Encoding: br"], LINES, "it has the Content-Encoding 'br'; gzip and deflate are understood"),
    ],
    ids=["end", "middle", "damaged", "plain", "trailing", "unknown"],
)
def test_what_cannot_be_decompressed_fails_for_good(
    process_url: Process, serve: Serve, headers: list[str], body: bytes, error: str
) -> None:
    job = process_url(serve(answering(status("200 OK", *headers, body=body))).url())
    assert (job.status, job.attempt, job.error) == (Status.FAILED, 1, f"source: {error}.")


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD + b"Content-Length: 99999999999\r\n", ROW * 100),
        (HEAD, b"\n" * 65536),
        (HEAD, b"x" * 65536),
        (HEAD + b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"[" * 65536 + b"\r\n"),
    ],
    ids=["rows", "empty-lines", "one-line", "brackets"],
)
def test_an_endless_input_ends_at_the_cap(
    process_url: Process, serve: Serve, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setattr(decoding, "MOST", 2 * MEGABYTE)
    gone = threading.Event()
    job = process_url(serve(stream(piece, head=head, times=100_000, gone=gone)).url())
    assert (job.status, job.error) == (Status.FAILED, "source: it has more than 2,097,152 bytes.")
    assert gone.wait(PATIENCE)


@pytest.mark.parametrize("encoded", [["Content-Encoding: gzip"], []], ids=["encoded", "file"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_ends_at_the_cap_and_stays_out_of_memory(
    process_url: Process, serve: Serve, monkeypatch: pytest.MonkeyPatch, encoded: list[str], layers: int
) -> None:
    monkeypatch.setattr(decoding, "MOST", 60 * MEGABYTE)
    bomb = gzip.compress(b"\0" * 80 * MEGABYTE)
    bomb = gzip.compress(bomb) if layers == 2 else bomb
    peer = serve(answering(status("200 OK", *encoded, body=bomb)))
    job, peak = measured(lambda: process_url(peer.url()))
    if layers == 2 and not encoded:  # a file within a file is no text
        assert (job.result["rowsRead"], job.result["rowsUnreadable"] > 0) == (0, True)
    else:
        assert (job.status, job.error) == (Status.FAILED, "source: it has more than 62,914,560 bytes.")
    assert peak < 16 * MEGABYTE


def test_memory_is_bounded_however_large_the_input_is(process_url: Process, serve: Serve) -> None:
    row = b'{"kind": "a", "text": "%s"}\n' % (b"x" * 900_000)
    too_long = b'{"kind": "b", "text": "%s"}\n' % (b"x" * 3_000_000)
    peer = serve(stream(row, row, too_long, head=HEAD, times=40))
    job, peak = measured(lambda: process_url(peer.url()))
    assert counted(job) == {"a": 80}
    assert job.result["rowsUnreadable"] == 40
    assert peak < 16 * MEGABYTE  # of 190


@pytest.mark.parametrize("transport_name", ["curl"], indirect=True)  # whichever brings it, it is read in one way
def test_memory_is_bounded_for_csv_with_quotes_that_never_end(process_url: Process, serve: Serve) -> None:
    record = b'"x\ny","z\n' * 1000
    peer = serve(stream(b"kind,b\n", record * 10, head=HEAD, times=14))
    job, peak = measured(lambda: process_url(peer.url(), format="csv"))
    assert job.status == Status.COMPLETED, job.error
    assert job.result["rowsRead"] == 0
    assert job.result["rowsUnreadable"] > 0
    assert peak < 48 * MEGABYTE  # a record of 1 MiB that is all fields costs this much


def test_a_server_is_read_no_faster_than_its_rows_are_counted(serve: Serve) -> None:
    gone = threading.Event()
    peer = serve(stream(ROW * 100, head=HEAD, times=100_000, gone=gone))
    request = Request(uuid4(), peer.url(), {}, b"", timeout=60, method="GET")
    with Inflow(request, open_transport=transport_of_job, look=lambda: None) as inflow:
        pieces = iter(inflow)
        next(pieces)
        wait_until(inflow._pieces.full, seconds=PATIENCE, what="as many pieces as may wait")
        assert not gone.is_set()
        for _ in range(3 * AHEAD):
            next(pieces)
    assert gone.wait(PATIENCE)


def measured(run: Callable[[], Any]) -> tuple[Any, int]:
    """What it gives, and the most memory that it had at any time."""
    tracemalloc.start()
    try:
        return run(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n" + LINES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2d\r\n" + LINES + b"\r\n",
        b"",
    ],
    ids=["length", "chunks", "nothing"],
)
def test_a_download_that_breaks_off_is_retried_and_never_a_result(
    process_url: Process, serve: Serve, answer: bytes
) -> None:
    job = process_url(serve(closing(answer)).url())
    assert (job.status, job.attempt, job.result) == (Status.PENDING, 1, None)
    assert "closed the connection" in job.error


def test_a_source_that_drips_ends_at_the_deadline(
    process_url: Process, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DOWNLOAD_TIMEOUT", 1.0)

    def drip(connection: Connection) -> None:
        connection.request()
        connection.send(HEAD + b"\r\n")
        while not connection.stopped.wait(0.05) and connection.send(b'{"a": 1}\n'):
            pass

    job = process_url(serve(drip).url())
    assert (job.status, "The deadline of 1 s passed" in job.error) == (Status.PENDING, True)


@pytest.mark.parametrize(
    ("line", "state"),
    [("404 Not Found", Status.FAILED), ("302 Found", Status.FAILED), ("503 Busy", Status.PENDING)],
)
def test_an_answer_that_is_no_success_is_no_input(process_url: Process, serve: Serve, line: str, state: str) -> None:
    inner = serve(answering(status("200 OK", body=LINES)))
    peer = serve(answering(status(line, f"Location: {inner.url()}", body=LINES)))
    job = process_url(peer.url("/p?token=s3cret"))
    assert (job.status, job.result, inner.accepted) == (state, None, 0)
    assert job.error.startswith(f"http://127.0.0.1:{peer.port} answered {line[:3]}.")


def test_endless_headers_are_no_answer(process_url: Process, serve: Serve) -> None:
    job = process_url(serve(stream(b"X: " + b"y" * 1000 + b"\r\n", head=HEAD[:-2], times=10_000)).url())
    assert (job.status, "not acceptable HTTP" in job.error) == (Status.PENDING, True)


def test_a_refused_address_is_no_source(process_url: Process, serve: Serve, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    peer = serve(answering(status("200 OK", body=LINES)))
    job = process_url(f"http://localhost:{peer.port}/")
    assert (job.status, job.attempt, peer.accepted) == (Status.FAILED, 1, 0)
    assert "127.0.0.1" not in job.error + job.traceback


def test_an_empty_answer_has_no_rows(process_url: Process, serve: Serve) -> None:
    assert process_url(serve(answering(b"HTTP/1.1 204 No Content\r\n\r\n")).url()).result["rowsRead"] == 0


def test_it_tells_how_far_it_is(process_url: Process, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []
    monkeypatch.setattr("jobs.context.LOOK_EVERY", 0.0)
    advance = Job.advance

    def noted(job: Job, fraction: float, *, step: str, **more: Any) -> bool:
        told.append((fraction, step))
        return advance(job, fraction, step=step, **more)

    monkeypatch.setattr(Job, "advance", noted)
    job = process_url(serve(answering(status("200 OK", body=ROW * 3000))).url())
    assert counted(job) == {"a": 3000}
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.2 < fractions[len(fractions) // 2] < 0.8 < fractions[-1] <= 1
    assert told[-1][1].startswith("2,9")
    assert told[-1][1].endswith(" rows")


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    "beginning", [b"", HEAD + b"\r\n", HEAD + b"Content-Length: 999999999\r\n\r\n" + ROW * 2000], ids=len
)
def test_a_cancelled_download_is_cut(
    tenant: Tenant, lease: ProcessLease, serve: Serve, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr("jobs.watching.LOOK_EVERY", 0.1)  # the watch's thread sees what is committed
    arrived, gone = threading.Event(), threading.Event()

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(beginning)
        arrived.set()
        connection.wait_for_close()
        gone.set()

    payload = {"source": {"url": serve(behave).url()}, "format": "ndjson"}
    job, _ = enqueue(PROCESS, payload, company=tenant.company)
    assert run_next(lease, stopping=cancel_once(job, arrived))
    job.refresh_from_db()
    assert (job.status, job.result) == (Status.CANCELLED, None)
    assert gone.wait(PATIENCE)


@pytest.mark.usefixtures("committed")
def test_a_cancelled_bomb_ends_in_the_middle_of_a_piece(
    tenant: Tenant, lease: ProcessLease, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One piece of 16 KiB that unfolds to gigabytes: the handler hears of its end between two steps of it."""
    monkeypatch.setattr("jobs.watching.LOOK_EVERY", 0.1)
    monkeypatch.setattr(decoding, "MOST", 1 << 50)
    inner = gzip.compress(b" " * 200 * MEGABYTE) * 500
    arrived = threading.Event()

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(status("200 OK", "Content-Encoding: gzip", body=gzip.compress(inner)))
        arrived.set()

    payload = {"source": {"url": serve(behave).url()}, "format": "ndjson"}
    job, _ = enqueue(PROCESS, payload, company=tenant.company)
    assert run_next(lease, stopping=cancel_once(job, arrived))
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_no_thread_is_left_behind(process_url: Process, serve: Serve) -> None:
    process_url(serve(answering(status("200 OK", body=LINES))).url())
    process_url(serve(answering(status("200 OK", body=b"x,x\n"))).url(), format="csv")
    assert "inflow" not in [thread.name for thread in threading.enumerate()]
