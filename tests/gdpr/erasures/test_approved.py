"""Verification of the chains counts only what two people approved as an erasure."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Company
from audit.verification import verify
from gdpr.models import Erasure, ErasureApproval
from tests.audit.erasures import faults
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasing import erase
from tests.gdpr.erasures.erased import erase_events, requested


def unapproved(company: Company, request: uuid.UUID) -> bool:
    """Whether it is a fault, and the only one, that nobody approved this request, of which there is a record."""
    found = faults(company)
    assert all(f"(seq 1): it records an erasure by request {request}, which nobody here" in fault for fault in found)
    return bool(found)


def test_a_record_of_a_request_that_never_was_is_a_fault(tenant: Tenant) -> None:
    events = tenant.record(draft())
    request = uuid.uuid4()
    erase(*events, erasure_id=request)
    assert unapproved(tenant.company, request)


def test_a_record_of_another_companys_request_is_a_fault(tenant: Tenant, other_tenant: Tenant) -> None:
    events = tenant.record(draft())
    request = requested(other_tenant.company).pk
    erase(*events, erasure_id=request)
    assert unapproved(tenant.company, request)


@pytest.mark.parametrize("approvals", [0, 1, 2])
def test_a_record_of_a_request_that_too_few_approved_is_a_fault(tenant: Tenant, approvals: int) -> None:
    erasure = requested(tenant.company)
    erase_events(erasure, *tenant.record(draft()))
    ErasureApproval.objects.filter(user_id__gt=approvals).delete()
    assert unapproved(tenant.company, erasure.pk) == (approvals < 2)


@pytest.mark.parametrize("status", ["REQUESTED", "REJECTED", "APPROVED", "PROCESSING", "FAILED"])
def test_a_record_of_a_request_that_is_not_to_run_is_a_fault(tenant: Tenant, status: str) -> None:
    rejected = {"rejected_at": NOON, "rejected_by": "op", "rejection": "No."} if status == "REJECTED" else {}
    erasure = requested(tenant.company)
    Erasure.objects.filter(pk=erasure.pk).update(status=status, **rejected)
    erase_events(erasure, *tenant.record(draft()))
    assert unapproved(tenant.company, erasure.pk) == (status in ("REQUESTED", "REJECTED"))


def test_approvals_of_many_records_are_asked_for_at_once(tenant: Tenant) -> None:
    for event in tenant.record(*[draft() for _ in range(5)]):
        erase_events(requested(tenant.company), event)
    with CaptureQueriesContext(connection) as made:
        assert list(verify(tenant.company.system_workspace)) == []
    assert sum("gdpr_erasureapproval" in query["sql"] for query in made) == 1
