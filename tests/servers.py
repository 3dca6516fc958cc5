"""A pytest plugin: a real Postgres and a real Redis for the run, unless DATABASE_URL and REDIS_URL name others.

Named in addopts, so that it is there before pytest-django reads the settings. Where several processes share the tests
(pytest-xdist), each has servers of its own, and the one that only hands them out has none.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from hyrelog.dev.hosting import find_hosting
from hyrelog.dev.postgres import Postgres
from hyrelog.dev.redis import Redis
from hyrelog.dev.server import Server

NOT_STARTED = {"DATABASE_URL": "postgres://127.0.0.1:1/not-started", "REDIS_URL": "redis://127.0.0.1:1/0"}
"""For whoever runs no test. Processes that run some inherit them from the one that hands these out."""


class QuickPostgres(Postgres):
    """One whose data need not outlive the run, nor a power cut. Its role has no more rights than in production."""

    durable = False
    rights = "NOSUPERUSER CREATEDB"


@pytest.hookimpl(wrapper=True)  # wrappers come before pytest-django's own, which reads the settings
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    home = Path(tempfile.mkdtemp(prefix="hyrelog-tests-"))
    early_config.add_cleanup(lambda: shutil.rmtree(home))
    home.chmod(0o711)  # as root, the account that runs the servers passes through it
    os.environ |= {
        "HYRELOG_HOME": str(home),
        "SECRET_KEY": "for-tests-only",
        "HYRELOG_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "HYRELOG_SIGNING_KEY": secrets.token_hex(32),
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        "WEBHOOK_ALLOW_HTTP": "true",
        "LOG_FORMAT": "console",
    }
    asked = early_config.known_args_namespace
    hands_out = asked.numprocesses and "PYTEST_XDIST_WORKER" not in os.environ
    if asked.collectonly or asked.help or asked.version or hands_out:
        for variable, url in NOT_STARTED.items():
            os.environ.setdefault(variable, url)
    else:
        _serve(early_config, home)
    return (yield)


def _serve(config: pytest.Config, home: Path) -> None:
    hosting = find_hosting(home, announce=lambda _: None)
    if hosting.folder != home:
        config.add_cleanup(lambda: shutil.rmtree(hosting.folder))
    kinds: dict[str, type[Server]] = {"DATABASE_URL": QuickPostgres, "REDIS_URL": Redis}
    for variable, kind in kinds.items():
        if os.environ.get(variable) in (None, "", NOT_STARTED[variable]):
            server = kind(hosting, announce=lambda _: None)
            config.add_cleanup(server.stop)  # clean-ups run last in, first out, after a Ctrl+C too
            server.start()
            os.environ[variable] = server.url


def pytest_collection_finish() -> None:
    """Some tests serve the web from their own process, which gives it the web's pool; workers have none, nor tests."""
    settings.DATABASES["default"]["OPTIONS"].pop("pool", None)
    settings.SERVESTATIC_AUTOREFRESH = True  # else each test's client looks at its first request for all static files
