from collections.abc import Iterator

import pytest
from reviews.models import Connector

from tests.conftest import Tenant
from tests.examples.reviews.pages import Source, serve_source


@pytest.fixture
def source() -> Iterator[Source]:
    with serve_source() as source:
        yield source


@pytest.fixture
def connector(tenant: Tenant, source: Source) -> Connector:
    connector = Connector(company=tenant.company, name="shop", url=source.url)
    connector.save()
    return connector
