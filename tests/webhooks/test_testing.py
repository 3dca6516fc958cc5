import ssl
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme
from django.db import connections
from django.utils import timezone
from standardwebhooks import Webhook as Verifier

from audit.models import AuditEvent
from tests.api import Api
from tests.conftest import Tenant
from tests.receiver import Receiver
from tests.webhooks.sending.peers import OK, Connection, Peer, answering
from webhooks.api import testing
from webhooks.models import Webhook, WebhookDelivery

pytestmark = pytest.mark.usefixtures("committed")  # no transaction of the test's own: the connection is given back


def path(webhook: Webhook) -> str:
    return f"/v1/key/company/webhooks/{webhook.id}/test"


def pointed(webhook: Webhook, url: str) -> Webhook:
    Webhook.objects.filter(pk=webhook.pk).update(url=url)
    return webhook


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The authority that HyreLog trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "roots.pem"))
    return authority


@pytest.fixture
def tls_peer(authority: trustme.CA) -> Iterator[Any]:
    peers: list[Any] = []

    def start(**certificate: Any) -> Peer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", **certificate).configure_cert(context)
        serving = Peer(answering(OK), tls=context).serving()
        peers.append(serving)
        return serving.__enter__()

    yield start
    for peer in peers:
        peer.__exit__(None, None, None)


def test_a_test_is_a_signed_webhook_that_leaves_no_trace(api: Api, webhook: Webhook, receiver: Receiver) -> None:
    receiver.status, receiver.body = 200, b"thanks"
    events = AuditEvent.objects.count()
    told = api.post(path(webhook)).json()
    assert (told["delivered"], told["kind"], told["status"], told["body"]) == (True, "delivered", 200, "thanks")
    assert (told["error"], told["address"], told["tls"]) == (None, "127.0.0.1", None)
    assert told["dns"] == {"addresses": ["127.0.0.1"], "error": None}
    assert told["timing"]["connect"] <= told["timing"]["firstByte"] <= told["timing"]["total"]
    (received,) = receiver.requests
    envelope = Verifier(webhook.secret).verify(received.body, received.headers)
    assert envelope["type"] == "webhook.test"
    assert envelope["data"]["webhookId"] == str(webhook.id)
    assert (AuditEvent.objects.count(), WebhookDelivery.objects.count()) == (events, 0)
    api.post(path(webhook))
    assert receiver.requests[1].headers["webhook-id"] != received.headers["webhook-id"]


def test_a_disabled_webhook_can_be_tested_and_stays_disabled(api: Api, webhook: Webhook, receiver: Receiver) -> None:
    webhook.disable(reason="410", now=timezone.now())
    assert api.post(path(webhook)).json()["delivered"] is True
    assert len(receiver.requests) == 1
    assert not Webhook.objects.get(pk=webhook.pk).enabled


def test_an_error_tells_what_to_do(api: Api, webhook: Webhook, receiver: Receiver) -> None:
    receiver.status, receiver.body = 404, b"\xff" + b"x" * 5000
    told = api.post(path(webhook)).json()
    assert (told["delivered"], told["kind"], told["status"]) == (False, "rejected", 404)
    assert "Check the path of the URL" in told["error"]
    assert told["body"] == "\ufffd" + "x" * 1023


def test_a_410_disables_nothing(api: Api, webhook: Webhook, receiver: Receiver) -> None:
    receiver.status = 410
    assert api.post(path(webhook)).json()["status"] == 410
    assert Webhook.objects.get(pk=webhook.pk).enabled


def test_a_trusted_certificate_is_told_with_its_days(api: Api, webhook: Webhook, tls_peer: Any) -> None:
    not_after = datetime.now(UTC).replace(microsecond=0) + timedelta(days=43, hours=1)
    told = api.post(path(pointed(webhook, tls_peer(not_after=not_after).url(host="localhost")))).json()
    assert told["delivered"] is True
    certificate = told["tls"].pop("certificate")
    assert told["tls"] == {"trusted": True, "version": told["tls"]["version"], "error": None}
    assert told["tls"]["version"].startswith("TLSv1.")
    assert (certificate["daysLeft"], certificate["names"]) == (43, ["localhost"])
    assert certificate["notAfter"] == not_after.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert "trustme" in certificate["issuer"]


def test_an_expired_certificate_is_told(api: Api, webhook: Webhook, tls_peer: Any) -> None:
    told = api.post(path(pointed(webhook, tls_peer(not_after=datetime(2020, 1, 1, tzinfo=UTC)).url(host="localhost"))))
    told = told.json()
    assert (told["delivered"], told["kind"], told["status"]) == (False, "tls", None)
    assert "expired" in told["error"]
    assert told["tls"]["trusted"] is False
    assert told["tls"]["certificate"]["daysLeft"] < 0


def test_a_closed_port_is_told(api: Api, webhook: Webhook) -> None:
    told = api.post(path(pointed(webhook, "http://127.0.0.1:1/hook?token=s3cret")))
    assert told.json()["kind"] == "refused"
    assert "listens on this port" in told.json()["error"]
    assert "s3cret" not in told.content.decode()


def test_a_closed_address_is_not_told(api: Api, webhook: Webhook, receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    told = api.post(path(pointed(webhook, receiver.url.replace("127.0.0.1", "localhost"))))
    assert told.json()["kind"] == "blocked"
    assert told.json()["dns"] == {"addresses": [], "error": "localhost resolves to what is not a public address"}
    assert "127.0.0.1" not in told.content.decode()
    assert "::1" not in told.content.decode()
    assert receiver.requests == []


def test_a_silent_endpoint_ends_at_the_webhook_s_timeout(api: Api, webhook: Webhook) -> None:
    with Peer(Connection.wait_for_close).serving() as silent:
        Webhook.objects.filter(pk=webhook.pk).update(url=silent.url(), timeout_seconds=0.3)
        told = api.post(path(webhook)).json()
    assert told["kind"] == "timeout"
    assert "0.3 s" in told["error"]


def test_an_unreadable_secret_is_told_and_nothing_is_sent(api: Api, webhook: Webhook, receiver: Receiver) -> None:
    Webhook.objects.filter(pk=webhook.pk).update(encrypted_secret="damaged")
    told = api.post(path(webhook)).json()
    assert told["kind"] == "blocked"
    assert "cannot be read" in told["error"]
    assert receiver.requests == []


def test_no_database_connection_is_held_while_the_request_is_on_the_wire(api: Api, webhook: Webhook) -> None:
    ours, held = connections["default"], []  # this thread's, seen from another

    def behave(peer: Connection) -> None:
        peer.request()
        held.append(ours.connection)
        peer.send(OK)

    with Peer(behave).serving() as peer:
        assert api.post(path(pointed(webhook, peer.url()))).json()["delivered"] is True
    assert held == [None]


def test_foreign_and_missing_ids_answer_alike(
    other_api: Api, workspace_api: Api, webhook: Webhook, receiver: Receiver
) -> None:
    foreign = other_api.post(path(webhook))
    absent = other_api.post(f"/v1/key/company/webhooks/{uuid.uuid4()}/test")
    assert (foreign.status_code, foreign.json()) == (404, absent.json())
    assert workspace_api.post(path(webhook)).status_code == 403
    assert receiver.requests == []


def test_a_deleted_webhook_cannot_be_tested(api: Api, webhook: Webhook) -> None:
    webhook.delete_softly(now=timezone.now())
    assert api.post(path(webhook)).status_code == 404


def test_tests_are_limited_for_the_company(
    api: Api, webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "TESTS_A_MINUTE", 2)
    second, _ = Webhook.objects.register(company=webhook.company, url=receiver.url)
    answers = [api.post(path(each)) for each in [webhook, second] * 3]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused  # at least two, also where a minute ended between two of them
    assert len(receiver.requests) == 6 - len(refused)
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60
    assert refused[0].json()["code"] == "rate_limited"


def test_the_limit_of_one_company_is_not_another_s(
    api: Api, other_api: Api, webhook: Webhook, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "TESTS_A_MINUTE", 1)
    others, _ = Webhook.objects.register(company=other_tenant.company, url=webhook.url)
    assert api.post(path(webhook)).json()["delivered"] is True
    assert other_api.post(path(others)).json()["delivered"] is True
