"""What tests of every room share: a tenant, a clock, and clean-up that the append-only triggers would refuse."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import Client, TransactionTestCase

from audit import recording
from audit.drafts import Draft
from audit.models import ApiKey, AuditEvent, Company, Workspace
from jobs import watching
from jobs.leases import ProcessLease
from tests.api import Api
from tests.receiver import Receiver, serve_receiver

KEPT = {"django_migrations", "django_content_type", "auth_permission"}
"""Tables whose rows the migrations made."""
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Tenant:
    """A company with a workspace beside its `system` one, and a key of each scope."""

    company: Company
    workspace: Workspace
    company_key: str
    workspace_key: str

    @transaction.atomic
    def record(self, *drafts: Draft, now: datetime = NOON) -> list[AuditEvent]:
        return recording.record(workspace=self.workspace, drafts=drafts or [draft()], now=now)


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


def draft(**fields: Any) -> Draft:
    sent = {"action": "user.login", "category": "auth", "actor": {"id": "u1", "email": "ada@example.com"}}
    return Draft(**(sent | fields))


def open_tenant(name: str) -> Tenant:
    company = Company.objects.open(name=name)
    workspace = company.add_workspace(name="production")
    _, company_key = ApiKey.objects.issue(company=company, name="company")
    _, workspace_key = ApiKey.objects.issue(company=company, workspace=workspace, name="workspace")
    return Tenant(company, workspace, company_key, workspace_key)


@pytest.fixture
def tenant(db: None) -> Tenant:
    return open_tenant("Acme")


@pytest.fixture
def other_tenant(db: None) -> Tenant:
    return open_tenant("Globex")


@pytest.fixture
def api(client: Client, tenant: Tenant) -> Api:
    """The API with the company's key."""
    return Api(client, tenant.company_key)


@pytest.fixture
def workspace_api(client: Client, tenant: Tenant) -> Api:
    return Api(client, tenant.workspace_key)


@pytest.fixture
def other_api(client: Client, other_tenant: Tenant) -> Api:
    """The API with another company's key."""
    return Api(client, other_tenant.company_key)


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    """A browser in which somebody is signed in who may do everything in the admin.

    Without a password: to hash one takes longer than most tests.
    """
    client.force_login(get_user_model().objects.create_superuser("op", "op@example.com"))
    return client


@pytest.fixture
def clock() -> Clock:
    return Clock()


def set_append_only(state: str) -> None:
    """`ENABLE` or `DISABLE` the triggers, as only the table's owner can."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # pending ones would keep the table from being altered
        cursor.execute(f"ALTER TABLE audit_auditevent {state} TRIGGER USER")


def empty(_: TransactionTestCase) -> None:
    """What Django does after a test whose transactions really commit, which the triggers would refuse.

    But content types and permissions stay as the migrations made them; to make them anew takes longer than most tests.
    """
    set_append_only("DISABLE")
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor)) - KEPT
        cursor.execute(f"TRUNCATE {', '.join(map(connection.ops.quote_name, tables))}")
    set_append_only("ENABLE")


TransactionTestCase._fixture_teardown = empty  # type: ignore[attr-defined]


@pytest.fixture
def committed(transactional_db: None) -> None:
    """A database whose transactions really commit; emptied afterwards."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, one has those of a file that commit, and one, before that, those that do not.

    For what was committed leaves statistics behind, by which Postgres plans.
    """
    for item in items:
        commits = "transactional_db" in getattr(item, "fixturenames", ()) or any(
            mark.kwargs.get("transaction") for mark in item.iter_markers("django_db")
        )
        item.add_marker(pytest.mark.xdist_group(f"{item.path}{'-commits' if commits else ''}"))


@pytest.fixture
def unchecked(db: None) -> Iterator[None]:
    """Nobody checks the foreign keys of what is rolled back: of many rows that takes as long as to make them."""
    yield
    transaction.set_rollback(True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serve_receiver() as receiver:
        yield receiver


@pytest.fixture
def lease(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessLease]:
    """A lease that this process holds; nobody renews it during the test, which is shorter than 30 s."""
    # What a test writes is in its own transaction: a thread that looked would see nothing of it.
    monkeypatch.setattr(watching, "LOOK_EVERY", math.inf)
    lease = ProcessLease(queues=["webhooks", "jobs", "exports"])
    yield lease
    lease.give_up(lease.process_id)
