"""Hostile data comes through an export as it was sent, and neither breaks the archive nor becomes a part of it."""

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit import signing
from audit.models import ApiKey, Company
from audit.personal_data import covered
from gdpr import storage
from gdpr.models import PrivacyNotice
from gdpr.requesting import request_export
from gdpr.subjects import Subject
from jobs.leases import ProcessLease
from tests.api import Api
from tests.gdpr import hostile
from tests.jobs.steps import run_next

BATCH = "/v1/key/workspace/events/batch"
EVENTS = "data/audit_auditevent.ndjson"
CSV = "data/audit_auditevent.csv"
Export = Callable[..., bytes]
TIMES = {"occurred_at", "recorded_at"}
ALONE = {"README.html", "manifest.json", "signature.json", "verify.py", "context.json", "fields.json"}


@pytest.fixture
def company(db: None, client: Client, settings: Any, tmp_path: Path) -> Company:
    """A company whose every name is hostile, and which sent hostile events."""
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    company = Company.objects.open(name=hostile.COMPANY)
    for name in hostile.WORKSPACES:
        _, key = ApiKey.objects.issue(company=company, workspace=company.add_workspace(name=name), name=hostile.KEY)
    _, company_key = ApiKey.objects.issue(company=company, name=hostile.KEY)
    for text in ("=1+1<hostile onclick=x>", "\u202e../../etc/passwd\r\n"):
        webhook = {"url": "https://example.com/?%3Chostile%3E='&amp;=1+1", "description": text}
        answer = Api(client, company_key).post("/v1/key/company/webhooks", webhook)
        assert answer.status_code == 201, answer.content
    said = {name: f"{hostile.COMPANY} {name}" for name in ("controller", "contact", "purposes", "sources", "retention")}
    PrivacyNotice.objects.create(company=company, **said)
    for number, events in enumerate([hostile.events(), *([event] for event in hostile.large_events())]):
        headers = {"user-agent": "=1+1<hostile onclick=x>", "idempotency-key": f"=1+{number}<hostile>"}
        answer = Api(client, key).post(BATCH, {"events": events}, **headers)
        assert answer.status_code == 201, answer.content[:500]
    return company


@pytest.fixture
def export(company: Company, lease: ProcessLease) -> Export:
    """Make an export of the company; the bytes of its archive."""

    def make(**asked: Any) -> bytes:
        by = f"API key {ApiKey.objects.filter(company=company)[0]}"
        request, _ = request_export(company=company, requested_by=by, now=timezone.now(), **asked)
        assert run_next(lease, queue="exports")
        request.job.refresh_from_db()
        assert request.job.status == "COMPLETED", request.job.error
        with storage.open_file(request.job.archive.file) as file:
            return file.read()

    return make


@pytest.fixture(scope="module")
def shared() -> dict[str, bytes]:
    """Archives that the first test which reads one has made."""
    return {}


@pytest.fixture
def made(db: None, shared: dict[str, bytes], request: pytest.FixtureRequest) -> dict[str, bytes]:
    """The same archives for all tests, which only read them: of everything, and about one person."""
    if not shared:
        export: Export = request.getfixturevalue("export")
        person = Subject(actor_ids=hostile.IDS, emails=(hostile.ADDRESS,))
        shared["everything"] = export(scope="company", csv=True)
        shared["person"] = export(scope="subject", subject=person)
    return shared


@pytest.fixture
def archive(made: dict[str, bytes]) -> Iterator[zipfile.ZipFile]:
    """An archive of everything, with the events for a spreadsheet."""
    with zipfile.ZipFile(io.BytesIO(made["everything"])) as archive:
        yield archive


def test_each_event_is_in_the_archive_as_it_was_sent(archive: zipfile.ZipFile) -> None:
    came = [row for row in rows(archive, EVENTS) if row["category"] != "hyrelog"]
    sent = hostile.events() + hostile.large_events()
    assert [as_sent(row, event) for row, event in zip(came, sent, strict=True)] == sent
    times = [datetime.fromisoformat(row["occurred_at"]).year for row in came]
    assert {1970, 9999} <= set(times)


def test_the_archive_passes_its_own_verifier_which_no_name_can_steer(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    said = verify(archive, tmp_path)
    assert unicodedata.normalize("NFD", "<hostile") in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "\r" not in said


def test_no_name_in_the_zip_comes_from_data(archive: zipfile.ZipFile) -> None:
    tables = {f"data/{table.table}.ndjson" for table in covered()}
    names = archive.namelist()
    assert set(names) == {*ALONE, *tables, CSV}
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9_./]+", name) for name in names)


def test_no_element_and_no_attribute_of_the_page_comes_from_data(archive: zipfile.ZipFile) -> None:
    page = Page(archive.read("README.html").decode())
    assert {"title", "body"} <= set(page.elements)
    assert not {"hostile", "script", "img", "iframe", "object", "link", "base", "form"} & set(page.elements)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert "hostile" not in repr([page.attributes, page.others])
    assert "=1+1</title><hostile onclick='x'>" in page.text
    assert "&amp;" in page.text  # what was escaped when it came is escaped once more
    assert page.text.count("7*7")  # and is no template
    assert not {character for character in page.text if unicodedata.category(character) == "Cc"} - {"\n", "\t", "\r"}


@pytest.fixture
def large_cells() -> Iterator[None]:
    before = csv.field_size_limit(16 * hostile.MEBIBYTE)
    yield
    csv.field_size_limit(before)


def test_no_cell_is_a_formula_and_without_its_guard_each_is_the_original(
    archive: zipfile.ZipFile, large_cells: None
) -> None:
    text = archive.read(CSV).decode("utf-8-sig")
    heading, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    events = rows(archive, EVENTS)
    for record, row in zip(records, events, strict=True):
        assert heading == list(row)
        for cell, (column, value) in zip(record, row.items(), strict=True):
            assert not is_formula(cell)
            if isinstance(value, (dict, list)):
                assert json.loads(cell) == value
            elif column in TIMES:
                assert datetime.fromisoformat(cell) == datetime.fromisoformat(value)
            else:
                text = "" if value is None else str(value)
                assert cell == ("'" + text if is_formula(text) or text.startswith("'") else text)


def test_an_export_about_a_hostile_person_holds_what_names_them_alone(made: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(made["person"])) as archive:
        actors = [row["actor"]["id"] for row in rows(archive, EVENTS) if row["category"] != "hyrelog" and row["actor"]]
        assert sorted(actors) == sorted([*hostile.IDS, "by address", "in a text"])
        verify(archive, tmp_path)


def rows(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).removesuffix(b"\n").split(b"\n")]


def as_sent(row: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """A row of the archive with the names and the spelling of the event that was sent."""
    came = {name: row[name] for name in event if name in row}
    if "traceId" in event:
        came["traceId"] = row["context"]["traceId"]
    if "occurredAt" in event:
        came["occurredAt"] = row["occurred_at"].replace("+00:00", "Z")
    return came


def verify(archive: zipfile.ZipFile, folder: Path) -> str:
    """What the verifier in the archive says of it, unpacked; fails unless every check passed."""
    archive.extractall(folder / "unpacked")
    key = next(iter(signing.public_keys().values()))
    command = [sys.executable, "-I", str(folder / "unpacked" / "verify.py"), "--key", key]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", env={"PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def plain(text: str) -> str:
    """`text` with wide characters as their narrow ones: spreadsheets read them alike."""
    return unicodedata.normalize("NFKC", text)


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet could take a cell for a formula (OWASP, CSV injection)."""
    return cell[:1] in tuple("\t\r\n") or plain(cell).lstrip()[:1] in tuple("=+-@")


class Page(HTMLParser):
    """The elements, attributes and text of a page, and what is neither."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.others: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)
