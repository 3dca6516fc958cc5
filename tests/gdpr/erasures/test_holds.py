"""Legal holds: whom they keep, until when, and what is told of them (GDPR, Art. 17(3))."""

from typing import Any

import pytest
from django.db import transaction

from audit.models import AuditEvent
from gdpr.erasures.holds import blocking, lift
from gdpr.erasures.reasons import InvalidReason
from gdpr.models import LegalHold
from gdpr.models.erasure import MOST_REASON
from tests.conftest import NOON, Tenant
from tests.gdpr.erasures.asking import ADA, BOB, hold, person, told
from tests.threads import begin_until_it_waits


@pytest.mark.parametrize(
    ("kept", "erased"),
    [
        (None, ADA),
        ({"actorId": "u1"}, {"actorId": ["u2", "u1"]}),
        ({"actorId": ["u1", "u2"], "email": "x@example.com"}, {"actorId": "u2", "email": "y@example.com"}),
        ({"email": "Ada@Example.com"}, {"email": "ada@eXample.com"}),
        ({"email": "zo\u00e9@example.com"}, {"email": "zoe\u0301@example.com"}),
        ({"email": "ZO\u00c9@example.com"}, {"email": "zo\u00e9@example.com"}),
        ({"email": "ada@example.com"}, {"actorId": "ada@example.com"}),
        ({"actorId": "user/ada@example.com"}, {"email": "ada@example.com"}),
        ({"email": "ada@example.com"}, {"actorId": "user/ada@example.com"}),
    ],
)
def test_a_hold_keeps_whoever_shares_an_identifier(tenant: Tenant, kept: Any, erased: Any) -> None:
    held = hold(tenant.company, kept)
    assert blocking(tenant.company, person(erased)) == held


@pytest.mark.parametrize(
    ("kept", "erased"),
    [
        (ADA, BOB),
        ({"actorId": "u1"}, {"actorId": ["U1", "u11", "u", " u1"]}),
        ({"actorId": "1"}, {"actorId": "01"}),
        ({"email": "ada@example.com"}, {"email": ["nada@example.com", "ada@example.com.br", "x+ada@example.com"]}),
        ({"email": "ada@example.com"}, {"actorId": "ada"}),
    ],
)
def test_a_hold_keeps_nobody_else(tenant: Tenant, other_tenant: Tenant, kept: Any, erased: Any) -> None:
    hold(tenant.company, kept)
    assert blocking(tenant.company, person(erased)) is None
    assert blocking(other_tenant.company, person(kept)) is None


def test_a_hold_of_a_company_keeps_nobody_in_another(tenant: Tenant, other_tenant: Tenant) -> None:
    hold(tenant.company, None)
    assert blocking(other_tenant.company, person()) is None


def test_the_oldest_hold_is_the_one_that_is_named(tenant: Tenant) -> None:
    first, second = hold(tenant.company), hold(tenant.company, None)
    assert blocking(tenant.company, person()) == first
    assert lift(first, lifted_by="a judge", now=NOON)
    assert blocking(tenant.company, person()) == second
    assert lift(second, lifted_by="a judge", now=NOON)
    assert blocking(tenant.company, person()) is None


def test_a_hold_says_who_placed_and_who_lifted_it(tenant: Tenant) -> None:
    held = hold(tenant.company, reason="  A court wants it.\n")
    assert (held.reason, held.placed_by, held.placed_at, held.person()) == (
        "A court wants it.",
        "a lawyer",
        NOON,
        person(),
    )
    assert lift(held, lifted_by="a judge", now=NOON)
    held.refresh_from_db()
    assert (held.lifted_by, held.lifted_at) == ("a judge", NOON)


def test_a_hold_is_lifted_once(tenant: Tenant) -> None:
    held, stale = hold(tenant.company), LegalHold.objects.get()
    assert lift(held, lifted_by="a judge", now=NOON)
    assert not lift(stale, lifted_by="somebody else", now=NOON)
    assert LegalHold.objects.get().lifted_by == "a judge"
    assert len(told("gdpr.hold.lifted")) == 1


@pytest.mark.parametrize("reason", ["", " \n", "x" * (MOST_REASON + 1)])
def test_a_hold_has_a_reason_of_some_length(tenant: Tenant, reason: str) -> None:
    with pytest.raises(InvalidReason):
        hold(tenant.company, reason=reason)
    assert not LegalHold.objects.exists()


@pytest.mark.parametrize(("kept", "scope"), [(None, "company"), (ADA, "subject")])
def test_what_is_told_of_a_hold_names_neither_the_person_nor_the_reason(tenant: Tenant, kept: Any, scope: str) -> None:
    held = hold(tenant.company, kept)
    lift(held, lifted_by="a judge", now=NOON)
    assert told("gdpr.hold.placed") == [{"holdId": str(held.pk), "scope": scope, "placedBy": "a lawyer"}]
    assert told("gdpr.hold.lifted") == [{"holdId": str(held.pk), "liftedBy": "a judge"}]
    workspaces = AuditEvent.objects.filter(action__startswith="gdpr.hold").values_list("workspace__name", flat=True)
    assert list(workspaces) == ["system", "system"]


def test_of_two_who_lift_a_hold_at_once_one_does(committed: None, tenant: Tenant) -> None:
    held, won = hold(tenant.company), list[bool]()
    with transaction.atomic():
        won.append(lift(held, lifted_by="a judge", now=NOON))
        thread = begin_until_it_waits(
            lambda: won.append(lift(LegalHold.objects.get(), lifted_by="another one", now=NOON))
        )
    thread.join()
    assert won == [True, False]
    assert len(told("gdpr.hold.lifted")) == 1
