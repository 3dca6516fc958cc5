"""What endpoints that never answer cost the others.

100 healthy webhooks get an event a second each, alone; then beside 100 webhooks whose endpoint accepts requests and
never answers, which get as many. Two worker processes; in turn, three times each. The ratio is that of the healthy
ones' 95th percentiles, from the recording of an event to its first byte at the receiver.
"""

import json
import os
import statistics
import time
from pathlib import Path

from benchmarks.stage import arrivals, percentile, receiver, stage, wait_until, worker

ENDPOINTS = 100
SECONDS = 20
ROUNDS = 3
TICK = 0.1
"""Seconds between two recordings."""


def main() -> None:
    alone, beside = [], []
    with stage():
        for number in range(ROUNDS):
            alone.append(_latencies(f"alone-{number}", silent=False))
            beside.append(_latencies(f"beside-{number}", silent=True))
    p95_alone = statistics.median(percentile(latencies, 0.95) for latencies in alone)
    p95_beside = statistics.median(percentile(latencies, 0.95) for latencies in beside)
    result = {
        "benchmark": "fairness",
        "healthy": ENDPOINTS,
        "silent": ENDPOINTS,
        "p95_ms_alone": round(p95_alone * 1000, 1),
        "p95_ms_beside_silent": round(p95_beside * 1000, 1),
        "max_ms_beside_silent": round(max(map(max, beside)) * 1000, 1),
        "ratio": round(p95_beside / p95_alone, 2),
    }
    print(json.dumps(result), flush=True)


def _latencies(name: str, *, silent: bool) -> list[float]:
    """Seconds from recording to first byte, for each event of the healthy webhooks."""
    log = Path(os.environ["HYRELOG_HOME"]) / f"{name}.log"
    with receiver(log=log) as url, worker(senders=2):
        recorded = _record(name, url, silent=silent)
        wait_until(lambda: recorded.keys() <= arrivals(log).keys(), seconds=60)
        came = arrivals(log)
    return [came[event] - at for event, at in recorded.items()]


def _record(name: str, url: str, *, silent: bool) -> dict[str, float]:
    """Record at an even pace; when each event of the healthy webhooks was recorded, by its id."""
    from django.db import transaction
    from django.utils import timezone

    from audit import recording
    from audit.drafts import Draft
    from audit.models import Company
    from webhooks.models import Webhook

    company = Company.objects.open(name=name)
    workspace = company.add_workspace(name="production")
    silent_company = Company.objects.open(name=f"{name}, silent")
    silent_workspace = silent_company.add_workspace(name="production")
    for n in range(ENDPOINTS):
        Webhook.objects.register(company=company, url=f"{url}/{n}", events=[f"bench.{n}"])
        if silent:
            Webhook.objects.register(company=silent_company, url=f"{url}/silent/{n}", events=[f"bench.{n}"])
    recorded: dict[str, float] = {}
    began, at_once = time.monotonic(), int(ENDPOINTS * TICK)
    for tick in range(int(SECONDS / TICK)):
        time.sleep(max(0, began + tick * TICK - time.monotonic()))
        numbers = [(tick * at_once + n) % ENDPOINTS for n in range(at_once)]
        drafts = [Draft(category="bench", action=f"bench.{n}", payload={"text": "x" * 300}) for n in numbers]
        if silent:
            with transaction.atomic():
                recording.record(workspace=silent_workspace, drafts=drafts, now=timezone.now())
        with transaction.atomic():
            events = recording.record(workspace=workspace, drafts=drafts, now=timezone.now())
        recorded |= {str(event.id): event.recorded_at.timestamp() for event in events}
    return recorded


if __name__ == "__main__":
    main()
