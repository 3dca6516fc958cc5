"""The example receivers of docs/receiving.md as their users run them: processes that get real deliveries."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.utils import timezone

from audit.encryption import encrypt
from hyrelog.dev.state import CHECKOUT
from tests.conftest import Clock, Tenant
from tests.webhooks.examples import EXAMPLES, OLD_SECRET, SECRET, STRANGERS_SECRET, render
from webhooks.delivering import Sender
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

MakeSender = Callable[..., Sender]


@dataclass
class Example:
    """A receiver's process; started again, it has another secret."""

    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    url: str = ""

    def start(self, *, secret: str) -> None:
        self.stop()
        environment = os.environ | self.environment | {"WEBHOOK_SECRET": secret}
        command = [*self.command, "0"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("Listening on http://127.0.0.1:"), line
        self.url = line.split()[-1] + "/hook"

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=30)
            self.process = None


@pytest.fixture(params=["receiver.py", "receiver.mjs"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    program = sys.executable if request.param.endswith(".py") else shutil.which("node")
    if program is None:
        pytest.skip(f"node is not installed, so examples/receiving/{request.param} is not run")
    example = Example([program, str(EXAMPLES / request.param)], {"DATABASE": str(tmp_path / "received.db")})
    example.start(secret=SECRET)
    try:
        yield example
    finally:
        example.stop()


@pytest.fixture
def webhook(tenant: Tenant, example: Example) -> Webhook:
    """One whose endpoint is the example, and whose secret the example knows."""
    webhook, _ = Webhook.objects.register(company=tenant.company, url=example.url)
    Webhook.objects.filter(pk=webhook.pk).update(encrypted_secret=encrypt(SECRET))
    return webhook


def answers() -> list[tuple[int | None, str]]:
    return list(WebhookAttempt.objects.order_by("id").values_list("http_status", "response_body"))


def test_a_delivery_is_accepted_and_its_repetition_recognised(
    tenant: Tenant, webhook: Webhook, sender: MakeSender, clock: Clock
) -> None:
    clock.now = timezone.now()
    tenant.record(now=clock.now)
    assert sender().run() == 1
    WebhookDelivery.objects.redeliver(now=clock.now)
    assert sender().run() == 1
    assert answers() == [(200, "accepted"), (200, "duplicate")]
    assert WebhookDelivery.objects.get().status == "SUCCESS"


def test_many_deliveries_at_once_are_all_accepted(
    tenant: Tenant, webhook: Webhook, sender: MakeSender, clock: Clock
) -> None:
    clock.now = timezone.now()
    for _ in range(30):
        tenant.record(now=clock.now)
    sender().run()
    assert answers() == [(200, "accepted")] * 30


def test_a_delivery_signed_with_another_secret_is_refused(
    tenant: Tenant, webhook: Webhook, sender: MakeSender, clock: Clock
) -> None:
    clock.now = timezone.now()
    Webhook.objects.update(encrypted_secret=encrypt(STRANGERS_SECRET))
    tenant.record(now=clock.now)
    sender().run()
    ((status, body),) = answers()
    assert (status, body[:8]) == (401, "refused:")
    assert "no" in body.lower()
    assert "signature" in body
    assert WebhookDelivery.objects.get().status == "FAILED"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_delivery_whose_timestamp_is_more_than_five_minutes_away_is_refused(
    tenant: Tenant, webhook: Webhook, sender: MakeSender, clock: Clock, minutes: int
) -> None:
    clock.now = timezone.now() + timedelta(minutes=minutes)
    tenant.record(now=clock.now)
    sender().run()
    ((status, body),) = answers()
    assert status == 401
    assert "timestamp" in body


def post(example: Example, tenant: Tenant, *secrets: str, change: Callable[[bytes], bytes] = bytes) -> Any:
    """Send an event by hand: with several signatures, or with a body that is no longer what was signed."""
    request = render(tenant, *secrets, url=example.url)
    return requests.post(request.url, change(request.body), headers=request.headers, timeout=30)


def test_a_body_that_was_altered_under_way_is_refused(tenant: Tenant, example: Example) -> None:
    assert post(example, tenant, SECRET).text == "accepted"
    answer = post(example, tenant, SECRET, change=lambda body: body.replace(b"user.login", b"user.creat"))
    assert answer.status_code == 401
    assert "signature" in answer.text


def test_during_a_rotation_either_secret_will_do(tenant: Tenant, example: Example) -> None:
    assert post(example, tenant, SECRET, OLD_SECRET).text == "accepted"
    example.start(secret=OLD_SECRET)
    assert post(example, tenant, SECRET, OLD_SECRET).text == "accepted"
    assert post(example, tenant, SECRET).status_code == 401


def test_a_body_larger_than_any_of_ours_is_cut_off_and_the_next_request_served(
    tenant: Tenant, example: Example
) -> None:
    with suppress(requests.ConnectionError):  # it need not wait for the end to refuse
        assert requests.post(example.url, bytes(64 * 1024 * 1024), timeout=30).status_code == 413
    assert post(example, tenant, SECRET).text == "accepted"


def test_a_request_made_by_hand_as_the_page_says_is_accepted(example: Example, tmp_path: Path) -> None:
    if missing := [name for name in ("curl", "openssl") if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed, so the page's request by hand is not made")
    page = (CHECKOUT / "docs" / "receiving.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```sh\n(export .*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    secret = re.search(r"WEBHOOK_SECRET=(\S+)", script)
    assert secret
    example.start(secret=secret[1])
    shutil.copy(EXAMPLES / "sign.sh", tmp_path)
    told = script.replace("http://127.0.0.1:8080/", example.url)
    done = subprocess.run(
        ["/bin/sh", "-euc", told], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
    )
    assert "200 OK" in done.stdout
    assert done.stdout.endswith("accepted")
