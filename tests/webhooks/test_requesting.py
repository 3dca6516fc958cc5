import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import handler_of
from tests.conftest import Tenant
from tests.jobs.steps import run_next
from tests.webhooks.cancelling import cancel_once
from tests.webhooks.sending.peers import OK, Connection, answering, closing, status
from tests.webhooks.sending.senders import PATIENCE, Serve
from webhooks.requesting.payload import MOST_SENT, HttpRequest
from webhooks.requesting.request import KEPT, LONGEST_RETRY_AFTER, REQUEST

Status = Job.Status
Ask = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("transport_name")


@pytest.fixture
def ask(lease: ProcessLease, tenant: Tenant) -> Ask:
    """Enqueue a request and run it once; the job as it is then."""

    def run(url: str, **payload: Any) -> Any:
        job, _ = enqueue(REQUEST, {"url": url, **payload}, company=tenant.company)
        assert run_next(lease)
        job.refresh_from_db()
        return job

    return run


class Recorder:
    """Gives every request the same answer, and keeps it."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.requests: list[str] = []

    def __call__(self, connection: Connection) -> None:
        while request := connection.request():
            self.requests.append(request.decode())
            connection.send(self.answer)

    @property
    def fields(self) -> dict[str, str]:
        head = self.requests[-1].partition("\r\n\r\n")[0]
        parts = (line.partition(": ") for line in head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in parts}

    @property
    def body(self) -> str:
        return self.requests[-1].partition("\r\n\r\n")[2]


def answer(line: str, *headers: str, body: bytes = b"") -> Recorder:
    return Recorder(status(line, *headers, body=body))


def test_a_get_answers_status_headers_and_body(ask: Ask, serve: Serve) -> None:
    recorder = answer(
        "200 OK", "Content-Type: text/plain", "ETag: a1", "Set-Cookie: session=1", "X-Secret: 2", body=b"hi"
    )
    job = ask(serve(recorder).url("/a?b=c"))
    assert job.status == Status.COMPLETED, job.error
    assert job.result.pop("durationMs") >= 0
    headers = {"content-type": "text/plain", "etag": "a1", "content-length": "2"}
    assert job.result == {"status": 200, "headers": headers, "body": "hi", "truncated": False}
    assert recorder.requests[0].startswith("GET /a?b=c HTTP/1.1\r\n")
    assert "content-type" not in recorder.fields
    assert recorder.fields["hyrelog-job-id"] == str(job.id)
    assert recorder.fields["hyrelog-attempt"] == "1"


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        ({"json": {"é": [1, None]}}, '{"é":[1,null]}', "application/json"),
        ({"json": False}, "false", "application/json"),
        ({"json": "", "body": None}, '""', "application/json"),
        ({"body": "<a/>", "contentType": "application/xml; charset=utf-8"}, "<a/>", "application/xml; charset=utf-8"),
        ({"body": "ü"}, "ü", "text/plain; charset=utf-8"),
        ({"body": ""}, "", "text/plain; charset=utf-8"),
    ],
)
def test_a_body_is_sent_as_it_was_given(
    ask: Ask, serve: Serve, payload: dict[str, Any], body: str, content_type: str
) -> None:
    recorder = answer("201 Created")
    job = ask(serve(recorder).url(), method="PUT", headers={"Authorization": "Bearer t", "X-A": "b"}, **payload)
    assert (job.status, job.result["status"]) == (Status.COMPLETED, 201)
    assert (recorder.body, recorder.fields["content-type"]) == (body, content_type)
    assert (recorder.fields["authorization"], recorder.fields["x-a"]) == ("Bearer t", "b")


def test_a_head_has_an_answer_without_a_body(ask: Ask, serve: Serve) -> None:
    job = ask(serve(closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")).url(), method="HEAD")
    assert (job.status, job.result["body"], job.result["truncated"]) == (Status.COMPLETED, "", False)
    assert job.result["headers"] == {"content-length": "9000"}


def test_a_body_is_kept_up_to_a_cap_and_as_text(ask: Ask, serve: Serve) -> None:
    job = ask(serve(answer("200 OK", body=b"\xff\0" + b"x" * 200_000)).url())
    assert job.result["body"] == "\ufffd\ufffd" + "x" * (KEPT - 2)
    assert job.result["truncated"] is True
    job = ask(serve(answer("200 OK", body=b"x" * KEPT)).url())
    assert (job.result["body"], job.result["truncated"]) == ("x" * KEPT, False)


def test_a_gzip_bomb_is_cut(ask: Ask, serve: Serve) -> None:
    job = ask(serve(answer("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"a" * 50_000_000))).url())
    assert (job.status, job.result["body"], job.result["truncated"]) == (Status.COMPLETED, "a" * KEPT, True)


def test_an_endless_body_is_cut(ask: Ask, serve: Serve) -> None:
    def flood(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while connection.send(b"x" * 65536):
            pass

    job = ask(serve(flood).url())
    assert (job.status, len(job.result["body"])) == (Status.COMPLETED, KEPT)


@pytest.mark.parametrize(("expect", "line"), [([404, 410], "404 Not Found"), ([500], "500 Oh"), ([302], "302 Found")])
def test_what_counts_as_success_can_be_told(ask: Ask, serve: Serve, expect: list[int], line: str) -> None:
    job = ask(serve(answer(line, "Location: /elsewhere")).url(), expect=expect)
    assert (job.status, job.result["status"]) == (Status.COMPLETED, int(line[:3]))
    assert job.result["headers"]["location"] == "/elsewhere"


def test_a_success_that_is_not_expected_fails_for_good(ask: Ask, serve: Serve) -> None:
    job = ask(serve(answer("200 OK")).url(), expect=[204])
    assert (job.status, job.attempt) == (Status.FAILED, 1)
    assert job.error == "The answer was 200, which is none of the expected statuses."


@pytest.mark.parametrize("line", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "410 Gone"])
def test_a_refusal_fails_for_good(ask: Ask, serve: Serve, line: str) -> None:
    peer = serve(answer(line, body=b"secret details"))
    job = ask(peer.url("/p?token=s3cret"))
    assert (job.status, job.attempt) == (Status.FAILED, 1)
    assert job.error == f"http://127.0.0.1:{peer.port} answered {line[:3]}."


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_fails_for_good(ask: Ask, serve: Serve, code: int) -> None:
    inner = answer("200 OK", body=b"inner")
    recorder = answer(f"{code} Moved", f"Location: {serve(inner).url()}")
    job = ask(serve(recorder).url())
    assert job.status == Status.FAILED
    assert job.error.endswith(f"answered {code}. Redirects are not followed.")
    assert inner.requests == []
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("line", ["500 Oh", "502 Bad Gateway", "503 Busy", "429 Slow Down", "408 Late", "425 Early"])
def test_what_may_pass_is_retried_with_the_reason(ask: Ask, serve: Serve, line: str) -> None:
    peer = serve(answer(line))
    job = ask(peer.url())
    assert (job.status, job.attempt, job.max_attempts) == (Status.PENDING, 1, 5)
    assert job.error == f"http://127.0.0.1:{peer.port} answered {line[:3]}."
    assert 10 <= pause(job) < 30


@pytest.mark.parametrize(
    ("told", "seconds"), [("120", 120), ("0", 10), ("soon", 10), ("99999999", LONGEST_RETRY_AFTER)]
)
def test_retry_after_is_honoured_within_bounds(ask: Ask, serve: Serve, told: str, seconds: float) -> None:
    job = ask(serve(answer("503 Busy", f"Retry-After: {told}")).url())
    assert job.status == Status.PENDING
    assert seconds <= pause(job) < 1.1 * seconds + 10


def pause(job: Job) -> float:
    assert job.started_at
    return (job.run_at - job.started_at).total_seconds()


def test_the_last_attempt_s_failure_is_a_dead_letter(
    ask: Ask, lease: ProcessLease, tenant: Tenant, serve: Serve
) -> None:
    job, _ = enqueue(REQUEST, {"url": serve(answer("500 Oh")).url()}, company=tenant.company, max_attempts=1)
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, job.error.endswith("answered 500.")) == (Status.FAILED, True)


def test_a_closed_port_is_retried_and_told_without_the_path(ask: Ask) -> None:
    job = ask("http://127.0.0.1:1/hook?token=s3cret")
    assert job.status == Status.PENDING
    assert job.error == "http://127.0.0.1:1 accepted no connection: Connection refused."
    assert "s3cret" not in job.traceback


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"],
    ids=["nothing", "head", "body"],
)
def test_a_dripping_answer_ends_at_the_deadline(ask: Ask, serve: Serve, beginning: bytes) -> None:
    def drip(connection: Connection) -> None:
        connection.request()
        connection.send(beginning)
        while not connection.stopped.wait(0.1) and (not beginning or connection.send(b"x")):
            pass

    job = ask(serve(drip).url(), timeoutSeconds=1)
    assert (job.status, "The deadline of 1 s passed" in job.error) == (Status.PENDING, True)


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000])
def test_what_is_no_answer_is_retried(ask: Ask, serve: Serve, nonsense: bytes) -> None:
    job = ask(serve(closing(nonsense)).url())
    assert (job.status, "not acceptable HTTP" in job.error) == (Status.PENDING, True)


def test_a_refused_address_fails_for_good_and_is_not_told(ask: Ask, serve: Serve, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    recorder = Recorder()
    port = serve(recorder).port
    job = ask(f"http://localhost:{port}/")
    assert (job.status, job.attempt) == (Status.FAILED, 1)
    assert "resolves to what is not a public address" in job.error
    assert "127.0.0.1" not in job.error + job.traceback
    assert recorder.requests == []


def test_an_address_that_was_allowed_when_it_was_enqueued_is_judged_again(
    lease: ProcessLease, tenant: Tenant, serve: Serve, settings: Any
) -> None:
    recorder = Recorder()
    job, _ = enqueue(REQUEST, {"url": serve(recorder).url()}, company=tenant.company)
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, job.attempt, recorder.requests) == (Status.FAILED, 1, [])


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload.url"),
        ({"url": ""}, "payload.url"),
        ({"url": "ftp://example.com/"}, "payload.url"),
        ({"url": "https://user:s3cret@example.com/"}, "payload.url"),
        ({"url": "https://10.0.0.1/"}, "payload.url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "payload.url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "payload.url"),
        ({"url": "https://0x7f.1/", "method": "GET"}, "payload.url"),
        ({"url": "file:///etc/passwd"}, "payload.url"),
        ({"method": "TRACE"}, "payload.method"),
        ({"method": "get"}, "payload.method"),
        ({"method": "CONNECT"}, "payload.method"),
        ({"headers": {"Host": "internal"}}, "payload.headers.Host"),
        ({"headers": {"Content-Length": "1"}}, "payload.headers.Content-Length"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "payload.headers.Transfer-Encoding"),
        ({"headers": {"Connection": "close"}}, "payload.headers.Connection"),
        ({"headers": {"Proxy-Authorization": "x"}}, "payload.headers.Proxy-Authorization"),
        ({"headers": {"HyreLog-Job-Id": "x"}}, "payload.headers.HyreLog-Job-Id"),
        ({"headers": {"X": "a\r\nHost: b"}}, "payload.headers.X"),
        ({"headers": {"X\n": "a"}}, "payload.headers.X\n"),
        ({"headers": {"X": "a" * 5000}}, "payload.headers"),
        ({"headers": {f"X-{n}": "a" for n in range(21)}}, "payload.headers"),
        ({"method": "POST", "body": "x" * (MOST_SENT + 1)}, "payload.body"),
        ({"method": "POST", "body": "é" * MOST_SENT}, "payload.body"),
        ({"method": "POST", "json": "x" * MOST_SENT}, "payload.json"),
        ({"method": "POST", "json": 1, "body": "x"}, "payload"),
        ({"method": "GET", "json": 1}, "payload"),
        ({"method": "HEAD", "body": "x"}, "payload"),
        ({"method": "POST", "body": "x", "contentType": "text"}, "payload.contentType"),
        ({"method": "POST", "body": "x", "contentType": "text/plain\r\nX: y"}, "payload.contentType"),
        ({"method": "POST", "contentType": "text/plain"}, "payload"),
        ({"timeoutSeconds": 61}, "payload.timeoutSeconds"),
        ({"timeoutSeconds": 0}, "payload.timeoutSeconds"),
        ({"timeoutSeconds": "5"}, "payload.timeoutSeconds"),
        ({"expect": []}, "payload.expect"),
        ({"expect": [99]}, "payload.expect[0]"),
        ({"expect": ["200"]}, "payload.expect[0]"),
        ({"verify": False}, "payload.verify"),
        ({"json_body": 1, "method": "POST"}, "payload.json_body"),
    ],
)
def test_what_could_not_be_sent_is_refused_when_it_is_enqueued(
    tenant: Tenant, settings: Any, payload: dict[str, Any], field: str
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    complete = payload if field == "payload.url" else {"url": "https://example.com/", **payload}
    with pytest.raises(BadPayload) as refused:
        enqueue(REQUEST, complete, company=tenant.company)
    assert [name for name, _ in refused.value.problems] == [field], refused.value
    assert "s3cret" not in str(refused.value)
    assert not Job.objects.exists()


def test_plain_http_is_refused_unless_it_is_allowed(tenant: Tenant, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_HTTP = False
    with pytest.raises(BadPayload, match=r"payload\.url: .*only https is allowed"):
        enqueue(REQUEST, {"url": "http://example.com/"}, company=tenant.company)


@pytest.mark.parametrize("deep", [65, 5000, 100_000])
def test_json_that_is_nested_too_deeply_is_refused(tenant: Tenant, deep: int) -> None:
    nested: Any = 1
    for _ in range(deep):
        nested = [nested]
    with pytest.raises(BadPayload, match=r"payload\.json: .*nested deeper than 64 levels"):
        enqueue(REQUEST, {"url": "https://example.com/", "method": "POST", "json": nested}, company=tenant.company)


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"], ids=["silent", "begun"])
def test_a_cancelled_request_is_cut(
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

    job, _ = enqueue(REQUEST, {"url": serve(behave).url(), "timeoutSeconds": 60}, company=tenant.company)
    assert run_next(lease, stopping=cancel_once(job, arrived))
    job.refresh_from_db()
    assert (job.status, job.result) == (Status.CANCELLED, None)
    assert gone.wait(PATIENCE)


def test_a_shutdown_hands_the_request_back(tenant: Tenant, lease: ProcessLease, serve: Serve) -> None:
    arrived = threading.Event()

    def behave(connection: Connection) -> None:
        connection.request()
        arrived.set()
        connection.wait_for_close()

    job, _ = enqueue(REQUEST, {"url": serve(behave).url()}, company=tenant.company)
    assert run_next(lease, stopping=arrived.is_set)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Status.PENDING, 0)


def test_a_payload_may_be_given_as_its_type(lease: ProcessLease, tenant: Tenant, serve: Serve) -> None:
    recorder = Recorder()
    job, _ = enqueue(REQUEST, HttpRequest(url=serve(recorder).url()), company=tenant.company)
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, len(recorder.requests)) == (Status.COMPLETED, 1)


def test_each_attempt_tells_its_number(ask: Ask, lease: ProcessLease, serve: Serve) -> None:
    recorder = answer("500 Oh")
    job = ask(serve(recorder).url())
    Job.objects.filter(pk=job.pk).update(run_at=job.created_at)
    recorder.answer = OK
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert recorder.fields["hyrelog-attempt"] == "2"
    assert job.error == ""


def test_tenants_may_enqueue_it_within_limits() -> None:
    declared = handler_of(REQUEST)
    assert (declared.public, declared.max_attempts, declared.company_concurrency) == (True, 5, 5)
    assert declared.timeout > 60


def test_the_result_is_json(ask: Ask, serve: Serve) -> None:
    job = ask(serve(answering(status("200 OK", "Server: \xe9\x80", body=b'{"a": "\\u0000"}'))).url())
    assert job.status == Status.COMPLETED, job.traceback
    assert json.loads(job.result["body"]) == {"a": "\0"}
