"""Encrypting what is stored anew, after a new key was put in front, so that the old key can go."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import transaction

from webhooks.encryption import UnreadableSecret, decrypt, encrypt, is_current
from webhooks.models import Webhook
from webhooks.models.webhook import ENCRYPTED

BATCH = 100
"""Webhooks whose rows are locked at once."""


@dataclass
class Batch:
    """What became of the tokens of some webhooks."""

    renewed: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


def reencrypt() -> Iterator[Batch]:
    """Encrypt all tokens with the first of HYRELOG_ENCRYPTION_KEYS, in short transactions; may be repeated at will."""
    after = None
    while True:
        with transaction.atomic():
            rows = Webhook.objects.order_by("pk").select_for_update(no_key=True)
            webhooks = list((rows.filter(pk__gt=after) if after else rows)[:BATCH])
            if not webhooks:
                return
            batch = Batch()
            for webhook in webhooks:
                _renew(webhook, batch)
        yield batch
        after = webhooks[-1].pk


def _renew(webhook: Webhook, batch: Batch) -> None:
    renewed = []
    for column in ENCRYPTED:
        token = getattr(webhook, column)
        if not token:
            continue
        if is_current(token):
            batch.current += 1
            continue
        try:
            setattr(webhook, column, encrypt(decrypt(token)))
        except UnreadableSecret:
            batch.unreadable.append(f"{column} of webhook {webhook.pk}")
        else:
            renewed.append(column)
    if renewed:
        webhook.save(update_fields=renewed)
        batch.renewed += len(renewed)
