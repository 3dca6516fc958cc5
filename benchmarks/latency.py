"""How soon an event is with its receiver: from the accepted call of the API to the first byte, at 200 events a second.

Events come through the API, one by one, for 100 webhooks; a worker has two processes that send. Beside it, the same
client posts as much straight to the receiver: the ratio is that of the 95th percentiles.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import requests

from benchmarks.stage import ROOT, arrivals, percentile, receiver, stage, wait_until, worker

ENDPOINTS = 100
RATE = 200
SECONDS = 20
CLIENTS = 4

Post = Callable[[requests.Session, int], tuple[str, float]]
"""Posts the n-th event; answers its id, and from when on its way is timed."""


def main() -> None:
    with stage():
        log = Path(os.environ["HYRELOG_HOME"]) / "arrivals.log"
        with receiver(log=log) as url, _web() as api, worker(senders=2):
            through = _times(log, _through_api(api, _key(url)))
            direct = _times(log, _straight_to(url))
    result = {
        "benchmark": "latency",
        "events_per_s": RATE,
        "p50_ms": round(percentile(through, 0.5) * 1000, 1),
        "p95_ms": round(percentile(through, 0.95) * 1000, 1),
        "p95_ms_direct": round(percentile(direct, 0.95) * 1000, 2),
        "ratio": round(percentile(through, 0.95) / percentile(direct, 0.95), 1),
    }
    print(json.dumps(result), flush=True)


def _times(log: Path, post: Post) -> list[float]:
    """Seconds until the first byte of each event that was posted at an even pace."""
    posted: dict[str, float] = {}
    began = time.monotonic() + 0.5

    def client(mine: int) -> None:
        with requests.Session() as session:
            for n in range(mine, RATE * SECONDS, CLIENTS):
                time.sleep(max(0, began + n / RATE - time.monotonic()))
                event, at = post(session, n)
                posted[event] = at

    threads = [threading.Thread(target=client, args=[mine]) for mine in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: posted.keys() <= arrivals(log).keys(), seconds=60)
    came = arrivals(log)
    # An event may be there before the API's answer has reached its client.
    return [max(0.0, came[event] - at) for event, at in posted.items()]


def _through_api(api: str, key: str) -> Post:
    def post(session: requests.Session, n: int) -> tuple[str, float]:
        event = {"action": f"bench.{n % ENDPOINTS}", "category": "bench", "payload": {"text": "x" * 300}}
        answer = session.post(f"{api}/v1/key/workspace/events", json=event, headers={"x-hyrelog-key": key})
        accepted = time.time()
        answer.raise_for_status()
        return answer.json()["id"], accepted

    return post


def _straight_to(url: str) -> Post:
    def post(session: requests.Session, n: int) -> tuple[str, float]:
        event, at = str(uuid4()), time.time()
        session.post(f"{url}/{n % ENDPOINTS}", data=b"x" * 1024, headers={"webhook-id": event})
        return event, at

    return post


def _key(url: str) -> str:
    """An API key for a workspace whose events each have one webhook."""
    from audit.models import ApiKey, Company
    from webhooks.models import Webhook

    company = Company.objects.open(name="Benchmark")
    workspace = company.add_workspace(name="production")
    for n in range(ENDPOINTS):
        Webhook.objects.register(company=company, url=f"{url}/{n}", events=[f"bench.{n}"])
    return ApiKey.objects.issue(company=company, workspace=workspace, name="benchmark")[1]


@contextmanager
def _web() -> Iterator[str]:
    """The web process; yields its URL."""
    from hyrelog.dev.ports import first_free

    port = first_free(8300)
    command = [sys.executable, "-m", "uvicorn", "hyrelog.asgi:application", "--port", str(port), "--log-level", "error"]
    environment = os.environ | {"API_RATE_LIMIT": "1000000"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(f"{url}/healthz"), seconds=30)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()
