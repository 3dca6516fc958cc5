"""HyreLog as it is, and handlers that do what handlers should not; for worker processes that tests start."""

from hyrelog.settings import *  # noqa: F403
from hyrelog.settings import INSTALLED_APPS as _OURS

INSTALLED_APPS = [*_OURS, "tests.misbehaving"]
WORKER_ENDS_WITHIN = 8.0
