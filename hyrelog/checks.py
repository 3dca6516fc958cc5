"""System checks: a bad setting stops the process at its start, with a hint."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured

from audit.signing import parse_key
from gdpr import storage
from hyrelog.env import S3Location
from hyrelog.settings import env


@register()
def environment(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E001: a setting from the environment is missing or breaks its rule."""
    return [Error(problem.message, hint=problem.hint, id="hyrelog.E001") for problem in env.problems]


@register()
def encryption_keys(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E002: no usable encryption key."""
    hint = "Comma-separated Fernet keys, newest first; make one with cryptography.fernet.Fernet.generate_key()."
    keys = settings.HYRELOG_ENCRYPTION_KEYS
    if not keys:
        return [Error("HYRELOG_ENCRYPTION_KEYS is not set.", hint=hint, id="hyrelog.E002")]
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError:
            message = f"Key number {position} of HYRELOG_ENCRYPTION_KEYS is not a Fernet key."
            return [Error(message, hint=hint, id="hyrelog.E002")]
    return []


@register()
def signing_keys(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E005: no usable signing key."""
    hint = "Seeds of Ed25519 keys, 64 hexadecimal characters each, newest first; make one with `openssl rand -hex 32`."
    if not settings.HYRELOG_SIGNING_KEY:
        return [Error("HYRELOG_SIGNING_KEY is not set.", hint=hint, id="hyrelog.E005")]
    for position, key in enumerate(settings.HYRELOG_SIGNING_KEY, start=1):
        try:
            parse_key(key)
        except ValueError:  # what it says may quote the key
            message = f"Key number {position} of HYRELOG_SIGNING_KEY is not 64 hexadecimal characters."
            return [Error(message, hint=hint, id="hyrelog.E005")]
    return []


@register()
def retention(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E003: attempts would be kept for longer than the deliveries they belong to."""
    attempts, deliveries = settings.WEBHOOK_ATTEMPT_RETENTION_DAYS, settings.WEBHOOK_RETENTION_DAYS
    if attempts <= deliveries:
        return []
    return [
        Error(
            f"WEBHOOK_ATTEMPT_RETENTION_DAYS={attempts} is more than WEBHOOK_RETENTION_DAYS={deliveries}.",
            hint="A delivery ends with all of its attempts: lower the first or raise the second.",
            id="hyrelog.E003",
        )
    ]


@register()
def webhook_health(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E004: an endpoint would be disabled before anybody was warned."""
    if settings.WEBHOOK_WARN_AFTER_HOURS < settings.WEBHOOK_DISABLE_AFTER_HOURS:
        return []
    message = "WEBHOOK_WARN_AFTER_HOURS is not less than WEBHOOK_DISABLE_AFTER_HOURS."
    return [Error(message, hint="Leave time between the warning and the end.", id="hyrelog.E004")]


@register()
def export_storage(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.E006: archives would go to S3, and the libraries for it are missing."""
    if not isinstance(settings.EXPORT_STORAGE, S3Location):
        return []
    try:
        for library in ("boto3", "storages.backends.s3"):
            import_module(library)
    except (ImportError, ImproperlyConfigured) as error:
        hint = "Install them: pip install boto3 django-storages, or HyreLog with its extra `s3`."
        return [Error(f"EXPORT_STORAGE names a bucket: {error}", hint=hint, id="hyrelog.E006")]
    return []


@register(deploy=True)
def reachable_storage(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.W002: archives cannot be kept where EXPORT_STORAGE says."""
    if export_storage():
        return []
    try:
        storage.reach()
    except OSError as error:
        hint = "Exports will fail until this is mended; docs/deployment.md tells what S3 takes."
        return [Warning(f"EXPORT_STORAGE is of no use: {error}", hint=hint, id="hyrelog.W002")]
    return []


@register(deploy=True)
def open_networks(**_: Any) -> Sequence[CheckMessage]:
    """hyrelog.W001: development's openings are on."""
    if settings.WEBHOOK_ALLOWED_NETWORKS or settings.WEBHOOK_ALLOW_HTTP:
        return [
            Warning(
                "Webhooks may reach private networks or use plain http.",
                hint="Unset WEBHOOK_ALLOWED_NETWORKS and WEBHOOK_ALLOW_HTTP in production.",
                id="hyrelog.W001",
            )
        ]
    return []
