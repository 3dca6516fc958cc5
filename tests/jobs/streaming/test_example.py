"""The page on streams, and its example of a client."""

import itertools
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest
from websockets.exceptions import InvalidStatus

from audit.models import ApiKey
from hyrelog.dev.state import CHECKOUT
from jobs.enqueueing import enqueue
from jobs.events import NAMES
from jobs.models import Job
from jobs.streaming import state, telling
from tests.conftest import NOON, open_tenant
from tests.jobs.streaming.clients import serve

EXAMPLE = CHECKOUT / "examples" / "following" / "follow.py"
PAGE = (CHECKOUT / "docs" / "streams.md").read_text(encoding="utf-8")


@pytest.fixture
def example() -> ModuleType:
    spec = spec_from_file_location("follow", EXAMPLE)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_quotes_the_example_as_it_is() -> None:
    assert f"```python\n{EXAMPLE.read_text(encoding='utf-8')}```\n" in PAGE


def test_the_page_names_every_event_and_every_field_of_a_job() -> None:
    assert [name for name in (*NAMES, "snapshot", "state") if f"`{name}`" not in PAGE] == []
    (shown,) = (
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    )
    assert shown["job"].keys() == Job(run_at=NOON, created_at=NOON).summary().keys()


def test_the_page_tells_the_bounds() -> None:
    assert f"{state.MOST_JOBS} jobs or {state.MOST_BYTES // 1000} kB" in PAGE
    assert f"every {telling.LOOK_EVERY:g} seconds" in PAGE
    assert f"{telling.MOST_WAITING:,} waited, or one for {telling.PATIENCE:g} seconds" in PAGE


def test_the_example_goes_on_after_a_restart_and_ends_with_its_key(
    committed: None, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = open_tenant("Acme")
    first = enqueue("sleep", {"seconds": 0}, company=tenant.company)[0]
    with serve() as (address, _):
        port = int(address.rsplit(":", 1)[1])
        told = example.follow(address, tenant.company_key)
        assert [job["jobId"] for job in example.jobs_in(next(told))] == [str(first.pk)]
        second = enqueue("sleep", {"seconds": 0}, company=tenant.company)[0]
        assert next(told)["job"]["jobId"] == str(second.pk)
    monkeypatch.setattr(telling, "LOOK_EVERY", 0.1)
    with serve(port):
        snapshot = next(told)
        assert snapshot["event"] == "snapshot"
        assert {job["jobId"] for job in example.jobs_in(snapshot)} == {str(first.pk), str(second.pk)}
        ApiKey.objects.update(revoked_at=NOON)
        enqueue("sleep", {"seconds": 0}, company=tenant.company)
        with pytest.raises(InvalidStatus):
            list(itertools.islice(told, 100))
