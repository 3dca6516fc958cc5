"""The admin's pages of pauses and of worker processes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.ids import uuid7
from jobs import doorbell
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Pause, WorkerProcess
from jobs.models.pause import Kind
from tests.conftest import NOON
from tests.jobs.steps import claim

pytestmark = pytest.mark.django_db
LIST = reverse("admin:jobs_pause_changelist")
ADD = reverse("admin:jobs_pause_add")


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """A browser in which somebody is signed in who has these permissions and no others."""

    def sign_in(*permissions: str) -> Client:
        person = get_user_model().objects.create_user("staff", is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(person)
        return client

    return sign_in


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lanes: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: lanes.append(lane))
    return lanes


def resume_page(pause: Pause) -> str:
    return reverse("admin:jobs_pause_resume", args=[pause.pk])


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_a_queue_or_a_type_is_chosen_from_what_is_declared(operator: Client) -> None:
    groups = dict(operator.get(ADD).context["adminform"].form.fields["what"].choices)
    assert ("queue:jobs", "jobs") in groups["Queues"]
    assert ("type:sleep", "sleep") in groups["Types"]


@pytest.mark.parametrize("what", ["queue:jobs", "type:email.send"])
def test_what_is_chosen_is_paused_with_its_reason(committed: None, operator: Client, what: str) -> None:
    operator.post(ADD, {"what": what, "reason": "upgrade"})
    pause = Pause.objects.get()
    assert (f"{pause.kind}:{pause.name}", pause.reason) == (what, "upgrade")
    assert b"upgrade" in operator.get(LIST).content


@pytest.mark.parametrize("what", ["queue:post", "type:nap", "", "jobs"])
def test_what_is_not_declared_is_refused(operator: Client, what: str) -> None:
    assert operator.post(ADD, {"what": what}).context["adminform"].form.errors["what"]
    assert not Pause.objects.exists()


def test_what_is_paused_already_is_said_to_be_so(operator: Client) -> None:
    Pause.objects.pause(Kind.QUEUE, "jobs", reason="first")
    errors = operator.post(ADD, {"what": "queue:jobs", "reason": "second"}).context["adminform"].form.errors
    assert errors["what"] == ["The queue jobs is paused already."]
    assert Pause.objects.get().reason == "first"


def test_the_button_and_the_action_resume_and_ring(committed: None, operator: Client, rung: list[str]) -> None:
    Pause.objects.pause(Kind.QUEUE, "exports")
    pause = Pause.objects.get()
    url = reverse("admin:jobs_pause_change", args=[pause.pk])
    assert resume_page(pause) in operator.get(url).content.decode()
    assert said(operator.post(resume_page(pause), follow=True)) == "The queue exports goes on."
    Pause.objects.pause(Kind.TYPE, "sleep")
    chosen = {"action": "resume", "_selected_action": [Pause.objects.get().pk]}
    assert said(operator.post(LIST, chosen, follow=True)) == "The type sleep goes on."
    assert rung == ["exports", "jobs"]
    assert not Pause.objects.exists()


def test_a_pause_is_changed_or_deleted_by_nobody(operator: Client) -> None:
    Pause.objects.pause(Kind.QUEUE, "jobs")
    pause = Pause.objects.get()
    assert operator.post(reverse("admin:jobs_pause_delete", args=[pause.pk]), {"post": "yes"}).status_code == 403
    assert operator.post(reverse("admin:jobs_pause_change", args=[pause.pk]), {"what": "x"}).status_code == 403
    assert operator.get(resume_page(pause)).status_code == 405
    assert operator.post(reverse("admin:jobs_pause_resume", args=[0])).status_code == 404
    assert Pause.objects.exists()


def test_pausing_and_resuming_have_a_permission_each(staff: Callable[..., Client]) -> None:
    Pause.objects.pause(Kind.QUEUE, "jobs")
    pause = Pause.objects.get()
    viewer = staff("view_pause")
    assert viewer.get(LIST).status_code == 200
    assert viewer.get(ADD).status_code == 403
    assert viewer.post(resume_page(pause)).status_code == 403
    viewer.post(LIST, {"action": "resume", "_selected_action": [pause.pk]})
    assert Pause.objects.exists()


def test_a_process_shows_what_it_does_and_a_dead_one_that_it_is(operator: Client, lease: ProcessLease) -> None:
    for _ in range(2):
        enqueue("sleep", {"seconds": 0}, now=NOON)
        claim(lease, now=NOON)
    WorkerProcess.objects.filter(pk=lease.process_id).update(
        host="alive-host", processed=7, failed=3, types=["email:*"], started_at=timezone.now() - timedelta(hours=5)
    )
    ago = timezone.now() - timedelta(days=2)
    dead = WorkerProcess.objects.create(
        id=uuid7(), host="dead-host", pid=1, queues=["jobs"], started_at=ago, lease_expires_at=ago + timedelta(hours=1)
    )
    assert dead.pid
    listed = operator.get(reverse("admin:jobs_workerprocess_changelist"))
    columns = ("state", "lanes", "patterns", "processed", "failed", "active_jobs", "uptime")
    rows = {process.host: process for process in listed.context["cl"].result_list}
    model_admin = listed.context["cl"].model_admin

    def row(host: str) -> tuple[Any, ...]:
        process = rows[host]
        return tuple(
            getattr(model_admin, name)(process) if hasattr(model_admin, name) else getattr(process, name)
            for name in columns
        )

    assert row("alive-host") == ("alive", "webhooks, jobs, exports", "email:*", 7, 3, 2, "5\xa0hours")
    assert row("dead-host") == ("dead: its lease has run out", "jobs", "all", 0, 0, 0, "1\xa0hour")
    assert b"dead: its lease has run out" in listed.content


def test_the_limits_of_types_are_listed(operator: Client, lease: ProcessLease) -> None:
    enqueue("sleep", {"seconds": 0}, now=NOON)
    claim(lease, now=NOON)
    answer = operator.get(reverse("admin:jobs_throttle_changelist"), {"q": "sleep"})
    assert [throttle.type for throttle in answer.context["cl"].result_list] == ["sleep"]
