"""Downloads over a real connection, through uvicorn: what it and Django make of a client that goes away."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from django.utils import timezone

from audit.models import AuditEvent
from gdpr import downloading
from gdpr.models import DownloadAccess, DownloadLink
from hyrelog.asgi import application
from tests.gdpr.conftest import CONTENT
from tests.system import wait_until


@pytest.fixture
def served(url: str) -> Iterator[str]:
    """The link's address at a server of our own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", access_log=False, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    wait_until(lambda: server.started, seconds=10, what="uvicorn")
    yield f"http://localhost:{listening.getsockname()[1]}{urlsplit(url).path}"
    server.should_exit = True
    thread.join()
    listening.close()


def break_off(served: str, *, after: int) -> bytes:
    """Read so many bytes and close, with the rest in the kernel's buffers already."""
    with requests.get(served, timeout=10, stream=True) as broken:
        assert broken.status_code == 200
        taken: bytes = next(broken.iter_content(after))
        time.sleep(0.3)  # the server has handed out all but the last bytes by now
        return taken


def free() -> bool:
    return DownloadLink.objects.get().holder is None


def downloads() -> int:
    return AuditEvent.objects.filter(action="gdpr.export.downloaded").count()


def wait_recorded(count: int) -> None:
    """A client has the last byte a moment before the download is on record."""
    wait_until(lambda: downloads() == count and free(), seconds=5, what="the record of a download")


def test_a_download_that_broke_early_is_none_and_begins_anew(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LOOK_FOR", 2)
    for _ in range(2):
        break_off(served, after=1024)
        wait_until(free, seconds=5, what="the hold's end")
        assert DownloadLink.objects.get().used_at is None
    assert downloads() == 0
    assert requests.get(served, timeout=10).content == CONTENT
    wait_recorded(1)


def test_a_download_that_broke_unseen_is_continued(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LOOK_FOR", 0)
    taken = break_off(served, after=1024)
    rest = requests.get(served, headers={"range": f"bytes={len(taken)}-"}, timeout=10)
    assert (rest.status_code, taken + rest.content) == (206, CONTENT)
    assert requests.get(served, timeout=10).status_code == 410
    wait_recorded(1)


def test_a_client_that_closes_with_the_last_byte_has_its_download_recorded(served: str) -> None:
    for _ in range(3):
        DownloadLink.objects.update(used_at=None, holder=None, held_until=None, sent=0, served_until=0)
        before = downloads()
        assert requests.get(served, headers={"connection": "close"}, timeout=10).content == CONTENT
        assert requests.get(served, timeout=10).status_code == 410
        wait_recorded(before + 1)


def test_one_of_many_at_once_is_served(served: str) -> None:
    answers: list[Any] = []

    def ask() -> None:
        answers.append(requests.get(served, timeout=20))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {409, 410}
    wait_recorded(1)


@pytest.mark.parametrize(
    ("peer", "kept"),
    [("127.0.0.2", "127.0.0.2"), ("127.0.0.1", "198.51.100.1")],
    ids=["a client itself", "a proxy that is trusted"],
)
def test_an_address_is_believed_from_a_trusted_proxy_only(served: str, peer: str, kept: str) -> None:
    where = urlsplit(served)
    connection = http.client.HTTPConnection("127.0.0.1", where.port or 0, timeout=10, source_address=(peer, 0))
    connection.request("GET", where.path, headers={"Host": "localhost", "X-Forwarded-For": "198.51.100.1"})
    assert connection.getresponse().read() == CONTENT
    connection.close()
    assert DownloadAccess.objects.get().address == kept
    wait_recorded(1)


def test_many_that_are_refused_at_once_are_all_answered_and_on_record(served: str) -> None:
    DownloadLink.objects.update(revoked_at=timezone.now())
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: requests.get(served, timeout=20).status_code, range(40)))
    assert set(statuses) == {410}
    assert DownloadAccess.objects.refused().count() == 40
