"""The certificate of an erasure: what it says, that it is signed, and its page."""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from audit import signing
from audit.canonical import canonical
from gdpr import verify
from gdpr.erasures.certificate import KIND, as_page, certify
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.erased import ADA, erase_events, erased, requested
from tests.gdpr.pages import HOSTILE, Page

LATER = NOON + timedelta(hours=1)


def is_signed(certificate: dict[str, Any]) -> bool:
    message = f"{KIND}\n".encode() + canonical(certificate["body"])
    key = bytes.fromhex(signing.public_keys()[certificate["keyId"]])
    return verify.is_signed(message, signature=bytes.fromhex(certificate["signature"]), key=key)


def test_it_says_what_was_erased_when_on_whose_approval_and_by_which_records(tenant: Tenant) -> None:
    events = tenant.record(draft(), draft(), draft())
    erasure = requested(tenant.company)
    first, second = erase_events(erasure, *events[:2]), erase_events(erasure, events[2])
    body = certify(erasure, remaining={"audit_auditevent.action": 2}, now=LATER)["body"]
    system = str(tenant.company.system_workspace.pk)
    assert body == {
        "format": "hyrelog-erasure-certificate",
        "version": 1,
        "erasureId": str(erasure.pk),
        "company": {"id": str(tenant.company.pk), "name": "Acme"},
        "pseudonym": erasure.pseudonym,
        "requestedAt": "2026-01-31T12:00:00.000000Z",
        "requestedBy": "API key backend (hlk_abcdefgh…)",
        "approvals": [
            {"by": "olga", "at": "2026-01-31T12:00:00.000000Z"},
            {"by": "piet", "at": "2026-01-31T12:00:00.000000Z"},
        ],
        "startedAt": "2026-01-31T12:00:00.000000Z",
        "completedAt": "2026-01-31T13:00:00.000000Z",
        "repeatedAt": None,
        "counts": {"audit_auditevent": 3},
        "remaining": {"audit_auditevent.action": 2},
        "records": [
            {"workspaceId": system, "seq": 1, "eventId": str(first.pk), "hash": first.hash, "events": 2},
            {"workspaceId": system, "seq": 2, "eventId": str(second.pk), "hash": second.hash, "events": 1},
        ],
    }


def test_it_is_signed_and_stays_so_in_the_database(tenant: Tenant) -> None:
    erasure = erased(tenant, *tenant.record())
    certificate = certify(erasure, remaining={}, now=LATER)
    assert is_signed(certificate)
    assert erasure.complete(certificate=certificate, now=LATER)
    assert is_signed(erasure.certificate or {})
    forged = copy.deepcopy(certificate)
    forged["body"]["counts"]["audit_auditevent"] = 2
    assert not is_signed(forged)


def test_it_names_neither_the_person_nor_the_reason(tenant: Tenant) -> None:
    erasure = erased(tenant, *tenant.record(), reason="ada@example.com asked for it")
    text = json.dumps(certify(erasure, remaining={}, now=LATER))
    assert [identifier for identifier in ("ada@", 'u1"', "asked") if identifier in text] == []


def test_records_of_other_erasures_and_companies_are_not_in_it(tenant: Tenant, other_tenant: Tenant) -> None:
    one, other = tenant.record(draft(), draft())
    erasure = erased(tenant, one)
    erased(tenant, other)
    erased(other_tenant, *other_tenant.record())
    body = certify(erasure, remaining={}, now=LATER)["body"]
    assert [record["seq"] for record in body["records"]] == [1]


def test_what_records_list_is_not_read(tenant: Tenant, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    erasure = erased(tenant, *tenant.record(*[draft() for _ in range(5)]))
    with django_assert_max_num_queries(4) as queries:
        assert len(certify(erasure, remaining={}, now=LATER)["body"]["records"]) == 5
    assert [query for query in queries.captured_queries if '"payload",' in query["sql"]] == []


def page_of(certificate: dict[str, Any]) -> Page:
    return Page(as_page(certificate))


@pytest.fixture
def certificate(tenant: Tenant) -> dict[str, Any]:
    erasure = erased(tenant, *tenant.record(draft(), draft()))
    return certify(erasure, remaining={}, now=LATER)


def test_the_page_tells_all_of_it(certificate: dict[str, Any]) -> None:
    text, body = page_of(certificate).text(), certificate["body"]
    assert "One person was erased from the records of Acme" in text
    assert "Approved by olga , 31 January 2026, 12:00:00 UTC" in text
    assert "Completed 31 January 2026, 13:00:00 UTC" in text
    assert "Audit events audit_auditevent 2" in text
    assert "No name of an action or of a category contains an identifier" in text
    assert "Backups of the database" in text
    assert "python -m hyrelog.verify ARCHIVE.zip --certificate CERTIFICATE.json --key KEY" in text
    assert "2 events were erased in all" in text
    for told in (body["pseudonym"], body["records"][1]["hash"], certificate["keyId"], certificate["signature"]):
        assert told in text


def test_the_page_names_what_is_left_of_the_person(certificate: dict[str, Any]) -> None:
    certificate["body"]["remaining"] = {"audit_auditevent.action": 1_234, "audit_auditevent.category": 0}
    text = page_of(certificate).text()
    assert "Something that names the person is left." in text
    assert "Audit events: action audit_auditevent.action 1,234" in text
    assert "audit_auditevent.category" not in text
    assert "No name of an action" not in text


@pytest.mark.parametrize("counts", [{}, {"jobs_job": 0, "gdpr_exportarchive": 2}])
def test_the_page_of_somebody_who_was_found_nowhere_claims_no_erasure(tenant: Tenant, counts: dict[str, int]) -> None:
    erasure = requested(tenant.company, person=ADA, counts=counts)
    text = page_of(certify(erasure, remaining={}, now=LATER)).text()
    assert "One person was not found in the records of Acme" in text
    assert "Nothing was found that named the person, and no record was changed." in text
    assert "there is nothing in an export to hold the certificate against" in text
    for claim in ("was erased from", "was replaced", "erased event", "each record below", "Seals", erasure.pseudonym):
        assert claim not in text


def test_the_page_of_somebody_of_whom_nothing_could_be_erased_says_so(tenant: Tenant) -> None:
    left = certify(requested(tenant.company), remaining={"audit_auditevent.action": 1}, now=LATER)
    text = page_of(left).text()
    assert "Nothing of one person could be erased from the records of Acme" in text
    assert "Something that names the person is left." in text
    assert "found that named" not in text


def test_the_page_of_a_repeated_erasure_says_so(tenant: Tenant, certificate: dict[str, Any]) -> None:
    assert "carried out once more" not in page_of(certificate).text()
    erasure = requested(tenant.company, person=ADA)
    text = page_of(certify(erasure, remaining=None, now=NOON, repeated_at=LATER)).text()
    assert "This erasure was carried out once more, at 31 January 2026, 13:00:00 UTC." in text
    assert "Nobody could count them when the erasure was repeated" in text
    assert "Nothing was found that named the person." in text


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_does_anything_on_the_page(certificate: dict[str, Any], text: str) -> None:
    plain = page_of(certificate)
    body = certificate["body"]
    body |= {"company": {"id": text, "name": text}, "requestedBy": text, "pseudonym": text, "erasureId": text}
    body["approvals"] = [{"by": text, "at": body["requestedAt"]}] * 2
    body |= {"counts": {text: 1, "audit_auditevent": 2}}
    body["records"] = [{**record, "eventId": text, "hash": text} for record in body["records"]]
    hostile = page_of(certificate | {"keyId": text, "signature": text})
    kinds = [tag for tag, _ in plain.tags]
    assert [tag for tag, _ in hostile.tags if tag not in {"tr", "th", "td", "small", "code"}] == [
        tag for tag in kinds if tag not in {"tr", "th", "td", "small", "code"}
    ]
    assert hostile.open == []


def test_the_page_loads_nothing_and_runs_nothing(certificate: dict[str, Any]) -> None:
    page = page_of(certificate)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe", "object", "form"}
    assert page.attributes("src") == []
    assert [target for target in page.attributes("href") if not (target or "").startswith("#")] == []


def test_the_page_of_a_million_erased_events_can_be_made(certificate: dict[str, Any]) -> None:
    certificate["body"]["records"] *= 2_500
    assert as_page(certificate).count(certificate["body"]["records"][0]["hash"]) == 2_500
