"""What the limits of job types cost, and what one company's flood costs another company's job.

Two and four processes claim and settle jobs of 20 companies that do nothing, of five types with all limits declared
and never reached. Beside them, the same processes take the same rows by a plain `FOR UPDATE SKIP LOCKED` with nothing
else in it, and settle them in the same way. In turn, three times each; the ratio is of the medians of jobs a second.

Then a job of another company every 50 ms, alone, and beside a company with 10,000 jobs waiting that take 20 ms each.
The ratio is that of the 95th percentiles, from a job's coming to its start.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.stage import ROOT, percentile, stage, wait_until

JOBS = 1_000
COMPANIES = 20
TYPES = 5
ROUNDS = 3
FLOOD = 10_000
PROBES = 100
EVERY, LASTS = 0.05, 0.02
"""Seconds between two jobs of the other company, and that one of the flood takes."""

_PLAIN = """
    UPDATE jobs_job SET status = 'PROCESSING', attempt = attempt + 1, claim_token = %(token)s, claimed_by = %(process)s,
        started_at = now()
    WHERE id = (SELECT id FROM jobs_job WHERE status = 'PENDING' AND run_at <= now()
                ORDER BY run_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id
"""
_ATTEMPT = """
    INSERT INTO jobs_jobattempt (id, job_id, company_id, number, outcome, worker, error, traceback)
    SELECT claim_token, id, company_id, attempt, 'running', '', '', '' FROM jobs_job WHERE id = %s
"""


def main(arguments: Sequence[str]) -> None:
    if arguments:
        _take_part()
        return
    with stage(LOG_FORMAT="json"):
        _declare()
        for processes in (2, 4):
            print(json.dumps(_cost(processes)), flush=True)
        print(json.dumps(_fairness()), flush=True)


def _declare() -> None:
    from jobs import registry

    registry._handlers.clear()  # noqa: SLF001  nothing else is claimed
    for n in range(TYPES):
        limits: dict[str, Any] = {"concurrency": 100, "company_concurrency": 50}
        registry.handler(f"bench.{n}", rate="86400000/d", company_rate="86400000/d", **limits)(lambda _: None)


def _cost(processes: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.limits", "part"]
    limited, plain = [], []
    with ExitStack() as stack:
        parts = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(processes)
        ]
        for part in parts:
            _answer(part)  # it is ready
        for _ in range(ROUNDS):
            limited.append(_together("limited", parts))
            plain.append(_together("plain", parts))
        for part in parts:
            part.communicate("")
    return {
        "benchmark": "limits",
        "processes": processes,
        "jobs_per_s": round(statistics.median(limited)),
        "plain_per_s": round(statistics.median(plain)),
        "ratio": round(statistics.median(limited) / statistics.median(plain), 2),
    }


def _together(way: str, parts: Sequence["subprocess.Popen[str]"]) -> float:
    """Jobs a second that so many processes claim and settle."""
    from jobs.models import Job

    _fill(JOBS, types=TYPES, companies=COMPANIES)
    began = time.monotonic()
    for part in parts:
        assert part.stdin
        part.stdin.write(f"{way}\n")
        part.stdin.flush()
    done = sum(int(_answer(part)) for part in parts)
    took = time.monotonic() - began
    assert done == Job.objects.filter(status="COMPLETED", attempt=1).count() == JOBS
    return JOBS / took


def _answer(part: "subprocess.Popen[str]") -> str:
    assert part.stdout
    return part.stdout.readline()


def _take_part() -> None:
    """Claim and settle in the way that is asked for, until nothing waits; say each time how many."""
    import django

    django.setup()
    from django.utils import timezone

    from jobs.claiming import Claimer
    from jobs.models import Job, WorkerProcess

    _declare()
    print(0, flush=True)
    for way in map(str.strip, sys.stdin):
        claimer, process, done = Claimer("jobs"), WorkerProcess.objects.register(queues=[]).pk, 0
        while True:
            look: dict[str, Any] = {"process": process, "now": timezone.now()}
            job = _claim_plainly(process) if way == "plain" else claimer.claim(**look).job
            if job is not None:
                done += job.complete(None)
            elif not Job.objects.filter(status="PENDING").exists():
                break
        print(done, flush=True)


def _claim_plainly(process: Any) -> Any:
    from django.db import connection, transaction

    from audit.ids import uuid7
    from jobs.models import Job

    token = uuid7()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_PLAIN, {"token": token, "process": process})
        row = cursor.fetchone()
        if row is None:
            return None
        cursor.execute(_ATTEMPT, row)
    return Job.objects.select_related("company").get(pk=row[0])


def _fairness() -> dict[str, Any]:
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(percentile(_waits(flood=0), 0.95))
        beside.append(percentile(_waits(flood=FLOOD), 0.95))
    return {
        "benchmark": "limits, fairness",
        "flood": FLOOD,
        "p95_ms_alone": round(statistics.median(alone) * 1000, 1),
        "p95_ms_beside_flood": round(statistics.median(beside) * 1000, 1),
        "ratio": round(statistics.median(beside) / statistics.median(alone), 2),
    }


def _waits(*, flood: int) -> list[float]:
    """Seconds from the commit of each job of the other company to its start, by two that claim without a pause."""
    from django.db import connection
    from django.utils import timezone

    from audit.models import Company
    from jobs.claiming import Claimer
    from jobs.models import Job, WorkerProcess

    _fill(flood, types=1, companies=1)
    other = Company.objects.open(name="other")
    over = threading.Event()

    def work() -> None:
        claimer, process = Claimer("jobs"), WorkerProcess.objects.register(queues=[]).pk
        while not over.is_set():
            job = claimer.claim(process=process, now=timezone.now()).job
            if job is not None:
                time.sleep(LASTS if job.company_id != other.pk else 0)
                job.complete(None)
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    ours = Job.objects.filter(company=other)
    for _ in range(PROBES):
        time.sleep(EVERY)
        Job.objects.create(company=other, type="bench.0", queue="jobs", max_attempts=1, run_at=timezone.now())
    wait_until(lambda: not ours.exclude(status="COMPLETED").exists(), seconds=60)
    over.set()
    for thread in threads:
        thread.join()
    return [(started - due).total_seconds() for due, started in ours.values_list("run_at", "started_at") if started]


def _fill(count: int, *, types: int, companies: int) -> None:
    """Nothing but so many jobs that are due, of as many types and companies."""
    from django.db import connection
    from django.utils import timezone

    from audit.models import Company
    from jobs.models import Job

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE jobs_job, jobs_throttle, jobs_workerprocess CASCADE")
    owners = [Company.objects.open(name=f"company {n}") for n in range(companies)]
    Job.objects.bulk_create(
        Job(
            company=owners[n % companies],
            type=f"bench.{n % types}",
            queue="jobs",
            max_attempts=1,
            run_at=timezone.now(),
        )
        for n in range(count)
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) jobs_job")


if __name__ == "__main__":
    main(sys.argv[1:])
