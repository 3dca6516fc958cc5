"""Decisions: two different people approve an erasure, or one rejects it as long as it has not begun."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from itertools import count as counting

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from gdpr.erasures.deciding import (
    AlreadyApproved,
    BeingCounted,
    Held,
    NoPreview,
    NotDecidable,
    OutdatedPreview,
    VoidApproval,
    approve,
    reject,
)
from gdpr.erasures.holds import lift
from gdpr.erasures.reasons import InvalidReason
from gdpr.erasures.requesting import ERASE, again
from gdpr.models import Erasure, ErasureApproval
from gdpr.models.erasure import MOST_REASON
from jobs.models import Job
from tests.conftest import NOON, Tenant
from tests.gdpr.erasures.asking import ADA, approved, ask, count, hold, officer, previewed, told
from tests.threads import at_once, begin_until_it_waits

WHY_NOT = "The invoices must be kept for ten years."


def approve_as(erasure: Erasure, user_id: int) -> Erasure:
    return approve(erasure, user_id=officer(user_id), approved_by=f"user {user_id}", now=NOON)


def reject_it(erasure: Erasure) -> Erasure:
    return reject(erasure, rejected_by="dpo", reason=WHY_NOT, now=NOON)


def erase_jobs() -> list[Job]:
    return list(Job.objects.filter(type=ERASE))


# --- Approving ---


def test_one_approval_is_on_record_and_runs_nothing(tenant: Tenant) -> None:
    erasure = approve_as(previewed(tenant.company), 1)
    assert (erasure.status, erasure.job, erase_jobs()) == ("REQUESTED", None, [])
    (approval,) = erasure.approvals.all()
    assert (approval.user_id, approval.approved_by, approval.at) == (officer(1), "user 1", NOON)
    assert told("gdpr.erasure.approved") == [{"erasureId": str(erasure.pk), "approvedBy": "user 1"}]


def test_with_the_second_one_the_erasure_s_job_waits(tenant: Tenant) -> None:
    erasure = approve_as(approve_as(previewed(tenant.company), 1), 2)
    (job,) = erase_jobs()
    assert (erasure.status, erasure.job) == ("APPROVED", job)
    assert (job.company, job.key, job.payload) == (tenant.company, str(erasure.pk), {"erasureId": str(erasure.pk)})
    assert [each["approvedBy"] for each in told("gdpr.erasure.approved")] == ["user 1", "user 2"]


def test_the_same_account_does_not_approve_twice_under_whatever_name(tenant: Tenant) -> None:
    erasure = approve_as(previewed(tenant.company), 1)
    with pytest.raises(AlreadyApproved, match="somebody else has to"):
        approve(erasure, user_id=officer(1), approved_by="another name", now=NOON)
    erasure.refresh_from_db()
    assert (erasure.status, erasure.approvals.count(), erase_jobs()) == ("REQUESTED", 1, [])


def test_nobody_approves_what_was_not_counted(tenant: Tenant) -> None:
    erasure = ask(tenant.company)
    with pytest.raises(NoPreview, match="look at the preview first"):
        approve_as(erasure, 1)
    assert not ErasureApproval.objects.exists()


def test_nobody_approves_by_an_old_preview(tenant: Tenant) -> None:
    erasure = previewed(tenant.company)
    late = NOON + timedelta(days=7, seconds=1)
    with pytest.raises(OutdatedPreview, match="count it again"):
        approve(erasure, user_id=officer(1), approved_by="op", now=late)
    count(erasure, at=late)
    assert approve(erasure, user_id=officer(1), approved_by="op", now=late).approvals.count() == 1


def test_nobody_approves_while_it_is_being_counted_again(tenant: Tenant) -> None:
    erasure = previewed(tenant.company)
    assert again(erasure, now=NOON)
    with pytest.raises(BeingCounted, match="wait for it"):
        approve_as(erasure, 1)
    count(erasure)
    assert approve_as(erasure, 1).approvals.count() == 1


@pytest.mark.parametrize("now", [{"is_active": False}, {"is_superuser": False}, None])
def test_an_approval_of_whoever_may_approve_no_more_does_not_count(tenant: Tenant, now: dict[str, bool] | None) -> None:
    erasure = approve_as(previewed(tenant.company), 1)
    account = get_user_model().objects.filter(pk=officer(1))
    account.update(**now) if now else account.delete()
    with pytest.raises(VoidApproval, match="The approval of user 1 counts no more"):
        approve_as(erasure, 2)
    assert (erasure.approvals.count(), erase_jobs()) == (1, [])
    assert reject_it(erasure).status == "REJECTED"


@pytest.mark.parametrize("status", ["APPROVED", "PROCESSING", "FAILED"])
def test_what_is_approved_is_not_approved_again(tenant: Tenant, status: str) -> None:
    erasure = approved(tenant.company)
    Erasure.objects.update(status=status)
    with pytest.raises(NotDecidable, match=f"This erasure is {status}"):
        approve_as(erasure, 3)
    assert (erasure.approvals.count(), len(erase_jobs())) == (2, 1)


def test_what_was_rejected_or_completed_is_not_approved(tenant: Tenant) -> None:
    erasure = reject_it(approve_as(previewed(tenant.company), 1))
    with pytest.raises(NotDecidable, match="This erasure is REJECTED"):
        approve_as(erasure, 2)
    completed = approved(tenant.company)
    assert completed.begin(now=NOON)
    assert completed.complete(certificate={}, now=NOON)
    with pytest.raises(NotDecidable, match="This erasure is COMPLETED"):
        approve_as(completed, 3)


@pytest.mark.parametrize("approvals", [0, 1])
@pytest.mark.parametrize("kept", [None, ADA])
def test_a_legal_hold_keeps_people_from_approving_and_says_so(
    tenant: Tenant, approvals: int, kept: dict[str, str] | None
) -> None:
    erasure = previewed(tenant.company)
    for user_id in range(approvals):
        approve_as(erasure, user_id)
    held = hold(tenant.company, kept)
    with pytest.raises(Held) as raised:
        approve_as(erasure, 7)
    assert str(raised.value).startswith(f"The legal hold {held.pk}, placed by a lawyer on 2026-01-31 12:00 UTC, keeps")
    assert raised.value.hold == held
    assert (erasure.approvals.count(), erase_jobs()) == (approvals, [])
    assert lift(held, lifted_by="a lawyer", now=NOON)
    assert approve_as(erasure, 7).approvals.count() == approvals + 1


def test_an_error_repeats_neither_identifiers_nor_reasons(tenant: Tenant) -> None:
    erasure, errors = previewed(tenant.company), []
    held = hold(tenant.company, reason="Ada stole the silver.")
    attempts: list[Callable[[], object]] = [
        lambda: approve_as(erasure, 1),
        lambda: lift(held, lifted_by="a lawyer", now=NOON) and approve_as(approve_as(erasure, 1), 1),
        lambda: reject(erasure, rejected_by="dpo", reason="Ada" * MOST_REASON, now=NOON),
        lambda: reject_it(reject_it(erasure)),
    ]
    for attempt in attempts:
        with pytest.raises((Held, AlreadyApproved, InvalidReason, NotDecidable)) as raised:
            attempt()
        errors.append(str(raised.value))
    assert len({error.split()[0] for error in errors}) > 2
    for secret in ("Ada", "silver", "ada@", "u-4711", "invoices"):
        assert secret not in " ".join(errors)


# --- Rejecting ---


def test_a_rejection_stands_with_its_reason_and_whose_it_is(tenant: Tenant) -> None:
    erasure = reject(ask(tenant.company), rejected_by="dpo", reason=f"  {WHY_NOT}\n", now=NOON)
    assert (erasure.status, erasure.rejected_by, erasure.rejected_at) == ("REJECTED", "dpo", NOON)
    assert erasure.rejection == WHY_NOT
    assert told("gdpr.erasure.rejected") == [{"erasureId": str(erasure.pk), "rejectedBy": "dpo"}]


def test_what_was_approved_and_has_not_begun_is_rejected_with_its_job(tenant: Tenant) -> None:
    erasure = reject_it(approved(tenant.company))
    assert erasure.status == "REJECTED"
    assert [job.status for job in erase_jobs()] == ["CANCELLED"]
    assert not erasure.begin(now=NOON)


@pytest.mark.parametrize("reason", ["", " \n", "x" * (MOST_REASON + 1)])
def test_a_rejection_has_a_reason_of_some_length(tenant: Tenant, reason: str) -> None:
    erasure = approved(tenant.company)
    with pytest.raises(InvalidReason):
        reject(erasure, rejected_by="dpo", reason=reason, now=NOON)
    assert Erasure.objects.get().status == "APPROVED"
    assert [job.status for job in erase_jobs()] == ["PENDING"]


@pytest.mark.parametrize("status", ["PROCESSING", "FAILED", "COMPLETED"])
def test_what_has_begun_is_not_rejected_and_its_job_goes_on(tenant: Tenant, status: str) -> None:
    erasure = approved(tenant.company)
    assert erasure.begin(now=NOON)
    if status == "FAILED":
        assert erasure.fail()
    if status == "COMPLETED":
        assert erasure.complete(certificate={}, now=NOON)
    with pytest.raises(NotDecidable, match=f"This erasure is {status}"):
        reject_it(erasure)
    assert (Erasure.objects.get().status, erase_jobs()[0].status) == (status, "PENDING")
    assert told("gdpr.erasure.rejected") == []


def test_what_is_rejected_is_not_rejected_again(tenant: Tenant) -> None:
    erasure = reject_it(ask(tenant.company))
    with pytest.raises(NotDecidable):
        reject(erasure, rejected_by="op", reason="Another one.", now=NOON)
    assert Erasure.objects.get().rejection == WHY_NOT
    assert len(told("gdpr.erasure.rejected")) == 1


# --- At once ---


def came_of(decide: Callable[[], object]) -> str:
    """`done`, or the name of what was raised."""
    try:
        decide()
    except (AlreadyApproved, Held, NotDecidable) as error:
        return type(error).__name__
    return "done"


def test_of_four_who_approve_at_once_two_do_and_there_is_one_job(committed: None, tenant: Tenant) -> None:
    erasure, came, numbers = previewed(tenant.company), list[str](), counting(1)
    at_once(4, lambda: came.append(came_of(lambda: approve_as(Erasure.objects.get(pk=erasure.pk), next(numbers)))))
    assert sorted(came) == ["NotDecidable", "NotDecidable", "done", "done"]
    assert (Erasure.objects.get().status, len(erase_jobs())) == ("APPROVED", 1)
    assert len(told("gdpr.erasure.approved")) == ErasureApproval.objects.count() == 2


def test_the_same_account_three_times_at_once_counts_once(committed: None, tenant: Tenant) -> None:
    erasure, came = previewed(tenant.company), list[str]()
    at_once(3, lambda: came.append(came_of(lambda: approve_as(Erasure.objects.get(pk=erasure.pk), 1))))
    assert sorted(came) == ["AlreadyApproved", "AlreadyApproved", "done"]
    assert (Erasure.objects.get().status, erase_jobs()) == ("REQUESTED", [])


def test_an_approval_that_waits_for_a_rejection_comes_too_late(committed: None, tenant: Tenant) -> None:
    erasure, came = approve_as(previewed(tenant.company), 1), list[str]()
    with transaction.atomic():
        reject_it(erasure)
        late = Erasure.objects.get(pk=erasure.pk)
        thread = begin_until_it_waits(lambda: came.append(came_of(lambda: approve_as(late, 2))))
    thread.join()
    assert came == ["NotDecidable"]
    assert (Erasure.objects.get().status, erase_jobs()) == ("REJECTED", [])


def test_a_rejection_that_waits_for_the_second_approval_cancels_the_job_that_it_made(
    committed: None, tenant: Tenant
) -> None:
    erasure, came = approve_as(previewed(tenant.company), 1), list[str]()
    late = Erasure.objects.get()
    with transaction.atomic():
        approve_as(erasure, 2)
        thread = begin_until_it_waits(lambda: came.append(came_of(lambda: reject_it(late))))
    thread.join()
    assert came == ["done"]
    assert (Erasure.objects.get().status, [job.status for job in erase_jobs()]) == ("REJECTED", ["CANCELLED"])
    assert len(told("gdpr.erasure.rejected")) == 1


def test_a_rejection_that_waits_for_the_beginning_leaves_the_job_alone(committed: None, tenant: Tenant) -> None:
    erasure, came = approved(tenant.company), list[str]()
    with transaction.atomic():
        assert Erasure.objects.get().begin(now=NOON)
        thread = begin_until_it_waits(lambda: came.append(came_of(lambda: reject_it(erasure))))
    thread.join()
    assert came == ["NotDecidable"]
    assert (Erasure.objects.get().status, erase_jobs()[0].status) == ("PROCESSING", "PENDING")


def test_an_approval_waits_for_a_hold_and_heeds_it(committed: None, tenant: Tenant) -> None:
    erasure, came = approve_as(previewed(tenant.company), 1), list[str]()
    with transaction.atomic():
        hold(tenant.company)
        thread = begin_until_it_waits(lambda: came.append(came_of(lambda: approve_as(erasure, 2))))
    thread.join()
    assert (came, erase_jobs()) == (["Held"], [])


def test_a_rejection_waits_for_whoever_holds_the_job_before_it_keeps_others_from_the_chain(
    committed: None, tenant: Tenant
) -> None:
    """Whoever settles the job goes on to the chain's head: the other way round, both would wait for ever."""
    erasure = approved(tenant.company)
    with transaction.atomic():
        list(Job.objects.filter(type=ERASE).select_for_update())
        thread = begin_until_it_waits(lambda: reject_it(erasure))
        tenant.company.system_workspace.chain_head.lock()
    thread.join()
    assert Erasure.objects.get().status == "REJECTED"


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_its_job_is_not_cancelled_by_hand(tenant: Tenant, operator: Client, status: str) -> None:
    """It would stand as approved for ever; whoever wants it to end rejects it."""
    erasure = approved(tenant.company)
    claim = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()} if status == "PROCESSING" else {}
    Job.objects.filter(erasure=erasure).update(status=status, **claim)
    page = f"/admin/jobs/job/{erasure.job_id}"
    chosen = {"action": "cancel", "_selected_action": [str(erasure.job_id)], "confirmed": "1"}
    assert "0 jobs were cancelled" in operator.post("/admin/jobs/job/", chosen, follow=True).content.decode()
    assert "Nothing was changed" in operator.post(f"{page}/cancel/now/", follow=True).content.decode()
    assert f"{page}/cancel/now/" not in operator.get(f"{page}/change/").content.decode()
    call_command("jobs", "cancel", "--type", ERASE)
    (job,) = erase_jobs()
    assert (job.status, job.cancel_requested_at) == (status, None)
