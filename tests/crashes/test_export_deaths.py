"""Workers are killed in the middle of an export, which begins anew each time until it is whole."""

from collections.abc import Callable
from pathlib import Path

import psycopg

from tests.archives import downloaded, ended, exported, lines, manifest, public_key, unpacked, verified
from tests.crashes.steps import SOON, let_run_out, processes_killed, waiting_for
from tests.system import System, wait_until

EVENTS = 20_000
FILL = f"""
from audit.models import Company
from benchmarks.chains import fill
company = Company.objects.get(pk="%s")
fill(company.add_workspace(name="many"), events={EVENTS})
"""


def test_killed_three_times_it_ends_with_the_same_events(system: System, tmp_path: Path) -> None:
    system.manage("shell", "--verbosity", "0", "-c", FILL % system.run["company_id"])
    calm = downloaded(system, exported(system, scope="company"))

    folder = system.home / "state" / "exports"
    with psycopg.connect(system.run["database_url"]) as blocker:
        blocker.execute("LOCK TABLE gdpr_exportarchive IN SHARE MODE")  # no attempt comes to its end
        job_id = system.post("/v1/key/company/gdpr/export", {"scope": "company"})["jobId"]
        recording = waiting_for(system, blocker, 'INSERT INTO "gdpr_exportarchive"')

        def reading(attempt: int) -> Callable[[], bool]:
            draft = folder / f".{job_id}-{attempt}.zip.part"
            return lambda: (draft.exists() and draft.stat().st_size > 0) or bool(recording())

        # The second is killed when its archive is published, verified, and on no record yet.
        for attempt, caught in ((1, reading(1)), (2, recording), (3, reading(3))):
            wait_until(caught, seconds=SOON, what=f"attempt {attempt}")
            with processes_killed(system) as leases:
                let_run_out(system, leases)
                # The server ends what it does for the dead once it hears of their death.
                system.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", recording())
    export = ended(system, job_id)
    assert (export["attempts"], export["lost"]) == (4, 3)

    content = downloaded(system, export)
    assert manifest(content)["attempt"] == 4
    many = next(key for key, name in manifest(content)["workspaces"].items() if name == "many")
    before, after = (
        [row for row in lines(made, "audit_auditevent") if row["workspace_id"] == many] for made in (calm, content)
    )
    assert len(before) == EVENTS
    assert before == after
    checked = verified(unpacked(content, tmp_path), "--key", public_key(system))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    said = [line["text"] for line in system.get(f"/v1/key/company/jobs/{job_id}/log")["log"]]
    assert sum("anew" in line for line in said) == 3
    left = [path.name for path in folder.rglob("*") if job_id in path.name]
    assert left == [f"{job_id}-4.zip"]
