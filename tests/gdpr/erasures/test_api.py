"""Requesting erasures by the API, and what it tells of them."""

import hashlib
import json
import uuid
from typing import Any

import pytest
from django.test import Client

from audit.models import IdempotencyRecord
from gdpr.erasures import certificate, requesting
from gdpr.erasures.deciding import approve, reject
from gdpr.erasures.holds import lift
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.models import Erasure
from gdpr.models.erasure import MOST_REASON
from jobs.models import Job
from tests.api import JSON, Api
from tests.conftest import NOON, Tenant
from tests.gdpr.erasures.asking import ADA, BOB, COUNTED, WHY, approved, ask, hold, previewed

ERASURES, JOBS = "/v1/key/company/gdpr/erasures", "/v1/key/company/jobs"


def post(api: Api, subject: Any = ADA, *, reason: Any = WHY, **headers: str) -> Any:
    return api.post(ERASURES, {"subject": subject, "reason": reason}, **headers)


def show(api: Api, erasure: Erasure) -> dict[str, Any]:
    answer = api.get(f"{ERASURES}/{erasure.pk}")
    assert answer.status_code == 200
    return dict(answer.json())


def completed(tenant: Tenant) -> Erasure:
    """One that ran, without anybody to erase."""
    erasure = approved(tenant.company)
    assert erasure.begin(now=NOON)
    assert erasure.complete(certificate=certificate.certify(erasure, remaining={}, now=NOON), now=NOON)
    return erasure


# --- Requesting ---


def test_a_request_is_accepted_and_shown_with_all_that_was_asked(api: Api, tenant: Tenant) -> None:
    answer = post(api, reason=f" {WHY}\n")
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted.keys() == {"erasureId", "status", "companyId", "message", "createdAt"}
    assert (accepted["status"], accepted["companyId"]) == ("REQUESTED", str(tenant.company.pk))
    assert "two people" in accepted["message"]
    shown = show(api, Erasure.objects.get())
    assert {name: shown[name] for name in ("erasureId", "status", "companyId", "createdAt")} == {
        name: accepted[name] for name in ("erasureId", "status", "companyId", "createdAt")
    }
    assert (shown["subject"], shown["reason"]) == ({"actorId": ["u-4711"], "email": ["ada@example.com"]}, WHY)
    assert shown["requestedBy"].startswith("API key company (hlk_")
    assert shown["dueAt"] > shown["createdAt"]
    unknown = ("preview", "rejection", "legalHold", "jobId", "step", "error", "startedAt", "completedAt", "certificate")
    assert {name: shown[name] for name in unknown} == dict.fromkeys(unknown)
    assert (shown["approvals"], shown["counts"], shown["progress"], shown["attempts"]) == ([], {}, 0, 0)
    assert api.get(ERASURES).json() == {"erasures": [shown], "nextCursor": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "subject"),
        ({"subject": ADA}, "reason"),
        ({"subject": None, "reason": WHY}, "subject"),
        ({"subject": {}, "reason": WHY}, "subject"),
        ({"subject": {"name": "Ada"}, "reason": WHY}, "subject.name"),
        ({"subject": {"actorId": ["u1", 1]}, "reason": WHY}, "subject.actorId[1]"),
        ({"subject": {"actorId": ["u1", " \t\u3000"]}, "reason": WHY}, "subject.actorId"),
        ({"subject": {"email": "ada"}, "reason": WHY}, "subject.email"),
        ({"subject": {"actorId": ["u1", "erased-0123456789abcdef"]}, "reason": WHY}, "subject.actorId"),
        ({"subject": ADA, "reason": ""}, "reason"),
        ({"subject": ADA, "reason": " \n"}, "reason"),
        ({"subject": ADA, "reason": "x" * (MOST_REASON + 1)}, "reason"),
        ({"subject": ADA, "reason": "a\0b"}, "reason"),
        ({"subject": ADA, "reason": 1}, "reason"),
        ({"subject": ADA, "reason": None}, "reason"),
        ({"subject": ADA, "reason": WHY, "approved": True}, "approved"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_path_and_rule(api: Api, body: dict[str, Any], field: str) -> None:
    refused = api.post(ERASURES, body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["details"][0]["field"] == field
    assert refused.json()["details"][0]["rule"] in refused.json()["error"]
    assert not Erasure.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "body",
    [b'{"subject": {"actorId": "\\ud800"}, "reason": "x"}', b'{"subject": {"actorId": "u1"}, "reason": "\\ud800"}'],
)
def test_a_lone_surrogate_is_refused(api: Api, body: bytes) -> None:
    assert api.post(ERASURES, body).status_code == 422


def test_an_open_request_and_a_failed_one_come_back_and_say_so(api: Api, tenant: Tenant) -> None:
    first = post(api).json()
    again = post(api, {"email": "ADA@example.com", "actorId": ["u-4711"]}, reason="Another one.")
    assert (again.status_code, again.json()["erasureId"]) == (202, first["erasureId"])
    assert "is open already" in again.json()["message"]
    Erasure.objects.update(status="FAILED")
    failed = post(api).json()
    assert (failed["erasureId"], failed["status"]) == (first["erasureId"], "FAILED")
    assert "has failed" in failed["message"]
    assert Erasure.objects.get().reason == WHY


def test_who_asks_for_what_a_legal_hold_keeps_is_told_so(api: Api, tenant: Tenant) -> None:
    hold(tenant.company)
    answers = [post(api), post(api), post(api, BOB)]
    assert ["legal hold" in answer.json()["message"] for answer in answers] == [True, True, False]


def test_a_company_with_too_many_open_requests_is_told_to_come_back(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "MOST_OPEN", 1)
    assert post(api).status_code == 202
    refused = post(api, BOB)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) == 3600
    assert post(api).status_code == 202


def test_an_idempotency_key_repeats_the_answer_and_refuses_another_person(api: Api) -> None:
    first = post(api, **{"Idempotency-Key": "k"})
    Erasure.objects.update(status="REJECTED", rejection="No.", rejected_by="op", rejected_at=NOON)
    again = post(api, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (202, first.json())
    another = post(api, BOB, **{"Idempotency-Key": "k"})
    assert (another.status_code, another.json()["code"]) == (409, "idempotency_conflict")


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (ERASURES, {"subject": ADA, "reason": WHY}),
        ("/v1/key/company/gdpr/export", {"scope": "subject", "subject": ADA}),
    ],
)
def test_what_an_idempotency_key_keeps_of_a_body_says_nothing_without_the_secret_key(
    api: Api, url: str, body: dict[str, Any], settings: Any
) -> None:
    api.post(url, body, **{"Idempotency-Key": "k"})
    record = IdempotencyRecord.objects.get()
    assert record.fingerprint != hashlib.sha256(json.dumps(body).encode()).hexdigest()
    record.delete()
    settings.SECRET_KEY = "another"
    api.post(url, body, **{"Idempotency-Key": "k"})
    assert IdempotencyRecord.objects.get().fingerprint != record.fingerprint


# --- Looking ---


def test_the_preview_and_who_approved_are_shown(api: Api, tenant: Tenant) -> None:
    erasure = previewed(tenant.company)
    approve(erasure, user_id=1, approved_by="op", now=NOON)
    shown = show(api, erasure)
    assert shown["preview"] == {**COUNTED, "countedAt": "2026-01-31T12:00:00.000000Z"}
    assert shown["approvals"] == [{"by": "op", "at": "2026-01-31T12:00:00.000000Z"}]
    approve(erasure, user_id=2, approved_by="dpo", now=NOON)
    shown = show(api, erasure)
    assert [each["by"] for each in shown["approvals"]] == ["op", "dpo"]
    assert (shown["status"], shown["jobId"]) == ("APPROVED", str(Job.objects.get(type=ERASE).pk))


def test_a_rejection_is_shown_with_its_reason(api: Api, tenant: Tenant) -> None:
    erasure = reject(ask(tenant.company), rejected_by="dpo", reason="The law keeps invoices.", now=NOON)
    shown = show(api, erasure)
    at = "2026-01-31T12:00:00.000000Z"
    assert shown["rejection"] == {"by": "dpo", "at": at, "reason": "The law keeps invoices."}
    assert (shown["status"], shown["subject"]) == ("REJECTED", {"actorId": ["u-4711"], "email": ["ada@example.com"]})


def test_a_legal_hold_is_shown_where_it_keeps_an_erasure_from_running_and_as_long_as_it_does(
    api: Api, tenant: Tenant, other_tenant: Tenant
) -> None:
    hold(other_tenant.company, None)
    erasure, rejected = approved(tenant.company), ask(tenant.company, BOB)
    reject(rejected, rejected_by="dpo", reason="No.", now=NOON)
    assert show(api, erasure)["legalHold"] is None
    held = hold(tenant.company, None)
    kept = {"id": str(held.pk), "since": "2026-01-31T12:00:00.000000Z", "reason": "A court wants it."}
    assert [each["legalHold"] for each in api.get(ERASURES).json()["erasures"]] == [None, kept]
    assert show(api, erasure)["legalHold"] == kept
    lift(held, lifted_by="a judge", now=NOON)
    assert show(api, erasure)["legalHold"] is None


def test_a_running_and_a_failed_one_tell_of_their_job(api: Api, tenant: Tenant) -> None:
    erasure = approved(tenant.company)
    assert erasure.begin(now=NOON)
    running = {"attempt": 2, "progress": 0.5, "step": "audit_auditevent", "error": "The storage failed."}
    Job.objects.filter(type=ERASE).update(**running)
    Erasure.objects.update(counts={"audit_auditevent": 7})
    shown = show(api, erasure)
    assert (shown["status"], shown["startedAt"]) == ("PROCESSING", "2026-01-31T12:00:00.000000Z")
    assert (shown["attempts"], shown["progress"], shown["step"]) == (2, 0.5, "audit_auditevent")
    assert (shown["error"], shown["counts"]) == ("The storage failed.", {"audit_auditevent": 7})
    assert erasure.fail()
    assert (show(api, erasure)["status"], show(api, erasure)["completedAt"]) == ("FAILED", None)


def test_a_completed_one_names_nobody_and_has_its_certificate(api: Api, tenant: Tenant) -> None:
    erasure = completed(tenant)
    shown = show(api, erasure)
    assert (shown["status"], shown["subject"], shown["progress"]) == ("COMPLETED", None, 1)
    assert shown["completedAt"] == "2026-01-31T12:00:00.000000Z"
    assert shown["certificate"] == erasure.certificate
    for listed in (shown, api.get(ERASURES).json()):
        assert "ada@" not in json.dumps(listed)
        assert "u-4711" not in json.dumps(listed)


def test_the_certificate_is_a_page_once_there_is_one(api: Api, tenant: Tenant) -> None:
    erasure = approved(tenant.company, BOB)
    early = api.get(f"{ERASURES}/{erasure.pk}/certificate")
    assert (early.status_code, early.json()["code"]) == (409, "not_completed")
    assert "This erasure is APPROVED" in early.json()["error"]
    done = completed(tenant)
    page = api.get(f"{ERASURES}/{done.pk}/certificate")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert str(done.pk) in page.content.decode()


def test_lists_go_by_pages_and_status(api: Api, tenant: Tenant, other_tenant: Tenant) -> None:
    ask(other_tenant.company)
    ids = [str(ask(tenant.company, {"actorId": f"u{number}"}).pk) for number in range(3)]
    reject(Erasure.objects.get(pk=ids[0]), rejected_by="dpo", reason="No.", now=NOON)
    first = api.get(ERASURES, limit=2).json()
    rest = api.get(ERASURES, limit=2, cursor=first["nextCursor"]).json()
    assert [each["erasureId"] for each in first["erasures"] + rest["erasures"]] == ids[::-1]
    assert rest["nextCursor"] is None

    def listed(status: str) -> list[str]:
        return [each["erasureId"] for each in api.get(ERASURES, status=status).json()["erasures"]]

    assert (listed("REJECTED"), listed("REQUESTED"), listed("FAILED")) == (ids[:1], ids[:0:-1], [])
    for wrong in ({"status": "rejected"}, {"status": "PENDING"}, {"cursor": "x"}, {"limit": 501}):
        assert api.get(ERASURES, **wrong).status_code == 422


def test_a_list_takes_the_same_few_queries_however_long_it_is(
    api: Api, tenant: Tenant, django_assert_max_num_queries: Any
) -> None:
    for number in range(4):
        hold(tenant.company, {"actorId": f"u{number}"})
        approved(tenant.company, {"actorId": f"v{number}"})
    with django_assert_max_num_queries(12):
        assert len(api.get(ERASURES).json()["erasures"]) == 4


# --- Whose ---


def test_a_foreign_erasure_is_answered_like_a_missing_one(api: Api, tenant: Tenant, other_tenant: Tenant) -> None:
    foreign = completed(other_tenant).pk
    ids = [str(foreign), str(uuid.uuid4())]
    for tail in ("", "/certificate"):
        answers = [api.get(f"{ERASURES}/{each}{tail}") for each in ids]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    assert api.get(ERASURES).json()["erasures"] == []


def test_only_a_key_of_the_company_opens_these_doors(workspace_api: Api, client: Client, tenant: Tenant) -> None:
    erasure = ask(tenant.company)
    urls = [ERASURES, f"{ERASURES}/{erasure.pk}", f"{ERASURES}/{erasure.pk}/certificate"]
    assert [workspace_api.get(url).status_code for url in urls] == [403, 403, 403]
    assert [client.get(url).status_code for url in urls] == [401, 401, 401]
    assert post(workspace_api).status_code == 403
    assert client.post(ERASURES, "{}", content_type=JSON).status_code == 401


def test_nothing_but_asking_can_be_done_here(api: Api, tenant: Tenant) -> None:
    erasure = previewed(tenant.company)
    one = f"{ERASURES}/{erasure.pk}"
    assert [api.patch(one, {"status": "APPROVED"}).status_code, api.delete(one).status_code] == [405, 405]
    for tail in ("approve", "approvals", "reject", "cancel"):
        assert api.post(f"{one}/{tail}").status_code == 404
    assert Erasure.objects.get().status == "REQUESTED"


def test_the_jobs_behind_an_erasure_are_seen_and_not_touched_by_the_company(api: Api, tenant: Tenant) -> None:
    erasure = approved(tenant.company)
    payload = {"erasureId": str(erasure.pk)}
    for job_type in (ERASE, PREVIEW):
        job = Job.objects.get(type=job_type)
        assert api.get(f"{JOBS}/{job.pk}").json()["type"] == job_type
        for status, what in (("PENDING", "cancel"), ("FAILED", "retry")):
            Job.objects.filter(pk=job.pk).update(status=status, completed_at=NOON if status == "FAILED" else None)
            refused = api.post(f"{JOBS}/{job.pk}/{what}")
            assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
            assert Job.objects.get(pk=job.pk).status == status
        assert api.post(JOBS, {"type": job_type, "payload": payload}).status_code == 422
    assert Job.objects.count() == 2


def test_the_description_tells_how_to_ask(client: Client) -> None:
    described = client.get("/v1/openapi.json").json()
    route = described["paths"][ERASURES]["post"]
    assert "Idempotency-Key" in str(route["parameters"])
    schema = described["components"]["schemas"]["ErasureIn"]
    assert schema["required"] == ["subject", "reason"]
    assert schema["properties"]["reason"]["maxLength"] == MOST_REASON
    assert schema["properties"]["subject"]["properties"].keys() == {"actorId", "email"}
    assert schema["example"].keys() == {"subject", "reason"}
    page = described["paths"][f"{ERASURES}/{{erasure_id}}/certificate"]["get"]["responses"]["200"]
    assert "text/html" in page["content"]
