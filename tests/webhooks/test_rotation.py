"""Secrets change hands: a signing secret with its overlap, and the keys that encrypt what is stored."""

import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.encryption import UnreadableSecret, encrypt
from audit.models import AuditEvent
from hyrelog import housekeeping
from jobs.enqueueing import Then, enqueue
from jobs.models import Job
from jobs.sealing import unseal
from tests.api import Api
from tests.conftest import NOON, Tenant, open_tenant
from webhooks import reencrypting
from webhooks.models import Webhook
from webhooks.models.webhook import ENCRYPTED

WEBHOOKS = "/v1/key/company/webhooks"
URL = "https://example.com/hook"
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
OPTIONS: dict[str, Any] = {"headers": {"X-A": "a"}, "authentication": {"type": "bearer", "token": "t"}}


@pytest.fixture
def webhook(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url=URL, **OPTIONS)[0]


def rotate(webhook: Webhook, *, overlap: timedelta = DAY) -> str:
    secret = webhook.rotate_secret(now=NOON, overlap=overlap)
    assert secret is not None
    webhook.refresh_from_db()
    return secret


# --- A webhook's secret -----------------------------------------------------------------------------------------


def test_requests_are_signed_with_both_secrets_until_the_overlap_is_over(webhook: Webhook) -> None:
    old = webhook.secret
    assert webhook.signing_secrets(now=NOON) == [old]
    new = rotate(webhook)
    assert new not in (old, webhook.encrypted_secret)
    assert webhook.signing_secrets(now=NOON + DAY - SECOND) == [new, old]
    assert webhook.signing_secrets(now=NOON + DAY) == [new]


def test_without_overlap_the_old_secret_ends_at_once_and_is_gone(webhook: Webhook) -> None:
    rotate(webhook)
    new = rotate(webhook, overlap=timedelta())
    assert webhook.signing_secrets(now=NOON) == [new]
    assert (webhook.encrypted_previous_secret, webhook.previous_secret_until) == ("", None)


def test_a_rotation_within_an_overlap_keeps_the_secret_in_between(webhook: Webhook) -> None:
    middle, newest = rotate(webhook), rotate(webhook, overlap=2 * DAY)
    assert webhook.signing_secrets(now=NOON + DAY) == [newest, middle]


def test_two_rotations_at_once_lose_neither_secret(committed: None) -> None:
    tenant = open_tenant("Acme")
    webhook = Webhook.objects.register(company=tenant.company, url=URL)[0]
    secrets: list[str | None] = []
    together = threading.Barrier(2)

    def work() -> None:
        mine = Webhook.objects.get()  # as it was before either of them
        together.wait()
        secrets.append(mine.rotate_secret(now=NOON, overlap=DAY))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    webhook.refresh_from_db()
    assert sorted(webhook.signing_secrets(now=NOON)) == sorted(filter(None, secrets))


def test_an_unreadable_previous_secret_stops_nothing_and_an_unreadable_current_one_does(
    webhook: Webhook, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    old_key, new_key = settings.HYRELOG_ENCRYPTION_KEYS, [Fernet.generate_key().decode()]
    settings.HYRELOG_ENCRYPTION_KEYS = new_key
    new = rotate(webhook)
    assert webhook.signing_secrets(now=NOON) == [new]
    assert str(webhook.pk) in caplog.text
    settings.HYRELOG_ENCRYPTION_KEYS = old_key
    with pytest.raises(UnreadableSecret):
        webhook.signing_secrets(now=NOON)


def test_a_rotation_is_told_to_the_company_without_the_secret(webhook: Webhook, tenant: Tenant) -> None:
    new = rotate(webhook)
    event = AuditEvent.objects.get(action="webhook.secret_rotated")
    assert event.workspace == tenant.company.system_workspace
    assert event.payload == {
        "webhookId": str(webhook.id),
        "url": "https://example.com",
        "previousSecretValidUntil": "2026-02-01T12:00:00.000000Z",
    }
    assert new not in str(event.as_json())


def test_a_deleted_webhook_gets_no_secret(webhook: Webhook) -> None:
    rotate(webhook)
    webhook.delete_softly(now=NOON)
    assert webhook.rotate_secret(now=NOON, overlap=DAY) is None
    webhook.refresh_from_db()
    assert [getattr(webhook, column) for column in ENCRYPTED] == ["", "", "", ""]
    assert webhook.previous_secret_until is None


def test_housekeeping_wipes_a_previous_secret_that_is_over_and_no_other(committed: None, webhook: Webhook) -> None:
    new = rotate(webhook)
    assert housekeeping.run(now=NOON + DAY - SECOND)["previous_secrets"] == 0
    assert len(webhook.signing_secrets(now=NOON)) == 2
    assert housekeeping.run(now=NOON + DAY)["previous_secrets"] == 1
    webhook.refresh_from_db()
    assert (webhook.encrypted_previous_secret, webhook.previous_secret_until) == ("", None)
    assert webhook.signing_secrets(now=NOON) == [new]


@pytest.mark.parametrize(
    ("body", "hours"), [("", 24), ({}, 24), ({"overlapHours": 0}, 0), ({"overlapHours": 168}, 168)]
)
def test_the_api_shows_a_new_secret_once_and_how_long_the_old_one_lives(
    api: Api, webhook: Webhook, body: Any, hours: int
) -> None:
    before = timezone.now()
    answer = api.post(f"{WEBHOOKS}/{webhook.id}/rotate-secret", body)
    assert answer.status_code == 200
    told = answer.json()
    old, secret = webhook.secret, told.pop("secret")
    webhook.refresh_from_db()
    assert (webhook.secret, secret == old) == (secret, False)
    assert api.get(f"{WEBHOOKS}/{webhook.id}").json() == told
    until = parse_datetime(told["previousSecretValidUntil"] or "")
    if hours:
        assert until is not None
        assert before <= until - timedelta(hours=hours) <= timezone.now()
        assert webhook.signing_secrets(now=before) == [secret, old]
    else:
        assert until is None
        assert webhook.signing_secrets(now=before) == [secret]


@pytest.mark.parametrize("hours", [-1, 169, 1.5, "24", True, None, 10**30])
def test_an_overlap_is_a_whole_number_of_hours_up_to_a_week(api: Api, webhook: Webhook, hours: Any) -> None:
    answer = api.post(f"{WEBHOOKS}/{webhook.id}/rotate-secret", {"overlapHours": hours})
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "overlapHours"
    webhook.refresh_from_db()
    assert webhook.previous_secret_until is None


# --- The encryption keys ----------------------------------------------------------------------------------------


def rotate_encryption() -> tuple[str, str, int]:
    out, err, status = StringIO(), StringIO(), 0
    try:
        call_command("rotate_encryption", stdout=out, stderr=err)
    except SystemExit as stop:
        status = int(str(stop.code))
    return out.getvalue(), err.getvalue(), status


def test_rotate_encryption_makes_the_old_key_superfluous(
    tenant: Tenant, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencrypting, "BATCH", 2)
    webhooks = [Webhook.objects.register(company=tenant.company, url=URL, **OPTIONS)[0] for _ in range(5)]
    rotate(webhooks[0])
    webhooks[4].delete_softly(now=NOON)
    before = [webhook.signing_secrets(now=NOON) for webhook in webhooks[:4]]
    payload = {"url": URL, "headers": {"Authorization": "Bearer t"}}
    jobs = [enqueue("http.request", payload, company=tenant.company)[0] for _ in range(3)]
    new = Fernet.generate_key().decode()
    settings.HYRELOG_ENCRYPTION_KEYS = [new, *settings.HYRELOG_ENCRYPTION_KEYS]

    assert rotate_encryption() == ("16 secrets were encrypted with the first key; 0 were already.\n", "", 0)
    settings.HYRELOG_ENCRYPTION_KEYS = [new]
    read = [unseal(job.payload, job.secrets) for job in Job.objects.filter(pk__in=[job.pk for job in jobs])]
    assert read == [payload] * 3
    kept = list(Webhook.objects.present().order_by("pk"))
    assert [webhook.signing_secrets(now=NOON) for webhook in kept] == before
    assert {str(webhook.added_headers) for webhook in kept} == {"{'X-A': 'a', 'Authorization': 'Bearer t'}"}
    assert rotate_encryption() == ("0 secrets were encrypted with the first key; 16 were already.\n", "", 0)


def test_a_job_that_is_to_follow_outlives_the_key_too(tenant: Tenant, settings: LazySettings) -> None:
    payload = {"url": URL, "headers": {"Authorization": "Bearer b"}}
    chain = Then("sleep", {"seconds": 0}, then=Then("http.request", payload))
    job, _ = enqueue("sleep", {"seconds": 0}, company=tenant.company, then=chain)
    new = Fernet.generate_key().decode()
    settings.HYRELOG_ENCRYPTION_KEYS = [new, *settings.HYRELOG_ENCRYPTION_KEYS]
    assert [batch.renewed for batch in reencrypting.reencrypt()] == [1]
    settings.HYRELOG_ENCRYPTION_KEYS = [new]
    job.refresh_from_db()
    assert job.follow_up
    following = job.follow_up["then"]
    assert unseal(following["payload"], following["secrets"]) == payload


def test_rotate_encryption_names_what_no_key_reads_and_does_the_rest(tenant: Tenant, settings: LazySettings) -> None:
    webhook, other = (Webhook.objects.register(company=tenant.company, url=URL, **OPTIONS)[0] for _ in range(2))
    kept = settings.HYRELOG_ENCRYPTION_KEYS
    settings.HYRELOG_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    Webhook.objects.filter(pk=webhook.pk).update(encrypted_headers=encrypt("lost"), encrypted_secret="damaged")
    settings.HYRELOG_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *kept]
    before = Webhook.objects.get(pk=webhook.pk)

    out, err, status = rotate_encryption()
    assert status == 1
    assert out == "4 secrets were encrypted with the first key; 0 were already.\n"
    for column in ("encrypted_secret", "encrypted_headers"):
        assert f"UNREADABLE {column} of webhook {webhook.pk}" in err
    assert "2 were left as they are" in err
    assert str(other.pk) not in err
    after = Webhook.objects.get(pk=webhook.pk)
    changed = {column for column in ENCRYPTED if getattr(before, column) != getattr(after, column)}
    assert changed == {"encrypted_authentication"}
