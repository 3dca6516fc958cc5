"""The page of an archive: what it tells, and that no value from outside does anything in it."""

import hashlib
import re
from base64 import b64encode
from typing import Any

import pytest

from audit.models import Company
from gdpr.describing import context_of, readme
from gdpr.describing.printable import printable
from gdpr.models import PrivacyNotice
from gdpr.models.privacy_notice import TEXTS
from gdpr.subjects import Subject
from tests.conftest import NOON, Tenant
from tests.gdpr.describing import manifest_of
from tests.gdpr.pages import HOSTILE, Page
from webhooks.models import Webhook

ADA = Subject(actor_ids=("u1",), emails=("ada@example.com",))


def page(company: Company, *, subject: Subject | None = None, **facts: Any) -> Page:
    return Page(html(company, subject=subject, **facts))


def html(company: Company, *, subject: Subject | None = None, **facts: Any) -> str:
    context = context_of(company, scope="subject" if subject else "company", subject=subject, now=NOON)
    return readme(manifest_of(company, subject=subject, **facts), context=context)


def test_the_page_says_whose_data_it_is_who_asked_and_when(tenant: Tenant) -> None:
    text = page(tenant.company, subject=ADA).text()
    assert "What the records of Acme hold about one person" in text
    assert "the identifier u1 the e-mail address ada@example.com" in text
    assert "Asked for by API key backend (hlk_abcdefgh…) Asked for at 31 January 2026, 12:00:00 UTC" in text


def test_the_page_tells_what_is_in_the_archive_and_how_much(tenant: Tenant) -> None:
    text = page(tenant.company, counts={"audit_auditevent": 1_234_567, "jobs_job": 0}, csv=True).text()
    assert "Audit events An event: one thing that happened" in text
    assert "data/audit_auditevent.ndjson 1,234,567" in text
    assert "Nothing was found among: Jobs." in text
    assert "data/audit_auditevent.csv" in text
    assert "proofs/" not in text


def test_an_archive_without_any_row_says_so(tenant: Tenant) -> None:
    text = page(tenant.company, subject=ADA, counts={"audit_auditevent": 0, "jobs_job": 0}).text()
    assert "Nothing was found. Beside these:" in text
    assert "audit_auditevent.csv" not in text


def test_the_page_tells_what_is_left_out_and_why(tenant: Tenant) -> None:
    text = page(tenant.company).text()
    assert "API keys digest What proves a key. The key itself was never kept." in text
    assert "audit_chainhead Repeats the number and the hash" in text


def test_an_export_that_was_begun_anew_says_so(tenant: Tenant) -> None:
    assert "2 earlier attempts at this archive came to no end" in page(tenant.company, attempt=3).text()
    assert "1 earlier attempt at" in page(tenant.company, attempt=2).text()
    assert "earlier attempt" not in page(tenant.company, attempt=1).text()


def test_an_export_of_an_operator_needs_no_job(tenant: Tenant) -> None:
    request = {"jobId": None, "requestedAt": "2026-01-31T12:00:00.000000Z", "requestedBy": "ops"}
    assert "made by an operator of HyreLog" in page(tenant.company, request=request).text()


def test_the_page_tells_the_context(tenant: Tenant) -> None:
    PrivacyNotice.objects.create(company=tenant.company, purposes="To prove who did what.")
    Webhook.objects.register(company=tenant.company, url="https://hooks.example.com/T0KEN", description="The warehouse")
    text = page(tenant.company).text()
    assert "To prove who did what. Stated by Acme" in text
    assert "The warehouse webhook: https://hooks.example.com All events of all workspaces , since" in text
    assert "T0KEN" not in text
    assert "complain to a supervisory authority" in text


def test_the_page_tells_how_to_check_the_archive_and_what_that_proves(tenant: Tenant) -> None:
    whole, one = page(tenant.company).text(), page(tenant.company, subject=ADA).text()
    for text in (whole, one):
        assert "python3 -I verify.py ARCHIVE.zip --key KEY" in text
        assert "/v1/signing-keys" in text
        assert "0123456789abcdef" in text
        assert "python -m hyrelog.verify" in text
    assert "none is missing" in whole
    assert "none is missing" not in one
    assert "That nothing about the person is missing" in one


def test_lines_that_a_form_sent_are_lines_of_the_page(tenant: Tenant) -> None:
    notice = PrivacyNotice.objects.create(company=tenant.company, controller="Acme Ltd\r\n1 High Street\rEngland")
    assert notice.controller == "Acme Ltd\n1 High Street\nEngland"
    PrivacyNotice.objects.update(controller="Acme Ltd\r\n1 High Street")  # as it was kept before
    assert "Acme Ltd\n1 High Street" in html(tenant.company)
    assert "[U+" not in html(tenant.company)


def test_the_page_tells_what_the_notice_says_beside_what_hyrelog_knows(tenant: Tenant) -> None:
    said = {"recipients": "The help desk.", "transfers": "None.", "automated_decisions": "None are made."}
    PrivacyNotice.objects.create(company=tenant.company, **said)
    text = page(tenant.company).text()
    for statement in said.values():
        assert f"{statement} Stated by Acme" in text


def test_the_page_loads_nothing_and_runs_nothing(tenant: Tenant) -> None:
    shown = page(tenant.company, subject=ADA)
    assert not {tag for tag, _ in shown.tags} & {"script", "link", "img", "iframe", "object", "form", "base", "svg"}
    names = {name for _, attributes in shown.tags for name, _ in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "style", "srcset", "action")}
    assert all(href and href.startswith("#") for href in shown.attributes("href"))
    assert set(shown.attributes("href")) <= {f"#{anchor}" for anchor in shown.attributes("id")}
    [style] = re.findall("<style>(.*?)</style>", html(tenant.company), flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    allowed = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [value for value in shown.attributes("content") if value and "default-src" in value]
    assert policy == f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"


def test_the_page_is_accessible(tenant: Tenant) -> None:
    shown = page(tenant.company, subject=ADA, csv=True)
    assert shown.tags[0] == ("html", (("lang", "en"),))
    headings = [int(tag[1]) for tag, _ in shown.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip([0, *headings], headings, strict=False))
    kinds = [tag for tag, _ in shown.tags]
    assert kinds.count("caption") == kinds.count("table") > 0
    assert all(dict(attributes).get("scope") for tag, attributes in shown.tags if tag == "th")
    assert set(shown.attributes("aria-labelledby")) <= set(shown.attributes("id"))
    assert shown.open == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_value_from_outside_changes_the_page(tenant: Tenant, hostile: str) -> None:
    def built(value: str) -> Page:
        stored = value.replace("\0", "").encode(errors="replace").decode()  # as Postgres can hold it
        written = dict.fromkeys(TEXTS, stored)
        PrivacyNotice.objects.update_or_create(company=tenant.company, defaults=written)
        webhook = Webhook.objects.filter(company=tenant.company)
        webhook.update(description=stored, events=[stored])
        tenant.company.name, subject = value, Subject(actor_ids=(value,), emails=("ada@example.com",))
        request = {"jobId": value, "requestedAt": "2026-01-31T12:00:00.000000Z", "requestedBy": value}
        return page(tenant.company, subject=subject, request=request)

    Webhook.objects.register(company=tenant.company, url="https://hooks.example.com/")
    plain, shown = built("Acme"), built(hostile)
    assert shown.tags == plain.tags
    assert not re.search("[\0-\x08\x0b-\x1f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", shown.text())
    assert " ".join(printable(hostile).split()) in shown.text("bdi")


def test_unseen_characters_are_named(tenant: Tenant) -> None:
    tenant.company.name = "A\N{RIGHT-TO-LEFT OVERRIDE}b\x00"
    assert "A[U+202E]b[U+0000]" in page(tenant.company).text("bdi")


def test_writing_from_right_to_left_stays_as_it_is(tenant: Tenant) -> None:
    tenant.company.name = "شركة\N{ZERO WIDTH NON-JOINER} أكمي"
    assert tenant.company.name in page(tenant.company).text("bdi")
