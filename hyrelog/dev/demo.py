"""The demo tenant: what a newcomer needs to try everything at once."""

from collections.abc import Mapping
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from audit.models import ApiKey, Company, Workspace
from webhooks.models import Webhook

ADMIN = "admin"
NOWHERE = "http://127.0.0.1:1/"
NO_RECEIVER = "the demo receiver was not started"
NONE = UUID(int=0)
"""The id of no row."""


def ensure_admin(*, password: str) -> None:
    """The admin site's first user, with the password that the banner shows."""
    user, _ = get_user_model().objects.get_or_create(
        username=ADMIN, defaults={"is_staff": True, "is_superuser": True, "email": "admin@acme.example"}
    )
    if not user.check_password(password):
        user.set_password(password)
        user.save()


@transaction.atomic
def ensure_tenant(*, known: Mapping[str, str], receiver_url: str | None) -> dict[str, str]:
    """The tenant of an earlier start, by its DEMO_* values, or what is missing of it anew; returns the values."""
    company = Company.objects.filter(pk=known.get("DEMO_COMPANY_ID", NONE)).first()
    company = company or Company.objects.open(name="Acme", contact_email="ops@acme.example")
    workspace = company.workspaces.filter(pk=known.get("DEMO_WORKSPACE_ID", NONE)).first()
    workspace = workspace or company.add_workspace(name="production")
    webhook = Webhook.objects.of(company).filter(pk=known.get("DEMO_WEBHOOK_ID", NONE)).first()
    if webhook is None:
        webhook, _ = Webhook.objects.register(company=company, url=receiver_url or NOWHERE, description="Demo receiver")
    if receiver_url is None:  # whoever has the port now is a stranger, to whom no event must go
        webhook.disable(reason=NO_RECEIVER, now=timezone.now())
    else:
        Webhook.objects.filter(pk=webhook.pk).update(url=receiver_url)  # its port may have been taken
        if webhook.disabled_reason == NO_RECEIVER:
            webhook.enable(now=timezone.now(), recover=True)
    return {
        "DEMO_COMPANY_ID": str(company.pk),
        "DEMO_WORKSPACE_ID": str(workspace.pk),
        "DEMO_COMPANY_KEY": _key(known.get("DEMO_COMPANY_KEY", ""), company=company, workspace=None),
        "DEMO_WORKSPACE_KEY": _key(known.get("DEMO_WORKSPACE_KEY", ""), company=company, workspace=workspace),
        "DEMO_WEBHOOK_ID": str(webhook.pk),
        "DEMO_WEBHOOK_SECRET": webhook.secret,
    }


def _key(known: str, *, company: Company, workspace: Workspace | None) -> str:
    """The known plaintext while the database takes it, else that of a new key."""
    keys = ApiKey.objects.usable(now=timezone.now()).filter(company=company, workspace=workspace)
    if known and keys.matching(known).exists():
        return known
    _, plaintext = ApiKey.objects.issue(company=company, workspace=workspace, name="demo")
    return plaintext
