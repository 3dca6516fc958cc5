"""What no hash covers: what workspaces are called and whose they are, and how far their chains reach."""

from io import StringIO

import pytest
from django.core.management import call_command

from audit.models import AuditEvent, ChainHead, Workspace
from audit.verification import verify
from tests.audit.erasures import ACTOR, alter, erase, faults, marks
from tests.conftest import Tenant, draft


@pytest.fixture
def record(tenant: Tenant) -> AuditEvent:
    """Of an erasure that somebody undid: what the event had been is back."""
    (event,) = tenant.record(draft())
    before = marks(event)
    record = erase(tenant.company, event, actor=ACTOR)
    alter(event, **before)
    return record


def refused(*arguments: str) -> str:
    with pytest.raises(SystemExit, match="1"):
        call_command("verify_chain", *arguments, stdout=(said := StringIO()), stderr=said)
    return said.getvalue()


@pytest.mark.parametrize("other", ["a new one", "the other one"])
def test_an_erasure_is_not_undone_by_calling_another_workspace_system(
    tenant: Tenant, record: AuditEvent, other: str
) -> None:
    Workspace.objects.filter(pk=record.workspace_id).update(name="retired")
    if other == "a new one":
        tenant.company.add_workspace(name="system")
    else:
        Workspace.objects.filter(pk=tenant.workspace.pk).update(name="system")
    (fault,) = faults(tenant.company)
    assert fault == (
        f"workspace {record.workspace_id}, event {record.pk} (seq 1): HyreLog records what it did in the workspace "
        "`system` only: this one was renamed, or the event is forged"
    )


def test_an_erasure_is_not_undone_by_giving_its_records_to_another_company(tenant: Tenant, record: AuditEvent) -> None:
    other = type(tenant.company).objects.create(name="Hidden")
    Workspace.objects.filter(pk=record.workspace_id).update(company=other)
    tenant.company.add_workspace(name="system")
    assert faults(tenant.company) == []
    (fault,) = faults(other)
    assert f"event {record.pk} (seq 1): it is an event of company {tenant.company.pk}" in fault


def test_a_company_without_a_system_workspace_is_a_fault(
    tenant: Tenant, other_tenant: Tenant, record: AuditEvent
) -> None:
    Workspace.objects.filter(pk=record.workspace_id).update(company=other_tenant.company, name="retired")
    missing = f"FAULT company {tenant.company.pk}: missing: it has no workspace `system`\n"
    assert missing in refused()
    assert missing in refused("--workspace", str(tenant.workspace.pk))


def test_a_chain_without_its_head_is_a_fault(tenant: Tenant, record: AuditEvent) -> None:
    ChainHead.objects.filter(workspace=record.workspace_id).delete()
    (fault,) = verify(tenant.company.system_workspace)
    assert str(fault) == (
        f"workspace {record.workspace_id}, seq 0: missing: the chain has no head, which says how far it must reach"
    )
    assert "1 events in 2 chains: faults: 1." in refused("--workspace", str(tenant.workspace.pk))
