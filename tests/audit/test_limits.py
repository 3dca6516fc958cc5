import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from audit.api import limits
from jobs import redis_client


@pytest.mark.parametrize(
    ("module", "variable", "client"), [(limits, "_redis", "_client"), (redis_client, "_client", "client")]
)
def test_threads_that_begin_at_once_share_one_client(
    module: object, variable: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one, thrown away, would close the connection that its thread is just using."""
    for _ in range(20):
        monkeypatch.setattr(module, variable, None)
        together = threading.Barrier(8)

        def begin(_: int, together: threading.Barrier = together) -> object:
            together.wait()
            return getattr(module, client)()

        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(begin, range(8)))) == 1
