"""What `up` does in the database before anything else starts: `python -m hyrelog.dev.prepare [--no-demo]`.

A process of its own, so that the supervisor loads no Django and keeps no connection.
"""

import os
import sys

import redis
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import OperationalError

from hyrelog.dev import env_file
from hyrelog.dev.state import state_folder
from hyrelog.env import parse_env_file


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyrelog.settings")
    try:
        execute_from_command_line(["manage.py", "migrate", "--no-input", "--verbosity", "0"])
    except OperationalError as failure:
        raise SystemExit(f"The database of DATABASE_URL cannot be used: {failure}") from None

    _ask_redis()
    from hyrelog.dev import demo  # noqa: PLC0415 - models can be imported only now

    file = state_folder() / "env"
    known = parse_env_file(file) | os.environ
    demo.ensure_admin(password=known["DEMO_ADMIN_PASSWORD"])
    if "--no-demo" not in sys.argv:
        receiver_url = f"http://127.0.0.1:{known['RECEIVER_PORT']}/" if "RECEIVER_PORT" in known else None
        env_file.write(file, demo.ensure_tenant(known=known, receiver_url=receiver_url))


def _ask_redis() -> None:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as failure:
        raise SystemExit(f"The Redis of REDIS_URL cannot be used: {failure}") from None


if __name__ == "__main__":
    main()
