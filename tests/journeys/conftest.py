from collections.abc import Iterator

import pytest

from tests.system import System, running_system


@pytest.fixture(scope="package")
def system() -> Iterator[System]:
    """One for all journeys, which leave nothing undone and count only what is their own."""
    with running_system() as system:
        yield system
