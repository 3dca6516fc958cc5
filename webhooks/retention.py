"""Retention: deliveries, their attempts and the hours of their endpoints end by age, a small batch at a time.

Nobody waits for it: a batch is a short transaction over rows that it locks in the order of their ids, and it passes
over those that somebody else has locked. What is due, scheduled or on the wire is never touched, however old it is.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from audit.ids import first_at
from webhooks.models import EndpointHour, WebhookAttempt, WebhookDelivery

PAGE = 1000
"""Rows that one statement looks at, and that one transaction ends, at the most."""
BATCHES = 200
"""Transactions of one run that end something; the next run goes on from there."""
HOURS_KEPT = timedelta(days=7)

Ids = list[uuid.UUID]

_END = """
    WITH attempts AS (DELETE FROM webhooks_webhookattempt WHERE delivery_id = ANY(%(ids)s))
    DELETE FROM webhooks_webhookdelivery WHERE id = ANY(%(ids)s)
"""


def prune_attempts(*, now: datetime) -> int:
    """End the attempts older than WEBHOOK_ATTEMPT_RETENTION_DAYS of deliveries at rest; says how many of them."""
    before = now - timedelta(days=settings.WEBHOOK_ATTEMPT_RETENTION_DAYS)
    return _prune(_pages(WebhookAttempt, before=before), end=_end_attempts)


def prune_deliveries(*, now: datetime) -> int:
    """End the deliveries that have been at rest for WEBHOOK_RETENTION_DAYS, with their attempts; says how many."""
    before = now - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    return _prune(_pages(WebhookDelivery, before=before), end=lambda page: _end_deliveries(page, before=before))


def prune_hours(*, now: datetime) -> int:
    """End what was counted of endpoints in hours that are past their use; says how many of these."""
    old = EndpointHour.objects.filter(hour__lt=now - HOURS_KEPT).order_by("hour", "pk")
    ended = 0
    for _ in range(BATCHES):
        with transaction.atomic():
            page = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:PAGE])
            ended += EndpointHour.objects.filter(pk__in=page).delete()[0]
        if len(page) < PAGE:
            break
    return ended


def _prune(pages: Iterator[Ids], *, end: Callable[[Ids], int]) -> int:
    ended, batches = 0, 0
    for page in pages:
        count = end(page)
        ended, batches = ended + count, batches + bool(count)
        if batches == BATCHES:
            break
    return ended


def _pages(table: type[WebhookAttempt | WebhookDelivery], *, before: datetime) -> Iterator[Ids]:
    """The ids made before a moment, the oldest first. An id tells its time, so that this reads the primary key alone.

    It goes on behind what has to stay: however many of those there are, each is looked at once in a run.
    """
    after, end = uuid.UUID(int=0), first_at(before)
    while True:
        rows = table.objects.filter(pk__gt=after, pk__lt=end).order_by("pk")
        page = list(rows.values_list("pk", flat=True)[:PAGE])
        if not page:
            return
        yield page
        after = page[-1]


@transaction.atomic
def _end_attempts(page: Ids) -> int:
    old = WebhookAttempt.objects.filter(pk__in=page, delivery__in=WebhookDelivery.objects.at_rest())
    locked = old.order_by("pk").select_for_update(of=("self",), skip_locked=True)
    return WebhookAttempt.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).delete()[0]


@transaction.atomic
def _end_deliveries(page: Ids, *, before: datetime) -> int:
    ended = WebhookDelivery.objects.filter(pk__in=page).ended(before=before)
    locked = list(ended.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_END, {"ids": locked})
        return int(cursor.rowcount)
