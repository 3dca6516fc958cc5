import logging
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import F, Prefetch, Q

from audit.chain import timestamp
from audit.encryption import UnreadableSecret, decrypt, encrypt
from audit.ids import uuid7
from audit.models import AuditEvent, Company, Workspace
from webhooks.matching import matches
from webhooks.models.endpoint import Endpoint, EndpointHour
from webhooks.models.request_options import RequestOptions
from webhooks.sending.signing import generate_secret
from webhooks.telling import tell

MOST = 100
"""Webhooks of one company: each event is written once for each of them, in the event's transaction."""
ENCRYPTED = ("encrypted_secret", "encrypted_previous_secret", "encrypted_headers", "encrypted_authentication")
"""Columns that hold Fernet tokens: wiped with the webhook, encrypted anew when the keys are rotated."""
HELD_AT_ONCE = 1_000
"""Held deliveries that become due in the transaction that enables their webhook."""

logger = logging.getLogger(__name__)


class TooManyWebhooks(Exception):
    """A company has as many webhooks as it may have."""

    def __init__(self) -> None:
        super().__init__(f"This company has {MOST} webhooks, which is the most; delete one first.")


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def present(self) -> "WebhookQuerySet":
        return self.filter(deleted_at=None)

    def of(self, company: Company) -> "WebhookQuerySet":
        return self.present().filter(company=company)

    def hearing(self, workspace_id: uuid.UUID, company_id: uuid.UUID) -> "WebhookQuerySet":
        """Those that hear a workspace's events: its own, and those of the whole company."""
        return self.present().filter(Q(workspace=None) | Q(workspace_id=workspace_id), company_id=company_id)

    def in_state(self, *, enabled: bool) -> "WebhookQuerySet":
        return self.filter(disabled_at__isnull=enabled)

    def with_health(self) -> "WebhookQuerySet":
        """With what `as_json` says of each endpoint's health, in a few statements for all of them."""
        hours = Prefetch("endpoint__hours", queryset=EndpointHour.objects.last_day(), to_attr="last_day")
        return self.select_related("endpoint").prefetch_related(hours)

    @transaction.atomic
    def register(  # noqa: PLR0913  each is a property of a webhook
        self,
        *,
        company: Company,
        url: str,
        workspace: Workspace | None = None,
        events: Sequence[str] = ("*",),
        categories: Sequence[str] = ("*",),
        description: str = "",
        **options: Any,
    ) -> tuple["Webhook", str]:
        """A new webhook and its secret, which cannot be shown again. All must have passed `webhooks.options`.

        Raises TooManyWebhooks, webhooks.custom_headers.InvalidHeaders.
        """
        if self.of(company).count() >= MOST:
            raise TooManyWebhooks
        secret = generate_secret(secrets.token_bytes)
        webhook = Webhook(
            company=company,
            workspace=workspace,
            url=url,
            events=list(events),
            categories=list(categories),
            description=description,
            encrypted_secret=encrypt(secret),
        )
        webhook.choose(**options)
        webhook.save(force_insert=True)
        Endpoint.objects.create(webhook=webhook)
        return webhook, secret

    @transaction.atomic
    def forget_previous_secrets(self, *, now: datetime) -> int:
        """Wipe the previous secrets that no request is signed with any more; says how many there were."""
        over = self.filter(previous_secret_until__lte=now).order_by("pk").select_for_update(no_key=True).values("pk")
        wiped = Webhook.objects.filter(pk__in=over, previous_secret_until__lte=now)
        return wiped.update(encrypted_previous_secret="", previous_secret_until=None)


class Webhook(RequestOptions):
    """A tenant's endpoint, and which events it wants: of one workspace, or of the whole company."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="webhooks")
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="webhooks",
        null=True,
        blank=True,
        help_text="Empty: hears the whole company.",
    )
    url = models.CharField(max_length=2048)
    events = models.JSONField(help_text='Patterns on the action, such as ["user.*"].')
    categories = models.JSONField(help_text='Patterns on the category; ["*"] for all.')
    description = models.CharField(max_length=500, blank=True)
    encrypted_secret = models.TextField(editable=False)
    encrypted_previous_secret = models.TextField(editable=False, blank=True, default="", db_default="")
    previous_secret_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then requests are signed with the previous secret too."
    )
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_reason = models.CharField(max_length=500, blank=True, editable=False)
    held_before = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="What was held before this stays held until it is recovered; empty: nothing does, while enabled.",
    )
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["company"], name="webhook_present", condition=Q(deleted_at=None))]  # planning

    def __str__(self) -> str:
        return self.url

    @property
    def enabled(self) -> bool:
        return self.disabled_at is None and self.deleted_at is None

    @property
    def secret(self) -> str:
        """The signing secret in plain; raises audit.encryption.UnreadableSecret."""
        return decrypt(self.encrypted_secret)

    def signing_secrets(self, *, now: datetime) -> list[str]:
        """What a request is signed with, the newest first: during a rotation's overlap the previous secret too.

        Raises UnreadableSecret for the current one only: a receiver that has it needs no other.
        """
        signing = [self.secret]
        if self.previous_secret_until is not None and self.previous_secret_until > now:
            try:
                signing.append(decrypt(self.encrypted_previous_secret))
            except UnreadableSecret:
                logger.warning("The previous secret of webhook %s cannot be read; the current one signs.", self.pk)
        return signing

    def wants(self, event: AuditEvent) -> bool:
        return matches(self.events, event.action) and matches(self.categories, event.category)

    @transaction.atomic
    def change(self, **chosen: Any) -> bool:
        """Change what was chosen, by `webhooks.options`, and nothing else; says whether the webhook is still there.

        Raises webhooks.custom_headers.InvalidHeaders.
        """
        webhook = Webhook.objects.present().select_for_update(no_key=True).filter(pk=self.pk).first()
        if webhook is None:
            return False
        known, changed = webhook.url, webhook.choose(**chosen)
        webhook.save(update_fields=changed)
        if webhook.url != known:
            webhook.forget_failures()  # another endpoint's
        return True

    def forget_failures(self) -> None:
        """Give the endpoint a fresh start."""
        Endpoint.objects.filter(pk=self.pk).update(failures_in_a_row=0, failing_since=None, warned_at=None)

    @transaction.atomic
    def rotate_secret(self, *, now: datetime, overlap: timedelta) -> str | None:
        """The new secret, which cannot be shown again; None where the webhook was deleted. Tells `system`.

        Until `overlap` is over, requests are signed with the secret of before too. One statement moves it there, so
        that of two rotations at once the second finds the first one's secret.
        """
        secret = generate_secret(secrets.token_bytes)
        rotated = (
            Webhook.objects.present()
            .filter(pk=self.pk)
            .update(
                encrypted_previous_secret=F("encrypted_secret") if overlap else "",
                previous_secret_until=now + overlap if overlap else None,
                encrypted_secret=encrypt(secret),
            )
        )
        if not rotated:
            return None
        tell(self, "webhook.secret_rotated", previousSecretValidUntil=timestamp(now + overlap), now=now)
        return secret

    @transaction.atomic
    def disable(self, *, reason: str, now: datetime, automatic: bool = False) -> bool:
        """Stop delivering: what comes up is held. Tells the company's `system` workspace; says whether it was on.

        `automatic` is what nobody asked for: it is told with its evidence, and by e-mail.
        """
        enabled = Webhook.objects.present().filter(pk=self.pk, disabled_at=None)
        if not enabled.update(disabled_at=now, disabled_reason=reason[:500]):
            return False
        evidence = Endpoint.objects.get(pk=self.pk).evidence() if automatic else {}
        tell(self, "webhook.disabled", now=now, mailed=automatic, reason=reason, automatic=automatic, **evidence)
        return True

    @transaction.atomic
    def enable(self, *, now: datetime, recover: bool = False) -> int | None:
        """Deliver again what comes up from now on; what was held stays held, unless it is to be recovered.

        Its failures of before count no more. Says how many held deliveries become due, or None if it was on: the first
        of them at once, the others by the rescue, some thousand every five seconds.
        """
        disabled = Webhook.objects.present().filter(pk=self.pk, disabled_at__isnull=False)
        if not disabled.update(disabled_at=None, disabled_reason="", held_before=None if recover else now):
            if recover:  # it was on: what is still held from before is let go by the rescue
                Webhook.objects.present().filter(pk=self.pk).update(held_before=None)
            return None
        tell(self, "webhook.enabled", now=now, recover=recover)
        self.forget_failures()
        if not recover:
            return 0
        held = self.deliveries.in_status("HELD")
        count = held.count()
        self.deliveries.filter(pk__in=held.oldest(HELD_AT_ONCE)).recover(now=now)
        return count

    @transaction.atomic
    def delete_softly(self, *, now: datetime) -> bool:
        """End the webhook: its waiting deliveries are cancelled, its log stays, its secrets go."""
        present = Webhook.objects.present().filter(pk=self.pk)
        if not present.update(deleted_at=now, previous_secret_until=None, **dict.fromkeys(ENCRYPTED, "")):
            return False
        self.deliveries.waiting().cancel()
        return True

    def as_json(self) -> dict[str, Any]:
        """The webhook as the API shows it, without what is secret."""
        return {
            "id": str(self.id),
            "url": self.url,
            "workspaceId": self.workspace_id and str(self.workspace_id),
            "events": self.events,
            "categories": self.categories,
            "description": self.description,
            **self.options_as_json(),
            "previousSecretValidUntil": self.previous_secret_until and timestamp(self.previous_secret_until),
            "enabled": self.enabled,
            "disabledAt": self.disabled_at and timestamp(self.disabled_at),
            "disabledReason": self.disabled_reason or None,
            "health": self.endpoint.as_json(),
            "createdAt": timestamp(self.created_at),
        }
