"""Delivering: claim, send, decide, settle, with many requests on the wire at once, until nothing is due."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from audit.notices import notice
from webhooks.claiming import Claimed, claim
from webhooks.departing import depart
from webhooks.models import Webhook
from webhooks.policy import RetryPolicy
from webhooks.sending.outcome import Outcome
from webhooks.sending.transport import Transport
from webhooks.settling import Settlement, settle

CLAIM_MOST = 200
"""Rows of one claim: enough to make a statement worth its while, few enough to be on the wire at once."""
LOOK_AGAIN = 0.05
"""Seconds between two looks for due rows while the last one found fewer than it could have taken."""
SETTLE_MOST, SETTLE_WITHIN = 200, 0.05
"""Outcomes, and seconds, after which a batch is written."""


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
    _ended: list[Settlement] = field(default_factory=list)
    _exhausted: bool = False
    _look_at: float = 0.0
    _settle_at: float = 0.0

    def run(self) -> int:
        """Deliver until nothing is due and nothing is on the wire; says how many attempts were made.

        What it raises (Postgres is away, say) leaves claims behind: the caller must give up the lease they are for.
        """
        attempts = 0
        while True:
            attempts += self._claim()
            for attempt, outcome in self.transport.poll(LOOK_AGAIN if self._flying else 0):
                self._decide(attempt, outcome)
            self._settle()
            if not self._flying and not self._ended and (self._exhausted or self.stopping()):
                return attempts

    def _claim(self) -> int:
        free = min(CLAIM_MOST, self.transport.capacity - self.transport.in_flight)
        if not free or self.stopping() or time.monotonic() < self._look_at:
            return 0
        claimed = claim(process=self.process(), limit=free, now=self.clock())
        self._exhausted = len(claimed) < free
        self._look_at = time.monotonic() + LOOK_AGAIN if self._exhausted else 0.0
        if not self._exhausted:
            self.more()
        if not claimed:
            return 0
        departures = depart(claimed, now=self.clock(), timeout=self.timeout)
        for departure in departures:
            self._flying[departure.request.id] = departure.claimed
            self.transport.submit(departure.request)
        return len(departures)

    def _decide(self, attempt: uuid.UUID, outcome: Outcome) -> None:
        claimed, now = self._flying.pop(attempt), self.clock()
        jitter = random.random()  # noqa: S311  spreads load, guards nothing
        verdict = self.policy.decide(outcome, failures=claimed.failures, now=now, jitter=jitter)
        if not self._ended:
            self._settle_at = time.monotonic() + SETTLE_WITHIN
        self._ended.append(Settlement(claimed, attempt, outcome, verdict, finished_at=now))

    def _settle(self) -> None:
        if not self._ended or (self._flying and len(self._ended) < SETTLE_MOST and time.monotonic() < self._settle_at):
            return
        won = settle(self._ended)
        for settlement in self._ended:
            if settlement.verdict.disable and settlement.claimed.id in won:
                webhook = Webhook.objects.get(pk=settlement.claimed.webhook_id)
                webhook.disable(reason=settlement.verdict.disable, now=settlement.finished_at)
        kinds = Counter(str(settlement.outcome.kind) for settlement in self._ended)
        notice("deliveries.settled", **kinds, stale=len(self._ended) - len(won))
        self._ended = []
