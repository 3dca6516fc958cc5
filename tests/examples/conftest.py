"""The examples' own tests run in a project that has them installed: `test_projects.py` starts it."""

from django.apps import apps

collect_ignore = [name for name in ("reviews",) if not apps.is_installed(name)]
