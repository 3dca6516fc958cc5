import csv
import io
import itertools
import json
import secrets
import tracemalloc

import pytest

from audit import signing
from audit.canonical import canonical
from audit.checkpoints import BrokenChain
from audit.models import ChainHead
from gdpr import estimating, reading
from gdpr.making import MissingRows
from gdpr.progress import Progress
from tests.conftest import Tenant, draft
from tests.gdpr.making import EVENTS, alter, make_one, remove
from webhooks.models import Webhook

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠1"]  # noqa: RUF001


def test_an_archive_is_as_its_verifier_wants_it(tenant: Tenant) -> None:
    tenant.record(*[draft(payload={"text": 'é\n"😀', "n": 0.1}) for _ in range(30)])
    made = make_one(tenant.company, csv=True)
    assert made.faults() == []
    names = made.zip.namelist()
    assert names[-2:] == ["manifest.json", "signature.json"]
    assert names[:-2] == [file["name"] for file in made.manifest["files"]]
    assert made.manifest["counts"] == made.made.counts


def test_events_stand_in_the_order_of_the_checkpoint(tenant: Tenant) -> None:
    other = tenant.company.add_workspace(name="staging")
    for workspace in (other, tenant.workspace):
        tenant.workspace = workspace
        tenant.record(draft(), draft(), draft())
    made = make_one(tenant.company)
    chains = made.manifest["checkpoint"]["body"]["chains"]
    expected = [(chain["workspaceId"], seq) for chain in chains for seq in range(1, chain["seq"] + 1)]
    assert len(expected) == 6
    assert [(row["workspace_id"], row["seq"]) for row in made.rows("audit_auditevent")] == expected


def test_the_checkpoint_holds_each_chain_the_empty_ones_too(tenant: Tenant) -> None:
    last = tenant.record(draft(), draft())[-1]
    made = make_one(tenant.company)
    checkpoint = made.manifest["checkpoint"]
    assert checkpoint == made.made.checkpoint
    chains = {chain["workspaceId"]: chain for chain in checkpoint["body"]["chains"]}
    assert (chains[str(tenant.workspace.id)]["seq"], chains[str(tenant.workspace.id)]["hash"]) == (2, last.hash)
    empty = chains[str(tenant.company.system_workspace.id)]
    assert (empty["seq"], empty["hash"]) == (0, "0" * 64)
    assert checkpoint["signature"] == signing.sign("hyrelog-checkpoint-v1", canonical(checkpoint["body"]))


def test_events_that_come_while_it_is_made_stay_outside(tenant: Tenant) -> None:
    tenant.record(*[draft() for _ in range(5)])

    def record_one_more(_: Progress) -> None:
        tenant.record()

    made = make_one(tenant.company, advance=record_one_more)
    assert [row["seq"] for row in made.rows("audit_auditevent")] == [1, 2, 3, 4, 5]
    assert made.faults() == []


def test_the_same_rows_give_the_same_bytes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant.record(*[draft(payload={"n": n}) for n in range(20)])
    once = make_one(tenant.company)
    monkeypatch.setattr(reading, "PART", 3)
    again = make_one(tenant.company)
    assert once.zip.read(EVENTS) == again.zip.read(EVENTS)
    assert once.manifest["files"][0] == again.manifest["files"][0]


@pytest.mark.parametrize("part", [1, 4, 10, 11])
def test_a_missing_event_is_named_and_there_is_no_smaller_archive(
    tenant: Tenant, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PART", part)
    events = tenant.record(*[draft() for _ in range(10)])
    remove(events[6])
    with pytest.raises(BrokenChain, match=f"workspace {tenant.workspace.id} is broken at seq 7: the event is missing"):
        make_one(tenant.company)


def test_missing_events_at_the_end_are_named(tenant: Tenant) -> None:
    events = tenant.record(draft(), draft(), draft())
    for event in events[1:]:
        remove(event)
    with pytest.raises(BrokenChain, match=r"at seq 2: .* says that it reaches 3"):
        make_one(tenant.company)


@pytest.mark.parametrize("part", [1, 2, 10])
@pytest.mark.parametrize(
    ("altered", "seq"),
    [((1, "prev_hash", "1" * 64), 2), ((1, "hash", "1" * 64), 3), ((3, "hash", "x"), 4), ((1, "seq", 0), 1)],
    ids=["prev_hash", "hash", "no hash", "seq 0"],
)
def test_a_broken_link_is_named(
    tenant: Tenant, altered: tuple[int, str, object], seq: int, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PART", part)
    events = tenant.record(draft(), draft(), draft(), draft())
    place, field, value = altered
    alter(events[place], **{field: value})
    with pytest.raises(BrokenChain, match=f"at seq {seq}:"):
        make_one(tenant.company)


def test_a_last_event_that_is_not_the_head_s_is_named(tenant: Tenant) -> None:
    tenant.record(draft(), draft())
    ChainHead.objects.filter(workspace=tenant.workspace).update(hash="1" * 64)
    with pytest.raises(BrokenChain, match="at seq 2: the chain's head holds another hash"):
        make_one(tenant.company)


def test_a_chain_without_a_head_is_named(tenant: Tenant) -> None:
    tenant.record(draft())
    ChainHead.objects.filter(workspace=tenant.workspace).delete()
    with pytest.raises(BrokenChain, match=f"workspace {tenant.workspace.id} is broken at seq 1: the chain has no head"):
        make_one(tenant.company)


def test_no_cell_of_the_table_is_a_formula(tenant: Tenant) -> None:
    tenant.record(*[draft(action=f"{text}|n", payload={"x": 'a "b", c\r\n\n'}) for text in FORMULAS])
    made = make_one(tenant.company, csv=True)
    text = made.zip.read("data/audit_auditevent.csv").decode("utf-8-sig")
    heading, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(rows) == len(FORMULAS)
    assert [row[heading.index("action")] for row in rows] == [f"'{text}|n" for text in FORMULAS]
    assert {row[heading.index("payload")] for row in rows} == {json.dumps({"x": 'a "b", c\r\n\n'})}
    assert {row[heading.index("target")] for row in rows} == {""}
    assert heading == list(made.rows("audit_auditevent")[0])
    quoted = io.StringIO(newline="")
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerows([heading, *rows])
    assert text == quoted.getvalue()


def test_a_table_that_lacks_an_event_ends_the_making(tenant: Tenant) -> None:
    events = tenant.record(draft(), draft(), draft())

    def remove_one(progress: Progress) -> None:
        if progress.step == "webhooks_webhook":  # after the events, before their table
            remove(events[1])

    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    with pytest.raises(MissingRows, match="has 2 rows; there are 3 events"):
        make_one(tenant.company, csv=True, advance=remove_one)


def test_rows_are_read_in_parts(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART", 4)
    tenant.record(*[draft() for _ in range(10)])
    told: list[Progress] = []
    make_one(tenant.company, advance=told.append)
    of_events = [progress.rows for progress in told if progress.step == "audit_auditevent"]
    assert [after - of_events[0] + 4 for after in of_events] == [4, 8, 10]


@pytest.mark.parametrize(
    "text",
    ["x" * 1_000, "x" * 1_000_000, secrets.token_urlsafe(750_000)],
    ids=["small", "compressible", "random"],
)
def test_a_part_is_bounded_by_its_bytes(tenant: Tenant, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PART_BYTES", 3 * len(text))
    tenant.record(*[draft(payload={"text": text, "n": n}) for n in range(12)])
    told: list[Progress] = []
    made = make_one(tenant.company, advance=told.append)
    sizes = [progress.bytes for progress in told if progress.step == "audit_auditevent"]
    assert max(after - before for before, after in itertools.pairwise(sizes)) <= 4 * (len(text) + 2_000)
    assert [row["payload"]["n"] for row in made.rows("audit_auditevent")] == list(range(12))


def test_memory_is_bounded_however_large_the_events_are(tenant: Tenant) -> None:
    text = secrets.token_urlsafe(1_500_000)
    for n in range(20):
        tenant.record(draft(payload={"text": text[n:]}), draft(payload={"text": "x" * 2_000_000}))
    peak = 0

    def look(_: Progress) -> None:
        nonlocal peak
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        made = make_one(tenant.company, advance=look)
    finally:
        tracemalloc.stop()
    assert made.made.counts["audit_auditevent"] == 40
    assert peak - len(made.file.getvalue()) < 20 << 20


def test_progress_is_told_in_rows_and_bytes_against_what_was_expected(tenant: Tenant) -> None:
    tenant.record(*[draft() for _ in range(50)])
    told: list[Progress] = []
    made = make_one(tenant.company, csv=True, advance=told.append)
    rows = sum(made.made.counts.values()) + 50
    assert (told[-1].rows, told[-1].expected_rows, told[-1].fraction) == (rows, rows, 1.0)
    files = [file for file in made.manifest["files"] if file["rows"] is not None]
    assert 0 <= sum(file["bytes"] for file in files) - told[-1].bytes < 1_000  # but for the table's heading
    assert told[-1].expected_bytes == told[-1].bytes
    assert all(progress.expected_bytes >= progress.bytes for progress in told)
    assert sorted(progress.rows for progress in told) == [progress.rows for progress in told]


def test_of_many_rows_no_more_are_counted_than_needed(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "MOST_COUNTED", 1)
    told: list[Progress] = []
    make_one(tenant.company, advance=told.append)
    assert told[-1].expected_rows >= told[-1].rows


class Enough(Exception):
    pass


@pytest.mark.parametrize("step", ["counting", "audit_auditevent", "data/audit_auditevent.csv", "describing"])
def test_what_is_raised_by_whoever_is_told_ends_the_making(tenant: Tenant, step: str) -> None:
    tenant.record()

    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise Enough

    with pytest.raises(Enough):
        make_one(tenant.company, csv=True, advance=stop)
