import uuid

from jobs.enqueueing import enqueue
from tests.api import Api
from tests.conftest import NOON, Tenant

JOBS = "/v1/key/company/jobs"


def test_jobs_are_listed_and_shown(api: Api, tenant: Tenant) -> None:
    job, _ = enqueue("gdpr.export", {"scope": "company"}, company=tenant.company, key="k", now=NOON)
    shown = api.get(f"{JOBS}/{job.id}").json()
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


def test_foreign_missing_and_malformed_ids_are_404(api: Api, other_api: Api, tenant: Tenant) -> None:
    job, _ = enqueue("gdpr.export", {}, company=tenant.company, now=NOON)
    nobody, _ = enqueue("gdpr.export", {}, now=NOON)
    foreign, missing = other_api.get(f"{JOBS}/{job.id}"), other_api.get(f"{JOBS}/{uuid.uuid4()}")
    assert (foreign.status_code, foreign.json()) == (404, missing.json())
    assert other_api.get(f"{JOBS}/{nobody.id}").status_code == 404
    assert api.get(f"{JOBS}/not-an-id").status_code == 404
    assert other_api.get(JOBS).json()["jobs"] == []
