import uuid
from typing import Any

import pytest
from django.test import Client

from jobs import registry
from jobs.api import jobs as routes
from jobs.backoff import exponential
from jobs.context import JobContext
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import JobAttempt, JobLog
from jobs.registry import handler
from tests.api import Api
from tests.conftest import NOON, Tenant
from tests.jobs.rows import job_in
from tests.jobs.steps import run_next

JOBS = "/v1/key/company/jobs"


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> str:
    """A type whose handler logs three lines and fails at its first attempt."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))

    @handler("test.talkative", max_attempts=2, backoff=exponential(base=0, cap=0))
    def talk(context: JobContext) -> dict[str, Any]:
        for number in (1, 2, 3):
            context.log(f"line {number}", level="warning")
        if context.attempt == 1:
            raise ZeroDivisionError
        return {"said": 3}

    return "test.talkative"


def test_jobs_are_listed_and_shown(api: Api, tenant: Tenant) -> None:
    job, _ = enqueue("gdpr.export", {"scope": "company"}, company=tenant.company, key="k", now=NOON)
    shown = api.get(f"{JOBS}/{job.id}").json()
    assert (shown.pop("payload"), shown.pop("history")) == (None, [])
    assert api.get(JOBS).json() == {"jobs": [shown], "nextCursor": None}
    assert shown == {
        "jobId": str(job.id),
        "type": "gdpr.export",
        "status": "PENDING",
        "progress": 0,
        "step": None,
        "attempts": 0,
        "maxAttempts": 5,
        "lost": 0,
        "priority": 0,
        "runAt": "2026-01-31T12:00:00.000000Z",
        "key": "k",
        "error": None,
        "result": None,
        "createdAt": shown["createdAt"],
        "startedAt": None,
        "completedAt": None,
    }


def test_foreign_missing_and_malformed_ids_are_404_at_every_route(api: Api, other_api: Api, tenant: Tenant) -> None:
    job, nobody = job_in(tenant), job_in(None)
    JobLog.objects.create(job=job, company=tenant.company, attempt=1, text="secret")
    for part in ("", "/log"):
        foreign, missing = other_api.get(f"{JOBS}/{job.id}{part}"), other_api.get(f"{JOBS}/{uuid.uuid4()}{part}")
        assert (foreign.status_code, foreign.json()) == (404, missing.json())
        assert other_api.get(f"{JOBS}/{nobody.id}{part}").status_code == 404
        assert api.get(f"{JOBS}/not-an-id{part}").status_code == 404
    for part in ("cancel", "retry"):
        foreign, missing = other_api.post(f"{JOBS}/{job.id}/{part}"), other_api.post(f"{JOBS}/{uuid.uuid4()}/{part}")
        assert (foreign.status_code, foreign.json()) == (404, missing.json())
        assert other_api.post(f"{JOBS}/{nobody.id}/{part}").status_code == 404
    assert other_api.get(JOBS).json()["jobs"] == []
    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at) == ("PENDING", None)


def test_a_key_of_a_workspace_is_refused_at_every_route(workspace_api: Api, tenant: Tenant) -> None:
    job = job_in(tenant)
    answers = [workspace_api.get(f"{JOBS}{part}") for part in ("", "/stats", f"/{job.id}", f"/{job.id}/log")]
    answers += [workspace_api.post(f"{JOBS}/{job.id}/{verb}") for verb in ("cancel", "retry")]
    answers.append(workspace_api.post(JOBS, {"type": "sleep", "payload": {"seconds": 1}}))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "wrong_scope")}


def test_jobs_are_listed_by_status_and_by_type(api: Api, tenant: Tenant, other_tenant: Tenant) -> None:
    waiting, failed = job_in(tenant), job_in(tenant, status="FAILED")
    export = job_in(tenant, job_type="gdpr.export", status="FAILED")
    for status in ("PENDING", "FAILED"):
        job_in(other_tenant, status=status)

    def listed(**filters: str) -> list[str]:
        return [job["jobId"] for job in api.get(JOBS, **filters).json()["jobs"]]

    assert listed() == [str(job.id) for job in (export, failed, waiting)]
    assert listed(status="FAILED") == [str(export.id), str(failed.id)]
    assert listed(type="sleep") == [str(failed.id), str(waiting.id)]
    assert listed(status="FAILED", type="sleep") == [str(failed.id)]
    assert listed(status="COMPLETED") == listed(type="nonsense") == listed(type="") == []


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ({"status": "DONE"}, "status", "must be 'PENDING', 'PROCESSING', 'COMPLETED', 'FAILED' or 'CANCELLED'"),
        ({"status": "pending"}, "status", "must be 'PENDING'"),
        ({"type": "a\0b"}, "type", "U+0000"),
        ({"limit": "0"}, "limit", "at least 1"),
        ({"cursor": "x"}, "cursor", "is not a cursor"),
    ],
)
def test_a_bad_filter_names_its_rule(api: Api, query: dict[str, str], field: str, rule: str) -> None:
    answer = api.get(JOBS, **query)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field
    assert rule in answer.json()["details"][0]["rule"]


def test_a_filtered_list_is_read_page_by_page(api: Api, tenant: Tenant) -> None:
    failed = [str(job_in(tenant, status="FAILED").id) for _ in range(7) if job_in(tenant)]
    seen, cursor = [], None
    while True:
        page = api.get(JOBS, status="FAILED", limit=3, **({"cursor": cursor} if cursor else {})).json()
        seen += [job["jobId"] for job in page["jobs"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == failed[::-1]


def test_a_job_shows_its_attempts_the_first_one_first(
    api: Api, tenant: Tenant, lease: ProcessLease, talkative: str
) -> None:
    job, _ = enqueue(talkative, {}, company=tenant.company)
    assert run_next(lease)
    assert run_next(lease)
    shown = api.get(f"{JOBS}/{job.id}").json()
    first, second = shown["history"]
    assert (shown["status"], shown["result"], shown["attempts"]) == ("COMPLETED", {"said": 3}, 2)
    assert (first["attempt"], first["outcome"], second["attempt"], second["outcome"]) == (1, "failed", 2, "completed")
    assert "ZeroDivisionError" in first["error"]
    assert first["startedAt"] < first["endedAt"] <= second["startedAt"]
    # Who ran it and how it broke is for operators.
    assert set(first) == {"attempt", "outcome", "error", "startedAt", "endedAt"}
    attempt = JobAttempt.objects.filter(job=job).earliest("id")
    assert attempt.traceback
    assert attempt.worker not in str(shown)


def test_of_many_attempts_the_latest_are_shown(api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HISTORY", 3)
    job = job_in(tenant)
    for number in range(1, 6):
        JobAttempt.objects.create(
            id=uuid.UUID(int=number), job=job, company=tenant.company, number=number, outcome="lost", ended_at=NOON
        )
    assert [attempt["attempt"] for attempt in api.get(f"{JOBS}/{job.id}").json()["history"]] == [3, 4, 5]


def test_the_payload_is_shown_only_of_jobs_that_a_tenant_could_have_created(api: Api, tenant: Tenant) -> None:
    own = job_in(tenant, payload={"seconds": 5})
    ours = job_in(tenant, job_type="email.send", payload={"to": "ada@example.com", "text": "secret"})
    undeclared = job_in(tenant, job_type="gone", payload={"text": "secret"})
    assert api.get(f"{JOBS}/{own.id}").json()["payload"] == {"seconds": 5}
    for job in (ours, undeclared):
        answer = api.get(f"{JOBS}/{job.id}")
        assert answer.json()["payload"] is None
        assert "secret" not in answer.content.decode()
    assert "payload" not in api.get(JOBS).json()["jobs"][0]


def test_a_log_is_read_page_by_page_the_first_line_first(
    api: Api, tenant: Tenant, lease: ProcessLease, talkative: str
) -> None:
    job, _ = enqueue(talkative, {}, company=tenant.company)
    other = job_in(tenant, status="FAILED")
    JobLog.objects.create(job=other, company=tenant.company, attempt=1, text="another job's")
    assert run_next(lease)
    assert run_next(lease)
    lines: list[dict[str, Any]] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        page = api.get(f"{JOBS}/{job.id}/log", limit=2, **({"cursor": cursor} if cursor else {})).json()
        lines, cursor, pages = lines + page["log"], page["nextCursor"], pages + 1
    assert pages == 3
    assert [(line["attempt"], line["text"]) for line in lines] == [
        (attempt, f"line {number}") for attempt in (1, 2) for number in (1, 2, 3)
    ]
    assert set(lines[0]) == {"at", "attempt", "level", "text"}
    assert lines[0]["level"] == "warning"
    assert api.get(f"{JOBS}/{other.id}/log", limit=1).json()["nextCursor"] is None


def test_every_route_and_every_field_of_jobs_is_described(client: Client) -> None:
    schema = client.get("/v1/openapi.json").json()
    paths = {path: routes for path, routes in schema["paths"].items() if path.startswith(JOBS)}
    verbs = {(path.removeprefix(JOBS), verb) for path, routes in paths.items() for verb in routes}
    assert verbs == {
        ("", "get"),
        ("", "post"),
        ("/stats", "get"),
        ("/stream", "get"),
        ("/{job_id}", "get"),
        ("/{job_id}/log", "get"),
        ("/{job_id}/cancel", "post"),
        ("/{job_id}/retry", "post"),
    }
    for path, operations in paths.items():
        for operation in operations.values():
            assert operation.get("description"), path
            assert operation["tags"] == ["jobs"]
            in_query = [place for place in operation.get("parameters", []) if place["in"] == "query"]
            assert [place["name"] for place in in_query if not place.get("description")] == [], path
    assert set(paths[JOBS]["post"]["responses"]) == {"200", "201"}
    assert [place["name"] for place in paths[JOBS]["post"]["parameters"]] == ["Idempotency-Key"]
    for name in ("JobIn", "Retrying"):
        fields = schema["components"]["schemas"][name]["properties"]
        assert [field for field in fields if not fields[field].get("description")] == [], name
    asked = schema["components"]["schemas"]["JobIn"]
    assert set(asked["properties"]) == {"type", "payload", "priority", "runAt", "key", "maxAttempts"}
    assert asked["properties"]["type"]["enum"] == registry.public_types()
