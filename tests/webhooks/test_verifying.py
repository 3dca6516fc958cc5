"""What docs/receiving.md offers to verify requests with, against requests as HyreLog signs them."""

import json
import os
import runpy
import shutil
import subprocess
import time
import uuid
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import standardwebhooks.webhooks
from django.utils import timezone

from hyrelog.dev.state import CHECKOUT
from tests.conftest import Tenant
from tests.webhooks.examples import EXAMPLES, OLD_SECRET, SECRET, STRANGERS_SECRET, render

Verify = Callable[..., Any]

# The vector of the page: a request of which all is known.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN_AT = 1614265330
KNOWN_BODY = b'{"test": 2432232314}'
KNOWN_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(KNOWN_AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


@pytest.fixture(params=["receiver.py", "verify.py", "receiver.mjs"])
def verify(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """An example's `verify(secret, headers, body, now)`, as a function that raises where it refuses."""
    if request.param.endswith(".py"):
        function: Verify = runpy.run_path(str(EXAMPLES / request.param))["verify"]
        return function if request.param == "verify.py" else by_the_clock_of(monkeypatch, function)
    if (node := shutil.which("node")) is None:
        pytest.skip(f"node is not installed, so examples/receiving/{request.param} is not run")
    driver = tmp_path / "driver.mjs"
    driver.write_text(NODE_DRIVER, encoding="utf-8")
    return lambda *given: verify_in_node([node, str(driver), (EXAMPLES / request.param).as_uri()], *given)


def by_the_clock_of(monkeypatch: pytest.MonkeyPatch, function: Verify) -> Verify:
    """The library asks the clock itself."""

    def verify(secret: str, headers: dict[str, str], body: bytes, now: float | None = None) -> Any:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Self:
                return cls.fromtimestamp(time.time() if now is None else now, tz=tz)

        monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Clock)
        return function(secret, headers, body)

    return verify


NODE_DRIVER = """
import { readFileSync } from "node:fs";
const { verify } = await import(process.argv[2]);
const { secret, headers, body, now } = JSON.parse(readFileSync(0, "utf8"));
try {
  console.log(JSON.stringify({ event: verify(secret, headers, Buffer.from(body, "base64"), now ?? undefined) }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.message }));
}
"""


def verify_in_node(
    command: list[str], secret: str, headers: dict[str, str], body: bytes, now: float | None = None
) -> Any:
    sent = json.dumps({"secret": secret, "headers": headers, "body": b64encode(body).decode(), "now": now})
    said = subprocess.run(command, input=sent, capture_output=True, text=True, check=True, timeout=30)
    answer = json.loads(said.stdout)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    return answer["event"]


def sent(tenant: Tenant, *secrets: str, now: datetime | None = None) -> tuple[dict[str, str], bytes]:
    """A request as it arrives: its headers, in lower case as servers hand them out, and its body."""
    request = render(tenant, *secrets, now=now)
    return {name.lower(): value for name, value in request.headers.items()}, request.body


# --- The vector -------------------------------------------------------------------------------------------------


def test_the_known_request_is_accepted(verify: Verify) -> None:
    assert verify(KNOWN_SECRET, KNOWN_HEADERS, KNOWN_BODY, KNOWN_AT) == {"test": 2432232314}


def test_the_known_request_is_refused_once_anything_of_it_differs(verify: Verify) -> None:
    others: list[tuple[str, dict[str, str], bytes, float | None]] = [
        (SECRET, KNOWN_HEADERS, KNOWN_BODY, KNOWN_AT),
        (KNOWN_SECRET, KNOWN_HEADERS | {"webhook-id": "msg_other"}, KNOWN_BODY, KNOWN_AT),
        (KNOWN_SECRET, KNOWN_HEADERS | {"webhook-timestamp": str(KNOWN_AT + 1)}, KNOWN_BODY, KNOWN_AT),
        (KNOWN_SECRET, KNOWN_HEADERS, b'{"test":2432232314}', KNOWN_AT),
        (KNOWN_SECRET, KNOWN_HEADERS, KNOWN_BODY, None),
    ]
    for other in others:
        with pytest.raises(Exception, match=r"signature|timestamp"):
            verify(*other)


def test_the_script_signs_the_known_request_as_it_was_signed(tmp_path: Path) -> None:
    assert sign_in_shell(tmp_path, KNOWN_SECRET, KNOWN_HEADERS, KNOWN_BODY) == KNOWN_HEADERS["webhook-signature"]


def test_the_page_shows_the_known_request() -> None:
    page = (CHECKOUT / "docs" / "receiving.md").read_text(encoding="utf-8")
    for part in (KNOWN_SECRET, KNOWN_BODY.decode(), *KNOWN_HEADERS.values()):
        assert part in page


def sign_in_shell(folder: Path, secret: str, headers: dict[str, str], body: bytes) -> str:
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed, so examples/receiving/sign.sh is not run")
    assert openssl
    (folder / "body.json").write_bytes(body)
    command = ["/bin/sh", str(EXAMPLES / "sign.sh"), headers["webhook-id"], headers["webhook-timestamp"], "body.json"]
    environment = os.environ | {"WEBHOOK_SECRET": secret}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.rstrip("\n")


# --- What we send -----------------------------------------------------------------------------------------------


def test_the_script_signs_as_we_do(tenant: Tenant, tmp_path: Path) -> None:
    headers, body = sent(tenant, SECRET)
    assert sign_in_shell(tmp_path, SECRET, headers, body) == headers["webhook-signature"]


def test_an_example_accepts_what_we_send(verify: Verify, tenant: Tenant) -> None:
    headers, body = sent(tenant, SECRET)
    assert verify(SECRET, headers, body) == json.loads(body)


def test_an_example_accepts_either_secret_of_a_rotation(verify: Verify, tenant: Tenant) -> None:
    headers, body = sent(tenant, SECRET, OLD_SECRET)
    assert headers["webhook-signature"].count("v1,") == 2
    assert verify(SECRET, headers, body) == verify(OLD_SECRET, headers, body)


def test_an_example_refuses_a_forged_body(verify: Verify, tenant: Tenant) -> None:
    headers, body = sent(tenant, SECRET)
    forged = body.replace(b"user.login", b"user.creat")
    assert forged != body
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers, forged)


def test_an_example_refuses_another_id(verify: Verify, tenant: Tenant) -> None:
    headers, body = sent(tenant, SECRET)
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers | {"webhook-id": str(uuid.uuid4())}, body)


def test_an_example_refuses_a_strangers_signature(verify: Verify, tenant: Tenant) -> None:
    headers, body = sent(tenant, STRANGERS_SECRET)
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_example_refuses_a_timestamp_more_than_five_minutes_away(
    verify: Verify, tenant: Tenant, minutes: int
) -> None:
    headers, body = sent(tenant, SECRET, now=timezone.now() + timedelta(minutes=minutes))
    with pytest.raises(Exception, match="timestamp"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_an_example_refuses_a_request_without_one_of_the_headers(verify: Verify, tenant: Tenant, name: str) -> None:
    headers, body = sent(tenant, SECRET)
    del headers[name]
    with pytest.raises(Exception, match=r"[Mm]issing|signature"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,?", "v2,AAAA", "v1,a,b"])
def test_an_example_refuses_a_header_that_is_no_signature(verify: Verify, tenant: Tenant, signature: str) -> None:
    headers, body = sent(tenant, SECRET)
    with pytest.raises(Exception, match=r".") as refusal:
        verify(SECRET, headers | {"webhook-signature": signature}, body)
    assert type(refusal.value).__name__ in ("WebhookVerificationError", "ValueError", "Refused")
