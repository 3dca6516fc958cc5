"""What an erasure does with work that is about the person: what waits is cancelled, what runs is awaited."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from audit.encryption import encrypt
from audit.models import ApiKey, AuditEvent, IdempotencyRecord
from audit.personal_data import Erasable, erasable
from gdpr.erasures.changing import Whom
from gdpr.erasures.previewing import preview
from gdpr.erasures.requesting import request_erasure
from gdpr.models import DownloadAccess, DownloadLink, Erasure, ExportArchive, ExportRequest
from gdpr.requesting import request_export, scope_key
from gdpr.subjects import Subject
from jobs import events
from jobs.leases import ProcessLease
from jobs.models import Job, JobLog
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.gdpr.erasures.engine import ADA, BOB, approved, erased, run
from tests.jobs.rows import job_in
from tests.threads import begin
from webhooks.claiming import Claimer
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

MAIL = {"to": "ada@example.com", "subject": "Hello", "text": "…"}
PROCESSING = {"status": "PROCESSING", "claim_token": uuid.UUID(int=1), "claimed_by": uuid.UUID(int=1)}


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What streams of jobs hear."""
    heard: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(events, "_listeners", [lambda name, job: heard.append((name, job.summary()))])
    return heard


def table_of(model: Any) -> Erasable:
    return next(table for table in erasable() if table.model is model)


def ready(model: Any, found: dict[Any, set[str]]) -> set[Any]:
    """Which of the rows can be erased now."""
    table = table_of(model)
    assert table.ready
    return table.ready(found, NOON)


def export_of(tenant: Tenant, person: Subject | None = ADA, **fields: Any) -> ExportRequest:
    scope = "subject" if person else "company"
    request, _ = request_export(company=tenant.company, scope=scope, subject=person, requested_by="op", now=NOON)
    ExportRequest.objects.filter(pk=request.pk).update(**fields)
    return request


# Jobs.


def test_a_waiting_job_about_the_person_is_cancelled(
    tenant: Tenant, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    mine = job_in(tenant, job_type="email.send", payload=MAIL, key="ada@example.com")
    theirs = job_in(tenant, job_type="email.send", payload=MAIL | {"to": "bob@example.com"})
    with django_capture_on_commit_callbacks(execute=True):
        erasure = erased(tenant.company)
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.status, theirs.status) == ("CANCELLED", "PENDING")
    assert mine.error == "Cancelled: the person whom it was about has been erased (GDPR, Art. 17)."
    assert (mine.payload["to"], mine.key) == (erasure.pseudonym, f"{erasure.pseudonym}-{mine.pk}")
    cancelled = [summary for name, summary in told if name == "cancelled"]
    assert [summary["jobId"] for summary in cancelled] == [str(mine.pk)]
    assert not ADA.matches(cancelled)


def test_a_job_that_waits_to_be_tried_again_goes_on_if_only_its_error_names_the_person(tenant: Tenant) -> None:
    job = job_in(tenant, error="ada@example.com is not known here")
    erased(tenant.company)
    job.refresh_from_db()
    assert (job.status, job.error) == ("PENDING", "")


def test_what_came_of_a_job_about_the_person_goes_even_where_it_names_nobody(tenant: Tenant) -> None:
    answer = {"status": 200, "body": "Countess of Lovelace"}
    job = job_in(tenant, status="COMPLETED", payload={"url": "https://x.example/?q=ada%40example.com"}, result=answer)
    line = JobLog.objects.create(job=job, company=tenant.company, attempt=1, text="A countess answered.")
    erased(tenant.company)
    job.refresh_from_db()
    line.refresh_from_db()
    assert (job.result, line.text) == (None, "(erased)")


def test_a_running_job_is_asked_to_stop_and_awaited_if_it_is_about_the_person(tenant: Tenant) -> None:
    about, other, fixed = (
        job_in(tenant, job_type=job_type, status="PROCESSING")
        for job_type in ("http.request", "http.request", "email.send")
    )
    found = {about.pk: {"payload"}, other.pk: {"step"}, fixed.pk: {"payload"}}
    assert ready(Job, found) == set()
    asked = Job.objects.filter(cancel_requested_at__isnull=False)
    assert [job.pk for job in asked] == [about.pk]  # email.send cannot be stopped
    Job.objects.update(status="COMPLETED", completed_at=NOON, claim_token=None, claimed_by=None)
    assert ready(Job, found) == found.keys()


def test_secrets_of_a_payload_are_looked_into(tenant: Tenant) -> None:
    named = job_in(tenant, secrets=encrypt(json.dumps({"headers": {"X-User": "ada"}})))
    other = job_in(tenant, secrets=encrypt(json.dumps({"headers": {"X-User": "bob"}})))
    erased(tenant.company)
    named.refresh_from_db()
    secrets = other.secrets
    other.refresh_from_db()
    assert (named.status, other.status, other.secrets) == ("CANCELLED", "PENDING", secrets)


def test_what_no_key_decrypts_any_more_is_counted_as_what_remains(tenant: Tenant) -> None:
    """It stays: the key may only be missing for now. Would it be put back, the person could be read again."""
    lost = Fernet(Fernet.generate_key()).encrypt(b'{"headers": {"X-User": "ada"}}').decode()
    step = {"type": "t", "payload": {}, "secrets": lost, "takesResult": False, "then": None, "queue": "jobs"}
    job_in(tenant, secrets=lost, follow_up=step)
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    Webhook.objects.update(encrypted_headers=lost)
    erasure = erased(tenant.company)
    webhook.refresh_from_db()
    assert (webhook.encrypted_headers, webhook.enabled) == (lost, True)
    remaining = {"jobs_job.follow_up": 1, "jobs_job.secrets": 1, "webhooks_webhook.encrypted_headers": 1}
    assert erasure.certificate
    assert erasure.certificate["body"]["remaining"] == remaining
    assert preview(tenant.company, Whom(ADA, erasure.pseudonym), advance=lambda *_: None).remaining == remaining


# Exports.


def test_a_waiting_export_of_the_person_is_cancelled_and_its_key_is_another(tenant: Tenant) -> None:
    before, other = export_of(tenant), export_of(tenant, BOB)
    Job.objects.update(run_at=timezone.now() + timedelta(days=1))
    erasure = erased(tenant.company)
    request = ExportRequest.objects.get(pk=before.pk)
    assert (request.job.status, request.subject) == ("CANCELLED", {"actorId": [erasure.pseudonym]})
    assert request.job.key == scope_key(request.person()) != scope_key(ADA)
    assert ExportRequest.objects.get(pk=other.pk).job.status == "PENDING"


def test_requests_that_had_one_key_still_have_one(tenant: Tenant) -> None:
    """Or one that failed would owe an answer for ever, although a later one has given it."""
    for status in ("FAILED", "COMPLETED"):
        request = export_of(tenant)
        Job.objects.filter(pk=request.pk).update(status=status, completed_at=NOON)
    assert not ExportRequest.objects.unanswered().exists()
    erased(tenant.company)
    assert not ExportRequest.objects.unanswered().exists()
    assert Job.objects.filter(type="gdpr.export").values("key").distinct().count() == 1


def test_a_running_export_is_asked_to_stop_if_it_is_of_the_person(tenant: Tenant) -> None:
    mine, theirs = export_of(tenant), export_of(tenant, None)
    for number, request in enumerate((mine, theirs)):
        held = {"claim_token": uuid.UUID(int=number), "claimed_by": uuid.UUID(int=9)}
        Job.objects.filter(pk=request.pk).update(status="PROCESSING", **held)
    assert ready(ExportRequest, {mine.pk: {"subject"}, theirs.pk: {"requested_by"}}) == set()
    assert [job.pk for job in Job.objects.filter(cancel_requested_at__isnull=False)] == [mine.pk]


# Deliveries.


def delivered(tenant: Tenant, **fields: Any) -> tuple[WebhookDelivery, WebhookAttempt]:
    (event,) = tenant.record(draft(actor={"id": "ada"}))
    delivery = WebhookDelivery.objects.get(event=event)
    attempt = WebhookAttempt(company=tenant.company, delivery=delivery, number=1, url="https://example.com/")
    attempt.started_at = NOON
    for name, value in fields.items():
        setattr(attempt, name, value)
    attempt.save(force_insert=True)
    return delivery, attempt


def test_nothing_is_left_by_which_one_could_try_out_who_the_person_was(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    signed = {"webhook-signature": "v1,abc"}
    _, attempt = delivered(tenant, result="delivered", body_sha256="f" * 64, request_headers=signed, http_status=200)
    erased(tenant.company)
    attempt.refresh_from_db()
    assert (attempt.body_sha256, attempt.request_headers) == ("", {})
    assert (attempt.url, attempt.http_status) == ("https://example.com/", 200)  # who received it, and that they did


def test_what_is_claimed_or_on_the_wire_is_awaited(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    delivery, attempt = delivered(tenant)
    assert ready(WebhookDelivery, {delivery.pk: set()}) == {delivery.pk}
    assert ready(WebhookAttempt, {attempt.pk: set()}) == set()
    WebhookDelivery.objects.update(next_attempt_at=None, **PROCESSING | {"status": "SENDING"})
    WebhookAttempt.objects.update(result="failed")
    assert ready(WebhookDelivery, {delivery.pk: set()}) == set()
    assert ready(WebhookAttempt, {attempt.pk: set()}) == {attempt.pk}


# Webhooks.


def test_a_webhook_that_somebody_sends_to_is_disabled_and_comes_to_rest_first(tenant: Tenant) -> None:
    """The attempt under way has the old URL; it is erased by itself, once it is there."""
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    delivery, _ = delivered(tenant)
    assert ready(Webhook, {webhook.pk: {"url"}}) == {webhook.pk}
    WebhookDelivery.objects.filter(pk=delivery.pk).update(next_attempt_at=None, **PROCESSING | {"status": "SENDING"})
    assert ready(Webhook, {webhook.pk: {"description"}}) == {webhook.pk}
    assert Webhook.objects.get().enabled
    assert ready(Webhook, {webhook.pk: {"url"}}) == set()
    assert not Webhook.objects.get().enabled
    WebhookDelivery.objects.filter(pk=delivery.pk).update(status="HELD", claim_token=None, claimed_by=None)
    assert ready(Webhook, {webhook.pk: {"url"}}) == {webhook.pk}


def test_nobody_claims_what_is_for_a_webhook_while_its_url_is_erased(committed: None, lease: ProcessLease) -> None:
    tenant, claimed = open_tenant("Acme"), []
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()

    def claim() -> None:
        claimed.append(len(Claimer(slots=8).claim(process=lease.process_id, places=8, now=timezone.now())))

    with transaction.atomic():
        ready(Webhook, {webhook.pk: {"url"}})
        begin(claim).join()
    begin(claim).join()
    assert claimed == [0, 1]


@pytest.mark.parametrize(
    "named",
    [
        {"url": "https://example.com/of/ada@example.com"},
        {"headers": {"X-User": "ada"}},
        {"authentication": {"type": "basic", "username": "ada@example.com", "password": "p"}},
    ],
)
def test_a_webhook_that_reaches_its_endpoint_no_more_is_disabled(tenant: Tenant, named: dict[str, Any]) -> None:
    url = named.pop("url", "https://example.com/")
    webhook, _ = Webhook.objects.register(company=tenant.company, url=url, **named)
    erased(tenant.company)
    webhook.refresh_from_db()
    assert not webhook.enabled
    assert (webhook.headers, webhook.authentication) == ({}, None)
    told = AuditEvent.objects.get(action="webhook.disabled")
    assert told.payload
    assert told.payload["reason"] == webhook.disabled_reason
    assert not ADA.matches([told.payload, webhook.url])


def test_a_webhook_of_which_only_the_description_names_the_person_goes_on(tenant: Tenant) -> None:
    webhook, _ = Webhook.objects.register(
        company=tenant.company, url="https://example.com/", description="Ask ada@example.com"
    )
    erasure = erased(tenant.company)
    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.description) == (True, erasure.pseudonym)


# Requests.


def test_an_earlier_request_of_the_same_person_forgets_them(tenant: Tenant) -> None:
    rejected = Erasure.objects.create(
        company=tenant.company,
        subject={"email": ["ada@example.com"]},
        key=scope_key(ADA),
        reason="Ada (ada@example.com) called.",
        status="REJECTED",
        created_at=NOON,
        due_at=NOON,
        rejected_at=NOON,
        rejected_by="op",
        rejection="Nothing to do.",
    )
    erasure = erased(tenant.company)
    rejected.refresh_from_db()
    assert rejected.subject == {"actorId": [erasure.pseudonym]}
    assert rejected.key == scope_key(rejected.person())
    assert rejected.reason == erasure.pseudonym


def test_one_that_is_still_to_be_decided_keeps_its_identifiers(tenant: Tenant) -> None:
    both = Subject(actor_ids=("ada", "countess"))
    asked, _ = request_erasure(company=tenant.company, subject=both, reason="Asked.", requested_by="op", now=NOON)
    erased(tenant.company)
    asked.refresh_from_db()
    assert asked.person() == both


def test_one_that_has_failed_keeps_its_identifiers_and_goes_on_with_them(tenant: Tenant) -> None:
    """Somebody else's erasure has one of them; the other one would never be erased if they were replaced."""
    both = Subject(actor_ids=("ada",), emails=("countess@example.com",))
    failed = approved(tenant.company, both)
    assert failed.job
    tenant.record(draft(actor={"id": "x", "email": "countess@example.com"}))
    Job.objects.filter(pk=failed.job.pk).update(status="FAILED", completed_at=NOON)
    assert failed.fail()
    erased(tenant.company, Subject(actor_ids=("ada",)))
    failed.refresh_from_db()
    assert failed.person() == both
    Job.objects.filter(pk=failed.job.pk).retry(now=timezone.now())
    run(failed)
    assert failed.status == "COMPLETED"
    actor = AuditEvent.objects.get(workspace=tenant.workspace).actor
    assert actor == {"id": failed.pseudonym, "email": failed.pseudonym}


def test_its_own_words_name_the_person_no_more_once_it_has_begun(tenant: Tenant) -> None:
    erasure = approved(tenant.company, reason="For ada@example.com.", requested_by="ada")
    assert erasure.begin(now=NOON)
    assert (erasure.reason, erasure.requested_by) == (erasure.pseudonym, erasure.pseudonym)
    assert erasure.person() == ADA


def test_what_could_tell_who_was_asked_for_goes_with_its_completion(tenant: Tenant, other_tenant: Tenant) -> None:
    for one, route in (
        (tenant, "gdpr/erasures"),
        (tenant, "gdpr/export"),
        (tenant, "jobs"),
        (other_tenant, "gdpr/export"),
    ):
        key = ApiKey.objects.get(company=one.company, name="company")
        place = {"company": one.company, "api_key": key, "route": route, "key": "k"}
        IdempotencyRecord.objects.create(**place, fingerprint="f" * 64, answer={}, created_at=NOON)
    erased(tenant.company)
    left = IdempotencyRecord.objects.values_list("company__name", "route").order_by("company__name")
    assert list(left) == [("Acme", "jobs"), ("Globex", "gdpr/export")]


def test_who_downloaded_the_archive_of_the_person_is_not_told_any_more(tenant: Tenant) -> None:
    request, other = export_of(tenant), export_of(tenant, BOB)
    Job.objects.update(status="COMPLETED", completed_at=NOON)
    accesses = []
    for one in (request, other):
        at = {"company": tenant.company, "created_at": NOON, "expires_at": NOON}
        made = {"scope": "subject", "status": "EXPIRED", "file": "x.zip", "size": 1, "sha256": "f" * 64, "counts": {}}
        archive = ExportArchive.objects.create(job=one.job, **at, **made)
        link = DownloadLink.objects.create(archive=archive, digest=str(one.pk), **at)
        client = {"address": "203.0.113.9", "user_agent": "curl/8"}
        accesses.append(
            DownloadAccess.objects.create(company=tenant.company, link=link, at=NOON, start=0, end=1, **client)
        )
    erased(tenant.company)
    for access in accesses:
        access.refresh_from_db()
    assert [(access.address, access.user_agent) for access in accesses] == [(None, ""), ("203.0.113.9", "curl/8")]


def test_what_operators_did_to_rows_of_the_company_is_looked_through(tenant: Tenant, other_tenant: Tenant) -> None:
    user = get_user_model().objects.create(username="op", email="ada@example.com")
    done_to = [tenant.company.pk, tenant.workspace.pk, other_tenant.company.pk, user.pk, "no key"]
    for key in done_to:
        LogEntry.objects.create(user=user, object_id=str(key), object_repr="ada@example.com", action_flag=CHANGE)
    erasure = erased(tenant.company)
    said = list(LogEntry.objects.order_by("id").values_list("object_repr", flat=True))
    assert said == [erasure.pseudonym] * 2 + ["ada@example.com"] * 3
