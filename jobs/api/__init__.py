"""Routes of jobs."""

from ninja import Router

from jobs.api import controlling, jobs

router = Router(tags=["jobs"])
for part in (jobs.router, controlling.router):
    router.add_router("", part)
