from datetime import datetime

import pytest

from hyrelog import housekeeping
from tests.conftest import NOON, Tenant


def test_housekeeping_says_what_it_ended(tenant: Tenant) -> None:
    assert housekeeping.run(now=NOON) == dict.fromkeys(housekeeping.STEPS, 0)


def test_a_step_that_fails_keeps_no_other_from_running_and_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    def fail(now: datetime) -> int:
        raise OSError(13, "Permission denied")

    def count(now: datetime) -> int:
        ran.append(now)
        return 1

    monkeypatch.setattr(housekeeping, "STEPS", {"first": fail, "second": count, "third": fail})
    with pytest.raises(housekeeping.StepsFailed, match="failed at first, third"):
        housekeeping.run(now=NOON)
    assert ran == [NOON]
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True, True]
