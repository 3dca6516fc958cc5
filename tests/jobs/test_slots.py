import os
import signal

import pytest

from jobs import slots


@pytest.fixture(autouse=True)
def three_processes() -> None:
    slots.divide(3)


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


def test_one_of_three_may_send_and_two_may_last() -> None:
    holders = [Holder("sending"), Holder("sending"), Holder("long"), Holder("long")]
    try:
        assert [holder.got_it for holder in holders] == [True, False, True, False]
    finally:
        for holder in holders:
            holder.kill()


def test_a_killed_holder_s_slot_is_free_again() -> None:
    first = Holder("sending")
    assert first.got_it
    first.kill()
    with slots.sending() as mine:
        assert mine


def test_a_single_process_may_do_either() -> None:
    slots.divide(1)
    with slots.sending() as sending:
        assert sending
    with slots.long() as long:
        assert long
