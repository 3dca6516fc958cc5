import time
import uuid
from datetime import UTC, datetime, timedelta

from audit.ids import first_at, uuid7


def test_the_first_id_of_a_moment_parts_those_before_it_from_those_after() -> None:
    before = uuid7()
    moment = datetime.now(tz=UTC)
    after = uuid7()
    assert first_at(moment) <= after
    assert before < first_at(moment + timedelta(milliseconds=1))


def test_ids_keep_the_order_in_which_a_thread_makes_them() -> None:
    made = []
    for _ in range(200):
        made.append(uuid7())
        until = time.monotonic_ns() + 1_000  # no statement that stores one is quicker
        while time.monotonic_ns() < until:
            pass
    assert made == sorted(made)
    assert {(made_one.version, made_one.variant) for made_one in made} == {(7, uuid.RFC_4122)}


def test_there_is_a_first_id_of_every_moment() -> None:
    assert first_at(datetime(1969, 12, 31, tzinfo=UTC)).int == 0
    assert first_at(datetime.max.replace(tzinfo=UTC)) > uuid7()
