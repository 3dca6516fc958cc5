from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from audit import chain
from audit.cloudtrail import draft_of
from audit.drafts import InvalidDraft
from audit.moments import read_moment
from tests.conftest import draft

RECORD: dict[str, Any] = {
    "eventName": "GetObject",
    "eventSource": "s3.amazonaws.com",
    "eventTime": "2026-01-31T12:00:00Z",
    "userIdentity": {"arn": "arn:aws:iam::1:user/ada", "userName": "ada"},
    "requestID": "r-1",
    "resources": [{"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::bucket/" + "x" * 1024}],
}


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        ({"action": ""}, "action", "1 to 200"),
        ({"action": "x" * 201}, "action", "has 201 characters"),
        ({"action": 7}, "action", "is a int"),
        ({"category": None}, "category", "must be a text"),
        ({"category": "hyrelog"}, "category", "reserved"),
        ({"actor": "ada"}, "actor", "JSON object"),
        ({"target": [1]}, "target", "JSON object"),
        ({"payload": "x"}, "payload", "JSON object"),
        ({"metadata": 1}, "metadata", "JSON object"),
        ({"actor": {"id": 7}}, "actor.id", "must be a text"),
        ({"actor": {"email": "x" * 256}}, "actor.email", "at most 255"),
        ({"actor": {"name": ["a"]}}, "actor.name", "must be a text"),
        ({"target": {"type": 1}}, "target.type", "must be a text"),
        ({"target": {"id": "x" * 2049}}, "target.id", "at most 2048"),
        ({"context": {"traceId": 12345}}, "traceId", "must be a text"),
        ({"context": {"traceId": "x" * 256}}, "traceId", "at most 255"),
        ({"context": {"traceId": "a\x00"}}, "traceId", "U+0000"),
        ({"changes": {"field": "a"}}, "changes", "must be a list"),
        ({"changes": [None]}, "changes[0].field", "must be a text"),
        ({"changes": [{"old": 1}]}, "changes[0].field", "must be a text"),
        ({"occurred_at": "2026-01-31"}, "occurredAt", "time with an offset"),
        ({"occurred_at": datetime(2026, 1, 31, 12)}, "occurredAt", "no offset"),  # noqa: DTZ001  what is refused
        ({"occurred_at": datetime(900, 1, 1, tzinfo=UTC)}, "occurredAt", "1970 to 9999"),
        ({"occurred_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "occurredAt", "1970 to 9999"),
        (
            {"occurred_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12)))},
            "occurredAt",
            "1970 to 9999",
        ),
        ({"occurred_at": datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "occurredAt", "1970 to 9999"),
    ],
)
def test_the_gate_refuses_what_no_chain_may_hold(change: dict[str, Any], path: str, rule: str) -> None:
    with pytest.raises(InvalidDraft) as refusal:
        draft(**change).check()
    assert refusal.value.path == path
    assert rule in refusal.value.rule


def test_the_gate_lets_the_edges_pass() -> None:
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), None):
        draft(action="x" * 200, actor={"id": "x" * 255, "email": None}, occurred_at=moment).check()


@pytest.mark.parametrize(
    "text",
    [1700000000, "1700000000", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00Z", "2026-13-01T00:00:00Z", None],
)
def test_a_time_is_rfc_3339_with_an_offset(text: object) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339.*2026-01-31T12:00:00Z"):
        read_moment(text)


def test_a_time_may_come_in_each_spelling_of_rfc_3339() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    for text in ("2026-01-31T12:00:00Z", "2026-01-31t12:00:00.0z", "2026-01-31 13:00:00.000000000+01:00"):
        assert read_moment(text) == noon


def test_a_timestamp_has_always_the_same_width() -> None:
    assert chain.timestamp(datetime(900, 1, 2, tzinfo=UTC)) == "0900-01-02T00:00:00.000000Z"
    assert chain.timestamp(datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))) == (
        "2026-01-31T11:00:00.000000Z"
    )


def test_a_cloudtrail_record_passes_the_gate() -> None:
    event = draft_of(RECORD)
    event.check()
    assert (event.action, event.category, event.context) == ("s3.GetObject", "management", {"traceId": "r-1"})


def test_a_number_as_request_id_is_no_trace_id() -> None:
    event = draft_of(RECORD | {"requestID": 12345})
    event.check()
    assert event.context == {"traceId": None}
    assert (event.payload or {})["requestID"] == 12345


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eventTime": "2026-01-31T12:00:00"}, "eventTime: .*offset"),
        ({"eventTime": 1700000000}, "eventTime: "),
        ({"eventName": 5}, "eventName: "),
        ({"userIdentity": "ada"}, "userIdentity: "),
        ({"resources": {"ARN": "a"}}, "resources: "),
        ({"resources": ["a"]}, r"resources\[0\]: "),
    ],
)
def test_a_cloudtrail_record_of_other_types_is_refused_by_its_field(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidDraft, match=reason):
        draft_of(RECORD | change)
