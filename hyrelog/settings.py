"""Django's settings, all read from the environment through one typed reader; docs/configuration.md tells of each."""

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
from django.conf import global_settings

from hyrelog.env import Environment, S3Location

django_stubs_ext.monkeypatch()  # Django's generic classes take their types at run time too

BASE_DIR = Path(__file__).resolve().parent.parent
HYRELOG_HOME = Path(os.environ.get("HYRELOG_HOME") or BASE_DIR / ".hyrelog")
"""Where development keeps its state: embedded servers, generated secrets, exports."""

env = Environment(file=HYRELOG_HOME / "env")

# --- Identity and secrets ---------------------------------------------------------------------------------------

_GENERATED = "`python manage.py up` writes one into .hyrelog/env for development; in production, set it yourself."
SECRET_KEY = env.required("SECRET_KEY", hint=_GENERATED)
HYRELOG_ENCRYPTION_KEYS = env.names("HYRELOG_ENCRYPTION_KEYS")
"""Fernet keys, newest first: the first one encrypts, all of them decrypt."""
HYRELOG_SIGNING_KEY = env.names("HYRELOG_SIGNING_KEY")
"""Seeds of Ed25519 keys in hex, newest first: the first one signs, the public keys of all are told to who asks."""
DEBUG = env.boolean("DEBUG", default=False)
ALLOWED_HOSTS = list(env.names("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]")))
CSRF_TRUSTED_ORIGINS = list(env.names("CSRF_TRUSTED_ORIGINS"))

# --- Postgres and Redis -----------------------------------------------------------------------------------------

_database = env.database("DATABASE_URL")
DATABASES: dict[str, Any] = {
    "default": {
        **_database,
        "ATOMIC_REQUESTS": False,  # transactions are named where they begin
        "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode loses them between statements
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": "hyrelog",
            "prepare_threshold": None,  # prepared statements do not survive PgBouncer either
            # A peer that vanished without a word is noticed within a minute: an idle one by keepalives, and one that
            # owes us an answer by the user timeout (milliseconds), instead of after the kernel's quarter of an hour.
            "tcp_user_timeout": 30_000,
            "keepalives_idle": 20,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            **_database.get("OPTIONS", {}),  # what the URL says itself, such as ?sslmode=require
        },
    },
}
DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 10, least=1, most=200)
"""Connections that a web process keeps at the most; workers hold their own, outside any pool."""
REDIS_URL = env.required("REDIS_URL", hint="Example: redis://127.0.0.1:6379/0.")

# --- The tenants' API -------------------------------------------------------------------------------------------

API_RATE_LIMIT = env.integer("API_RATE_LIMIT", 1200, least=1, most=10_000_000)
"""Requests a minute for each API key."""

# --- Webhooks ---------------------------------------------------------------------------------------------------

WEBHOOK_RETRY_SCHEDULE = env.schedule("WEBHOOK_RETRY_SCHEDULE", (60, 300, 1800, 21600))
WEBHOOK_TRANSPORT = env.text("WEBHOOK_TRANSPORT", "curl", choices=("curl", "requests"))
WEBHOOK_TIMEOUT_SECONDS = env.seconds("WEBHOOK_TIMEOUT_SECONDS", 15, most=60)
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")
WEBHOOK_ALLOW_HTTP = env.boolean("WEBHOOK_ALLOW_HTTP", default=False)
WEBHOOK_MAX_IN_FLIGHT = env.integer("WEBHOOK_MAX_IN_FLIGHT", 400, least=2, most=2000)
"""Requests that one worker process keeps on the wire at the most."""
WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT = env.integer("WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT", 50, least=1, most=2000)
"""Requests that one endpoint has to answer at once at the most, over all processes."""
WEBHOOK_RETENTION_DAYS = env.integer("WEBHOOK_RETENTION_DAYS", 90, least=1, most=3650)
WEBHOOK_ATTEMPT_RETENTION_DAYS = env.integer("WEBHOOK_ATTEMPT_RETENTION_DAYS", 30, least=1, most=3650)
"""Attempts hold what endpoints answered, which is most of the bytes: they end before their deliveries."""
WEBHOOK_WARN_AFTER_HOURS = env.hours("WEBHOOK_WARN_AFTER_HOURS", 24, most=8760)
WEBHOOK_DISABLE_AFTER_HOURS = env.hours("WEBHOOK_DISABLE_AFTER_HOURS", 120, most=8760)
WEBHOOK_DISABLE_AFTER_FAILURES = env.integer("WEBHOOK_DISABLE_AFTER_FAILURES", 20, least=1, most=1_000_000)
"""An endpoint is disabled after so long a time of nothing but failures, and no fewer of them in a row."""

# --- Jobs -------------------------------------------------------------------------------------------------------

JOB_CONCURRENCY = env.integer("JOB_CONCURRENCY", 20, least=1, most=10_000)
"""Jobs of one type that run at the same time, over all workers, where its handler does not say."""
JOB_TIMEOUT = env.seconds("JOB_TIMEOUT", 300, most=7 * 86_400)
"""That one attempt may take, where the handler does not say."""
JOB_TYPES = env.names("JOB_TYPES")
"""Patterns of the types that this worker takes; empty for all. `--types` wins over it."""
JOB_SHUTDOWN_TIMEOUT = env.seconds("JOB_SHUTDOWN_TIMEOUT", 15, most=3600)
"""That running handlers have once their worker was asked to stop; then their jobs are handed back."""
WORKER_ENDS_WITHIN = max(JOB_SHUTDOWN_TIMEOUT, WEBHOOK_TIMEOUT_SECONDS + 20) + 10
"""Seconds after which whatever is left of a worker that was asked to stop is killed.

Enough for handlers, and for what is on the wire: a request's own time, and the tries to settle it without Postgres.
"""
JOB_RETENTION_DAYS = env.integer("JOB_RETENTION_DAYS", 7, least=1, most=3650)
JOB_RETENTION_FAILED_DAYS = env.integer("JOB_RETENTION_FAILED_DAYS", 30, least=1, most=3650)
"""For which completed and cancelled jobs are kept, and dead letters, where the handler does not say."""
OPERATORS_EMAIL = env.recipients("OPERATORS_EMAIL")
"""Who is told of jobs that died for good."""

# --- GDPR -------------------------------------------------------------------------------------------------------

EXPORT_STORAGE = env.storage("EXPORT_STORAGE", HYRELOG_HOME / "exports")
STORAGES: dict[str, dict[str, Any]] = {**global_settings.STORAGES, "exports": {"BACKEND": "gdpr.folder.Folder"}}
if isinstance(EXPORT_STORAGE, S3Location):
    env.pass_on(prefix="AWS_")  # credentials, region and endpoint are boto3's own affair
    STORAGES["exports"] = {
        "BACKEND": "gdpr.bucket.Bucket",
        "OPTIONS": {"bucket_name": EXPORT_STORAGE.bucket, "location": EXPORT_STORAGE.prefix},
    }
GDPR_EXPORTS_PER_DAY = env.integer("GDPR_EXPORTS_PER_DAY", 5, least=1, most=10_000)

# --- E-mail -----------------------------------------------------------------------------------------------------

_email = env.text("EMAIL_BACKEND", "smtp", choices=("smtp", "console"))
EMAIL_BACKEND = f"django.core.mail.backends.{_email}.EmailBackend"
EMAIL_HOST = env.text("EMAIL_HOST")
SENDS_EMAIL = bool(EMAIL_HOST) or _email == "console"
EMAIL_PORT = env.integer("EMAIL_PORT", 587, least=1, most=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
_tls = env.boolean("EMAIL_USE_TLS", default=True)
# Port 465 is the one on which TLS begins with the first byte (RFC 8314, section 3.3); elsewhere STARTTLS begins it.
EMAIL_USE_SSL = _tls and EMAIL_PORT == 465
EMAIL_USE_TLS = _tls and not EMAIL_USE_SSL
EMAIL_TIMEOUT = 20  # seconds; a silent server must not keep a worker process
DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", "hyrelog@localhost")

# --- Observability ----------------------------------------------------------------------------------------------

LOG_FORMAT = env.text("LOG_FORMAT", "json", choices=("json", "console"))
METRICS_PORT = env.integer("METRICS_PORT", 9091, least=1, most=65535)
METRICS_HOST = env.text("METRICS_HOST", "127.0.0.1")
"""Where the metrics listen; they name queues and counts, so they are not open to all by default."""

# --- Django -----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "hyrelog.apps.HyreLogConfig",
    "audit.apps.AuditConfig",
    "jobs.apps.JobsConfig",
    "webhooks.apps.WebhooksConfig",
    "gdpr.apps.GdprConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "servestatic",
    "ninja",  # /docs is served from here, not from somebody's CDN
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "audit.api.limits.rate_limit_headers",
]
# Secrets that are shown once are messages: in the session they stay here, a cookie would take them along.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "hyrelog.urls"
ASGI_APPLICATION = "hyrelog.asgi.application"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "hyrelog.formats"  # times with seconds: what operators compare
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
SERVESTATIC_USE_FINDERS = True  # admin's own files need no `collectstatic`
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024  # a batch of 1,000 events of 16 KiB
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
# Behind TLS (COOKIES_SECURE=true) the cookies never travel in the clear.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.boolean("COOKIES_SECURE", default=False)
LOGGING_CONFIG = "hyrelog.ops.logs.configure"
LOGGING = {"format": LOG_FORMAT}
