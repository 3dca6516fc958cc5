import hashlib
import ipaddress
import secrets
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from audit.ids import uuid7
from audit.models.company import Company, SystemWorkspaceReserved, Workspace

PREFIX = "hlk_"
SECRET_BYTES = 32
USE_RECORDED_EVERY = timedelta(minutes=1)


def validate_networks(networks: object) -> None:
    """Raises ValidationError unless `networks` is a list of IP networks in CIDR form."""
    if not isinstance(networks, list):
        raise ValidationError('allowed_networks must be a list such as ["203.0.113.0/24"].')
    for network in networks:
        try:
            ipaddress.ip_network(network if isinstance(network, str) else "")  # a number would be an address too
        except ValueError:
            raise ValidationError(f"{network!r} is not an IP network; write it like 203.0.113.0/24.") from None


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, now: datetime) -> "ApiKeyQuerySet":
        """Keys that are neither revoked nor expired, of companies that are open."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None, company__closed_at=None)

    def matching(self, plaintext: str) -> "ApiKeyQuerySet":
        return self.filter(digest=digest(plaintext))

    def issue(
        self, *, company: Company, workspace: Workspace | None = None, name: str, expires_at: datetime | None = None
    ) -> tuple["ApiKey", str]:
        """A new key and its plaintext, which is not kept and cannot be shown again.

        Raises SystemWorkspaceReserved.
        """
        if workspace and workspace.is_system:
            raise SystemWorkspaceReserved
        plaintext = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = self.create(
            company=company,
            workspace=workspace,
            name=name,
            prefix=plaintext[:12],
            digest=digest(plaintext),
            expires_at=expires_at,
        )
        return key, plaintext


class ApiKey(models.Model):
    """What a tenant's developer authenticates with: for one workspace, or for the whole company."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="api_keys")
    workspace = models.ForeignKey(
        Workspace,
        on_delete=models.PROTECT,
        related_name="api_keys",
        null=True,
        blank=True,
        help_text="Empty: a key for the whole company.",
    )
    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16, editable=False, help_text="How the key begins, to recognise it by.")
    # A key is 256 random bits: one SHA-256 is enough, there is nothing to guess that a slow hash would protect.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    allowed_networks = models.JSONField(default=list, blank=True, validators=[validate_networks])
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        if self.workspace and self.workspace.company_id != self.company_id:
            raise ValidationError({"workspace": "The workspace belongs to another company."})
        if self.workspace and self.workspace.is_system:
            raise ValidationError({"workspace": str(SystemWorkspaceReserved())})

    def admits(self, address: str) -> bool:
        """Whether the key may be used from this IP address."""
        if not self.allowed_networks:
            return True
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return False
        client = getattr(client, "ipv4_mapped", None) or client
        return any(client in ipaddress.ip_network(network) for network in self.allowed_networks)

    def revoke(self, *, now: datetime) -> bool:
        """Refuse the key from `now` on; says whether it was valid until then."""
        return bool(ApiKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now))

    def record_use(self, *, now: datetime) -> None:
        """Note when the key was last used, at most once a minute: a write for each request would cost too much."""
        if self.last_used_at is None or now - self.last_used_at >= USE_RECORDED_EVERY:
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)


def digest(plaintext: str) -> str:
    """How a key is kept: the hex SHA-256 of its text."""
    return hashlib.sha256(plaintext.encode()).hexdigest()
