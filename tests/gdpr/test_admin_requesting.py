"""Requesting an export in the admin, and the other lists and forms of exports."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import Company
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive, ExportRequest, PrivacyNotice
from jobs.models.job import NOBODY
from tests.conftest import Tenant
from tests.gdpr.officers import ADA, ADD, archived, made, page, said, sign_in, text_of

pytestmark = pytest.mark.django_db
LISTS: dict[Any, str] = {model: reverse(f"admin:gdpr_{model.__name__.lower()}_changelist") for model in (
    DownloadAccess, DownloadLink, ExportArchive, PrivacyNotice,
)}  # fmt: skip

COMPANIES = reverse("admin:gdpr_exportrequest_companies")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def ask(operator: Client, tenant: Tenant) -> Callable[..., Any]:
    """Send the form, of a person unless told otherwise."""

    def send(**fields: Any) -> Any:
        known = {"company": str(tenant.company.pk), "scope": "subject", "emails": "ada@example.com", "actor_ids": ""}
        return operator.post(ADD, known | fields, follow=True)

    return send


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(told) for name, told in answer.context["form"].errors.items()}


# --- Requesting -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_an_export_of_a_person_is_requested(
    operator: Client, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(emails=" ada@example.com\r\n\r\nada@example.org ", actor_ids="u1\n", csv="on")
    asked = ExportRequest.objects.get()
    assert asked.subject == {"actorId": ["u1"], "email": ["ada@example.com", "ada@example.org"]}
    assert (asked.scope, asked.csv, asked.requested_by, asked.job.status) == ("subject", True, "operator op", "PENDING")
    assert answer.redirect_chain == [(page(asked), 302)]
    assert "was requested" in said(answer)
    entry = LogEntry.objects.get()
    for kept in (caplog.text, entry.object_repr, entry.change_message, str(asked.job.payload), asked.job.key or ""):
        assert "ada@" not in kept


def test_an_export_of_the_company_is_requested(ask: Callable[..., Any]) -> None:
    ask(scope="company", emails="")
    asked = ExportRequest.objects.get()
    assert (asked.scope, asked.subject, asked.csv) == ("company", None, False)


def test_while_one_is_under_way_that_one_is_shown(ask: Callable[..., Any]) -> None:
    ask()
    answer = ask()
    asked = ExportRequest.objects.get()
    assert answer.redirect_chain == [(page(asked), 302)]
    assert "already under way" in said(answer)
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"emails": "ada@example.com\nnot an address"}, "emails", "“not an address” is no e-mail address"),
        ({"emails": ""}, "emails", "at least one"),
        ({"scope": "company"}, "emails", "leave this empty"),
        ({"scope": "company", "emails": "", "actor_ids": "u1"}, "actor_ids", "leave this empty"),
        ({"scope": "all"}, "scope", "not one of the available"),
        ({"company": ""}, "company", "required"),
        ({"company": "x"}, "company", "required"),
        ({"company": str(NOBODY)}, "company", "not one of the available"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    ask: Callable[..., Any], fields: dict[str, str], field: str, told: str
) -> None:
    answer = ask(**fields)
    assert not answer.redirect_chain
    assert told in " ".join(errors(answer)[field])
    assert not ExportRequest.objects.exists()
    assert (fields | {"emails": fields.get("emails", "ada@example.com")})["emails"] in answer.content.decode()


def test_too_many_is_said_with_the_time_when_it_goes_on(ask: Callable[..., Any], settings: Any) -> None:
    settings.GDPR_EXPORTS_PER_DAY = 1
    ask()
    answer = ask(emails="bob@example.com")
    told = " ".join(errors(answer)["__all__"])
    assert "1 exports within 24 hours" in told
    again = ExportRequest.objects.get().created_at + timedelta(days=1)
    assert f"{again:%Y-%m-%d}" in told
    assert "bob@example.com" in answer.content.decode()


def test_who_may_not_request_is_refused(client: Client, tenant: Tenant) -> None:
    viewer = sign_in(client, "view_exportrequest", "change_exportrequest")
    fields = {"company": str(tenant.company.pk), "scope": "company"}
    assert (viewer.get(ADD).status_code, viewer.post(ADD, fields).status_code) == (403, 403)
    assert not ExportRequest.objects.exists()


def test_an_officer_with_permissions_of_exports_alone_fills_in_both_forms(
    client: Client, tenant: Tenant, other_tenant: Tenant
) -> None:
    company, notice = str(tenant.company.pk), reverse("admin:gdpr_privacynotice_add")
    offered = [{"id": company, "text": tenant.company.name}]
    for permission, form in (("add_exportrequest", ADD), ("add_privacynotice", notice)):
        officer = sign_in(client, permission)
        assert f'data-ajax--url="{COMPANIES}"' in officer.get(form).content.decode()
        for term in (tenant.company.name[1:].upper(), company):
            assert officer.get(COMPANIES, {"term": term}).json()["results"] == offered
        officer.post(form, {"company": company, "scope": "company", "controller": "Acme Ltd"})
    assert ExportRequest.objects.get().company == PrivacyNotice.objects.get().company == tenant.company


def test_the_choice_of_companies_tells_names_and_ids_to_those_who_choose(client: Client, tenant: Tenant) -> None:
    Company.objects.update(contact_email="dpo@acme.example")
    assert sign_in(client, "view_exportrequest", "change_privacynotice").get(COMPANIES).status_code == 403
    officer = sign_in(client, "add_exportrequest")
    for term in ("dpo@", "acme.example", "\0dpo", "%"):
        assert officer.get(COMPANIES, {"term": term}).json()["results"] == []


@pytest.mark.parametrize("page_number", ["0", "x", "-1", "9" * 5000, "²"])
def test_many_companies_are_offered_a_page_at_a_time(client: Client, tenant: Tenant, page_number: str) -> None:
    for number in range(25):
        Company.objects.create(name=f"Many {number:02}")
    officer = sign_in(client, "add_exportrequest")
    first, second = (officer.get(COMPANIES, {"term": "many", "page": page}).json() for page in ("1", "2"))
    assert [len(each["results"]) for each in (first, second)] == [20, 5]
    assert [each["pagination"]["more"] for each in (first, second)] == [True, False]
    assert officer.get(COMPANIES, {"term": "many", "page": page_number}).status_code == 200


def test_looking_at_the_form_requests_nothing(operator: Client, tenant: Tenant) -> None:
    answer = operator.get(ADD, {"company": str(tenant.company.pk), "scope": "company"})
    assert (answer.status_code, answer.context["form"].errors) == (200, {})
    assert not ExportRequest.objects.exists()


def test_a_request_is_never_edited_or_deleted(operator: Client, tenant: Tenant) -> None:
    asked = made(tenant.company, subject=ADA)
    assert operator.post(page(asked), {"requested_by": "somebody else"}).status_code == 403
    assert (
        operator.post(reverse("admin:gdpr_exportrequest_delete", args=[asked.pk]), {"post": "yes"}).status_code == 403
    )


# --- The other lists --------------------------------------------------------------------------------------------


def fill(tenant: Tenant, number: int) -> None:
    for _ in range(number):
        archive = archived(made(tenant.company, "COMPLETED"), checkpoint={"body": {}})
        link, _ = DownloadLink.objects.issue(archive=archive, issued_by="a test", now=timezone.now())
        DownloadAccess.objects.create(
            company=tenant.company, link=link, at=timezone.now(), start=0, end=1, address="192.0.2.7"
        )


@pytest.mark.parametrize("model", [DownloadAccess, DownloadLink, ExportArchive], ids=lambda model: model.__name__)
def test_ten_rows_of_any_list_cost_no_more_statements_than_one(operator: Client, tenant: Tenant, model: Any) -> None:
    counts = []
    for number in (1, 9):
        fill(tenant, number)
        operator.get(LISTS[model])
        with CaptureQueriesContext(connection) as seen:
            operator.get(LISTS[model])
        counts.append(len(seen))
    assert counts[0] == counts[1]
    assert not [query for query in seen if "checkpoint" in query["sql"]]


@pytest.mark.parametrize("model", [DownloadAccess, DownloadLink, ExportArchive], ids=lambda model: model.__name__)
def test_each_list_leads_to_the_request_and_is_searched_by_its_job(
    operator: Client, tenant: Tenant, model: Any
) -> None:
    fill(tenant, 2)
    asked = ExportRequest.objects.latest("pk")
    found = operator.get(LISTS[model], {"q": str(asked.pk)})
    assert len(found.context["cl"].result_list) == 1
    assert page(asked) in found.content.decode()


def test_accesses_are_filtered_by_their_outcome(operator: Client, tenant: Tenant) -> None:
    fill(tenant, 2)
    refused = DownloadAccess.objects.latest("pk")
    DownloadAccess.objects.filter(pk=refused.pk).update(refusal="expired")
    outcomes = {}
    for outcome in ("served", "refused", "x"):
        outcomes[outcome] = len(operator.get(LISTS[DownloadAccess], {"outcome": outcome}).context["cl"].result_list)
    assert outcomes == {"served": 1, "refused": 1, "x": 2}


# --- Privacy notices --------------------------------------------------------------------------------------------


def test_a_notice_is_written_once_for_a_company_and_then_changed(
    operator: Client, tenant: Tenant, other_tenant: Tenant
) -> None:
    add, fields = reverse("admin:gdpr_privacynotice_add"), {"company": str(tenant.company.pk), "controller": "Acme Ltd"}
    operator.post(add, fields)
    assert "already exists" in operator.post(add, fields).content.decode()
    url = reverse("admin:gdpr_privacynotice_change", args=[tenant.company.pk])
    operator.post(url, {"company": str(other_tenant.company.pk), "controller": "Acme GmbH", "contact": "dpo@acme"})
    notice = PrivacyNotice.objects.get()
    assert (notice.company, notice.controller, notice.contact) == (tenant.company, "Acme GmbH", "dpo@acme")
    assert "Art. 15(1)(a)" in text_of(operator, url)
    assert "controller, contact" in text_of(operator, LISTS[PrivacyNotice])


def test_what_a_form_sends_is_kept_with_line_feeds(operator: Client, tenant: Tenant) -> None:
    fields = {"company": str(tenant.company.pk), "controller": "Acme Ltd\r\nLondon", "automated_decisions": "None."}
    operator.post(reverse("admin:gdpr_privacynotice_add"), fields)
    assert PrivacyNotice.objects.get().controller == "Acme Ltd\nLondon"
    assert "controller, automated decisions" in text_of(operator, LISTS[PrivacyNotice])
