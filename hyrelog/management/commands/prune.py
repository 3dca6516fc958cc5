"""`manage.py prune`: all of housekeeping at once, until nothing is left for it."""

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from hyrelog import housekeeping

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "End whatever is past its retention, until nothing is left; workers do some of it every ten minutes."

    def handle(self, *_: Any, **__: Any) -> None:
        now, failed = timezone.now(), []
        for name, step in housekeeping.STEPS.items():
            with tqdm(unit="row", desc=name) as bar:
                try:
                    while ended := step(now):
                        bar.update(ended)
                except Exception:
                    logger.exception("Pruning failed at %s; it goes on with the next.", name)
                    failed.append(name)
            self.stdout.write(f"{name}: {int(bar.n)}")
        if failed:
            raise CommandError(f"{', '.join(failed)}: failed, for the reasons above. The others are done.")
