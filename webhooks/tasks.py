"""Celery's view of deliveries: the doorbell of the lane."""

import math
import time

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from jobs import doorbell, lanes, slots, stopping, worker
from jobs.leases import ProcessLease
from jobs.models import Tick
from jobs.tasks import TIME_BOX
from webhooks import health
from webhooks.delivering import Sender
from webhooks.planning import LANE
from webhooks.policy import RetryPolicy
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.opening import open_transport

LINGER = 1.0
"""Seconds for which a process that has nothing to send keeps its connections: most events come in bursts."""


@shared_task(name="webhooks.deliver")
def deliver(lane: str = LANE) -> None:
    """Send what is due, with many requests on the wire at once, until nothing is."""
    doorbell.heard(lane)
    with slots.sending() as mine, worker.claiming() as lease:
        if not mine:
            return  # whoever holds a slot hears of it
        calls = slots.calls()
        attempts = _send(lane, lease)
    if attempts or slots.calls() != calls:  # the last call may have come after the last look
        lanes.slot_given_back(now=timezone.now())


@shared_task(name="webhooks.check_health")
def check_health(name: str, period: int) -> None:
    """A tick: warn of endpoints that fail, disable those that go on failing, tell of those that recovered."""
    if Tick.objects.claim(name=name, period=period):
        health.sweep(now=timezone.now(), limits=health.limits())


def _send(lane: str, lease: ProcessLease) -> int:
    ends = time.monotonic() + TIME_BOX if slots.shared() else math.inf
    transport = open_transport(
        settings.WEBHOOK_TRANSPORT, capacity=settings.WEBHOOK_MAX_IN_FLIGHT, policy=address_policy()
    )
    try:
        return Sender(
            process=lambda: lease.process_id,
            transport=transport,
            policy=RetryPolicy(settings.WEBHOOK_RETRY_SCHEDULE),
            timeout=settings.WEBHOOK_TIMEOUT_SECONDS,
            slots=settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT,
            clock=timezone.now,
            stopping=lambda: stopping.asked() or time.monotonic() > ends,
            linger=LINGER,
            calls=slots.calls,
            more=lambda: doorbell.ring(lane),
        ).run()
    finally:
        transport.close()


def address_policy() -> AddressPolicy:
    """Where webhooks may connect, by the settings."""
    return AddressPolicy(settings.WEBHOOK_ALLOWED_NETWORKS, settings.WEBHOOK_ALLOW_HTTP)
