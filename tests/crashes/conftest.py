from collections.abc import Iterator

import pytest

from tests.crashes.steps import is_ready
from tests.system import System, running_system, wait_until


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """One for all crashes: after each of them everything is at work again by itself."""
    with running_system(DJANGO_SETTINGS_MODULE="tests.misbehaving.settings") as system:
        system.sql("CREATE TABLE mark (job uuid NOT NULL, attempt int NOT NULL)")
        yield system


@pytest.fixture(autouse=True)
def ready(system: System) -> None:
    if system.stopped:
        system.start()
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")
