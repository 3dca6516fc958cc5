"""The life of deliveries, in whatever order things happen: real rows, and what must hold after each step."""

import random
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest

from jobs.models import WorkerProcess
from tests.conftest import Clock, draft, open_tenant
from webhooks import settling
from webhooks.claiming import Claimed, Claimer
from webhooks.departing import Departure, depart
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery
from webhooks.models.delivery import WebhookDeliveryQuerySet
from webhooks.policy import RetryPolicy
from webhooks.recovering import Recovery
from webhooks.replaying import Replay
from webhooks.rescuing import rescue
from webhooks.sending.outcome import Kind, Outcome
from webhooks.settling import Settlement
from webhooks.tallying import Tally

POLICY = RetryPolicy((60, 300, 1800))
SLOTS = 4
MOST = 9
"""Deliveries from which on no events are recorded: so much more befalls each of them."""
OUTCOMES = [
    Outcome(Kind.DELIVERED, status=204),
    Outcome(Kind.REJECTED, status=500, error="The endpoint answered 500."),
    Outcome(Kind.REJECTED, status=503, error="The endpoint answered 503.", headers={"retry-after": "3600"}),
    Outcome(Kind.REJECTED, status=410, error="The endpoint answered 410."),
    Outcome(Kind.TIMEOUT, error="It took too long."),
]


class Life:
    """Three webhooks of a company, up to three worker processes at a time, and all that befalls them by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  the same walk each time, but for the claim's lots
        self.clock = Clock()
        self.tenant = open_tenant("Acme")
        self.webhooks = [
            Webhook.objects.register(company=self.tenant.company, url="https://example.com/", events=["user.*"])[0]
            for _ in range(3)
        ]
        Endpoint.objects.update(slots=3)
        self.alive: list[tuple[WorkerProcess, Claimer]] = []
        self.claimed: list[Claimed] = []
        self.departed: list[Departure] = []
        self.rows = 0

    def walk(self, steps: int) -> None:
        path: list[str] = []
        try:
            for _ in range(steps):
                step = self.chance.choice(USUAL if self.chance.random() < 0.7 else RARE)
                path.append(step.__name__)
                step(self)
                self.no_row_is_lost()
                self.each_row_says_where_it_stands()
                self.each_attempt_is_on_record_once_and_in_order()
            path.append("the end")
            self.bring_all_to_an_end()
        except Exception as error:
            error.add_note(f"after: {', '.join(path)}")
            raise

    # --- What may happen --------------------------------------------------------------------------------------------

    def events_are_recorded(self) -> None:
        if self.rows < MOST:
            self.tenant.record(*[draft() for _ in range(self.chance.randint(1, 2))], now=self.clock.now)

    def time_passes(self) -> None:
        self.clock.advance(seconds=self.chance.choice([1, 65, 400, 3700]))

    def a_process_starts(self) -> None:
        if len(self.alive) < 3:
            self.alive.append((WorkerProcess.objects.register(queues=[]), Claimer(slots=SLOTS)))

    def a_process_dies(self) -> None:
        if self.alive:
            self._take(self.alive)[0].delete()
            if self.chance.random() < 0.7:
                self.the_sweep_rescues()

    def a_process_claims(self) -> None:
        if not self.alive:
            return
        process, claimer = self.chance.choice(self.alive)
        places = self.chance.choice([1, 3, 50])
        before = on_the_wire()
        claimed = claimer.claim(process=process.pk, places=places, now=self.clock.now)
        assert len(claimed) <= places
        slots = dict(Endpoint.objects.values_list("pk", "slots"))
        for webhook, count in on_the_wire().items():
            assert count <= max(before[webhook], min(SLOTS, slots[webhook]))
        self.claimed += claimed

    def what_was_claimed_departs(self) -> None:
        """Some of it; it may have been taken away meanwhile."""
        chosen = [self._take(self.claimed) for _ in self.claimed[: self.chance.randint(1, 4)]]
        room = self.chance.choice([1, 1200, 100_000, 100_000])
        held = {c.id for c in chosen if holds(c)}
        departures, _ = depart(chosen, room=room, now=self.clock.now, timeout=1)
        assert {departure.claimed.id for departure in departures} <= held
        self.departed += departures

    def what_was_claimed_is_handed_back(self) -> None:
        if self.claimed:
            claimed = self._take(self.claimed)
            stale = [] if holds(claimed) else [claimed.id]
            before = snapshot(stale)
            settling.put_aside(hand_back=[claimed], now=self.clock.now)
            assert snapshot(stale) == before

    def outcomes_are_settled(self) -> None:
        """Those of the living and of the dead, in any order."""
        outcome = self.chance.choice(OUTCOMES)
        tally, settlements = Tally(slots=SLOTS), []
        for departure in [self._take(self.departed) for _ in self.departed[: self.chance.randint(1, 3)]]:
            verdict = POLICY.decide(outcome, failures=departure.claimed.failures, now=self.clock.now, jitter=0)
            settlements.append(
                Settlement(
                    departure.claimed, departure.attempt, departure.url, outcome, verdict, finished_at=self.clock.now
                )
            )
        held = {s.claimed.id for s in settlements if holds(s.claimed)}
        stale = [s.claimed.id for s in settlements if s.claimed.id not in held]
        before = snapshot(stale)
        won = settling.settle(settlements)
        assert won == held
        assert snapshot(stale) == before
        for settlement in settlements:
            if settlement.claimed.id in won:
                tally.add(settlement)
        if tally:
            tally.write()
        if outcome.status == 410 and won:
            Webhook.objects.get(pk=settlements[0].claimed.webhook_id).disable(reason="410", now=self.clock.now)

    def the_sweep_rescues(self) -> None:
        rescue(now=self.clock.now)
        for claimed_by in WebhookDelivery.objects.filter(status="SENDING").values_list("claimed_by", flat=True):
            assert claimed_by in {process.pk for process, _ in self.alive}

    def a_webhook_is_disabled(self) -> None:
        self.chance.choice(self.webhooks).disable(reason="by hand", now=self.clock.now)

    def a_webhook_is_enabled(self) -> None:
        self.chance.choice(self.webhooks).enable(now=self.clock.now, recover=self.chance.random() < 0.5)

    def the_third_webhook_is_deleted(self) -> None:
        if self.chance.random() < 0.1:
            self.webhooks[2].delete_softly(now=self.clock.now)

    def one_is_asked_for_again(self) -> None:
        self._some().redeliver(now=self.clock.now)

    def one_is_cancelled(self) -> None:
        self._some().cancel()

    def a_recovery_does_a_batch(self) -> None:
        webhook, statuses = self._enabled(), self.chance.choice([("FAILED",), ("HELD",), ("FAILED", "HELD")])
        if webhook is not None:
            now = self.clock.now
            recovery = Recovery(webhook, now - timedelta(hours=2), now + timedelta(seconds=1), statuses, now)
            recovery.step({"done": 0}, now=now)

    def a_replay_does_a_batch(self) -> None:
        webhook = self._enabled()
        if webhook is not None:
            now = self.clock.now
            replay = Replay(webhook, now - timedelta(hours=2), now + timedelta(seconds=1), ("*",), now)
            replay.step({"done": 0}, now=now)

    def _take(self, things: list[Any]) -> Any:
        return things.pop(self.chance.randrange(len(things)))

    def _some(self) -> WebhookDeliveryQuerySet:
        """One delivery, or none."""
        ids = list(WebhookDelivery.objects.order_by("event__seq", "webhook").values_list("pk", flat=True))
        return WebhookDelivery.objects.filter(pk__in=self.chance.sample(ids, min(1, len(ids))))

    def _enabled(self) -> Webhook | None:
        return Webhook.objects.present().filter(pk=self.chance.choice(self.webhooks).pk, disabled_at=None).first()

    # --- What must hold ---------------------------------------------------------------------------------------------

    def no_row_is_lost(self) -> None:
        count = WebhookDelivery.objects.count()
        assert count >= self.rows
        self.rows = count

    def each_row_says_where_it_stands(self) -> None:
        for delivery in WebhookDelivery.objects.only("status", "next_attempt_at", "completed_at", "failures"):
            due = delivery.next_attempt_at is not None
            ended = delivery.status in ("SUCCESS", "CANCELLED") or (delivery.status == "FAILED" and not due)
            assert (delivery.completed_at is not None) == ended, delivery.status
            assert delivery.failures <= len(POLICY.schedule) + 1
            if not ended and not due:
                assert delivery.status in ("SENDING", "HELD")

    def each_attempt_is_on_record_once_and_in_order(self) -> None:
        attempts: defaultdict[Any, list[tuple[int, str]]] = defaultdict(list)
        recorded = WebhookAttempt.objects.order_by("number").values_list("delivery_id", "number", "result")
        for delivery_id, number, result in recorded:
            attempts[delivery_id].append((number, result))
        for delivery in WebhookDelivery.objects.only("status", "attempt"):
            results = [result for _, result in attempts[delivery.pk]]
            assert [number for number, _ in attempts[delivery.pk]] == list(range(1, len(results) + 1))
            sending = delivery.status == "SENDING"
            left = sending and results[-1:] == ["sending"]
            assert delivery.attempt == len(results) + (sending and not left)
            assert "sending" not in results[: len(results) - left]
            if delivery.status == "SUCCESS":
                assert results[-1] == "delivered"

    # --- How it ends ------------------------------------------------------------------------------------------------

    def bring_all_to_an_end(self) -> None:
        """Whatever happened: once every webhook is on and one process works, each row comes to its end."""
        for process, _ in self.alive:
            process.delete()
        self.alive = []
        for webhook in self.webhooks:
            webhook.disable(reason="to be enabled", now=self.clock.now)
            webhook.enable(now=self.clock.now, recover=True)
        self.a_process_starts()
        process, claimer = self.alive[0]
        for _ in range(100):
            self.clock.advance(hours=7)
            rescue(now=self.clock.now)
            claimed = claimer.claim(process=process.pk, places=1000, now=self.clock.now)
            departures, _ = depart(claimed, room=1_000_000, now=self.clock.now, timeout=1)
            verdict = POLICY.decide(OUTCOMES[0], failures=0, now=self.clock.now, jitter=0)
            settling.settle(
                [
                    Settlement(d.claimed, d.attempt, d.url, OUTCOMES[0], verdict, finished_at=self.clock.now)
                    for d in departures
                ]
            )
            self.each_attempt_is_on_record_once_and_in_order()
            if not claimed:
                break
        assert not WebhookDelivery.objects.exclude(status__in=["SUCCESS", "FAILED", "CANCELLED"]).exists()
        assert not WebhookDelivery.objects.filter(next_attempt_at__isnull=False).exists()


def holds(claimed: Claimed) -> bool:
    return WebhookDelivery.objects.filter(pk=claimed.id, claim_token=claimed.token).exists()


def snapshot(ids: list[Any]) -> list[Any]:
    deliveries = WebhookDelivery.objects.filter(pk__in=ids).order_by("pk").values()
    attempts = WebhookAttempt.objects.filter(delivery__in=ids).order_by("pk").values()
    return [*deliveries, *attempts]


def on_the_wire() -> defaultdict[Any, int]:
    counts: defaultdict[Any, int] = defaultdict(int)
    for webhook in WebhookDelivery.objects.filter(status="SENDING").values_list("webhook_id", flat=True):
        counts[webhook] += 1
    return counts


USUAL = [
    *(Life.events_are_recorded, Life.time_passes, Life.a_process_starts, Life.the_sweep_rescues),
    *(Life.a_process_claims, Life.what_was_claimed_departs, Life.outcomes_are_settled, Life.a_process_claims),
    *(Life.what_was_claimed_departs, Life.outcomes_are_settled),
]
RARE = [
    *(Life.a_process_dies, Life.what_was_claimed_is_handed_back, Life.a_webhook_is_disabled),
    *(Life.a_webhook_is_enabled, Life.a_webhook_is_enabled, Life.the_third_webhook_is_deleted),
    *(Life.one_is_asked_for_again, Life.one_is_cancelled, Life.a_recovery_does_a_batch, Life.a_replay_does_a_batch),
]


@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens_each_delivery_stays_true_to_its_record_and_comes_to_an_end(db: None, seed: int) -> None:
    Life(seed).walk(150)
