import json
from collections.abc import Callable
from typing import Any

import pytest

from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import handler_of
from tests.conftest import Tenant
from tests.jobs.steps import run_next
from webhooks.processing import groups, lines
from webhooks.processing.conditions import Condition
from webhooks.processing.payload import MOST_TEXT, DataProcess, Source
from webhooks.processing.process import PROCESS, TOLD

Status = Job.Status
Process = Callable[..., Any]
Row = dict[str, Any]


@pytest.fixture
def process(lease: ProcessLease, tenant: Tenant) -> Process:
    """Enqueue a job for a text and run it; the job as it is then."""

    def run(text: str, *, format: str = "ndjson", **payload: Any) -> Any:  # noqa: A002  the payload's own name
        values = {"source": {"text": text}, "format": format, **payload}
        job, _ = enqueue(PROCESS, values, company=tenant.company)
        assert run_next(lease)
        job.refresh_from_db()
        return job

    return run


def ndjson(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def counted(job: Any) -> dict[Any, int]:
    assert job.status == Status.COMPLETED, job.error + job.traceback
    return {tuple(group["key"]): group["count"] for group in job.result["groups"]}


def test_rows_are_counted(process: Process) -> None:
    job = process('{"a": 1}\n\n{"a": 2}\r\n  \n{"a": 3}')
    assert job.status == Status.COMPLETED, job.error
    assert job.result == {
        "rowsRead": 3, "rowsMatched": 3, "rowsUnreadable": 0, "unreadable": [], "groupBy": [], "groups": [],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "\ufeff\n\n"])
def test_an_empty_ndjson_has_no_rows(process: Process, text: str) -> None:
    assert process(text).result["rowsRead"] == 0


def test_groups_come_largest_first_and_then_by_their_values(process: Process) -> None:
    rows = [{"a": value, "b": {"c": "x"}} for value in ["b", "a", "b", None, 2, 10, True, "10", "", {"d": 1}, [1], 1.0]]
    job = process(ndjson(*rows, {"b": 5}, {"a": "b", "b.c": "y"}), groupBy=["a", "b.c"])
    assert job.result["groupBy"] == ["a", "b.c"]
    assert [(*group["key"], group["count"]) for group in job.result["groups"]] == [
        ("b", "x", 2),
        (None, None, 1),  # neither field is there
        (None, "x", 1),
        (True, "x", 1),
        (1.0, "x", 1),
        (2, "x", 1),
        (10, "x", 1),
        ("", "x", 1),
        ("10", "x", 1),
        ("[list]", "x", 1),
        ("[object]", "x", 1),
        ("a", "x", 1),
        ("b", "y", 1),
    ]


def test_numbers_of_one_value_are_one_group_and_true_is_no_number(process: Process) -> None:
    job = process('{"a": 1}\n{"a": 1.0}\n{"a": true}\n{"a": 0}\n{"a": -0.0}\n{"a": false}', groupBy=["a"])
    told = [(json.dumps(group["key"]), group["count"]) for group in job.result["groups"]]
    assert told == [("[0]", 2), ("[1]", 2), ("[false]", 1), ("[true]", 1)]


def test_values_that_no_result_can_hold_become_texts(process: Process) -> None:
    text = '{"a": "\\u0000"}\n{"a": "\\ud800"}\n{"a": 1e999}\n{"a": 9007199254740993}\n{"a": ' + "7" * 4000 + "}"
    assert set(counted(process(text, groupBy=["a"]))) == {
        ("\ufffd",), ("?",), ("inf",), ("9007199254740993",), ("7" * 4000,),
    }  # fmt: skip


ROWS = [
    {"n": 1, "s": "apple", "t": ["red", 5], "u": {"v": None}},
    {"n": 2, "s": "banana", "t": [], "u": {"v": 0}},
    {"n": 2.5, "s": "", "f": True},
    {"n": "2", "s": "cherry", "f": False},
    {},
]


@pytest.mark.parametrize(
    ("condition", "matched"),
    [
        ({"field": "n", "op": "eq", "value": 2}, [1]),
        ({"field": "n", "op": "eq", "value": 2.0}, [1]),
        ({"field": "n", "op": "eq", "value": "2"}, [3]),
        ({"field": "n", "op": "ne", "value": 2}, [0, 2, 3, 4]),
        ({"field": "n", "op": "lt", "value": 2}, [0]),
        ({"field": "n", "op": "le", "value": 2}, [0, 1]),
        ({"field": "n", "op": "gt", "value": 1}, [1, 2]),
        ({"field": "n", "op": "ge", "value": 2}, [1, 2]),
        ({"field": "s", "op": "ge", "value": "banana"}, [1, 3]),
        ({"field": "s", "op": "contains", "value": "an"}, [1]),
        ({"field": "t", "op": "contains", "value": "red"}, [0]),
        ({"field": "t", "op": "contains", "value": 5}, [0]),
        ({"field": "t", "op": "contains", "value": "5"}, []),
        ({"field": "f", "op": "eq", "value": True}, [2]),
        ({"field": "n", "op": "eq", "value": True}, []),
        ({"field": "u.v", "op": "eq", "value": None}, [0]),
        ({"field": "u.v", "op": "exists"}, [1]),
        ({"field": "s", "op": "exists"}, [0, 1, 3]),
        ({"field": "s", "op": "exists", "value": False}, [2, 4]),
        ({"field": "n.x.y", "op": "exists"}, []),
    ],
)
def test_conditions(process: Process, condition: Row, matched: list[int]) -> None:
    rows = [{**row, "id": number} for number, row in enumerate(ROWS)]
    job = process(ndjson(*rows), where=[condition], groupBy=["id"])
    assert sorted(key for (key,) in counted(job)) == matched
    assert (job.result["rowsRead"], job.result["rowsMatched"]) == (5, len(matched))


def test_all_conditions_have_to_hold(process: Process) -> None:
    where = [{"field": "n", "op": "gt", "value": 0}, {"field": "s", "op": "contains", "value": "a"}]
    assert process(ndjson(*ROWS), where=where).result["rowsMatched"] == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[1]", "is not a JSON object"),
        ("1", "is not a JSON object"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1, "a": 2}', "'a' stands twice in one object"),
        ('{"a": ' + "9" * 5000 + "}", "has a number of too many digits"),
        ('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}", "is nested too deeply"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "is nested too deeply"),
        ('{"a": 1} {"a": 2}', "is not JSON: Extra data at column 10"),
        ('\ufeff{"a": 1}', "is not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) at column 1"),
    ],
    ids=lambda text: text[:20],
)
def test_lines_that_cannot_be_read_are_told_and_passed_over(process: Process, line: str, reason: str) -> None:
    job = process(f'{{"a": 1}}\n{line}\n{{"a": 2}}')
    assert job.status == Status.COMPLETED, job.error
    assert (job.result["rowsRead"], job.result["rowsUnreadable"]) == (2, 1)
    assert job.result["unreadable"] == [{"line": 2, "reason": reason}]


def test_only_the_first_of_many_unreadable_lines_are_told(process: Process) -> None:
    job = process("\n" + "x\n" * 1000)
    assert job.result["rowsUnreadable"] == 1000
    assert [row["line"] for row in job.result["unreadable"]] == list(range(2, 2 + TOLD))


def test_a_line_that_is_too_long_is_passed_over(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST", 100)
    rows = [f'{{"a": "{"x" * size}"}}' for size in (80, 91, 92, 70_000, 150_000)]
    job = process("\n".join([*rows, '{"a": "end"}']), groupBy=["a"])
    assert job.result["rowsRead"] == 3
    assert [row["line"] for row in job.result["unreadable"]] == [3, 4, 5]
    assert job.result["unreadable"][0]["reason"] == lines.TOO_LONG


@pytest.mark.parametrize("sizes", [[1], [2], [3, 1], [7], [1000]])
def test_lines_are_the_same_in_whatever_pieces_they_come(sizes: list[int]) -> None:
    pieces: list[bytes] = []
    text, place = "\ufeffä\n\n\r\nb\n" + "c" * 20 + "\nd", 0
    while place < len(text.encode()):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text.encode()[place : place + size])
        place += size
    found = list(lines.lines(pieces))
    assert [line.number for line in found] == [1, 2, 3, 4, 5, 6]
    assert [line.text for line in found] == ["ä".encode(), b"", b"\r", b"b", b"c" * 20, b"d"]


CSV = "name,qty,note\r\nbolt,5,plain\r\n"


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        (CSV, {("bolt", "5"): 1}),
        ("\ufeff" + CSV, {("bolt", "5"): 1}),
        (CSV + "\n\r\nnut,7,x", {("bolt", "5"): 1, ("nut", "7"): 1}),
        (CSV + '"a ""quoted"", one",1,"two\nlines\r\nand, more"\n', {("bolt", "5"): 1, ('a "quoted", one', "1"): 1}),
        (CSV + ",,\n", {("bolt", "5"): 1, ("", ""): 1}),
        ("name,qty\nä,ß", {("ä", "ß"): 1}),
        ("name,qty", {}),
    ],
)
def test_csv(process: Process, text: str, groups: dict[Any, int]) -> None:
    job = process(text, format="csv", groupBy=["name", "qty"])
    assert counted(job) == groups
    assert job.result["rowsUnreadable"] == 0


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_with_another_delimiter(process: Process, delimiter: str) -> None:
    text = CSV.replace(",", delimiter)
    assert counted(process(text, format="csv", delimiter=delimiter, groupBy=["name"])) == {("bolt",): 1}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,b", "has 2 fields; the header has 3"),
        ("a,b,c,d", "has 4 fields; the header has 3"),
        ('a,"b"x,c', "is no CSV: ',' expected after '\"'"),
        ("a\rb,c,d", "is no CSV: new-line character seen in unquoted field"),
        ("a,b," + "x" * 140_000, "is no CSV: field larger than field limit (131072)"),
    ],
)
def test_records_that_cannot_be_read_are_told_and_passed_over(process: Process, line: str, reason: str) -> None:
    job = process(f"{CSV}{line}\nlast,1,2\n", format="csv", groupBy=["name"])
    assert counted(job) == {("bolt",): 1, ("last",): 1}
    assert job.result["unreadable"] == [{"line": 3, "reason": reason}]


def test_a_quote_that_is_never_closed_is_one_record_up_to_a_bound(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.processing.table.MOST", 1000)
    job = process(CSV + 'a,"b,c\n' + "nut,7,x\n" * 1000, format="csv", groupBy=["name"])
    read = counted(job)
    assert read[("bolt",)] == 1
    assert 800 < read[("nut",)] < 1000
    assert job.result["unreadable"] == [{"line": 3, "reason": lines.TOO_LONG}]
    job = process(CSV + 'a,"b,c\n' + "nut,7,x\n" * 10, format="csv")
    assert job.result["unreadable"] == [{"line": 3, "reason": "is no CSV: unexpected end of data"}]


@pytest.mark.parametrize(
    ("condition", "matched"),
    [
        ({"op": "eq", "value": 5}, 1),
        ({"op": "eq", "value": "5"}, 1),
        ({"op": "eq", "value": "5.0"}, 0),
        ({"op": "eq", "value": 5.0}, 1),
        ({"op": "gt", "value": 4}, 2),
        ({"op": "gt", "value": "4"}, 3),
        ({"op": "ne", "value": 5}, 4),
        ({"op": "le", "value": 1e3}, 2),
        ({"op": "contains", "value": "0"}, 1),
        ({"op": "contains", "value": 0}, 1),
        ({"op": "exists"}, 4),
        ({"op": "exists", "value": False}, 1),
    ],
)
def test_conditions_on_csv_read_numbers_where_they_are_compared_with_one(
    process: Process, condition: Row, matched: int
) -> None:
    text = "qty\n5\n10\nnan\n" + "x" + '\n""\n'
    job = process(text, format="csv", where=[{"field": "qty", **condition}])
    assert job.status == Status.COMPLETED, job.error
    assert (job.result["rowsRead"], job.result["rowsMatched"]) == (5, matched)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "source: the input is empty; its first line must name the fields."),
        ("\n\n", "source: the input is empty; its first line must name the fields."),
        ('a,"b\n', "source: line 1, which must name the fields, is no CSV: unexpected end of data."),
        ("a,b,a\n", "source: line 1 names the field 'a' twice."),
        ("a,b\n", "source: line 1 does not name the field 'name'."),
        (",".join(f"f{n}" for n in range(1001)), "source: line 1 names 1,001 fields; at most 1,000 are allowed."),
    ],
)
def test_a_bad_header_fails_for_good(process: Process, text: str, error: str) -> None:
    job = process(text, format="csv", groupBy=["name"])
    assert (job.status, job.attempt, job.error) == (Status.FAILED, 1, error)


def test_too_many_groups_fail_for_good_and_name_the_limit(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST", 3)
    rows = [{"a": number} for number in range(4)]
    assert len(counted(process(ndjson(*rows[:3], *rows[:3]), groupBy=["a"]))) == 3
    job = process(ndjson(*rows), groupBy=["a"])
    assert (job.status, job.attempt) == (Status.FAILED, 1)
    assert job.error.startswith("groupBy: gives more than 3 groups;")


def test_groups_of_long_values_are_bounded_too(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_BYTES", 50_000)
    rows = [{"a": f"{number}" + "é" * 1000} for number in range(20)]
    job = process(ndjson(*rows), groupBy=["a"])
    assert job.status == Status.FAILED
    assert "more than 50,000 bytes" in job.error
    job = process(ndjson(*rows[:8]), groupBy=["a"])
    assert len(json.dumps(job.result["groups"])) <= 50_000


def test_ten_thousand_groups_fit(process: Process) -> None:
    text = "a\n" + "".join(f"{number}\n" for number in range(groups.MOST))
    job = process(text, format="csv", groupBy=["a"])
    assert len(counted(job)) == groups.MOST
    assert len(json.dumps(job.result)) < groups.MOST_BYTES


GOOD = {"source": {"text": ""}, "format": "ndjson"}
FIELD = {"field": "a", "op": "eq", "value": 1}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"source": None}, "payload.source"),
        ({"source": {}}, "payload.source"),
        ({"source": {"text": "", "url": "https://example.com/"}}, "payload.source"),
        ({"source": {"text": "", "headers": {"X": "y"}}}, "payload.source"),
        ({"source": {"text": "é" * MOST_TEXT}}, "payload.source.text"),
        ({"source": {"url": "file:///etc/passwd"}}, "payload.source.url"),
        ({"source": {"url": "https://192.168.0.1/"}}, "payload.source.url"),
        ({"source": {"url": "https://example.com/", "headers": {"Host": "x"}}}, "payload.source.headers.Host"),
        ({"source": {"path": "/etc/passwd"}}, "payload.source.path"),
        ({"format": "xml"}, "payload.format"),
        ({"delimiter": ";"}, "payload"),
        ({"format": "csv", "delimiter": "ab"}, "payload.delimiter"),
        ({"format": "csv", "delimiter": '"'}, "payload.delimiter"),
        ({"where": [{}]}, "payload.where[0].field"),
        ({"where": [FIELD, {**FIELD, "op": "like"}]}, "payload.where[1].op"),
        ({"where": [{**FIELD, "field": ""}]}, "payload.where[0].field"),
        ({"where": [{**FIELD, "extra": 1}]}, "payload.where[0].extra"),
        ({"where": [{"field": "a", "op": "eq"}]}, "payload.where[0]"),
        ({"where": [{"field": "a", "op": "lt", "value": None}]}, "payload.where[0]"),
        ({"where": [{"field": "a", "op": "lt", "value": True}]}, "payload.where[0]"),
        ({"where": [{"field": "a", "op": "contains", "value": None}]}, "payload.where[0]"),
        ({"where": [{"field": "a", "op": "exists", "value": 1}]}, "payload.where[0]"),
        ({"where": [FIELD] * 21}, "payload.where"),
        ({"format": "csv", "where": [{**FIELD, "value": None}]}, "payload"),
        ({"groupBy": ["a", "b", "c", "d"]}, "payload.groupBy"),
        ({"groupBy": ["a", "a"]}, "payload.groupBy"),
        ({"groupBy": [""]}, "payload.groupBy[0]"),
        ({"groupBy": ["x" * 201]}, "payload.groupBy[0]"),
        ({"groupBy": "a"}, "payload.groupBy"),
        ({"group_by": ["a"]}, "payload.group_by"),
    ],
)
def test_what_could_not_be_processed_is_refused_when_it_is_enqueued(
    tenant: Tenant, settings: Any, payload: dict[str, Any], field: str
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ()
    with pytest.raises(BadPayload) as refused:
        enqueue(PROCESS, GOOD | payload, company=tenant.company)
    assert field in [name for name, _ in refused.value.problems], refused.value
    assert not Job.objects.exists()


@pytest.mark.parametrize("value", [{"a": 1}, [1], []])
def test_a_condition_s_value_is_a_plain_one(tenant: Tenant, value: Any) -> None:
    with pytest.raises(BadPayload, match=r"value: must be a text, a number, true, false or null\."):
        enqueue(PROCESS, GOOD | {"where": [{**FIELD, "value": value}]}, company=tenant.company)


def test_a_payload_may_be_given_as_its_type(lease: ProcessLease, tenant: Tenant) -> None:
    asked = DataProcess(
        source=Source(text='{"a": 1}\n{}'), format="ndjson", where=[Condition(field="a", op="exists")], groupBy=["a"]
    )
    job, _ = enqueue(PROCESS, asked, company=tenant.company)
    assert run_next(lease)
    job.refresh_from_db()
    assert counted(job) == {(1,): 1}


def test_tenants_may_enqueue_it_within_limits() -> None:
    declared = handler_of(PROCESS)
    assert (declared.public, declared.company_concurrency) == (True, 2)
