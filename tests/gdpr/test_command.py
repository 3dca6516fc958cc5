"""`manage.py gdpr_export`, as an operator types it."""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit import signing
from audit.models import AuditEvent, Company
from gdpr.models import ExportRequest
from gdpr.requesting import request_export
from jobs.models import Job
from tests.conftest import Tenant, draft, open_tenant
from tests.gdpr.making import EVENTS, alter, remove
from tests.system import ROOT

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def acme() -> Tenant:
    """A company whose events are of two people."""
    acme = open_tenant("Acme")
    acme.record(draft(), draft(actor={"id": "u2"}, payload={"to": "Ada@Example.com"}), draft(actor={"id": "u2"}))
    return acme


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports" / "acme.zip"


def export(company: Company, file: Path, *arguments: str) -> str:
    """What the command says."""
    said = StringIO()
    call_command("gdpr_export", "--company", str(company.id), "--output", str(file), *arguments, stdout=said)
    return said.getvalue()


def refused(company: Company, file: Path, *arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        export(company, file, *arguments)
    return caught.value


def manifest_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zipfile.ZipFile(file).read("manifest.json"))
    return found


def told(company: Company) -> list[tuple[str, dict[str, Any]]]:
    """What the company's `system` workspace says."""
    events = AuditEvent.objects.filter(workspace=company.system_workspace).order_by("seq")
    return [(event.action, event.payload or {}) for event in events]


# --- The archive ------------------------------------------------------------------------------------------------


def test_the_file_passes_the_verifier_elsewhere_and_is_told_and_recorded_as_it_is(acme: Tenant, file: Path) -> None:
    said = export(acme.company, file)
    (key_id, key), *_ = signing.public_keys().items()
    verifying = [sys.executable, "-m", "hyrelog.verify", str(file), "--key", key]
    done = subprocess.run(verifying, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    content, manifest = file.read_bytes(), manifest_of(file)
    sha256 = hashlib.sha256(content).hexdigest()
    for fact in (str(file), f"{len(content):,} bytes", sha256, key_id, key, "4 audit_auditevent", "1 audit_company"):
        assert fact in said
    assert manifest["request"]["jobId"] is None
    by = manifest["request"]["requestedBy"]
    assert re.fullmatch(r"operator \S+, by manage\.py gdpr_export", by)
    requested = {"jobId": None, "scope": "company", "requestedBy": by}
    assert told(acme.company) == [
        ("gdpr.export.requested", requested),
        ("gdpr.export.written", {**requested, "bytes": len(content), "sha256": sha256}),
    ]
    assert manifest["counts"]["audit_auditevent"] == 4  # the request among them
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert not Job.objects.exists()


def test_a_person_is_found_by_each_identifier_and_named_by_no_event(acme: Tenant, file: Path) -> None:
    export(acme.company, file, "--subject", "email=ada@example.com", "--subject", "actorId=u=1", "--csv")
    manifest = manifest_of(file)
    assert (manifest["scope"], manifest["counts"]["audit_auditevent"]) == ("subject", 2)
    assert manifest["subject"] == {"email": ["ada@example.com"], "actorId": ["u=1"]}
    archive = zipfile.ZipFile(file)
    assert [json.loads(line)["seq"] for line in archive.read(EVENTS).splitlines()] == [1, 2]
    assert "data/audit_auditevent.csv" in archive.namelist()
    assert [(action, payload["scope"]) for action, payload in told(acme.company)] == [
        ("gdpr.export.requested", "subject"),
        ("gdpr.export.written", "subject"),
    ]
    assert not re.search("ada@|u=1", json.dumps(told(acme.company)))


def test_neither_the_days_limit_nor_an_export_under_way_holds_it_up(acme: Tenant, file: Path, settings: Any) -> None:
    settings.GDPR_EXPORTS_PER_DAY = 1
    request_export(company=acme.company, scope="company", requested_by="a test", now=timezone.now())
    export(acme.company, file)
    export(acme.company, file.with_name("again.zip"))
    assert ExportRequest.objects.count() == 1


def test_a_closed_company_is_exported_and_the_command_says_that_it_is_closed(acme: Tenant, file: Path) -> None:
    acme.company.close(now=timezone.now())
    assert "The company was closed on" in export(acme.company, file)
    assert manifest_of(file)["counts"]["audit_auditevent"] == 4


# --- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("company_id", ["7", "01a201cd-45ed-7abb-9480-7c71bc1dae17"])
def test_a_company_that_is_none_is_refused_by_its_id(company_id: str, file: Path) -> None:
    with pytest.raises(CommandError, match=f"There is no company '{company_id}'"):
        call_command("gdpr_export", "--company", company_id, "--output", str(file))
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("subject", "rule"),
    [
        ("ada@example.com", "'ada@example.com' is not of the form email=ada@example.com or actorId=u1"),
        ("", "'' is not of the form"),
        ("email=", "'email=' has 0 characters; it must have 1 to "),
        ("email=Ada", "'email=Ada' is no e-mail address"),
        ("name=Ada", "'name=Ada' is unknown; known are actorId and email"),
    ],
)
def test_an_identifier_that_finds_nobody_is_refused_by_name(subject: str, rule: str, acme: Tenant, file: Path) -> None:
    assert rule in str(refused(acme.company, file, "--subject", subject))
    assert told(acme.company) == []


def test_too_many_identifiers_are_wrong_usage(acme: Tenant, file: Path) -> None:
    identifiers = [argument for n in range(21) for argument in ("--subject", f"actorId=u{n}")]
    error = refused(acme.company, file, *identifiers)
    assert (str(error), error.returncode) == ("--subject: has 21 identifiers; it must have 1 to 20", 2)


def test_what_is_at_the_files_name_stays_as_it_is(acme: Tenant, file: Path) -> None:
    file.write_bytes(b"older")
    (link := file.with_name("link.zip")).symlink_to(file.with_name("nothing"))
    for path in (file, link, file.parent):
        assert f"{path} exists already, and was left as it is" in str(refused(acme.company, path))
    assert file.read_bytes() == b"older"
    assert sorted(file.parent.iterdir()) == [file, link]
    assert told(acme.company) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/acme.zip", "No such file or directory"),
        ("file/acme.zip", "Not a directory"),
        ("x" * 251 + ".zip", "File name too long"),
    ],
)
def test_a_place_that_takes_no_file_is_refused_before_anything_is_read(
    place: str, reason: str, acme: Tenant, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert str(refused(acme.company, path := tmp_path / place)) == f"{path} cannot be written: {reason}."
    assert told(acme.company) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_refused_before_anything_is_read(acme: Tenant, file: Path) -> None:
    file.parent.chmod(0o500)
    assert str(refused(acme.company, file)) == f"{file} cannot be written: Permission denied."
    assert told(acme.company) == []


# --- Shortfalls -------------------------------------------------------------------------------------------------


def test_a_broken_chain_is_told_and_leaves_no_file(acme: Tenant, file: Path) -> None:
    remove(acme.workspace.events.get(seq=2))
    error = refused(acme.company, file)
    assert f"The chain of workspace {acme.workspace.id} is broken at seq 2: the event is missing" in str(error)
    assert error.returncode == 1
    assert list(file.parent.iterdir()) == []
    assert [action for action, _ in told(acme.company)] == ["gdpr.export.requested"]


def test_an_altered_event_is_told_and_leaves_no_file(acme: Tenant, file: Path) -> None:
    alter(acme.workspace.events.get(seq=2), payload={"to": "nobody"})
    error = str(refused(acme.company, file))
    assert f"workspace {acme.workspace.id}, seq 2: its content was altered" in error
    assert list(file.parent.iterdir()) == []
    assert [action for action, _ in told(acme.company)] == ["gdpr.export.requested"]
