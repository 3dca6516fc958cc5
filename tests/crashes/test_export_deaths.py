"""Workers are killed in the middle of an export, and it begins anew until it is whole.

Locks that the test holds keep the worker at the point where it is to be caught.
"""

from pathlib import Path

import psycopg
import pytest

from tests.archives import downloaded, ended, exported, lines, manifest, public_key, unpacked, verified
from tests.crashes.steps import is_ready, let_run_out, processes_killed, waiting_for
from tests.system import System, wait_until

SOON = 30
"""Seconds: a poll, a new process, and patience with a busy machine."""

READING, RECORDING = "%row_to_json", 'INSERT INTO "gdpr_exportarchive"'
CAUGHT = (
    ("webhooks_webhookattempt", "ACCESS EXCLUSIVE", READING),  # events are written already
    ("gdpr_exportarchive", "SHARE", RECORDING),  # the file is published and verified, and on no record yet
    ("gdpr_downloadaccess", "ACCESS EXCLUSIVE", READING),
)
"""Tables that the export comes to, how they are locked, and how the statement that waits there looks."""


@pytest.fixture(autouse=True)
def ready(system: System) -> None:
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")


def test_killed_three_times_it_ends_with_the_same_events(system: System, tmp_path: Path) -> None:
    for _ in range(3):
        system.record(*["export.killed"] * 1_000)
    workspace = system.run["workspace_id"]
    calm = downloaded(system, exported(system, scope="company"))

    job_id = ""
    for number, (table, mode, statement) in enumerate(CAUGHT, start=1):
        with psycopg.connect(system.run["database_url"]) as blocker:
            blocker.execute(f"LOCK TABLE {table} IN {mode} MODE")
            job_id = job_id or system.post("/v1/key/company/gdpr/export", {"scope": "company"})["jobId"]
            caught = waiting_for(system, blocker, statement)
            wait_until(caught, seconds=SOON, what=f"attempt {number} waits for {table}")
            with processes_killed(system) as leases:
                let_run_out(system, leases)
                # What the server does for the dead ends once it hears of their death.
                system.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", caught())
    export = ended(system, job_id)
    assert (export["attempts"], export["lost"]) == (4, 3)

    content = downloaded(system, export)
    assert manifest(content)["attempt"] == 4
    before, after = (
        [row for row in lines(made, "audit_auditevent") if row["workspace_id"] == workspace] for made in (calm, content)
    )
    assert len(before) >= 3_000
    assert before == after
    checked = verified(unpacked(content, tmp_path), "--key", public_key(system))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    said = [line["text"] for line in system.get(f"/v1/key/company/jobs/{job_id}/log")["log"]]
    assert sum("anew" in line for line in said) == 3
    left = [path.name for path in (system.home / "state" / "exports").rglob("*") if job_id in path.name]
    assert left == [f"{job_id}-4.zip"]
