"""The web process: Django and a WebSocket over ASGI, with a connection pool of its own; metrics on their own port."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyrelog.settings")

from django.conf import settings
from django.core import checks

# Requests run in many short-lived threads: each would open a connection of its own. Workers must not pool: their
# connections would cross a fork, and Celery closes pools after each task.
settings.DATABASES["default"]["OPTIONS"]["pool"] = {
    "min_size": 1,
    "max_size": settings.DATABASE_POOL_SIZE,
    "timeout": 5,
}

django = get_asgi_application()

# `manage.py` runs the checks by itself; a server that imports this module does not.
if problems := [message for message in checks.run_checks() if message.is_serious()]:
    raise SystemExit("HyreLog does not start:\n" + "\n".join(str(problem) for problem in problems))

from hyrelog.ops import metrics  # noqa: E402  what these import needs a Django that is set up
from hyrelog.urls import websocket_urlpatterns  # noqa: E402

# No browser sends a key of its own accord, and no page can make it send one with a handshake: there is nothing to
# forge, so that the Origin does not matter.
application = ProtocolTypeRouter({"http": django, "websocket": URLRouter(websocket_urlpatterns)})

metrics.serve()
