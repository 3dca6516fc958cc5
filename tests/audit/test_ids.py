from datetime import UTC, datetime, timedelta

from audit.ids import first_at, uuid7


def test_the_first_id_of_a_moment_parts_those_before_it_from_those_after() -> None:
    before = uuid7()
    moment = datetime.now(tz=UTC)
    after = uuid7()
    assert first_at(moment) <= after
    assert before < first_at(moment + timedelta(milliseconds=1))


def test_there_is_a_first_id_of_every_moment() -> None:
    assert first_at(datetime(1969, 12, 31, tzinfo=UTC)).int == 0
    assert first_at(datetime.max.replace(tzinfo=UTC)) > uuid7()
