"""Recording, erasing batch by batch, exporting and verifying, in whatever order: what holds after each step.

The chains are green, whoever was erased stands in nothing that was recorded by then, everybody else stands where they
stood, and archives that were made before still verify.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from audit import recording
from audit.models import AuditEvent, Company
from gdpr.erasures import batching
from gdpr.erasures import erasing as engine
from gdpr.models import Erasure
from gdpr.subjects import Subject
from jobs import watching
from jobs.leases import ProcessLease
from tests.conftest import NOON, draft
from tests.gdpr.erasures.engine import approved, faults
from tests.gdpr.making import Opened, make_one
from tests.jobs.steps import claim, run

NAMES = ("ada", "bob", "eve")
PEOPLE = {name: Subject(actor_ids=(name,), emails=(f"{name}@example.com",)) for name in NAMES}
COLUMNS = ("actor", "target", "payload", "metadata", "changes", "context")
WAYS: list[Callable[[str], dict[str, Any]]] = [
    lambda name: {"actor": {"id": name, "name": name.title()}},
    lambda name: {"target": {"type": "user", "id": name}},
    lambda name: {"payload": {"to": [f"<{name}@example.com>"], "n": None}},
    lambda name: {"metadata": {name: 1}},
    lambda name: {"changes": [{"field": "owner", "old": name, "new": "x"}]},
]
events = st.lists(st.tuples(st.sampled_from(WAYS), st.sampled_from(NAMES)), min_size=1, max_size=3)


class Interleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.company = Company.objects.open(name="Acme")
        self.workspace = self.company.add_workspace(name="production")
        self.lease = ProcessLease(queues=["exports"])
        self.running: dict[str, Erasure] = {}
        self.gone: dict[uuid.UUID, set[str]] = {}
        """By event, who was erased from it."""
        self.archives: list[Opened] = []

    def teardown(self) -> None:
        try:
            while self.running:
                self.erase_some(1_000)
                self.holds()
            self.archives_still_verify()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    @rule(sent=st.lists(events, min_size=1, max_size=4))
    def record(self, sent: list[list[tuple[Any, str]]]) -> None:
        drafts = []
        for ways in sent:
            fields: dict[str, Any] = {"actor": None}
            for way, name in ways:
                fields |= way(name)
            drafts.append(draft(**fields))
        recording.record(workspace=self.workspace, drafts=drafts, now=NOON)

    @rule(name=st.sampled_from(NAMES))
    def ask(self, name: str) -> None:
        if name not in self.running:
            self.running[name] = approved(self.company, PEOPLE[name])

    @precondition(lambda self: self.running)
    @rule(steps=st.integers(1, 12))
    def erase_some(self, steps: int) -> None:
        """A worker erases until it is asked to stop; another one goes on later."""
        run(claim(self.lease, now=timezone.now(), queue="exports"), stopping=after(steps))
        for name, erasure in [*self.running.items()]:
            erasure.refresh_from_db()
            if erasure.status == Erasure.Status.COMPLETED:
                del self.running[name]
                for event in AuditEvent.objects.filter(company=self.company):
                    self.gone.setdefault(event.pk, set()).add(name)

    @rule()
    def export(self) -> None:
        self.archives.append(make_one(self.company))
        assert self.archives[-1].faults() == []

    @precondition(lambda self: self.archives)
    @rule()
    def archives_still_verify(self) -> None:
        assert [archive.faults() for archive in self.archives] == [[]] * len(self.archives)

    @invariant()
    def holds(self) -> None:
        assert faults(self.company) == []
        for event in AuditEvent.objects.filter(pk__in=self.gone):
            named = {name for name in self.gone[event.pk] if PEOPLE[name].matches(list(told_by(event)))}
            assert not named, f"{named} in event {event.seq} of {event.action}"


def told_by(event: AuditEvent) -> Iterator[Any]:
    return (getattr(event, column) for column in COLUMNS)


def after(looks: int) -> Callable[[], bool]:
    """Asks a handler to stop once it has looked so often whether it should; the watch, in its thread, is let be."""
    left = looks

    def look() -> bool:
        nonlocal left
        if threading.current_thread() is threading.main_thread():
            left -= 1
            return left < 0
        return False

    return look


@pytest.mark.usefixtures("db")
def test_whatever_comes_between_the_chain_is_green_and_who_was_erased_is_gone(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    monkeypatch.setattr(watching, "LOOK_EVERY", float("inf"))
    for module in (engine, batching):
        monkeypatch.setattr(module, "BATCH", 2)
    run_state_machine_as_test(Interleaving, settings=FEW)


FEW = settings(max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
