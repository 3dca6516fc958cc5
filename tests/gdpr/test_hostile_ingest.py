"""What no archive could carry is refused where it comes in, with the field that is to blame."""

import json
from typing import Any

import pytest

from audit.models import AuditEvent
from tests.api import Api
from tests.gdpr import hostile

ONE, MANY = "/v1/key/workspace/events", "/v1/key/workspace/events/batch"
DEEP = 10_000


def fields(answer: Any) -> list[str]:
    """The fields that an answer names; fails for one that is no refusal."""
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.content[:300]
    return [detail["field"] for detail in answer.json()["details"]]


@pytest.mark.parametrize(("body", "path"), hostile.refused(), ids=lambda value: value[:60].encode("ascii").decode())
def test_what_cannot_be_kept_is_refused_and_named(workspace_api: Api, body: str, path: str) -> None:
    (found,) = fields(workspace_api.post(ONE, body))
    assert found.startswith(path)
    (found,) = fields(workspace_api.post(MANY, f'{{"events": [{json.dumps(hostile.events()[0])}, {body}]}}'))
    assert found == path == "a" or found.startswith(f"events[1].{path}")
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\xff", 400),
        (b"\xc0\x80", 400),
        (b"\xf4\x90\x80\x80", 400),
        (b"\xed\xa0\x80", 422),
        (b"\xed\xa0\xbd\xed\xb8\x80", 422),
    ],
)
def test_bytes_that_are_no_utf_8_are_refused(workspace_api: Api, text: bytes, status: int) -> None:
    body = b'{"action": "a", "category": "c", "payload": {"text": "%s"}}' % text
    assert workspace_api.post(ONE, body).status_code == status
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("ending", ["closed", "broken off"])
@pytest.mark.parametrize("place", ["payload", "actor", "metadata", "changes", "target", "action", "unknown"])
def test_json_ten_thousand_levels_deep_is_refused_and_the_next_event_is_not(
    workspace_api: Api, opening: str, closing: str, ending: str, place: str
) -> None:
    value = opening * DEEP + ("1" + closing * DEEP if ending == "closed" else "")
    body = f'{{"action": "a", "category": "c", "{place}": {{"x": {value}}}}}'
    for url, sent in ((ONE, body), (MANY, f'{{"events": [{body}]}}'), (ONE, value)):
        answer = workspace_api.post(url, sent)
        assert answer.status_code in ({422} if ending == "closed" else {400, 422}), answer.content[:300]
        assert len(answer.content) < 2_000
    assert not AuditEvent.objects.exists()
    assert workspace_api.post(ONE, hostile.events()[0]).status_code == 201
