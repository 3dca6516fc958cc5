"""A process that makes one export that waits, as a worker's process does, and says how much memory it took."""

import json

import django

from benchmarks import memory

if __name__ == "__main__":
    django.setup()

    from django.utils import timezone

    import hyrelog.celery  # noqa: F401  a worker's process carries it too
    from jobs.claiming import Claimer
    from jobs.leases import ProcessLease
    from jobs.running import run_next

    lease = ProcessLease(queues=["exports"])
    lease.start()
    ran = run_next(Claimer("exports"), process=lease.process_id, stopping=lambda: False, clock=timezone.now)
    lease.stop()
    print(json.dumps({"ran": ran, "peak": memory.peak()}))  # noqa: T201  what it is started for
