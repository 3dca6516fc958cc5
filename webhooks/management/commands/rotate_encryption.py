"""`manage.py rotate_encryption`: encrypt what is stored encrypted with the first key, so that the others can go."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from webhooks.reencrypting import reencrypt


class Command(BaseCommand):
    help = "Encrypt what is stored with the first of HYRELOG_ENCRYPTION_KEYS; exits with 1 if something is unreadable."

    def handle(self, *_: Any, **__: Any) -> None:
        renewed = current = unreadable = 0
        for batch in reencrypt():
            renewed, current = renewed + batch.renewed, current + batch.current
            unreadable += len(batch.unreadable)
            for place in batch.unreadable:
                self.stderr.write(f"UNREADABLE {place}: none of HYRELOG_ENCRYPTION_KEYS decrypts it")
        self.stdout.write(f"{renewed} secrets were encrypted with the first key; {current} were already.")
        if unreadable:
            self.stderr.write(
                f"{unreadable} were left as they are: put the key that encrypted them back, and repeat."
                " Until then, drop no key."
            )
            sys.exit(1)
