"""Workers are killed in the middle of an erasure, which goes on each time from where it was until nobody is left."""

from collections.abc import Callable
from typing import Any

import psycopg

from tests.crashes.steps import SOON, let_run_out, processes_killed, waiting_for
from tests.system import System, wait_until

EVENTS = 4_000
FILL = f"""
from audit.models import Company
from benchmarks.chains import fill
company = Company.objects.get(pk="%s")
fill(company.add_workspace(name="of one person"), events={EVENTS})
"""
PERSON = {"actorId": "passkey"}
"""Each of these events names them."""
APPROVE = """
from django.contrib.auth import get_user_model
from django.utils import timezone
from gdpr.erasures.deciding import approve
from gdpr.models import Erasure
for name in ("op", "dpo"):
    account, _ = get_user_model().objects.get_or_create(username=name, defaults={"is_superuser": True})
    approve(Erasure.objects.get(pk="%s"), user_id=account.pk, approved_by=name, now=timezone.now())
"""


def approved(system: System) -> str:
    asked = {"subject": PERSON, "reason": "They asked for it."}
    erasure: str = system.post("/v1/key/company/gdpr/erasures", asked)["erasureId"]
    counted = "SELECT 1 FROM jobs_job WHERE key = %s AND type = 'gdpr.erasure.preview' AND status = 'COMPLETED'"
    wait_until(lambda: system.sql(counted, erasure), seconds=SOON, what="the preview")
    system.manage("shell", "--verbosity", "0", "-c", APPROVE % erasure)
    return erasure


def test_killed_three_times_it_ends_with_nobody_left_and_nothing_counted_twice(system: System) -> None:
    system.manage("shell", "--verbosity", "0", "-c", FILL % system.run["company_id"])
    with psycopg.connect(system.run["database_url"]) as blocker:
        blocker.execute("LOCK TABLE audit_idempotencyrecord IN SHARE MODE")  # no attempt comes to its end
        erasure = approved(system)
        completing = waiting_for(system, blocker, 'DELETE FROM "audit_idempotencyrecord"')

        def story() -> list[tuple[Any, ...]]:
            return system.sql(
                "SELECT erasure.status, (counts ->> 'audit_auditevent')::int, attempt, lost"
                " FROM gdpr_erasure AS erasure JOIN jobs_job AS job ON job.id = job_id WHERE erasure.id = %s",
                erasure,
            )

        def erasing(attempt: int) -> Callable[[], bool]:
            before = erased_before.get(attempt, 0)
            return lambda: any(a == attempt and (n or 0) > before for _, n, a, _ in story()) or bool(completing())

        erased_before: dict[int, int] = {}
        # The third is killed in the transaction that would have completed it.
        for attempt in (1, 2, 3):
            caught = erasing(attempt) if attempt < 3 else completing
            wait_until(caught, seconds=2 * SOON, what=f"attempt {attempt}", state=story)
            with processes_killed(system) as leases:
                let_run_out(system, leases)
                # The server ends what it does for the dead once it hears of their death.
                system.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", completing())
                erased_before[attempt + 1] = story()[0][1]
    ended = [("COMPLETED", EVENTS, 4, 3)]
    wait_until(lambda: story() == ended, seconds=2 * SOON, what="the end", state=story)

    named = "SELECT count(*) FROM audit_auditevent WHERE company_id = %s AND (payload ->> 'method') = 'passkey'"
    assert system.sql(named, system.run["company_id"]) == [(0,)]
    listed = (
        "SELECT count(*), count(DISTINCT event ->> 'id') FROM audit_auditevent,"
        " jsonb_array_elements(payload -> 'events') AS event"
        " WHERE action = 'gdpr.erased' AND payload ->> 'erasureId' = %s"
    )
    assert system.sql(listed, erasure) == [(EVENTS, EVENTS)]
    told = "SELECT count(*) FROM audit_auditevent WHERE action = 'gdpr.erasure.completed'"
    assert system.sql(told) == [(1,)]
    assert "intact" in system.manage("verify_chain").stdout
