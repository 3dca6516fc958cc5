"""Health: whether the process answers, and whether the whole of it works."""

from collections.abc import Callable
from functools import cache

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from jobs import health


class NotReady(Exception):
    """A part of HyreLog does not work; the message says which and what to look at."""


@csrf_exempt  # a wrong method is to be told as one
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200 while the process answers; it asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200 if every part works, else 503; the answer tells of each part."""
    parts = {name: _state(check) for name, check in CHECKS.items()}
    ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", "checks": parts}, status=200 if ready else 503)


def _state(check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as problem:
        return str(problem)
    except Exception as error:  # noqa: BLE001  whatever is wrong is the answer; details stay in the log
        return f"failed: {type(error).__name__}"
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()


@cache  # what it raises is not kept: once all are applied, they stay so
def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotReady(f"{len(missing)} migrations are not applied; run manage.py migrate")


def _worker() -> None:
    if problems := health.worker_problems():
        raise NotReady("; ".join(problems))


def _beat() -> None:
    if problems := health.beat_problems():
        raise NotReady("; ".join(problems))


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "redis": _redis,
    "migrations": _migrations,
    "worker": _worker,
    "beat": _beat,
}
