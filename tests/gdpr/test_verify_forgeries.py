"""Archives that agree with themselves and are still not what HyreLog recorded."""

import itertools
import json
from typing import Any

import pytest

from audit import chain
from audit.canonical import canonical
from gdpr.verify import Report, verify
from tests.gdpr.archives import (
    EVENTS,
    FORGER,
    HYRELOG,
    PROOFS,
    Company,
    Files,
    company,
    export,
    relist,
    reseal,
    seal,
    sign,
    zipped,
)  # fmt: skip

KEYS = [HYRELOG.key]
FIRST, SECOND = (company().workspace(number) for number in (1, 2))


def reasons(files: Files, **options: Any) -> set[str]:
    """What is wrong, without where."""
    report: Report = verify(zipped(files), keys=KEYS, **options)
    assert (report.status == 1) == bool(report.faults)
    return {fault.reason for fault in report.faults}


def with_lines(files: Files, change: Any, name: str = EVENTS) -> Files:
    """The archive with other lines, and a manifest by HyreLog's own key that agrees with them."""
    lines = change(files[name].splitlines(keepends=True))
    return relist({**files, name: b"".join(lines)})


def altered(files: Files, line: int, **fields: Any) -> Files:
    def alter(lines: list[bytes]) -> list[bytes]:
        row = json.loads(lines[line]) | fields
        return [*lines[:line], json.dumps(row).encode() + b"\n", *lines[line + 1 :]]

    return with_lines(files, alter)


def test_a_forged_chain_that_is_signed_by_another_key() -> None:
    made = company()
    del made.chains[FIRST][1]
    reseal(made.chains[FIRST])
    files = export(made, signer=FORGER)
    assert verify(zipped(files), keys=[FORGER.key]).status == 0
    found = verify(zipped(files), keys=KEYS).faults
    assert [fault.file for fault in found] == ["manifest.json", "manifest.json, checkpoint"]
    assert all(f"by key {FORGER.key_id}, which is none of those given" in fault.reason for fault in found)


def test_a_signature_that_only_names_the_right_key() -> None:
    files = export(company(), signer=FORGER)
    named = json.loads(files["signature.json"]) | {"keyId": HYRELOG.key_id}
    files["signature.json"] = json.dumps(named, separators=(",", ":"), sort_keys=True).encode()
    assert f"the signature by key {HYRELOG.key_id} is not one of these bytes" in reasons(files)


def test_a_manifests_signature_is_none_of_a_checkpoint() -> None:
    made = company()
    checkpoint = made.checkpoint()
    checkpoint |= HYRELOG.sign(b"hyrelog-manifest-v1", json.dumps(checkpoint["body"]).encode())
    assert len(reasons(export(made, checkpoint=checkpoint))) == 1


def test_an_event_that_was_dropped_from_the_middle() -> None:
    assert "seq 2 must stand here: events are missing, stand twice or out of order" in reasons(
        with_lines(export(company()), lambda lines: [lines[0], *lines[2:]])
    )


def test_events_that_were_dropped_from_the_end() -> None:
    assert reasons(with_lines(export(company()), lambda lines: lines[:-1])) == {
        "it ends at seq 1, but the checkpoint says that it reaches 2"
    }


def test_a_whole_chain_that_was_dropped() -> None:
    assert reasons(with_lines(export(company()), lambda lines: lines[:5])) == {
        "it ends at seq 0, but the checkpoint says that it reaches 2"
    }


def test_an_event_dropped_with_everything_computed_anew_but_the_checkpoint() -> None:
    made = company()
    before = made.checkpoint()
    del made.chains[FIRST][1]
    reseal(made.chains[FIRST])
    assert reasons(export(made, checkpoint=before)) == {"it ends at seq 4, but the checkpoint says that it reaches 5"}
    made.record(1)
    assert reasons(export(made, checkpoint=before)) == {"its last hash is not that of the checkpoint"}


def test_a_root_over_other_events_than_the_chain_holds() -> None:
    made, other = company(), company()
    other.chains[FIRST][0] |= {"hash": "ab" * 32}
    assert reasons(export(made, checkpoint=other.checkpoint())) == {"its Merkle root is not that of the checkpoint"}


@pytest.mark.parametrize("events", [0, 2])
def test_an_empty_chain_has_its_own_hash_and_root(events: int) -> None:
    made = company(events=events)
    checkpoint = made.checkpoint()
    checkpoint["body"]["chains"][-1] |= {"root": "0" * 64}
    assert "its Merkle root is not that of the checkpoint" in reasons(export(made, checkpoint=checkpoint))


def test_an_earlier_checkpoint_shows_that_the_past_was_rewritten_by_whoever_holds_the_key() -> None:
    made = company()
    before = made.checkpoint()
    made.chains[FIRST][1]["payload"] = {"n": "never happened"}
    reseal(made.chains[FIRST])
    made.record(1)
    files = export(made)
    assert reasons(files) == set()
    assert reasons(files, checkpoint=before) == {
        "the earlier checkpoint has another hash or root here: the chain was rewritten since"
    }


def test_an_earlier_checkpoint_shows_that_the_end_was_dropped() -> None:
    made = company()
    before = made.checkpoint()
    made.chains[FIRST].pop()
    del made.chains[SECOND]
    found = reasons(export(made), checkpoint=before)
    assert found == {
        "it does not reach seq 5 of the earlier checkpoint (unless that one is the later)",
        "the archive's checkpoint lacks this chain",
    }


def test_an_earlier_checkpoint_must_be_signed_and_of_this_company() -> None:
    made, other = company(), company(number=2)
    assert len(reasons(export(made), checkpoint=made.checkpoint(FORGER))) == 1
    assert "is another company's" in reasons(export(made), checkpoint=other.checkpoint())


def test_events_that_were_swapped() -> None:
    swapped = reasons(with_lines(export(company()), lambda lines: [lines[1], lines[0], *lines[2:]]))
    assert "stands twice or out of order" in swapped
    renumbered = company()
    rows = renumbered.chains[FIRST]
    rows[0], rows[1] = rows[1], rows[0]
    for seq, row in enumerate(rows, start=1):
        row["seq"] = seq
    assert {
        "prev_hash is not the hash of the event before it",
        "its envelope was altered: it does not match its hash",
    } <= reasons(export(renumbered, checkpoint=company().checkpoint()))


def test_chains_that_stand_in_another_order() -> None:
    moved = reasons(with_lines(export(company()), lambda lines: [*lines[5:], *lines[:5]]))
    assert moved == {"stands twice or out of order"}


def test_an_event_that_stands_twice() -> None:
    twice = reasons(with_lines(export(company()), lambda lines: [*lines[:2], lines[1], *lines[2:]]))
    assert "seq 3 must stand here: events are missing, stand twice or out of order" in twice


def test_another_companys_chain() -> None:
    mine, theirs = company(), company(number=2)
    mixed = Company(1, {**mine.chains, theirs.workspace(1): theirs.chains[theirs.workspace(1)]})
    assert reasons(export(mixed)) == {"is an event of another company"}
    assert "the checkpoint holds no such chain" in reasons(export(mixed, checkpoint=mine.checkpoint()))
    whole = export(mine, company={"id": theirs.id, "name": "Globex"})
    assert "the checkpoint is another company's" in reasons(whole)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"actor": {"id": "u2"}}, "its actor was altered: it does not match its commitment"),
        ({"payload": {"n": 2}}, "its content was altered: it does not match its commitment"),
        ({"target": {}}, "its content was altered: it does not match its commitment"),
        ({"payload": {"text": "\ud800"}}, "its content was altered: it does not match its commitment"),
        ({"action": "user.logout"}, "its envelope was altered: it does not match its hash"),
        ({"occurred_at": "2026-01-31T12:00:01.500001+00:00"}, "its envelope was altered: it does not match its hash"),
        ({"recorded_at": "infinity"}, "its envelope was altered: it does not match its hash"),
        ({"recorded_at": "2026-01-31T13:00:01+01:00"}, "its envelope was altered: it does not match its hash"),
        ({"actor_salt": None}, "the salt of its actor is missing: it was erased without a record"),
        ({"content_salt": None}, "the salt of its content is missing: it was erased without a record"),
        ({"content_salt": "00"}, "the salt of its content is not 64 hex characters"),
        ({"more": 1}, "it has not the fields of an event"),
        ({"id": 1}, "id is not a text"),
        ({"workspace_id": ["x"]}, "workspace_id is not a text"),
        ({"seq": True}, "seq is not a whole number, or hash is not one"),
        ({"seq": 2.0}, "seq is not a whole number, or hash is not one"),
        ({"hash": "x"}, "seq is not a whole number, or hash is not one"),
        ({"seq": 2**60}, f"{2**60} is no number that JSON carries safely"),
    ],
)
@pytest.mark.parametrize("subject", [False, True], ids=["company", "subject"])
def test_an_altered_event_is_named_with_its_line(fields: dict[str, Any], reason: str, subject: bool) -> None:  # noqa: FBT001
    made = company()
    files = altered(export(made, chosen=(lambda row: True) if subject else None), 1, **fields)
    found = verify(zipped(files), keys=KEYS).faults
    assert reason in {fault.reason for fault in found if fault.line == 2}


def test_numbers_are_compared_by_value_and_not_by_spelling() -> None:
    made = company()
    made.record(1, payload={"n": 100.0})
    files = export(made)
    assert b'"payload":{"n": 100.0}' in files[EVENTS]
    respelt = {**files, EVENTS: files[EVENTS].replace(b'{"n": 100.0}', b'{"n": 1e2}')}
    assert reasons(relist(respelt)) == set()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "Expecting value: line 1 column 1 (char 0)"),
        (b"[]\n", "it has not the fields of an event"),
        (b'"x"\n', "it has not the fields of an event"),
        (b'{"id":1,"id":1}\n', "a name stands twice in one object"),
        (b"[" * 100_000 + b"\n", "it is nested too deep"),
        (b"\xff\n", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"{}", "does not end with a line feed"),
    ],
    ids=["empty", "list", "text", "twice", "deep", "no utf-8", "no end"],
)
def test_a_line_that_is_no_event(line: bytes, reason: str) -> None:
    assert reason in reasons(with_lines(export(company()), lambda lines: [*lines, line]))


def test_proofs_of_a_subject() -> None:
    made = company(events=9)
    files = export(made, chosen=lambda row: row["seq"] in (2, 3))
    assert reasons(files) == set()
    swapped = with_lines(files, lambda lines: [lines[1], lines[0], *lines[2:]], PROOFS)
    assert reasons(swapped) == {"the proof in this place is another event's"}
    assert reasons(with_lines(files, lambda lines: lines[:-1], PROOFS)) == {
        "events and proofs are not the same in number"
    }
    more = with_lines(files, lambda lines: [*lines, lines[-1]], PROOFS)
    assert reasons(more) == {"events and proofs are not the same in number"}
    wrong = with_lines(files, lambda lines: [lines[0].replace(b'"path": ["', b'"path": ["00', 1), *lines[1:]], PROOFS)
    assert reasons(wrong) == {"it.path[0] must be 64 lower-case hex characters"}
    short = with_lines(files, lambda lines: [_without_last_step(lines[0]), *lines[1:]], PROOFS)
    assert reasons(short) == {"its proof does not lead to the root of the checkpoint"}


def _without_last_step(line: bytes) -> bytes:
    proof = json.loads(line)
    return json.dumps(proof | {"path": proof["path"][:-1]}).encode() + b"\n"


def test_an_event_of_a_subject_that_is_in_no_checkpoint() -> None:
    made = company()
    before = made.checkpoint()
    row = made.chains[FIRST][1]
    row["payload"] = {"n": "never happened"}
    seal(row, prev_hash=row["prev_hash"])
    made.record(1)
    found = reasons(export(made, chosen=lambda row: row["seq"] == 2, checkpoint=before))
    assert found == {"its proof does not lead to the root of the checkpoint"}


def test_a_subjects_events_are_in_order() -> None:
    files = export(company(), chosen=lambda row: True)
    both = with_lines(with_lines(files, lambda lines: lines[::-1]), lambda lines: lines[::-1], PROOFS)
    assert reasons(both) == {"stands twice or out of order"}


def test_the_genesis_is_that_of_the_chain() -> None:
    made = company()
    seal(made.chains[FIRST][0], prev_hash="1" * 64)
    rows = made.chains[FIRST]
    for before, row in itertools.pairwise(rows):
        seal(row, prev_hash=before["hash"])
    assert reasons(export(made)) == {"prev_hash is not the hash of the event before it"}
    assert made.chains[FIRST][0]["prev_hash"] != chain.GENESIS


@pytest.mark.parametrize("order", [[2, 1, 0], [0, 1, 2, 2]])
def test_the_checkpoints_chains_stand_in_order_and_once(order: list[int]) -> None:
    made = company()
    body = made.checkpoint()["body"]
    body["chains"] = [body["chains"][place] for place in order]
    signed = HYRELOG.sign(b"hyrelog-checkpoint-v1", canonical(body))
    found = reasons(export(made, checkpoint={"body": body, **signed}))
    assert "the checkpoint's chains are not in ascending order, each once" in found
    assert not any("signature" in reason for reason in found)


def test_a_subject_goes_with_its_scope() -> None:
    reason = "the subject does not go with the scope"
    assert reasons(export(company(), subject={"email": ["ada@example.com"]})) == {reason}
    assert reasons(export(company(), chosen=lambda row: True, subject=None)) == {reason}


def test_an_unsigned_manifest_is_a_fault_although_it_fits() -> None:
    files = export(company())
    unsigned = {name: data for name, data in files.items() if name != "signature.json"}
    assert reasons(unsigned) == {"is missing"}
    assert reasons({**files, "signature.json": files["signature.json"] + b"\n"}) == {"is not written in canonical JSON"}
    assert len(reasons({**files, "signature.json": sign({}, b"other")["signature.json"]})) == 1
