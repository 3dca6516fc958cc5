import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from standardwebhooks.webhooks import Webhook

from hyrelog.dev import inbox as inbox_module
from hyrelog.dev.inbox import Inbox
from hyrelog.dev.inbox_page import render
from hyrelog.dev.ports import answers, first_free
from tests.hyrelog.dev.workshop import until

SECRET = "whsec_" + "c2VjcmV0" * 6
EVENT = json.dumps({"type": "event.recorded", "data": {"action": "user.login"}})


def signed(body: str, *, webhook_id: str = "one", secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body),
        "hyrelog-attempt": "1",
    }


def take(inbox: Inbox, body: str = EVENT, **headers: str) -> None:
    inbox.take(path="/", headers=signed(body) | headers, body=body.encode(), now=datetime.now(UTC))


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    port = first_free(21000)
    environment = {"RECEIVER_PORT": str(port), "DEMO_WEBHOOK_SECRET": SECRET}
    with subprocess.Popen([sys.executable, "-m", "hyrelog.dev.receiver"], env=environment) as process:
        until(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def test_it_answers_by_the_signature_and_shows_what_came(receiver: str) -> None:
    good = signed(EVENT) | {"HyreLog-Replay": "true"}
    with requests.Session() as session:
        assert session.post(f"{receiver}/hook", EVENT, headers=good).status_code == 204
        assert session.post(receiver, EVENT, headers=good).status_code == 204
        forged = session.post(receiver, EVENT.replace("login", "logout"), headers=good)
        assert (forged.status_code, forged.text) == (400, "No matching signature found")
        assert session.post(receiver, EVENT).status_code == 400

        shown = session.get(f"{receiver}/deliveries.json").json()
        counters = {name: shown[name] for name in ("received", "verified", "rejected", "duplicates", "uniqueIds")}
        assert counters == {"received": 4, "verified": 2, "rejected": 2, "duplicates": 1, "uniqueIds": 1}
        oldest = shown["deliveries"][-1]
        assert (oldest["path"], oldest["verified"], oldest["action"]) == ("/hook", True, "user.login")
        assert oldest["body"] == json.loads(EVENT)
        assert (oldest["headers"]["webhook-id"], oldest["headers"]["hyrelog-replay"]) == ("one", "true")

        page = session.get(receiver)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "user.login" in page.text
        assert session.get(f"{receiver}/elsewhere").status_code == 404
        assert session.put(receiver, "x").status_code == 405


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,%%%"},
        {"webhook-signature": "v1,a,b"},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "soon"},
        {"webhook-id": ""},
    ],
)
def test_whatever_is_wrong_is_a_rejection(wrong: dict[str, str]) -> None:
    inbox = Inbox(secret=SECRET)
    take(inbox, **wrong)
    assert (inbox.verified, inbox.rejected, bool(inbox.deliveries[0].error)) == (0, 1, True)


@pytest.mark.parametrize("body", [b"", b"\xff", b"not json", b"[1]", b"null"])
def test_any_body_is_survived(body: bytes) -> None:
    inbox = Inbox(secret=SECRET)
    inbox.take(path="/", headers=signed(EVENT), body=body, now=datetime.now(UTC))
    assert inbox.rejected == 1
    render(inbox)
    json.dumps(inbox.as_json())


def test_without_a_secret_it_says_what_to_set() -> None:
    inbox = Inbox(secret="")
    take(inbox)
    assert "DEMO_WEBHOOK_SECRET" in str(inbox.deliveries[0].error)


def test_nothing_from_outside_reaches_the_page_as_markup() -> None:
    inbox = Inbox(secret=SECRET)
    evil = "<script>alert(1)</script>"
    body = json.dumps({"type": evil, "data": {"action": evil}})
    take(inbox, body, **{"webhook-id": evil, "hyrelog-attempt": evil})
    take(inbox, body)
    page = render(inbox)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_it_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "KEPT_IDS", 10)
    inbox = Inbox(secret=SECRET)
    body = json.dumps({"data": "x" * 100_000})
    for number in range(1100):
        small = json.dumps(number)
        inbox.take(path="/", headers=signed(small, webhook_id=str(number)), body=small.encode(), now=datetime.now(UTC))
    take(inbox, body)
    assert (inbox.received, inbox.unique, len(inbox.deliveries), len(inbox._seen)) == (1101, 1101, 1000, 10)
    assert "not kept" in inbox.deliveries[0].body
