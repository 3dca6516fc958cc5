"""`manage.py redeliver`: make single deliveries due again, or all of a webhook's that were given up or held."""

import time
import uuid
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from tqdm import tqdm

from audit.moments import read_moment
from jobs import doorbell
from webhooks import backlog
from webhooks.models import Webhook, WebhookDelivery
from webhooks.planning import LANE
from webhooks.recovering import STATUSES, Recovery


def moment(text: str) -> datetime:
    """A time as it is typed. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


class Command(BaseCommand):
    help = "Make deliveries due again: single ones, or what a webhook was not sent since a moment."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--delivery", nargs="+", type=uuid.UUID, metavar="ID", help="Deliveries that are at rest.")
        parser.add_argument("--webhook", type=uuid.UUID, metavar="ID", help="All that was given up or held for it.")
        parser.add_argument("--since", type=moment, metavar="TIME", help="With --webhook: 2026-01-31T12:00:00Z.")
        parser.add_argument("--until", type=moment, metavar="TIME", help="With --webhook: now, where it is left out.")
        parser.add_argument("--status", choices=STATUSES, help="With --webhook: both, where it is left out.")

    def handle(self, *_: Any, **options: Any) -> None:
        if bool(options["delivery"]) == bool(options["webhook"]):
            raise CommandError("Name either --delivery ID… or --webhook ID.")
        if options["webhook"]:
            self._recover(**options)
            return
        wanted = WebhookDelivery.objects.filter(pk__in=options["delivery"])
        count = wanted.redeliver(now=timezone.now())
        doorbell.ring_on_commit(LANE)
        self.stdout.write(
            f"{count} of {len(options['delivery'])} deliveries are due again; the others are not at rest."
        )

    def _recover(self, *, webhook: uuid.UUID, since: datetime | None, **options: Any) -> None:
        now = timezone.now()
        if since is None:
            raise CommandError("Name a time with --since, such as 2026-01-31T12:00:00Z.")
        found = Webhook.objects.present().filter(pk=webhook).first()
        if found is None:
            raise CommandError(f"There is no webhook {webhook}; take an id from the admin.")
        statuses = (options["status"],) if options["status"] else STATUSES
        recovery = Recovery(found, since=since, until=options["until"] or now, statuses=statuses, asked_at=now)
        so_far = {"done": 0}
        with tqdm(total=recovery.left(so_far), unit="delivery", desc=found.url) as bar:
            while self._advance(recovery, so_far):
                bar.update(so_far["done"] - bar.n)
        self.stdout.write(f"{so_far['done']} deliveries are due again.")

    def _advance(self, recovery: Recovery, so_far: dict[str, Any]) -> bool:
        while not backlog.has_room(recovery.webhook, now=timezone.now()):
            time.sleep(backlog.PAUSE)
        try:
            with transaction.atomic():
                return backlog.advance(recovery, so_far, now=timezone.now())
        except backlog.WebhookOff as error:
            raise CommandError(str(error)) from None
