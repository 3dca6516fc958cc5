"""Two companies and a server, for tests of streams."""

from collections.abc import Iterator

import pytest

from tests.conftest import Tenant, open_tenant
from tests.jobs.streaming.clients import serve


@pytest.fixture
def acme(committed: None) -> Tenant:
    return open_tenant("Acme")


@pytest.fixture
def globex(committed: None) -> Tenant:
    return open_tenant("Globex")


@pytest.fixture
def address() -> Iterator[str]:
    with serve() as (address, _):
        yield address
