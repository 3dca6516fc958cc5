"""An export's memory does not grow with its events."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from benchmarks import memory
from benchmarks.chains import fill
from gdpr.requesting import request_export
from jobs.models import Job
from tests.conftest import open_tenant
from tests.system import ROOT

FEW, MANY, MOST = 10_000, 150_000, 1_000_000
"""Events: two exports show what each event adds; to make a million would take a minute, and show the same."""
MOST_BYTES = 150_000_000
"""Of which Python with HyreLog, Django and Celery takes about 105 million before it does anything."""


@pytest.mark.skipif(not memory.IS_KNOWN, reason="this system does not tell how much memory a process took")
def test_an_export_of_a_million_events_takes_less_than_150_mb(committed: None, tmp_path: Path) -> None:
    few = export_of(FEW, tmp_path / "few")
    many = export_of(MANY, tmp_path / "many")
    of_each = max(0, many - few) / (MANY - FEW)
    assert many + of_each * (MOST - MANY) < MOST_BYTES


def export_of(events: int, storage: Path) -> int:
    """The most bytes of memory that the process took that exported so many events."""
    tenant = open_tenant(f"Acme with {events}")
    fill(tenant.workspace, events=events)
    request, _ = request_export(company=tenant.company, scope="company", requested_by="a test", now=timezone.now())
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    command = [sys.executable, "-m", "tests.gdpr.exporter"]
    environment = os.environ | {"DATABASE_URL": database, "EXPORT_STORAGE": str(storage), "LOG_FORMAT": "json"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    job = Job.objects.select_related("archive").get(pk=request.job_id)
    assert job.status == "COMPLETED", job.traceback
    assert job.archive.counts["audit_auditevent"] == events + 1  # the request is an event too
    peak: int = json.loads(done.stdout.splitlines()[-1])["peak"]
    return peak
