"""The admin's list of erasures: what is due, how far each is, and who may see whom it is about."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.encryption import encrypt
from gdpr.models import Erasure
from gdpr.models.due import SOON
from jobs.admin import paging
from tests.conftest import Tenant
from tests.gdpr.erasures.officers import HOLDS, LIST, button, counting, held, live, made, page, shown
from tests.gdpr.officers import EVIL, sign_in, text_of

pytestmark = pytest.mark.django_db
SEARCH = reverse("admin:gdpr_erasure_search")
HOUR = timedelta(hours=1)
BOB = {"email": ["bob@example.com"]}


@pytest.fixture
def due(tenant: Tenant) -> dict[str, list[Erasure]]:
    """Erasures by the group of the filter, in the order in which each group is listed."""
    now = timezone.now()
    ago, soon, later = now - HOUR, now + SOON - HOUR, now + SOON + HOUR
    people = iter({"actorId": [f"person-{n}"]} for n in range(9))
    return {
        "overdue": [
            made(tenant.company, "FAILED", subject=next(people), due_at=ago - HOUR),
            made(tenant.company, subject=next(people), due_at=ago),
        ],
        "soon": [
            made(tenant.company, "PROCESSING", subject=next(people), due_at=soon - HOUR),
            made(tenant.company, "APPROVED", subject=next(people), due_at=soon),
        ],
        "later": [made(tenant.company, subject=next(people), due_at=later)],
        "answered": [
            made(tenant.company, "REJECTED", subject=next(people), due_at=ago),
            made(tenant.company, "COMPLETED", subject=next(people), due_at=ago),
        ],
    }


# --- What is due ------------------------------------------------------------------------------------------------


def test_each_group_of_the_filter_holds_what_it_says_the_most_urgent_first(
    operator: Client, due: dict[str, list[Erasure]]
) -> None:
    found = {group: shown(operator, due=group) for group in due}
    assert found == due | {"answered": due["answered"][::-1]}


def test_what_is_urgent_is_marked_in_the_list_and_on_the_page(operator: Client, due: dict[str, list[Erasure]]) -> None:
    for says, erasures in due.items():
        for asked in erasures:
            assert f'data-due="{says}"' in text_of(operator, page(asked))
    listed = text_of(operator, LIST)
    assert {says: len(re.findall(f'data-due="{says}"', listed)) for says in due} == {
        "overdue": 2,
        "soon": 2,
        "later": 1,
        "answered": 2,
    }
    assert "OVERDUE since" in listed
    assert "rejected; was due" in listed
    assert ", LATE: was due" in listed


def test_the_banner_counts_what_waits_and_leads_to_it(operator: Client, due: dict[str, list[Erasure]]) -> None:
    listed = text_of(operator, LIST)
    assert f'<a href="{LIST}?due=overdue"><strong>2</strong> erasures are overdue</a>' in listed
    assert f'<a href="{LIST}?status__exact=REQUESTED"><strong>2</strong> wait for a decision</a>' in listed
    assert len(shown(operator, status__exact="REQUESTED")) == 2


def test_one_alone_is_told_of_in_the_singular_and_none_is_not_told_of(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, "COMPLETED")
    assert "gdpr-urgent" not in text_of(operator, LIST)
    made(tenant.company)
    assert "<strong>1</strong> erasure waits for a decision</a>" in text_of(operator, LIST)


# --- What is shown ----------------------------------------------------------------------------------------------


def test_a_row_says_who_is_meant_until_they_are_forgotten_and_how_many_have_approved(
    operator: Client, tenant: Tenant
) -> None:
    made(tenant.company, approvals=1)
    listed = text_of(operator, LIST)
    assert '<td class="field-about">ada@example.com, u-4711</td>' in listed
    assert "1 of 2</span>" in listed


def test_who_is_erased_is_forgotten(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, "COMPLETED")
    listed = text_of(operator, LIST)
    assert '<td class="field-about">forgotten</td>' in listed
    assert "2 of 2</span>" in listed


@pytest.mark.parametrize(
    ("count", "told"),
    [
        ("PROCESSING", "requested, being counted"),
        ("COMPLETED", "requested, waiting for a decision"),
        ("FAILED", "requested, not counted: that failed"),
    ],
)
def test_a_request_says_what_it_waits_for(operator: Client, tenant: Tenant, count: str, told: str) -> None:
    asked = made(tenant.company, preview=None, previewed_at=None)
    counting(asked, count, error="no luck" if count == "FAILED" else "")
    if count == "COMPLETED":
        Erasure.objects.update(preview={"rows": {}, "remaining": {}}, previewed_at=timezone.now())
    assert f'data-field="state" data-says="requested">{told}</span>' in text_of(operator, LIST)
    assert ("no luck" in text_of(operator, page(asked))) == (count == "FAILED")


# --- Finding ----------------------------------------------------------------------------------------------------


def test_the_list_is_filtered_by_company_and_status(operator: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    mine, other = made(tenant.company, "FAILED"), made(other_tenant.company)
    assert shown(operator, company=str(tenant.company.pk)) == [mine]
    assert shown(operator, status__exact="REQUESTED") == [other]


def seek(operator: Client, term: str, query: str = "") -> Any:
    return operator.post(SEARCH + query, {"q": term}, follow=True)


@pytest.mark.parametrize("term", ["ADA@example", "u-47", "Acme", "id", "company"])
def test_an_erasure_is_found_by_identifier_company_and_id(
    operator: Client, tenant: Tenant, other_tenant: Tenant, term: str
) -> None:
    mine = made(tenant.company)
    made(other_tenant.company, subject=BOB)
    term = {"id": str(mine.pk), "company": str(tenant.company.pk)}.get(term, term)
    assert list(seek(operator, term).context["cl"].result_list) == [mine]


def test_a_hold_is_found_alike(operator: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    mine = held(tenant.company)
    held(other_tenant.company, subject=None)
    for term in ("ada@EXAMPLE", "acme", str(mine.pk), str(tenant.company.pk)):
        found = operator.post(reverse("admin:gdpr_legalhold_search"), {"q": term}, follow=True)
        assert list(found.context["cl"].result_list) == [mine]
        assert found.redirect_chain[-1][0].startswith(HOLDS)


def test_what_was_sought_stands_in_the_box_and_nowhere_in_an_address(operator: Client, tenant: Tenant) -> None:
    made(tenant.company)
    found = seek(operator, "ada@example.com", "?status__exact=REQUESTED")
    (address, status) = found.redirect_chain[-1]
    assert (status, parse_qs(urlsplit(address).query)["status__exact"]) == (302, ["REQUESTED"])
    text = found.content.decode()
    assert 'value="ada@example.com" id="searchbar"' in text
    links = re.findall(r'(?:href|action|formaction)="([^"]*)"', text)
    assert len(links) > 15
    assert not [link for link in [address, *links] if re.search("ada(@|%40)", link)]


def test_an_address_opens_no_secret_that_was_not_sought(operator: Client, tenant: Tenant) -> None:
    made(tenant.company)
    for query in (encrypt("whsec_1"), "ada@example.com"):
        answer = operator.get(LIST, {"q": query}, follow=True)
        assert list(answer.context["cl"].result_list) == []
        assert b"whsec_1" not in answer.content


@pytest.mark.parametrize("query", [{"company": "x"}, {"due": "x"}, {"status__exact": "x"}, {"o": "9.x"}])
def test_a_filter_that_is_mistyped_breaks_nothing(operator: Client, tenant: Tenant, query: dict[str, str]) -> None:
    made(tenant.company)
    assert operator.get(LIST, query, follow=True).status_code == 200


# --- What it costs ----------------------------------------------------------------------------------------------


def test_ten_rows_cost_no_more_statements_than_one(operator: Client, tenant: Tenant) -> None:
    counts = []
    for number in (1, 9):
        for n in range(number):
            made(tenant.company, "COMPLETED", approvals=2)
            counting(made(tenant.company, subject={"actorId": [f"{number}-{n}"]}, approvals=1), "PROCESSING")
        operator.get(LIST)
        with CaptureQueriesContext(connection) as seen:
            operator.get(LIST)
        counts.append(len(seen))
    assert counts[0] == counts[1]
    assert counts[0] <= 12


def test_the_list_reads_no_column_that_may_be_large(operator: Client, tenant: Tenant) -> None:
    made(tenant.company, "COMPLETED")
    (asked,) = shown(operator)
    assert asked.get_deferred_fields() == {"certificate"}
    assert {"payload", "secrets", "result", "traceback", "follow_up"} <= asked.job.get_deferred_fields()


def test_a_list_counts_no_further_than_its_bound_and_says_so(
    operator: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "LISTED", 2)
    monkeypatch.setattr("gdpr.admin.erasures.erasure.LISTED", 2)
    for n in range(3):
        made(tenant.company, subject={"actorId": [str(n)]}, due_at=timezone.now() - HOUR)
    answer = operator.get(LIST)
    assert answer.context["cl"].result_count == 2
    assert b"2 erasures or more match" in answer.content
    assert b"2 or more</strong> erasures are overdue" in answer.content


# --- What moves -------------------------------------------------------------------------------------------------


def test_what_moves_is_told_as_the_list_and_the_page_show_it(operator: Client, tenant: Tenant) -> None:
    asked = made(tenant.company, "PROCESSING", job={"progress": 0.42, "step": "audit_auditevent", "error": "once more"})
    told = live(operator, asked).json()["jobs"][str(asked.pk)]
    assert (told["state"], told["progress"], told["step"]) == ("processing", "42%", "Audit events")
    assert (told["approvals"], told["error"], told["active"]) == ("2 of 2", "once more", "yes")
    listed, one = operator.get(LIST).content.decode(), operator.get(page(asked)).content.decode()
    assert f'data-job="{asked.pk}" data-field="approvals">2 of 2</span>' in listed
    for field in ("state", "progress", "step"):
        for text in (listed, one):
            assert re.search(rf'data-job="{asked.pk}" data-field="{field}"[^>]*>{re.escape(told[field])}</span>', text)
    assert f'data-active="{asked.pk}"' in listed
    assert f'data-version="{told["version"]}"' in one


def test_the_page_is_loaded_anew_where_there_is_more_to_see(operator: Client, tenant: Tenant) -> None:
    """Each change of what the buttons, the preview or the approvals depend on is another version."""
    asked = made(tenant.company, preview=None, previewed_at=None)
    count = counting(asked, "PROCESSING")

    def version() -> str:
        told: str = live(operator, asked).json()["jobs"][str(asked.pk)]["version"]
        return told

    seen = [version()]
    Erasure.objects.update(preview={"rows": {}}, previewed_at=timezone.now())
    seen.append(version())
    type(count).objects.update(status="FAILED", claim_token=None, claimed_by=None, completed_at=timezone.now())
    seen.append(version())
    asked.approvals.create(company=tenant.company, user_id=1, approved_by="op", at=timezone.now())
    seen.append(version())
    Erasure.objects.update(status="REJECTED", rejected_at=timezone.now(), rejection="no")
    seen.append(version())
    assert len(set(seen)) == len(seen)


def test_a_page_looks_again_only_while_something_is_active(operator: Client, tenant: Tenant) -> None:
    ended = made(tenant.company, "FAILED")
    for url in (LIST, page(ended)):
        assert 'data-active=""' in operator.get(url).content.decode()


# --- Who may ----------------------------------------------------------------------------------------------------


def test_who_may_not_look_sees_nothing_of_erasures_and_holds(client: Client, tenant: Tenant) -> None:
    asked, hold = made(tenant.company, "PROCESSING"), held(tenant.company)
    others = [
        "view_job",
        "view_exportrequest",
        "approve_erasure",
        "add_erasure",
        "add_legalhold",
        "view_erasureapproval",
    ]
    stranger = sign_in(client, *others)
    for url in (LIST, page(asked), HOLDS, page(hold), button(asked, "certificate")):
        assert stranger.get(url).status_code == 403
    assert live(stranger, asked).status_code == 403
    for search in (SEARCH, reverse("admin:gdpr_legalhold_search")):
        assert stranger.post(search, {"q": "x"}).status_code == 403
    for name in ("jobs_job", "gdpr_erasureapproval"):
        listed = stranger.get(reverse(f"admin:{name}_changelist"))
        assert listed.status_code == 200
        assert b"ada@example" not in listed.content
    assert b"ada@example" not in stranger.get(reverse("admin:jobs_job_change", args=[asked.job_id])).content


def test_who_may_look_is_offered_no_action(client: Client, tenant: Tenant) -> None:
    made(tenant.company)
    viewer = sign_in(client, "view_erasure", "view_legalhold")
    for url, added in ((LIST, b"Request an erasure"), (HOLDS, b"Place a legal hold")):
        listed = viewer.get(url)
        assert listed.context["action_form"] is None
        assert added not in listed.content


def test_everything_is_escaped(operator: Client, tenant: Tenant) -> None:
    tenant.company.name = EVIL
    tenant.company.save()
    evil: dict[str, Any] = {
        "reason": EVIL,
        "requested_by": EVIL,
        "preview": {"rows": {EVIL: 1}, "remaining": {EVIL: 2}},
        "subject": {"actorId": [EVIL]},
    }
    failed = made(tenant.company, "FAILED", **evil, job={"error": EVIL, "step": EVIL})
    rejected = made(tenant.company, "REJECTED", **evil, rejection=EVIL, rejected_by=EVIL)
    waiting = made(tenant.company, **evil)
    waiting.approvals.create(company=tenant.company, user_id=-1, approved_by=EVIL, at=timezone.now())
    pages = [LIST, page(failed), page(rejected), page(waiting), button(waiting, "approve"), button(waiting, "reject")]
    texts = [operator.get(url).content.decode() for url in pages]
    hold = held(tenant.company, subject=evil["subject"], reason=EVIL, placed_by=EVIL)
    pages = [HOLDS, page(hold), page(waiting), button(hold, "lift")]
    texts += [operator.get(url).content.decode() for url in pages]
    assert not [text for text in texts if EVIL in text]
    least = [10, 7, 6, 7, 7, 0, 3, 4, 8, 0]
    assert [text.count("&lt;script&gt;") >= count for text, count in zip(texts, least, strict=True)] == [True] * 10
    assert EVIL not in seek(operator, EVIL).content.decode()
