import os
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from jobs import lanes, stopping
from jobs.leases import ProcessLease
from jobs.models import Tick, WorkerProcess

pytestmark = pytest.mark.django_db


def run_out() -> None:
    WorkerProcess.objects.update(lease_expires_at=F("lease_expires_at") - timedelta(minutes=1))


def test_a_lease_lasts_thirty_seconds_by_the_database_s_clock(lease: ProcessLease) -> None:
    row = WorkerProcess.objects.get(pk=lease.process_id)
    assert row.pid == os.getpid()
    assert row.lease_expires_at - row.started_at == timedelta(seconds=30)
    assert list(WorkerProcess.objects.alive()) == [row]


def test_renewing_extends_the_lease_under_the_same_id(lease: ProcessLease) -> None:
    before = lease.process_id
    WorkerProcess.objects.update(lease_expires_at=F("lease_expires_at") - timedelta(seconds=20))
    shortened = WorkerProcess.objects.get().lease_expires_at
    lease.renew()
    assert lease.process_id == before
    assert WorkerProcess.objects.get().lease_expires_at > shortened


def test_a_lease_that_ran_out_is_never_revived(lease: ProcessLease) -> None:
    before = lease.process_id
    run_out()
    lease.renew()
    assert lease.process_id != before
    assert [row.pk for row in WorkerProcess.objects.alive()] == [lease.process_id]


def test_giving_up_ends_the_lease_at_once(lease: ProcessLease) -> None:
    before = lease.process_id
    lease.give_up(lease.process_id)
    assert not WorkerProcess.objects.exists()
    assert lease.process_id != before


def test_giving_up_an_id_that_is_used_no_more_leaves_the_new_one_alone(lease: ProcessLease) -> None:
    """A renewal that found its lease gone, while the main thread began a new one."""
    old = lease.process_id
    lease.give_up(old)
    new = lease.process_id
    lease.give_up(old)
    assert lease.process_id == new
    assert [row.pk for row in WorkerProcess.objects.alive()] == [new]


def test_a_lease_given_up_while_postgres_was_away_ends_with_the_next_renewal(
    committed: None, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lease.process_id
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "PORT", "1")
        lease.give_up(before)
    assert WorkerProcess.objects.get().pk == before
    lease.renew()
    assert WorkerProcess.objects.get().pk == lease.process_id != before


def test_the_dead_are_buried_and_the_living_are_not(lease: ProcessLease) -> None:
    _ = lease.process_id
    assert lanes.bury() == 0
    run_out()
    assert lanes.bury() == 1


def test_a_tick_s_slot_is_claimed_once() -> None:
    assert Tick.objects.claim(name="sweep", period=10**9)
    assert not Tick.objects.claim(name="sweep", period=10**9)
    assert Tick.objects.claim(name="poll", period=10**9)
    Tick.objects.update(slot=F("slot") - 1)
    assert Tick.objects.claim(name="sweep", period=10**9)


def test_silence_is_ninety_seconds_without_any_tick() -> None:
    assert Tick.objects.silent()
    Tick.objects.claim(name="sweep", period=60)
    assert not Tick.objects.silent()
    Tick.objects.update(claimed_at=F("claimed_at") - timedelta(seconds=91))
    assert Tick.objects.silent()


def test_children_see_that_their_parent_was_asked_to_stop() -> None:
    stopping.forget()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        while not stopping.asked():
            pass
        os.write(write, b"seen")
        os._exit(0)
    stopping.ask()
    assert os.read(read, 4) == b"seen"
    os.waitpid(child, 0)
    stopping.forget()
    assert not stopping.asked()
