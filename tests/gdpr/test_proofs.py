"""The proofs of a person's events, in a company of many chains."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.chains import fill
from gdpr.subjects import Subject
from tests.conftest import Tenant, draft
from tests.gdpr.making import make_one

ADA = Subject(actor_ids=("ada",))


@contextmanager
def few_more_files() -> Iterator[None]:
    """No more than twenty can be open beside those that are."""
    os.close(first_free := os.dup(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_company_may_have_more_chains_than_files_can_be_open(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.proving.IN_MEMORY", 1)
    for n in range(40):
        tenant.workspace = tenant.company.add_workspace(name=f"workspace {n}")
        tenant.record(draft(actor={"id": "ada"}), draft(actor={"id": "bob"}))
    with few_more_files():
        made = make_one(tenant.company, scope="subject", subject=ADA)
    assert made.made.counts["audit_auditevent"] == 40
    assert made.faults() == []


def test_each_chain_is_proved_by_its_own_tree(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdpr.proving.PART_BYTES", 1_000)  # of which each ends within a line
    fill(tenant.workspace, events=3_000)
    other = tenant.company.add_workspace(name="staging")
    fill(other, events=1_500)
    made = make_one(tenant.company, scope="subject", subject=Subject(actor_ids=("u7", "u999")))
    assert made.made.counts["audit_auditevent"] == 9
    assert made.faults() == []
