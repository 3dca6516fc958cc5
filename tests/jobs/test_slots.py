import os
import signal

import pytest

from jobs import slots


class Holder:
    """A child process that holds a slot until it is killed."""

    def __init__(self, kind: str) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with getattr(slots, kind)() as mine:
                os.write(write, b"y" if mine else b"n")
                signal.pause()
        self.got_it = os.read(read, 1) == b"y"
        os.close(read)
        os.close(write)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize(
    ("processes", "asked", "given"),
    [
        # neither kind keeps the other, or the ticks, from having a process
        (4, ["working", "working", "working", "sending", "sending"], [True, True, False, True, False]),
        (4, ["sending", "sending", "sending", "working", "working"], [True, True, False, True, False]),
        (3, ["working", "working", "sending", "sending"], [True, False, True, False]),
        (2, ["working", "working", "sending", "sending"], [True, False, True, False]),
        (1, ["working", "sending"], [True, False]),
        # from five on, senders leave room for two jobs, and up to four
        (5, ["sending"] * 3 + ["working"] * 3, [True, True, False, True, True, False]),
        (5, ["working"] * 4 + ["sending"] * 2, [True, True, True, False, True, False]),
        (7, ["sending"] * 3 + ["working"] * 5, [True, True, False] + [True] * 4 + [False]),
        (10, ["sending"] * 6 + ["working"] * 5, [True] * 5 + [False] + [True] * 4 + [False]),
        (10, ["working"] * 9 + ["sending"] * 2, [True] * 8 + [False, True, False]),
    ],
)
def test_who_gets_a_slot(processes: int, asked: list[str], given: list[bool]) -> None:
    slots.divide(processes)
    holders = [Holder(kind) for kind in asked]
    try:
        assert [holder.got_it for holder in holders] == given
    finally:
        for holder in holders:
            holder.kill()


@pytest.mark.parametrize(
    ("processes", "held", "given"),
    [
        (4, [], slots.Slot.ONE),
        (4, ["working"], slots.Slot.LAST),
        (5, ["working"], slots.Slot.ONE),
        (5, ["sending", "sending", "working"], slots.Slot.LAST),
        (6, ["working"] * 3, slots.Slot.LAST),
        # where there is only one for jobs, it is for all companies
        (3, [], slots.Slot.ONE),
        (1, [], slots.Slot.ONE),
    ],
)
def test_the_last_slot_for_jobs_says_so_where_there_are_several(
    processes: int, held: list[str], given: slots.Slot
) -> None:
    slots.divide(processes)
    holders = [Holder(kind) for kind in held]
    try:
        with slots.working() as mine:
            assert mine is given
    finally:
        for holder in holders:
            holder.kill()


def test_a_killed_holder_s_slot_is_free_again() -> None:
    slots.divide(3)
    first = Holder("sending")
    assert first.got_it
    first.kill()
    with slots.sending() as mine:
        assert mine


def test_a_slot_is_given_back() -> None:
    slots.divide(1)
    for _ in range(2):
        with slots.working() as working:
            assert working
        with slots.sending() as sending:
            assert sending


def test_who_finds_no_slot_for_sending_is_heard_by_who_holds_one() -> None:
    slots.divide(3)
    before = slots.calls()
    holder, turned_away = Holder("sending"), Holder("sending")
    try:
        assert (holder.got_it, turned_away.got_it) == (True, False)
        assert slots.calls() != before  # said by another process
    finally:
        holder.kill()
        turned_away.kill()
