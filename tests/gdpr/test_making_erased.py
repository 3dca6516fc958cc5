"""Archives of companies whose events were erased: of the whole company, and of persons."""

import json
import uuid

import pytest

from audit import signing
from audit.checkpoints import BrokenChain
from audit.models import AuditEvent, ChainHead
from gdpr.erasures import proving
from gdpr.progress import Progress
from gdpr.subjects import Subject
from gdpr.verify import Report, verify
from tests.conftest import Tenant, draft
from tests.gdpr.erasing import PSEUDONYM, erase
from tests.gdpr.making import Opened, alter, make_one, remove

BOB = Subject(actor_ids=("bob",))
ERASURES = "proofs/erasures.ndjson"
FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)


def of_bob(tenant: Tenant) -> Opened:
    return make_one(tenant.company, scope="subject", subject=BOB)


def report_of(made: Opened) -> Report:
    return verify(made.file, keys=signing.public_keys().values())


def about_both(tenant: Tenant, count: int = 3) -> list[AuditEvent]:
    """Events of Bob's that name Ada, too."""
    return tenant.record(*[draft(actor={"id": "bob"}, payload={"to": "ada", "n": n}) for n in range(count)])


def proved(made: Opened) -> list[dict[str, object]]:
    return [json.loads(line) for line in made.zip.read(ERASURES).splitlines()]


def test_a_company_s_archive_shows_what_is_erased_and_by_which_request(tenant: Tenant) -> None:
    events = about_both(tenant)
    tenant.workspace = tenant.company.add_workspace(name="staging")
    more = about_both(tenant)
    erase(events[0], events[2], payload={"to": PSEUDONYM}, erasure_id=FIRST)
    erase(more[1], erasure_id=SECOND)
    erase(events[0], payload={"to": PSEUDONYM, "again": 1}, erasure_id=SECOND)
    made = make_one(tenant.company, csv=True)
    report = report_of(made)
    assert (report.faults, report.status) == ([], 0)
    assert made.manifest["schemaVersion"] == 3
    assert report.erasures == {str(FIRST): 1, str(SECOND): 2}
    assert (report.erased_events, ERASURES in made.zip.namelist()) == (3, False)
    rows = {row["id"]: row for row in made.rows("audit_auditevent")}
    erased = rows[str(events[2].pk)]
    assert (erased["content_salt"], erased["payload"]) == (None, {"to": PSEUDONYM})
    assert rows[erased["content_erased_by"]]["action"] == "gdpr.erased"


def test_a_person_s_archive_has_the_records_that_its_erased_events_name(tenant: Tenant) -> None:
    events = about_both(tenant)
    (of_others,) = tenant.record(draft(actor={"id": "eve"}))
    erase(of_others)
    first = erase(events[0], events[1], payload={"to": PSEUDONYM}, erasure_id=FIRST)
    second = erase(events[1], payload={"to": PSEUDONYM, "again": 1}, erasure_id=SECOND)
    made = of_bob(tenant)
    report = report_of(made)
    assert (report.faults, report.status, report.events) == ([], 0, 3)
    assert report.erasures == {str(FIRST): 1, str(SECOND): 1}
    assert [line["event"]["id"] for line in proved(made)] == [str(first.pk), str(second.pk)]  # type: ignore[index]
    (listed,) = [file for file in made.manifest["files"] if file["name"] == ERASURES]
    assert (listed["rows"], listed["table"]) == (2, None)


def test_a_person_s_archive_without_an_erased_event_has_none(tenant: Tenant) -> None:
    about_both(tenant)
    erase(*tenant.record(draft(actor={"id": "eve"})))
    made = of_bob(tenant)
    assert made.faults() == []
    assert ERASURES not in made.zip.namelist()


def test_records_are_proved_however_long_the_chain_is(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "LINKS", 2)
    monkeypatch.setattr(proving, "RECORDS", 2)
    for event in about_both(tenant, 7):
        erase(event, payload={"to": PSEUDONYM})
    told: list[Progress] = []
    made = make_one(tenant.company, scope="subject", subject=BOB, advance=told.append)
    assert made.faults() == []
    assert len(proved(made)) == 7
    assert sum(progress.step == ERASURES for progress in told) >= 4 + 7


def test_what_is_no_record_is_found_by_the_verifier(tenant: Tenant) -> None:
    events = about_both(tenant)
    erase(events[0], payload={"to": PSEUDONYM})
    alter(events[0], content_erased_by=events[1].pk)
    for made in (of_bob(tenant), make_one(tenant.company)):
        assert any("the one that it names is not here, or not sound" in fault for fault in made.faults())


def test_what_is_back_is_found_by_the_verifier(tenant: Tenant) -> None:
    events = about_both(tenant)
    erase(events[0], events[1], payload={"to": PSEUDONYM}, erasure_id=FIRST)
    back = {"content_salt": events[0].content_salt, "content_fresh_salt": None, "content_erased_by": None}
    alter(events[0], payload=events[0].payload, **back)
    for made in (of_bob(tenant), make_one(tenant.company)):
        (fault,) = made.faults()
        assert f"its content was erased by request {FIRST}, but is still here" in fault


def test_a_system_chain_that_is_broken_is_named(tenant: Tenant) -> None:
    events = about_both(tenant)
    records = [erase(event, payload={"to": PSEUDONYM}) for event in events]

    def remove_one(progress: Progress) -> None:
        if progress.step == "proofs/audit_auditevent.ndjson":  # after all chains were walked
            remove(records[1])

    with pytest.raises(BrokenChain, match="at seq 2: the event is missing"):
        make_one(tenant.company, scope="subject", subject=BOB, advance=remove_one)
    assert ChainHead.objects.get(workspace=tenant.company.system_workspace).seq == 3


def test_how_far_the_system_chain_reached_is_that_from_before_the_reading(tenant: Tenant) -> None:
    (event,) = about_both(tenant, 1)
    erase(event)

    def erase_more(progress: Progress) -> None:
        if progress.step == "describing":
            erase(event)

    made = make_one(tenant.company, advance=erase_more)
    assert made.made.reached == 1


def page_of(made: Opened) -> str:
    return " ".join(made.zip.read("README.html").decode().split())


def test_the_page_says_what_an_erased_event_is_where_there_is_one(tenant: Tenant) -> None:
    (event,) = about_both(tenant, 1)
    for made in (of_bob(tenant), make_one(tenant.company)):
        assert "was erased" not in page_of(made)
    erase(event, payload={"to": PSEUDONYM})
    person, company = page_of(of_bob(tenant)), page_of(make_one(tenant.company))
    assert "Parts of some of these events were erased" in person
    assert "proofs/erasures.ndjson" in person
    assert "Parts of some events were erased" in company
    assert "proofs/erasures.ndjson" not in company
    for page in (person, company):
        assert "was erased as HyreLog's records say" in page
