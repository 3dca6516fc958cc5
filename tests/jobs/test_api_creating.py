from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.chain import timestamp
from audit.models import ApiKey, IdempotencyRecord
from jobs import doorbell, registry
from jobs.api import creating
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.jobs.rows import job_in
from tests.jobs.steps import run_next
from tests.threads import at_once

JOBS = "/v1/key/company/jobs"
SLEEP = {"type": "sleep", "payload": {"seconds": 0}}


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lanes that were rung."""
    rung: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: rung.append(lane))
    return rung


def test_a_job_is_created_and_runs(committed: None, api: Api, lease: ProcessLease, rung: list[str]) -> None:
    answer = api.post(JOBS, SLEEP)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["type"], made["status"], made["priority"], made["key"], made["maxAttempts"]) == (
        *("sleep", "PENDING", 0, None),
        registry.handler_of("sleep").max_attempts,
    )
    assert rung == ["jobs"]
    assert run_next(lease)
    done = api.get(f"{JOBS}/{made['jobId']}").json()
    assert (done["status"], done["result"], done["payload"]) == ("COMPLETED", {"slept": 0.0}, {"seconds": 0})


def test_every_property_of_a_job_can_be_said(api: Api, tenant: Tenant) -> None:
    later = timestamp(timezone.now() + timedelta(days=300))
    chosen = {"priority": -10, "runAt": later, "key": "k ü", "maxAttempts": 25}
    made = api.post(JOBS, SLEEP | chosen).json()
    assert {name: made[name] for name in chosen} == chosen
    job = Job.objects.get()
    assert (job.company, job.queue, job.payload) == (tenant.company, "jobs", {"seconds": 0})


def test_null_says_the_same_as_leaving_out(api: Api) -> None:
    made = api.post(JOBS, SLEEP | {"runAt": None, "key": None, "maxAttempts": None})
    assert (made.status_code, made.json()["key"]) == (201, None)


def test_a_moment_that_has_passed_means_now(api: Api) -> None:
    """Otherwise a tenant could make HyreLog look as if jobs had waited for decades."""
    before = timezone.now()
    made = api.post(JOBS, SLEEP | {"runAt": "1970-01-02T00:00:00Z"}).json()
    assert before <= datetime.fromisoformat(made["runAt"]) <= timezone.now()


@pytest.mark.parametrize(
    "job_type",
    [
        *("gdpr.export", "email.send", "jobs.alert", "webhook.recover", "webhook.replay", "webhook.disable"),
        *("nonsense", "", "Sleep", "sleep ", "sleep\0", "\ud800", "x" * 100_000),
    ],
)
def test_a_type_that_is_not_open_is_refused_like_one_that_does_not_exist(api: Api, job_type: str) -> None:
    answer = api.post(JOBS, {"type": job_type, "payload": {"scope": "company", "seconds": 1}})
    rule = f"must be one of: {', '.join(registry.public_types())}"
    assert "sleep" in rule
    assert "gdpr" not in rule
    assert answer.status_code == 422
    assert answer.json() == {
        "error": f"type: {rule}",
        "code": "invalid",
        "details": [{"field": "type", "rule": rule}],
    }
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"type": 7}, "type", "must be a text"),
        ({"type": None}, "type", "must be a text"),
        ({"payload": None}, "payload", "must be a JSON object"),
        ({"payload": [1]}, "payload", "must be a JSON object"),
        ({"payload": {}}, "payload.seconds", "is required"),
        ({"payload": {"seconds": -1}}, "payload.seconds", "at least 0"),
        ({"payload": {"seconds": "soon"}}, "payload.seconds", "number"),
        ({"payload": {"seconds": 1, "more": 1}}, "payload.more", "is no field"),
        ({"payload": {"seconds": 1, "to\0": 1}}, "payload.to\0 (the name)", "U+0000"),
        ({"payload": {"seconds": 2**60}}, "payload.seconds", "beyond"),
        ({"priority": 11}, "priority", "at most 10"),
        ({"priority": -11}, "priority", "at least -10"),
        ({"priority": "5"}, "priority", "must be a whole number"),
        ({"priority": True}, "priority", "must be a whole number"),
        ({"priority": 1.5}, "priority", "whole number"),
        ({"runAt": "2026-01-31T12:00:00"}, "runAt", "no time with an offset"),
        ({"runAt": 1769860800}, "runAt", "no time with an offset"),
        ({"runAt": "9999-12-31T23:59:59Z"}, "runAt", "at most 365 days ahead"),
        ({"key": ""}, "key", "1 to 255 characters"),
        ({"key": "x" * 256}, "key", "1 to 255 characters"),
        ({"key": "a\nb"}, "key", "printable"),
        ({"key": "a\0b"}, "key", "printable"),
        ({"key": "\ud800"}, "key", "printable"),
        ({"key": "\u202e"}, "key", "printable"),
        ({"key": 5}, "key", "must be a text"),
        ({"maxAttempts": 0}, "maxAttempts", "at least 1"),
        ({"maxAttempts": 26}, "maxAttempts", "at most 25"),
        ({"maxAttempts": "3"}, "maxAttempts", "whole number"),
        ({"run_at": "2026-01-31T12:00:00Z"}, "run_at", "is no field"),
        ({"queue": "exports"}, "queue", "is no field"),
        ({"company": "x"}, "company", "is no field"),
    ],
)
def test_bad_input_names_the_field_and_the_rule(api: Api, change: dict[str, Any], field: str, rule: str) -> None:
    answer = api.post(JOBS, SLEEP | change)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field
    assert rule in answer.json()["details"][0]["rule"]
    assert not Job.objects.exists()


def test_what_is_required_is_said_of_all_at_once(api: Api) -> None:
    answer = api.post(JOBS, {"priority": 50})
    assert {problem["field"] for problem in answer.json()["details"]} == {"type", "payload", "priority"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "not_json"),
        ("", 422, "invalid"),
        (b"\xff", 400, "not_json"),
        ('{"type": "sleep", "payload": {"seconds": NaN}}', 400, "not_json"),
        ('{"type": "sleep", "type": "sleep", "payload": {"seconds": 1}}', 422, "invalid"),
        ('{"type": "sleep", "payload": ' + '{"seconds":' * 5_000 + "1" + "}" * 5_000 + "}", 422, "invalid"),
        ("[]", 422, "invalid"),
        ("null", 422, "invalid"),
        ('"sleep"', 422, "invalid"),
    ],
)
def test_what_is_no_object_in_json_is_refused(api: Api, body: str | bytes, status: int, code: str) -> None:
    answer = api.post(JOBS, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Job.objects.exists()


def test_a_payload_has_an_upper_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
    registry.handler("test.any", public=True)(lambda context: None)

    def sent(text: str) -> Any:
        return api.post(JOBS, {"type": "test.any", "payload": {"text": text}})

    assert sent("x" * (256 * 1024 - 100)).status_code == 201
    answer = sent("x" * 256 * 1024)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "payload"
    assert "262,144 (256 KiB)" in answer.json()["error"]
    tiny = api.post(JOBS, {"type": "test.any", "payload": {"numbers": [1e-300] * 2_000}})
    assert tiny.status_code == 422  # each is stored with three hundred digits


def test_while_a_job_of_the_key_is_active_it_is_the_answer(api: Api, other_api: Api) -> None:
    first = api.post(JOBS, SLEEP | {"key": "k"})
    again = api.post(JOBS, SLEEP | {"key": "k", "priority": 3})
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert api.post(JOBS, SLEEP | {"key": "l"}).status_code == 201
    # Keys are each company's own.
    foreign = other_api.post(JOBS, SLEEP | {"key": "k"})
    assert foreign.status_code == 201
    assert foreign.json()["jobId"] != first.json()["jobId"]
    api.post(f"{JOBS}/{first.json()['jobId']}/cancel")
    assert api.post(JOBS, SLEEP | {"key": "k"}).status_code == 201


def test_a_key_joins_no_job_of_another_type(api: Api, tenant: Tenant) -> None:
    job_in(tenant, job_type="gdpr.export", key="company")
    assert api.post(JOBS, SLEEP | {"key": "company"}).status_code == 201


def test_requests_of_one_key_at_once_create_one_job(committed: None) -> None:
    key = open_tenant("Acme").company_key
    statuses: list[int] = []
    ids: set[str] = set()

    def ask() -> None:
        answer = Api(Client(), key).post(JOBS, SLEEP | {"key": "k"})
        statuses.append(answer.status_code)
        ids.add(answer.json()["jobId"])

    at_once(6, ask)
    assert sorted(statuses) == [200] * 5 + [201]
    assert len(ids) == Job.objects.count() == 1


def test_a_request_is_repeated_safely(committed: None, api: Api, tenant: Tenant) -> None:
    first = api.post(JOBS, SLEEP, **{"Idempotency-Key": "a"})
    again = api.post(JOBS, SLEEP, **{"Idempotency-Key": "a"})
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    other = api.post(JOBS, SLEEP | {"priority": 1}, **{"Idempotency-Key": "a"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert Job.objects.count() == 1
    # Another key of the company has names of its own.
    _, plaintext = ApiKey.objects.issue(company=tenant.company, name="second")
    assert Api(Client(), plaintext).post(JOBS, SLEEP, **{"Idempotency-Key": "a"}).status_code == 201


def test_a_refused_request_leaves_its_idempotency_key_free(committed: None, api: Api) -> None:
    refused = api.post(JOBS, {"type": "sleep", "payload": {}}, **{"Idempotency-Key": "a"})
    assert (refused.status_code, IdempotencyRecord.objects.count()) == (422, 0)
    assert api.post(JOBS, SLEEP, **{"Idempotency-Key": "a"}).status_code == 201


def test_only_so_many_jobs_of_a_company_may_wait(
    committed: None, api: Api, other_api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creating, "MOST_WAITING", 3)
    for status in ("PROCESSING", "COMPLETED", "FAILED", "CANCELLED"):
        job_in(tenant, status=status)
    created = [api.post(JOBS, SLEEP | {"key": f"k{number}"}) for number in range(4)]
    assert [answer.status_code for answer in created] == [201, 201, 201, 429]
    refused = created[-1]
    assert refused.json()["code"] == "rate_limited"
    assert "3 jobs of this company wait" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) > 0
    # What waits already is still the answer, and nobody else is kept from anything.
    assert api.post(JOBS, SLEEP | {"key": "k0"}).status_code == 200
    assert other_api.post(JOBS, SLEEP).status_code == 201
    api.post(f"{JOBS}/{created[0].json()['jobId']}/cancel")
    assert api.post(JOBS, SLEEP).status_code == 201


def test_priority_orders_a_company_s_own_jobs(api: Api, lease: ProcessLease) -> None:
    for priority in (-10, 10, 0):
        api.post(JOBS, SLEEP | {"priority": priority})
    ran = []
    for _ in range(3):
        waited = set(Job.objects.filter(status="PENDING"))
        assert run_next(lease)
        ran += [job.priority for job in waited - set(Job.objects.filter(status="PENDING"))]
    assert ran == [10, 0, -10]
