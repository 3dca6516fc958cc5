"""How many deliveries a second, recorded and proven, beside the bare sender without a database.

20,000 deliveries of 1 KiB go through two worker processes to 100 webhooks of a receiver that answers after 0 or 100 ms;
beside them, the same requests through one process of the transport alone. In turn, three times each; the ratio is of
the medians. The time of the workers runs from the bell to the last settled row; a few thousand deliveries went before,
so that the endpoints are known and have their slots. Each process has up to 1,000 requests on the wire.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.stage import ROOT, receiver, stage, wait_until, worker

WEBHOOKS = 100
IN_FLIGHT = 1000
"""Requests that each process has on the wire at the most, the bare sender too."""
WARM_UP = 40
"""Deliveries to each webhook before the time runs."""
SENDERS = 2


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", metavar="URL", help="only the bare sender, to this receiver")
    options = parser.parse_args(arguments)
    if options.bare:
        print(_bare(options.bare, options.deliveries))
        return
    with stage(WEBHOOK_MAX_IN_FLIGHT=str(IN_FLIGHT)):
        for delay in (0.0, 0.1):
            print(json.dumps(_measure(delay, options.deliveries, options.rounds)), flush=True)


def _measure(delay: float, deliveries: int, rounds: int) -> dict[str, Any]:
    bare, whole, memory = [], [], []
    with receiver(delay=delay) as url:
        for _ in range(rounds):
            bare.append(_bare_alone(url, deliveries))
            rate, megabytes = _through_workers(url, deliveries)
            whole.append(rate)
            memory.append(megabytes)
    return {
        "benchmark": "throughput",
        "delay_ms": round(delay * 1000),
        "deliveries": deliveries,
        "delivered_per_s": round(statistics.median(whole)),
        "bare_per_s": round(statistics.median(bare)),
        "worker_process_mb": max(memory),
        "ratio": round(statistics.median(whole) / statistics.median(bare), 3),
    }


def _bare_alone(url: str, deliveries: int) -> float:
    command = [sys.executable, "-m", "benchmarks.throughput", "--bare", url, "--deliveries", str(deliveries)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _bare(url: str, deliveries: int) -> float:
    """Deliveries a second of the transport alone, signed, with the address check on."""
    from ipaddress import ip_network
    from uuid import uuid4

    from webhooks.sending.addresses import AddressPolicy
    from webhooks.sending.opening import open_transport
    from webhooks.sending.outcome import Kind
    from webhooks.sending.request import Request

    policy = AddressPolicy((ip_network("127.0.0.0/8"),), allow_http=True)
    transport = open_transport("curl", capacity=IN_FLIGHT, policy=policy)
    headers = {"Content-Type": "application/json", "webhook-signature": "v1," + "x" * 44, "webhook-id": "x" * 36}
    body = b"x" * 1024
    left = [
        Request(id=uuid4(), url=f"{url}/{n % WEBHOOKS}", headers=headers, body=body, timeout=15)
        for n in range(deliveries)
    ]
    began, done = time.monotonic(), 0
    while done < deliveries:
        while left and transport.in_flight < transport.capacity:
            transport.submit(left.pop())
        landed = transport.poll(1)
        failed = [outcome.error for _, outcome in landed if outcome.kind is not Kind.DELIVERED]
        if failed:
            raise RuntimeError(failed[0])
        done += len(landed)
    took = time.monotonic() - began
    transport.close()
    return deliveries / took


def _through_workers(url: str, deliveries: int) -> tuple[float, int]:
    """Deliveries a second through two worker processes, and the most megabytes that one of them took."""
    import psutil

    from webhooks.models import WebhookDelivery

    with worker(senders=SENDERS) as pid:
        company, workspace = _webhooks(url)
        ours = WebhookDelivery.objects.filter(company=company)
        _deliver(workspace, ours, WARM_UP * WEBHOOKS)
        began = _deliver(workspace, ours, deliveries)
        last = ours.order_by("-completed_at").values_list("completed_at", flat=True)[0]
        delivered = ours.filter(status="SUCCESS", attempt=1).count()
        if delivered != deliveries + WARM_UP * WEBHOOKS or last is None:
            raise RuntimeError(f"{delivered} of {deliveries} deliveries arrived at once")
        memory = max(child.memory_info().rss for child in psutil.Process(pid).children()) // 1_000_000
    return deliveries / (last.timestamp() - began), memory


def _webhooks(url: str) -> tuple[Any, Any]:
    """A company of its own, whose webhooks hear one action each, and its workspace."""
    from audit.models import Company
    from webhooks.models import Webhook

    company = Company.objects.open(name="Benchmark")
    for n in range(WEBHOOKS):
        Webhook.objects.register(company=company, url=f"{url}/{n}", events=[f"bench.{n}"])
    return company, company.add_workspace(name="production")


def _deliver(workspace: Any, ours: Any, count: int) -> float:
    """Record so many events, ring, and wait until all are delivered; when the bell rang, in seconds of Unix time."""
    from django.db import connection, transaction
    from django.utils import timezone

    from audit import recording
    from audit.drafts import Draft
    from jobs import doorbell

    drafts = [
        Draft(category="bench", action=f"bench.{n % WEBHOOKS}", actor={"id": "u1"}, payload={"n": n, "text": "x" * 300})
        for n in range(count)
    ]
    with transaction.atomic():  # nobody sees one of them before all are there
        for first in range(0, count, 1000):
            recording.record(workspace=workspace, drafts=drafts[first : first + 1000], now=timezone.now())
        transaction.get_connection().run_on_commit.clear()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) webhooks_webhookdelivery")
        cursor.execute("CHECKPOINT")
    began = time.time()
    doorbell.ring("webhooks", again=True)
    wait_until(lambda: not ours.filter(status__in=["PENDING", "SENDING"]).exists(), seconds=600)
    return began


if __name__ == "__main__":
    main(sys.argv[1:])
