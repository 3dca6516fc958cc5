"""Exports from the request to the check of the archive on somebody else's machine, for both scopes."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.archives import EXPORTS, downloaded, exported, lines, manifest, opened, public_key, unpacked, verified
from tests.system import System, wait_until

ADA = {"id": "ada", "email": "ada@example.com", "name": "Ada"}
BOB = {"id": "bob", "email": "bob@example.com", "name": "Bob"}
NADA = {"id": "nada", "email": "nada@example.com", "name": "Nada"}
OF_ADA: tuple[dict[str, Any], ...] = (
    {"actor": ADA},
    {"actor": BOB, "target": {"type": "user", "id": "ada"}},
    {"actor": BOB, "payload": {"mailed": ["to <Ada@Example.com>, with thanks"]}},
    {"actor": BOB, "metadata": {"deep": [{"owner": "ada"}]}},
    {"actor": BOB, "changes": [{"field": "email", "old": "ada@example.com", "new": "ada@example.org"}]},
)
OF_OTHERS: tuple[dict[str, Any], ...] = (
    {"actor": BOB},
    {"actor": NADA},
    {"actor": BOB, "payload": {"text": "write to nada@example.com or ada@example.com.br"}},
)


@pytest.fixture(scope="module")
def recorded(system: System) -> list[str]:
    """Events of several people; the ids of those that name Ada."""
    events = [{"action": "person.met", "category": "test", **parts} for parts in (*OF_ADA, *OF_OTHERS)] * 10
    answer = system.post("/v1/key/workspace/events/batch", {"events": events}, key="workspace_key")
    ids = [event["id"] for event in answer["events"]]
    return [one for n, one in enumerate(ids) if n % (len(OF_ADA) + len(OF_OTHERS)) < len(OF_ADA)]


class Page(HTMLParser):
    """What a browser would make of a page: elements, and the addresses that they name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href"} and value]


def test_a_company_s_export_is_checked_offline_by_what_lies_in_it(
    system: System, recorded: list[str], tmp_path: Path
) -> None:
    export = exported(system, scope="company", csv=True)
    content = downloaded(system, export)
    checked = verified(unpacked(content, tmp_path), "--key", public_key(system))
    assert checked.returncode == 0, checked.stdout + checked.stderr

    said = manifest(content)
    company = system.run["company_id"]
    workspace = system.run["workspace_id"]
    events = lines(content, "audit_auditevent")
    (chain,) = (chain for chain in said["checkpoint"]["body"]["chains"] if chain["workspaceId"] == workspace)
    mine = [row for row in events if row["workspace_id"] == workspace]
    assert [row["seq"] for row in mine] == list(range(1, chain["seq"] + 1))
    assert set(recorded) <= {row["id"] for row in mine}
    for table, count in said["counts"].items():
        assert len(lines(content, table)) == count
    assert said["company"]["id"] == company
    with opened(content) as archive:
        page = Page(archive.read("README.html").decode())
        table = archive.read("data/audit_auditevent.csv").decode()
        context = json.loads(archive.read("context.json"))
    assert "script" not in page.tags
    assert [address for address in page.addresses if re.match(r"(?i)https?:|//", address)] == []
    assert table.count("person.met") == 80
    assert context["recipients"]


def test_a_byte_that_changed_in_transit_is_found(system: System, recorded: list[str], tmp_path: Path) -> None:
    content = downloaded(system, exported(system, scope="company"))
    assert verified(unpacked(content, tmp_path), "--key", public_key(system)).returncode == 0
    rows = tmp_path / "data" / "audit_auditevent.ndjson"
    rows.write_bytes(rows.read_bytes().replace(b'"bob"', b'"eve"', 1))
    checked = verified(tmp_path, "--key", public_key(system))
    assert checked.returncode == 1
    assert "audit_auditevent.ndjson" in checked.stdout


def test_a_person_s_export_holds_what_names_her_and_proves_each_event(
    system: System, recorded: list[str], tmp_path: Path
) -> None:
    asked = {"scope": "subject", "subject": {"actorId": "ada", "email": "ada@example.com"}}
    content = downloaded(system, exported(system, **asked))
    checked = verified(unpacked(content, tmp_path), "--key", public_key(system))
    assert checked.returncode == 0, checked.stdout + checked.stderr

    workspace = system.run["workspace_id"]
    events = lines(content, "audit_auditevent")
    assert [row["id"] for row in events if row["workspace_id"] == workspace] == recorded
    assert "nada@example.com" not in json.dumps(events)
    assert {row["event_id"] for row in lines(content, "webhooks_webhookdelivery")} >= set(recorded)
    assert manifest(content)["subject"] == {"actorId": ["ada"], "email": ["ada@example.com"]}


def test_nobody_found_is_an_archive_that_says_so(system: System, recorded: list[str], tmp_path: Path) -> None:
    asked = {"scope": "subject", "subject": {"actorId": "nobody-at-all"}}
    content = downloaded(system, exported(system, **asked))
    assert verified(unpacked(content, tmp_path), "--key", public_key(system)).returncode == 0
    assert [row for row in lines(content, "audit_auditevent") if row["action"] == "person.met"] == []


def test_what_was_done_stands_in_the_system_chain(system: System, recorded: list[str]) -> None:
    export = exported(system, scope="subject", subject={"email": "bob@example.com"})
    downloaded(system, export)

    def told() -> list[str]:
        events = system.get("/v1/key/company/events", category="hyrelog", limit=500)["events"]
        about = [event for event in events if (event["payload"] or {}).get("jobId") == export["jobId"]]
        assert "bob@example.com" not in json.dumps(about)
        return [event["action"] for event in reversed(about)]

    whole = ["gdpr.export.requested", "gdpr.export.ready", "gdpr.link.issued", "gdpr.export.downloaded"]
    wait_until(lambda: told() == whole, seconds=30, what="the story", state=told)


def test_a_link_that_was_revoked_serves_nothing_and_each_use_is_on_record(system: System) -> None:
    export = exported(system, scope="company")
    links = f"{EXPORTS}/{export['jobId']}/links"
    link = system.post(links)
    with requests.get(link["url"], timeout=30, stream=True) as begun:
        assert begun.status_code == 200
    answer = requests.delete(
        f"{system.run['web']}{links}/{link['linkId']}", headers={"x-hyrelog-key": system.run["company_key"]}, timeout=10
    )
    assert answer.status_code == 204
    assert requests.get(link["url"], timeout=10).status_code == 410
    (shown,) = system.get(links)["links"]
    assert shown["revokedAt"]
    assert "url" not in shown
