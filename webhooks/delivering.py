"""Delivering: claim, send, decide, settle, with many requests on the wire at once, until nothing is due."""

import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import Error, InterfaceError, OperationalError, connection

from audit.notices import notice
from webhooks.claiming import Claimer, next_of_limited
from webhooks.departing import Departure, depart
from webhooks.disabling import ask_to_disable
from webhooks.policy import RetryPolicy
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.transport import Transport
from webhooks.settling import Settlement, settle
from webhooks.tallying import SLOW_AFTER, Tally
from webhooks.wire import Wire

BYTES_MOST = 16 * 1024 * 1024
"""Of the bodies that one process keeps on the wire, and of the events that it reads for them at once."""
CLAIM_MOST = 500
"""Rows of one claim: enough to make a statement worth its while, few enough to be on the wire at once."""
LOOK_AGAIN = 0.05
"""Seconds between two looks for due rows while the last one found fewer than it could have taken."""
TRY_AGAIN = 0.005
"""The same, where another process had its hands on the endpoints."""
LISTEN_AGAIN = 0.005
"""Seconds between two times that it hears whether somebody was called meanwhile."""
SETTLE_MOST, SETTLE_WITHIN = 250, 0.05
"""Outcomes, and seconds, after which a batch is written."""
TALLY_EVERY = 0.5
"""Seconds between two times that is written what the outcomes showed of their endpoints."""
SETTLE_AGAIN = 1.0
"""Seconds between two tries to write a batch while Postgres is away."""
SETTLE_PATIENCE = 20.0
"""Seconds after which they end; less than a lease lasts."""

logger = logging.getLogger(__name__)


class _Flight(NamedTuple):
    """A departure on the wire, since `began` by the monotonic clock, with so many bytes."""

    departure: Departure
    began: float
    size: int


@dataclass(slots=True)
class Sender:
    """One process's delivery loop. `stopping` tells when to claim no more; what is on the wire is still settled.

    The calling thread speaks with the database, another one drives the transport.
    """

    process: Callable[[], uuid.UUID]
    transport: Transport
    policy: RetryPolicy
    timeout: float
    slots: int
    """Requests that one endpoint may have on the wire at once, over all processes."""
    clock: Callable[[], datetime]
    stopping: Callable[[], bool]
    linger: float = 0.0
    """Seconds after its last claim for which it stays, with its connections, and looks for more."""
    calls: Callable[[], bytes] = lambda: b""
    """What changes when somebody else was called to deliver and could not: time to look."""
    more: Callable[[], None] = lambda: None
    """Called when a claim was full: another process may help."""

    _claimer: Claimer = field(init=False)
    _tally: Tally = field(init=False)
    _wire: Wire = field(init=False)
    _flying: dict[uuid.UUID, _Flight] = field(default_factory=dict)
    _bytes: int = 0
    _most: int = CLAIM_MOST
    _ended: list[Settlement] = field(default_factory=list)
    _exhausted: bool = False
    _limited: bool = False
    _called: bytes = b""
    _look_at: float = 0.0
    _settle_at: float = 0.0
    _tally_at: float = 0.0
    _linger_until: float = 0.0
    _failure: Exception | None = None
    _give_up_at: float | None = None

    def run(self) -> int:
        """Deliver until nothing is due and nothing is on the wire; says how many attempts were made.

        Where claiming fails (Postgres is away, say), what is on the wire is still brought home before that is raised.
        The caller must then give up the lease that the claims are for: some may be left that nobody knows of.
        """
        self._claimer, self._tally = Claimer(slots=self.slots), Tally(slots=self.slots)
        attempts = 0
        with Wire(self.transport) as self._wire:
            while True:
                attempts += self._claim()
                for attempt, outcome in self._wire.poll(self._patience()):
                    self._land(attempt, outcome)
                self._settle()
                over = not self._flying and not self._ended and (self._closed() or self._done())
                self._write_tally(at_once=over)
                if over:
                    break
        if self._failure is not None:
            raise self._failure
        return attempts

    def _closed(self) -> bool:
        return self._failure is not None or self.stopping()

    def _done(self) -> bool:
        """Whether nothing is left to do; what only waits for its endpoint's rate limit is worth staying for."""
        now = time.monotonic()
        if not self._exhausted or now < self._linger_until or (self._limited and now < self._look_at):
            return False
        limited = next_of_limited(now=self.clock())
        self._limited = limited is not None
        if limited is None:
            return True
        self._look_at = time.monotonic() + min(LOOK_AGAIN, (limited - self.clock()).total_seconds())
        return False

    def _patience(self) -> float:
        """Seconds until there is something to do but to wait for an outcome."""
        moments = [self._settle_at] if self._ended else []
        if self._free() > 0:
            busy = self._flying or self._exhausted or self._claimer.contended
            moments.append(min(self._look_at, time.monotonic() + LISTEN_AGAIN) if busy else 0.0)
        return max(0.0, min(moments) - time.monotonic()) if moments else LOOK_AGAIN

    def _free(self) -> int:
        """How many could be claimed."""
        away = self._give_up_at is not None  # Postgres is; a claim would fail, and end the run
        if away or self._closed() or self._room() <= 0:
            return 0
        return min(self._most, self._wire.capacity - self._wire.in_flight)

    def _claim(self) -> int:
        free = self._free()
        if (called := self.calls()) != self._called:
            self._called, self._exhausted, self._look_at = called, False, 0.0
        # Slots come free one by one; a statement for each would cost more than the wait for some.
        few = self._exhausted or self._claimer.contended or free < min(self._most, self._wire.capacity // 4)
        if free <= 0 or (few and time.monotonic() < self._look_at):
            return 0
        try:
            departures = self._depart(free)
        except Exception as error:
            logger.exception("Claiming failed; what is on the wire is brought home first.")
            self._failure = error
            return 0
        requests = []
        for departure in departures:
            request = departure.request
            if isinstance(request, Outcome):
                self._decide(departure, request, left=False)
            else:
                self._flying[departure.attempt] = _Flight(departure, time.monotonic(), len(request.body))
                self._bytes += len(request.body)
                requests.append(request)
        self._wire.submit(requests)
        return len(departures)

    def _depart(self, free: int) -> list[Departure]:
        began = time.monotonic()
        flying = [(flight.departure.claimed, began - flight.began) for flight in self._flying.values()]
        stuck = {claimed.webhook_id for claimed, seconds in flying if seconds > SLOW_AFTER}
        slow = sum(claimed.slow or claimed.webhook_id in stuck for claimed, _ in flying)
        claimed = self._claimer.claim(
            process=self.process(),
            places=free,
            # Those that let us wait share half of the places, so that the others always find some.
            slow_places=max(0, self._wire.capacity // 2 - slow),
            stuck=stuck,
            now=self.clock(),
        )
        contended = self._claimer.contended
        self._exhausted = len(claimed) < free and not self._claimer.halfway and not contended
        self._look_at = time.monotonic() + (TRY_AGAIN if contended else LOOK_AGAIN)
        if not claimed:
            return []
        if len(claimed) == free:
            self.more()
        self._linger_until = time.monotonic() + self.linger
        departures, handed_back = depart(claimed, room=self._room(), now=self.clock(), timeout=self.timeout)
        # Where there was no room for all, so many are not claimed again only to be handed back.
        self._most = len(claimed) - len(handed_back) if handed_back else min(CLAIM_MOST, self._most * 2)
        self._exhausted = self._exhausted and not handed_back
        return departures

    def _room(self) -> int:
        """Bytes that may be claimed. Those of slow endpoints fill no more than half of the room, up to twice of all."""
        if self._bytes <= BYTES_MOST // 2:
            return BYTES_MOST - self._bytes
        before = time.monotonic() - SLOW_AFTER
        slow = sum(
            flight.size for flight in self._flying.values() if flight.departure.claimed.slow or flight.began < before
        )
        return min(BYTES_MOST - (self._bytes - slow) - min(slow, BYTES_MOST // 2), 2 * BYTES_MOST - self._bytes)

    def _land(self, attempt: uuid.UUID, outcome: Outcome) -> None:
        flight = self._flying.pop(attempt)
        self._bytes -= flight.size
        self._decide(flight.departure, outcome, left=True)

    def _decide(self, departure: Departure, outcome: Outcome, *, left: bool) -> None:
        claimed, now = departure.claimed, self.clock()
        policy = self.policy if departure.schedule is None else RetryPolicy(departure.schedule)
        jitter = random.random()  # noqa: S311  spreads load, guards nothing
        verdict = policy.decide(outcome, failures=claimed.failures, now=now, jitter=jitter)
        if not self._ended:
            self._settle_at = time.monotonic() + SETTLE_WITHIN
        self._ended.append(Settlement(claimed, departure.attempt, departure.url, outcome, verdict, now, left=left))

    def _settle(self) -> None:
        few = self._flying and len(self._ended) < SETTLE_MOST
        if not self._ended or ((few or self._give_up_at) and time.monotonic() < self._settle_at):
            return
        try:
            won = settle(self._ended)
        except (InterfaceError, OperationalError) as error:
            self._settle_later(error)
            return
        self._give_up_at = None
        self._exhausted, self._look_at = False, 0.0  # their endpoints may have more
        ended, self._ended = self._ended, []
        kinds = Counter(str(settlement.outcome.kind) for settlement in ended)
        notice("deliveries.settled", **kinds, stale=len(ended) - len(won))
        ended = [settlement for settlement in ended if settlement.claimed.id in won]
        for settlement in ended:
            self._tally.add(settlement)
        for settlement in ended:
            if settlement.outcome.kind != Kind.DELIVERED:
                self._tell(settlement)

    def _write_tally(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if not self._tally or (now < self._tally_at and not at_once):
            return
        self._tally_at = now + TALLY_EVERY
        try:
            self._tally.write()
        except Error:
            logger.warning("What endpoints showed could not be written; it is kept for the next time.", exc_info=True)

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
            self._write_tally(at_once=True)  # what is told as evidence counts this one
            try:
                ask_to_disable(settlement)
            except Error:  # the next 410 disables it
                logger.exception("Webhook %s could not be disabled.", claimed.webhook_id)
