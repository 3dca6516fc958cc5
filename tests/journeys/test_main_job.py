"""The main job: an event recorded through the API reaches a webhook, and a GDPR export yields a file."""

import gzip
import hashlib
import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from standardwebhooks.webhooks import Webhook as Verifier

from tests.receiver import serve_receiver
from tests.system import ROOT, System, wait_until

REAL = ROOT.parent / "shared" / "data" / "cloudtrail.ndjson.gz"
COUNT = 2_900


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,900 CloudTrail records: real ones where they are at hand, else some of the same shape."""
    if REAL.exists():
        return REAL
    file = tmp_path_factory.mktemp("trail") / "cloudtrail.ndjson.gz"
    services = ["s3", "iam", "ec2", "sts"]
    with gzip.open(file, "wt") as lines:
        for n in range(COUNT):
            record = {
                "eventVersion": "1.08",
                "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::1:user/u{n % 7}", "userName": f"u{n % 7}"},
                "eventTime": f"2023-07-10T11:{n // 60 % 60:02}:{n % 60:02}Z",
                "eventSource": f"{services[n % 4]}.amazonaws.com",
                "eventName": "GetObject" if n % 2 else "ListBuckets",
                "requestID": str(n),
                "eventCategory": "Management",
                "requestParameters": {"n": n, "text": "é" * (n % 400)},
            }
            lines.write(json.dumps(record) + "\n")
    return file


def actions(file: Path) -> Counter[str]:
    with gzip.open(file, "rt") as lines:
        records = [json.loads(line) for line in lines]
    return Counter(f"{r['eventSource'].removesuffix('.amazonaws.com')}.{r['eventName']}" for r in records)


def settled(system: System) -> bool:
    """Whether nothing is due, on the wire, or waiting for the commit of a settlement."""
    statement = "SELECT count(*) FROM webhooks_webhookdelivery WHERE status IN ('PENDING', 'SENDING')"
    return system.sql(statement) == [(0,)]


def test_every_imported_event_arrives_once_at_each_webhook_that_wants_it(system: System, trail: Path) -> None:
    with serve_receiver() as buckets:
        webhook = system.register(buckets.url, events=["s3.*"])
        before = demo_counts(system)
        said = system.manage("import_events", str(trail), "--format", "cloudtrail")
        assert f"{COUNT} events recorded" in said.stdout
        wanted = sum(count for action, count in actions(trail).items() if action.startswith("s3."))
        assert wanted > 0
        wait_until(lambda: settled(system), seconds=60, what="all deliveries settled")

        verifier = Verifier(webhook["secret"])
        for request in buckets.requests:
            verifier.verify(request.body, request.headers)
        ids = [request.headers["webhook-id"] for request in buckets.requests]
        assert len(ids) == len(set(ids)) == wanted
        system_delete(system, webhook)
    arrived = [now - then for now, then in zip(demo_counts(system), before, strict=True)]
    assert arrived == [COUNT, COUNT, COUNT, 0]


def demo_counts(system: System) -> list[int]:
    """What the demo's receiver tells of all that it got."""
    told = requests.get(system.run["receiver"] + "/deliveries.json", timeout=5).json()
    return [told[name] for name in ("received", "verified", "uniqueIds", "rejected")]


def system_delete(system: System, webhook: dict[str, Any]) -> None:
    answer = requests.delete(
        f"{system.run['web']}/v1/key/company/webhooks/{webhook['id']}",
        headers={"x-hyrelog-key": system.run["company_key"]},
        timeout=10,
    )
    assert answer.status_code == 204


def test_what_a_stopped_receiver_missed_arrives_by_the_schedule(system: System) -> None:
    with serve_receiver() as receiver:
        port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
        webhook = system.register(receiver.url, events=["outage.*"])
    ids = system.record(*["outage.happened"] * 20)

    def waiting() -> list[tuple[Any, ...]]:
        return system.sql(
            "SELECT extract(epoch FROM d.next_attempt_at - a.finished_at), d.failures, a.kind "
            "FROM webhooks_webhookdelivery d "
            "JOIN webhooks_webhookattempt a ON a.delivery_id = d.id AND a.number = d.attempt "
            "WHERE d.webhook_id = %s AND d.status = 'FAILED'",
            webhook["id"],
        )

    wait_until(lambda: len(waiting()) == 20, seconds=30, what="20 failed deliveries")
    assert {(failures, kind) for _, failures, kind in waiting()} == {(1, "refused")}
    assert all(60 <= pause <= 66 for pause, _, _ in waiting())

    with serve_receiver(port) as receiver:
        system.advance_clock(70)
        assert receiver.wait_for(20, timeout=30)
        assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(ids)
        assert {request.headers["hyrelog-attempt"] for request in receiver.requests} == {"2"}
        wait_until(lambda: settled(system), seconds=30, what="retries settled")
        shown = system.get(f"/v1/key/company/webhooks/{webhook['id']}/deliveries", status="SUCCESS")
        assert len(shown["deliveries"]) == 20
        system_delete(system, webhook)


def test_an_export_yields_a_file_whose_counts_are_the_database_s(system: System) -> None:
    requested = system.post("/v1/key/company/gdpr/export", {"scope": "company"})
    assert requested["status"] == "PENDING"
    url = f"/v1/key/company/gdpr/exports/{requested['jobId']}"
    export = wait_until(
        lambda: (shown := system.get(url))["status"] in {"COMPLETED", "FAILED"} and shown, seconds=60, what="export"
    )
    assert export["status"] == "COMPLETED", export["error"]
    link = system.post(url + "/links")
    with requests.get(link["url"], timeout=60, stream=True) as broken:
        content = next(broken.iter_content(1024))
    download = requests.get(link["url"], headers={"Range": f"bytes={len(content)}-"}, timeout=60)
    assert download.status_code == 206
    content += download.content
    assert hashlib.sha256(content).hexdigest() == export["archive"]["sha256"]
    assert requests.get(link["url"], timeout=10).status_code == 410

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for listed in manifest["files"]:
            rows = archive.read(listed["name"])
            assert hashlib.sha256(rows).hexdigest() == listed["sha256"]
            assert listed["rows"] in {None, rows.count(b"\n")}
        events = [json.loads(line) for line in archive.read("data/audit_auditevent.ndjson").splitlines()]
    company = system.run["company_id"]
    # What came after the export was begun (its own download, say) is not in it.
    (recorded,) = system.sql(
        "SELECT count(*) FROM audit_auditevent WHERE company_id = %s AND recorded_at <= %s",
        company,
        manifest["readFrom"],
    )
    assert len(events) == manifest["counts"]["audit_auditevent"] == recorded[0]
    (webhooks,) = system.sql("SELECT count(*) FROM webhooks_webhook WHERE company_id = %s", company)
    assert manifest["counts"]["webhooks_webhook"] == webhooks[0]


def test_verify_chain_passes_and_names_an_altered_row(system: System) -> None:
    assert "intact" in system.manage("verify_chain").stdout
    workspace = system.run["workspace_id"]
    (found,) = system.sql("SELECT id, payload FROM audit_auditevent WHERE workspace_id = %s AND seq = 7", workspace)
    event, payload = found
    system.sql("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
    system.sql("UPDATE audit_auditevent SET payload = '{\"forged\": true}' WHERE id = %s", event)
    said = system.manage("verify_chain", check=False)
    assert said.returncode == 1
    assert f"event {event} (seq 7): its content was altered" in said.stderr
    assert "faults: 1" in said.stdout
    system.sql("UPDATE audit_auditevent SET payload = %s::jsonb WHERE id = %s", json.dumps(payload), event)
    system.sql("ALTER TABLE audit_auditevent ENABLE TRIGGER USER")
    assert "intact" in system.manage("verify_chain").stdout


def test_stopping_everything_and_starting_again_loses_nothing(system: System) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["restart.*"])
        receiver.gate.clear()
        ids = system.record(*["restart.now"] * 50)
        assert receiver.wait_for(1)
        system.post("/v1/key/company/gdpr/export", {"scope": "company"})
        keys = {name: system.run[name] for name in ("company_key", "workspace_key", "company_id", "webhook")}
        receiver.gate.set()
        system.stop()
        system.start()
        assert {name: system.run[name] for name in keys} == keys
        wait_until(lambda: settled(system), seconds=60, what="all deliveries settled")
        arrived = {request.headers["webhook-id"] for request in receiver.requests}
        assert arrived == set(ids)
        wait_until(
            lambda: (
                {export["status"] for export in system.get("/v1/key/company/gdpr/exports")["exports"]} == {"COMPLETED"}
            ),
            seconds=60,
            what="both exports",
        )
        system_delete(system, webhook)
    assert "intact" in system.manage("verify_chain").stdout


def test_metrics_and_readiness_tell_of_the_whole(system: System) -> None:
    assert "hyrelog_worker_processes" in requests.get(system.run["metrics"], timeout=10).text
    assert requests.get(system.run["web"] + "/readyz", timeout=10).json()["status"] == "ok"


def test_a_new_event_does_not_wait_for_a_tick(system: System) -> None:
    """The bell alone brings the event to the receiver."""
    with system.without_ticks(), serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["bell.*"])
        system.record("bell.rung")
        assert receiver.wait_for(1, timeout=30)
        system_delete(system, webhook)


def test_the_parent_of_a_worker_s_processes_holds_no_connection_to_postgres(system: System) -> None:
    port = urlsplit(system.run["database_url"]).port
    worker = psutil.Process(system.run["pids"]["worker"])

    def connected(process: psutil.Process) -> bool:
        return any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp"))

    assert any(connected(child) for child in worker.children())
    assert not connected(worker)
