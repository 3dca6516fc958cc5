"""Requesting exports, and what the API tells of them."""

import json
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import AuditEvent
from gdpr.models import ExportRequest
from gdpr.requesting import DAY, EXPORT, request_export
from gdpr.subjects import Subject
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant
from tests.gdpr.officers import archived
from tests.threads import begin_until_it_waits

REQUEST, EXPORTS = "/v1/key/company/gdpr/export", "/v1/key/company/gdpr/exports"
ADA = {"actorId": "u1", "email": "ada@example.com"}


def ask(api: Api, subject: Any = None, **more: Any) -> Any:
    body = {"scope": "company"} if subject is None else {"scope": "subject", "subject": subject}
    return api.post(REQUEST, body | more)


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action).order_by("seq")]


def test_an_export_of_one_person_is_accepted_and_shown_with_all_that_was_asked(api: Api, tenant: Tenant) -> None:
    answer = ask(api, ADA, csv=True)
    assert answer.status_code == 202
    job_id = answer.json()["jobId"]
    shown = api.get(f"{EXPORTS}/{job_id}").json()
    assert shown["scope"] == answer.json()["scope"] == "subject"
    assert shown["subject"] == {"actorId": ["u1"], "email": ["ada@example.com"]}
    assert shown["csv"] is True
    assert shown["requestedBy"].startswith("API key company (hlk_")
    assert shown["createdAt"] == answer.json()["createdAt"] < shown["dueAt"]
    assert (shown["status"], shown["attempts"], shown["lost"], shown["progress"]) == ("PENDING", 0, 0, 0)
    unknown = ("extendedAt", "extensionReason", "rows", "bytes", "expectedRows", "expectedBytes", "error", "archive")
    assert {name: shown[name] for name in unknown} == dict.fromkeys(unknown)
    assert api.get(EXPORTS).json()["exports"] == [shown]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "subject"}, "subject"),
        ({"scope": "subject", "subject": None}, "subject"),
        ({"scope": "subject", "subject": {}}, "subject"),
        ({"scope": "subject", "subject": "u1"}, "subject"),
        ({"scope": "subject", "subject": ["u1"]}, "subject"),
        ({"scope": "subject", "subject": {"actorId": []}}, "subject"),
        ({"scope": "subject", "subject": {"name": "Ada"}}, "subject.name"),
        ({"scope": "subject", "subject": {"actorId": 1}}, "subject.actorId"),
        ({"scope": "subject", "subject": {"actorId": ["u1", ""]}}, "subject.actorId[1]"),
        ({"scope": "subject", "subject": {"actorId": "a\0b"}}, "subject.actorId"),
        ({"scope": "subject", "subject": {"email": ["ada@example.com", "ada"]}}, "subject.email[1]"),
        ({"scope": "subject", "subject": {"actorId": [f"u{n}" for n in range(1000)]}}, "subject"),
        ({"scope": "company", "subject": ADA}, "subject"),
        ({"scope": "company", "csv": "yes"}, "csv"),
        ({"scope": "company", "csv": 1}, "csv"),
        ({"scope": "company", "formats": ["csv"]}, "formats"),
        ({}, "scope"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_path_and_rule(api: Api, body: dict[str, Any], field: str) -> None:
    refused = api.post(REQUEST, body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["details"][0]["field"] == field
    assert refused.json()["details"][0]["rule"] in refused.json()["error"]
    assert not Job.objects.exists()
    assert not events("gdpr.export.requested")


def test_a_lone_surrogate_in_an_identifier_is_refused(api: Api) -> None:
    refused = api.post(REQUEST, b'{"scope": "subject", "subject": {"actorId": "\\ud800"}}')
    assert (refused.status_code, refused.json()["details"][0]["field"]) == (422, "subject.actorId")


@pytest.mark.parametrize(
    "same",
    [
        ADA,
        {"email": ["ada@example.com"], "actorId": ["u1", "u1"]},
        {"actorId": ["u1"], "email": ["ADA@example.com", "ada@example.com"]},
    ],
)
def test_the_same_person_is_the_same_scope_however_the_identifiers_are_written(api: Api, same: Any) -> None:
    first, second = ask(api, ADA).json(), ask(api, same).json()
    assert first["jobId"] == second["jobId"]
    assert "already under way" in second["message"]
    assert len(events("gdpr.export.requested")) == 1


@pytest.mark.parametrize(
    "another", [None, {"actorId": "u1"}, {"actorId": "U1", "email": "ada@example.com"}, {"actorId": ["u1", "u2"]}]
)
def test_another_scope_is_another_export(api: Api, another: Any) -> None:
    assert ask(api, ADA).json()["jobId"] != ask(api, another).json()["jobId"]


def test_identifiers_of_two_kinds_are_told_apart(api: Api) -> None:
    by_id = ask(api, {"actorId": "ada@example.com"}).json()
    assert by_id["jobId"] != ask(api, {"email": "ada@example.com"}).json()["jobId"]


def test_who_asks_otherwise_about_the_csv_is_told_so(api: Api) -> None:
    first = ask(api, csv=True).json()
    second = ask(api).json()
    assert second["jobId"] == first["jobId"]
    assert "comes with the events as CSV" in second["message"]
    assert "CSV" not in ask(api, csv=True).json()["message"]


def test_who_asks_for_a_csv_that_the_running_export_lacks_is_told_so(api: Api) -> None:
    ask(api, ADA)
    assert "comes without the CSV" in ask(api, ADA, csv=True).json()["message"]


def test_one_company_s_export_does_not_answer_another_s(api: Api, other_api: Api) -> None:
    assert ask(api, ADA).json()["jobId"] != ask(other_api, ADA).json()["jobId"]


def test_what_is_recorded_and_kept_with_the_job_never_names_the_person(api: Api) -> None:
    ask(api, ADA)
    (recorded,) = events("gdpr.export.requested")
    assert recorded.keys() == {"jobId", "scope", "requestedBy"}
    assert recorded["requestedBy"].startswith("API key company (hlk_")
    job = Job.objects.get()
    said = json.dumps([recorded, job.payload, job.key, api.get(f"/v1/key/company/jobs/{job.id}").json()])
    assert "ada@" not in said
    assert '"u1"' not in said


def test_an_export_that_an_operator_has_tried_again_is_joined(api: Api) -> None:
    job_id = ask(api, ADA).json()["jobId"]
    Job.objects.update(status="FAILED", completed_at=timezone.now())
    Job.objects.all().retry(now=timezone.now())
    assert ask(api, ADA).json()["jobId"] == job_id


def test_no_second_export_of_a_scope_begins_by_trying_an_old_one_again(api: Api) -> None:
    first = ask(api, ADA).json()["jobId"]
    Job.objects.update(status="FAILED", completed_at=timezone.now())
    assert ask(api, ADA).json()["jobId"] != first
    assert Job.objects.filter(pk=first).retry(now=timezone.now()) == 0


def test_the_day_s_limit_says_when_to_come_back(api: Api, settings: Any) -> None:
    settings.GDPR_EXPORTS_PER_DAY = 2
    for name in ("u1", "u2"):
        assert ask(api, {"actorId": name}).status_code == 202
    first = ExportRequest.objects.earliest("job_id").created_at
    refused = ask(api, {"actorId": "u3"})
    assert refused.status_code == 429
    body = refused.json()
    assert body["details"]["limit"] == 2
    again = first + DAY
    assert body["details"]["retryAt"][:19] == f"{again:%Y-%m-%dT%H:%M:%S}"
    assert f"{again:%Y-%m-%d %H:%M:%S} UTC" in body["error"]
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    # One that runs is still answered with.
    assert ask(api, {"actorId": "u1"}).status_code == 202


def test_a_failed_export_uses_up_nothing_of_the_limit_unless_there_is_an_archive_of_it(
    api: Api, settings: Any, tmp_path: Path
) -> None:
    settings.GDPR_EXPORTS_PER_DAY, settings.EXPORT_STORAGE = 1, str(tmp_path)
    for _ in range(2):
        assert ask(api, ADA).status_code == 202
        Job.objects.filter(type=EXPORT).update(status="FAILED", completed_at=timezone.now())
    archived(ExportRequest.objects.latest("job_id"))
    assert ask(api, ADA).status_code == 429


def test_the_same_idempotency_key_with_another_person_is_a_conflict(api: Api) -> None:
    headers = {"idempotency-key": "k"}
    first = api.post(REQUEST, {"scope": "subject", "subject": ADA}, **headers)
    assert api.post(REQUEST, {"scope": "subject", "subject": ADA}, **headers).json() == first.json()
    another = api.post(REQUEST, {"scope": "subject", "subject": {"actorId": "u2"}}, **headers)
    assert (another.status_code, another.json()["code"]) == (409, "idempotency_conflict")


def test_lists_go_by_pages_and_filters(api: Api, other_api: Api) -> None:
    ask(other_api)
    jobs = [ask(api, subject).json()["jobId"] for subject in (None, ADA, {"actorId": "u2"})]
    Job.objects.filter(pk=jobs[0]).update(status="FAILED", completed_at=timezone.now(), error="no space left")
    first = api.get(EXPORTS, limit=2).json()
    rest = api.get(EXPORTS, limit=2, cursor=first["nextCursor"]).json()
    assert [export["jobId"] for export in first["exports"] + rest["exports"]] == jobs[::-1]
    assert rest["nextCursor"] is None

    def listed(**filters: str) -> list[str]:
        return [export["jobId"] for export in api.get(EXPORTS, **filters).json()["exports"]]

    assert listed(scope="company") == listed(status="FAILED") == jobs[:1]
    assert listed(scope="subject", status="PENDING") == [jobs[2], jobs[1]]
    assert listed(scope="company", status="PENDING") == []
    for wrong in ({"status": "READY"}, {"scope": "all"}, {"cursor": "x"}):
        assert api.get(EXPORTS, **wrong).status_code == 422
    assert api.get(f"{EXPORTS}/{jobs[0]}").json()["error"] == "no space left"


def test_progress_is_shown_while_an_export_runs_and_not_of_an_attempt_before(api: Api) -> None:
    url = f"{EXPORTS}/{ask(api).json()['jobId']}"
    so_far = {"rows": 5, "bytes": 700, "expectedRows": 10, "expectedBytes": 1400}
    claim = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()}
    Job.objects.update(status="PROCESSING", result=so_far, progress=0.5, step="audit_auditevent", **claim)
    shown = api.get(url).json()
    assert {name: shown[name] for name in so_far} == so_far
    assert (shown["progress"], shown["step"]) == (0.5, "audit_auditevent")
    Job.objects.update(status="PENDING", claim_token=None, claimed_by=None)
    assert api.get(url).json()["rows"] is None


def test_an_extension_is_shown_with_its_reason(api: Api) -> None:
    url = f"{EXPORTS}/{ask(api, ADA).json()['jobId']}"
    before = api.get(url).json()
    assert ExportRequest.objects.get().extend(reason="Many systems have to be asked.", now=timezone.now())
    shown = api.get(url).json()
    assert shown["extensionReason"] == "Many systems have to be asked."
    assert shown["extendedAt"] > before["createdAt"]
    assert shown["dueAt"] > before["dueAt"]


def test_a_job_of_another_kind_and_a_foreign_one_are_no_exports(api: Api, other_api: Api, tenant: Tenant) -> None:
    job = api.post("/v1/key/company/jobs", {"type": "sleep", "payload": {"seconds": 1}}).json()["jobId"]
    foreign = ask(other_api).json()["jobId"]
    answers = [api.get(f"{EXPORTS}/{job_id}") for job_id in (job, foreign, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.content for answer in answers}) == 1


def test_of_two_who_ask_at_once_both_get_the_one_export(committed: None, tenant: Tenant) -> None:
    answers: list[tuple[uuid.UUID, bool]] = []

    def ask_directly() -> None:
        asked, new = request_export(
            company=tenant.company,
            scope="subject",
            subject=Subject.read(ADA),
            requested_by="a test",
            now=timezone.now(),
        )
        answers.append((asked.pk, new))

    with transaction.atomic():
        ask_directly()
        thread = begin_until_it_waits(ask_directly)
    thread.join()
    (first, new), (second, again) = answers
    assert (new, again, first) == (True, False, second)
    assert Job.objects.filter(type=EXPORT).count() == ExportRequest.objects.count() == 1


def test_requests_through_the_api_are_really_committed(committed: None, api: Api) -> None:
    assert ask(api, ADA).json()["jobId"] == ask(api, ADA).json()["jobId"]
    assert Job.objects.filter(type=EXPORT).count() == ExportRequest.objects.count() == 1


def test_somebody_else_than_an_api_key_may_ask(tenant: Tenant) -> None:
    now = timezone.now()
    subject = Subject.read(ADA)
    asked, new = request_export(
        company=tenant.company, scope="subject", subject=subject, requested_by="operator op", now=now
    )
    assert (new, asked.person()) == (True, subject)
    assert events("gdpr.export.requested")[0]["requestedBy"] == "operator op"
    assert asked.due_at - now > timedelta(days=27)
