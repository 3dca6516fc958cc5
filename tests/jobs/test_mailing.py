import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import AuthResult, LoginPassword

from jobs import handlers
from jobs.leases import ProcessLease
from jobs.mailing import EMAIL, mail
from jobs.models import Job
from jobs.running import SURPRISE
from tests.conftest import NOON, Clock, Tenant
from tests.jobs.steps import run_next
from tests.mail_server import MailServer, serve_mail

pytestmark = pytest.mark.django_db
Send = Callable[[], Job]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with serve_mail() as server:
        yield server


@pytest.fixture
def smtp(settings: Any, server: MailServer) -> None:
    point_at(settings, server)


def point_at(settings: Any, server: MailServer) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS, settings.SENDS_EMAIL = False, True
    settings.DEFAULT_FROM_EMAIL = "HyreLog <hyrelog@example.com>"


@pytest.fixture
def company(tenant: Tenant) -> Tenant:
    tenant.company.contact_email = "ops@acme.example"
    tenant.company.save()
    return tenant


@pytest.fixture
def send(lease: ProcessLease, clock: Clock) -> Send:
    """Runs the job that is due."""

    def run() -> Job:
        assert run_next(lease, clock=clock)
        return Job.objects.get()

    return run


def write(tenant: Tenant, *, subject: str = "Hello", text: str = "Grüße\n") -> None:
    mail(tenant.company, subject=subject, text=text, now=NOON)


def test_an_e_mail_arrives_as_it_was_written(company: Tenant, smtp: None, server: MailServer, send: Send) -> None:
    write(company)
    job = send()
    (letter,) = server.letters
    assert (job.status, job.result) == ("COMPLETED", {"sent": True})
    assert (letter["subject"], letter["from"]) == ("Hello", "HyreLog <hyrelog@example.com>")
    assert (letter["to"], server.recipients) == ("ops@acme.example", ["ops@acme.example"])
    assert letter.get_content() == "Grüße\r\n"
    assert letter["auto-submitted"] == "auto-generated"
    assert str(job.id) in letter["message-id"]


def test_what_the_server_refuses_is_tried_again_later_and_in_the_end_a_dead_letter(
    company: Tenant, smtp: None, server: MailServer, send: Send, clock: Clock
) -> None:
    server.reply = "451 come back later"
    write(company)
    for attempt in range(1, 5):
        job = send()
        assert (job.status, job.attempt) == ("PENDING", attempt)
        assert job.started_at
        assert (job.run_at - job.started_at).total_seconds() >= 60
        clock.now = job.run_at
    assert (send().status, server.came) == ("FAILED", 5)
    assert Job.objects.get().error.startswith(SURPRISE)


def test_a_server_that_is_away_is_tried_again_later(
    company: Tenant, smtp: None, server: MailServer, settings: Any, send: Send
) -> None:
    settings.EMAIL_PORT = 1
    write(company)
    assert send().status == "PENDING"


def test_without_a_mail_server_the_job_is_done_and_the_log_says_so_once(
    company: Tenant, settings: Any, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SENDS_EMAIL = False
    handlers._say_that_none_is_sent.cache_clear()
    for _ in range(2):
        write(company)
        job = send()
        assert (job.status, job.result) == ("COMPLETED", {"sent": False})
        Job.objects.all().delete()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["EMAIL_HOST" in warning.getMessage() for warning in warnings] == [True]


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
def test_line_breaks_in_a_subject_make_no_header(
    company: Tenant, smtp: None, server: MailServer, send: Send, break_: str
) -> None:
    write(company, subject=f"Hello{break_}Bcc: eve@example.com", text=f"Hello{break_}Bcc: eve@example.com")
    send()
    (letter,) = server.letters
    assert letter["subject"] == "Hello Bcc: eve@example.com"
    assert letter["bcc"] is None
    assert server.recipients == ["ops@acme.example"]


@pytest.mark.parametrize("address", ["ops", "a@example.com,b@example.com", "a@example.com\nBcc: b@example.com"])
def test_a_contact_address_that_is_none_fails_at_once_and_says_why(
    tenant: Tenant, smtp: None, server: MailServer, send: Send, address: str
) -> None:
    tenant.company.contact_email = address
    write(tenant)
    job = send()
    assert (job.status, job.attempt, server.came) == ("FAILED", 1, 0)
    assert "contact address" in job.error


def test_a_company_without_a_contact_address_gets_none(tenant: Tenant) -> None:
    write(tenant)
    assert not Job.objects.filter(type=EMAIL).exists()


def test_text_that_the_database_cannot_hold_stops_nobody(company: Tenant) -> None:
    write(company, subject="a\0b", text="\ud800")
    assert Job.objects.get().payload["subject"] == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("trusted", [True, False])
def test_credentials_travel_inside_tls_to_a_server_whose_certificate_holds(
    company: Tenant, settings: Any, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if trusted:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    shown: list[Any] = []

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        shown.append(given)
        return AuthResult(success=True)

    options = {"tls_context": context, "require_starttls": True, "authenticator": check, "auth_required": True}
    with serve_mail(**options) as server:
        point_at(settings, server)
        settings.EMAIL_USE_TLS, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = True, "hyrelog", "hush"
        write(company)
        job = send()
    assert (job.status, server.came) == (("COMPLETED", 1) if trusted else ("PENDING", 0))
    assert shown == ([LoginPassword(b"hyrelog", b"hush")] if trusted else [])
