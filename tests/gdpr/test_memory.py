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

EVENTS = 1_000_000
MOST = 150_000_000
"""Bytes, of which Python with HyreLog, Django and Celery takes about 105 million before it does anything."""


@pytest.mark.skipif(not memory.IS_KNOWN, reason="this system does not tell how much memory a process took")
def test_an_export_of_a_million_events_takes_less_than_150_mb(committed: None, tmp_path: Path) -> None:
    tenant = open_tenant("Acme")
    fill(tenant.workspace, events=EVENTS)
    request, _ = request_export(company=tenant.company, scope="company", requested_by="a test", now=timezone.now())
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    command = [sys.executable, "-m", "tests.gdpr.exporter"]
    environment = os.environ | {"DATABASE_URL": database, "EXPORT_STORAGE": str(tmp_path), "LOG_FORMAT": "json"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    job = Job.objects.select_related("archive").get(pk=request.job_id)
    assert job.status == "COMPLETED", job.traceback
    assert job.archive.counts["audit_auditevent"] == EVENTS + 1  # the request is an event too
    assert json.loads(done.stdout.splitlines()[-1])["peak"] < MOST
