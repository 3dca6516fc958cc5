"""Delivering: claim, send, decide, settle, with many requests on the wire at once, until nothing is due."""

import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection

from audit.notices import notice
from webhooks.claiming import Claimed, claim
from webhooks.departing import Departure, depart, within
from webhooks.models import Webhook
from webhooks.policy import RetryPolicy
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.transport import Transport
from webhooks.settling import Settlement, settle

BYTES_MOST = 16 * 1024 * 1024
"""Of the bodies that one process keeps on the wire, and of the events that it reads for them at once."""
CLAIM_MOST = 200
"""Rows of one claim: enough to make a statement worth its while, few enough to be on the wire at once."""
LOOK_AGAIN = 0.05
"""Seconds between two looks for due rows while the last one found fewer than it could have taken."""
SETTLE_MOST, SETTLE_WITHIN = 200, 0.05
"""Outcomes, and seconds, after which a batch is written."""
SETTLE_AGAIN = 1.0
"""Seconds between two tries to write a batch while Postgres is away."""
SETTLE_PATIENCE = 20.0
"""Seconds after which they end; less than a lease lasts."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Sender:
    """One process's delivery loop. `stopping` tells when to claim no more; what is on the wire is still settled."""

    process: Callable[[], uuid.UUID]
    transport: Transport
    policy: RetryPolicy
    timeout: float
    clock: Callable[[], datetime]
    stopping: Callable[[], bool]
    more: Callable[[], None] = lambda: None
    """Called when a claim was full: another process may help."""

    _flying: dict[uuid.UUID, Claimed] = field(default_factory=dict)
    _bytes: dict[uuid.UUID, int] = field(default_factory=dict)
    _most: int = CLAIM_MOST
    _ended: list[Settlement] = field(default_factory=list)
    _exhausted: bool = False
    _look_at: float = 0.0
    _settle_at: float = 0.0
    _failure: Exception | None = None
    _give_up_at: float | None = None

    def run(self) -> int:
        """Deliver until nothing is due and nothing is on the wire; says how many attempts were made.

        Where claiming fails (Postgres is away, say), what is on the wire is still brought home before that is raised.
        The caller must then give up the lease that the claims are for: some may be left that nobody knows of.
        """
        attempts = 0
        while True:
            attempts += self._claim()
            for attempt, outcome in self.transport.poll(LOOK_AGAIN if self._flying else 0):
                self._decide(attempt, outcome)
            self._settle()
            if not self._flying and not self._ended and (self._exhausted or self._closed()):
                if self._failure is not None:
                    raise self._failure
                return attempts

    def _closed(self) -> bool:
        return self._failure is not None or self.stopping()

    def _claim(self) -> int:
        free = min(self._most, self.transport.capacity - self.transport.in_flight)
        # Slots come free one by one; a statement for each would cost more than the wait for some.
        few = self._exhausted or free < min(self._most, self.transport.capacity // 4)
        if not free or self._room() <= 0 or self._closed() or (few and time.monotonic() < self._look_at):
            return 0
        try:
            departures = self._depart(free)
        except Exception as error:
            logger.exception("Claiming failed; what is on the wire is brought home first.")
            self._failure = error
            return 0
        for departure in departures:
            self._flying[departure.attempt] = departure.claimed
            if isinstance(departure.request, Outcome):
                self._decide(departure.attempt, departure.request)
            else:
                self._bytes[departure.attempt] = len(departure.request.body)
                self.transport.submit(departure.request)
        return len(departures)

    def _depart(self, free: int) -> list[Departure]:
        claimed = claim(process=self.process(), limit=free, now=self.clock())
        self._exhausted = len(claimed) < free
        self._look_at = time.monotonic() + LOOK_AGAIN
        if not self._exhausted:
            self.more()
        if not claimed:
            return []
        leaving = within(claimed, room=self._room(), now=self.clock())
        # Where there was no room for all, so many are not claimed again only to be handed back.
        crowded = len(leaving) < len(claimed)
        self._most = len(leaving) if crowded else min(CLAIM_MOST, self._most * 2)
        self._exhausted = self._exhausted and not crowded
        return depart(leaving, now=self.clock(), timeout=self.timeout)

    def _room(self) -> int:
        return BYTES_MOST - sum(self._bytes.values())

    def _decide(self, attempt: uuid.UUID, outcome: Outcome) -> None:
        claimed, now = self._flying.pop(attempt), self.clock()
        self._bytes.pop(attempt, None)
        jitter = random.random()  # noqa: S311  spreads load, guards nothing
        verdict = self.policy.decide(outcome, failures=claimed.failures, now=now, jitter=jitter)
        if not self._ended:
            self._settle_at = time.monotonic() + SETTLE_WITHIN
        self._ended.append(Settlement(claimed, attempt, outcome, verdict, finished_at=now))

    def _settle(self) -> None:
        few = self._flying and len(self._ended) < SETTLE_MOST
        if self._give_up_at and not self._flying:
            time.sleep(max(0, self._settle_at - time.monotonic()))  # there is nothing else to wait for
        if not self._ended or ((few or self._give_up_at) and time.monotonic() < self._settle_at):
            return
        try:
            won = settle(self._ended)
        except (InterfaceError, OperationalError) as error:
            self._settle_later(error)
            return
        self._give_up_at = None
        ended, self._ended = self._ended, []
        kinds = Counter(str(settlement.outcome.kind) for settlement in ended)
        notice("deliveries.settled", **kinds, stale=len(ended) - len(won))
        for settlement in ended:
            if settlement.claimed.id in won and settlement.outcome.kind != Kind.DELIVERED:
                self._tell(settlement)

    def _settle_later(self, error: Exception) -> None:
        """Postgres is away: what came back is worth waiting for, as long as the lease may last."""
        connection.close()
        now = time.monotonic()
        self._give_up_at = self._give_up_at or now + SETTLE_PATIENCE
        if now > self._give_up_at:
            raise error
        self._settle_at = self._look_at = now + SETTLE_AGAIN

    def _tell(self, settlement: Settlement) -> None:
        claimed, outcome, verdict = settlement.claimed, settlement.outcome, settlement.verdict
        notice(
            "delivery.failed",
            delivery=claimed.id,
            webhook=claimed.webhook_id,
            company=claimed.company_id,
            attempt=claimed.attempt,
            outcome=outcome.kind,
            http_status=outcome.status,
            next_attempt_at=verdict.next_attempt_at,
        )
        if verdict.disable:
            try:
                webhook = Webhook.objects.get(pk=claimed.webhook_id)
                webhook.disable(reason=verdict.disable, now=settlement.finished_at, automatic=True)
            except Exception:  # the next 410 disables it
                logger.exception("Webhook %s could not be disabled.", claimed.webhook_id)
