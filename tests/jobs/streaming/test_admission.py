"""Who may follow, by real handshakes."""

from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from audit.models import ApiKey
from jobs.streaming import admission
from tests.conftest import Tenant
from tests.jobs.streaming.clients import PATH, Follower, following, refusal
from tests.system import wait_until

pytestmark = pytest.mark.usefixtures("committed")


def test_a_handshake_is_refused_as_http_would_refuse_it(address: str, acme: Tenant) -> None:
    http = address.replace("ws://", "http://") + "/v1/key/company/jobs"
    cases: list[dict[str, str]] = [{}, {"x-hyrelog-key": "hlk_unknown"}, {"x-hyrelog-key": acme.workspace_key}]
    for headers in cases:
        status, body, _ = refusal(address, **headers)
        answer = requests.get(http, headers=headers, timeout=10)
        assert (status, body) == (answer.status_code, answer.json())
        assert status in {401, 403}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"revoked_at": timezone.now()}, 401),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, 401),
        ({"allowed_networks": ["203.0.113.0/24"]}, 403),
    ],
)
def test_a_key_that_does_not_hold_here_opens_no_stream(
    address: str, acme: Tenant, change: dict[str, Any], status: int
) -> None:
    ApiKey.objects.filter(company=acme.company).update(**change)
    assert refusal(address, **{"x-hyrelog-key": acme.company_key})[0] == status


def test_behind_a_proxy_the_client_s_own_address_counts(address: str, acme: Tenant) -> None:
    ApiKey.objects.filter(company=acme.company).update(allowed_networks=["203.0.113.0/24"])
    headers = {"x-hyrelog-key": acme.company_key, "x-forwarded-for": "203.0.113.9"}
    with connect(address + PATH, additional_headers=headers, proxy=None) as connection:
        assert Follower(connection).next()["event"] == "snapshot"
    assert refusal(address, **headers | {"x-forwarded-for": "198.51.100.1"})[0] == 403


def test_a_closed_company_opens_no_stream(address: str, acme: Tenant) -> None:
    acme.company.close(now=timezone.now())
    assert refusal(address, **{"x-hyrelog-key": acme.company_key})[0] == 401


def test_a_key_in_the_url_opens_no_stream(address: str, acme: Tenant) -> None:
    assert refusal(address, f"{PATH}?key={acme.company_key}")[0] == 401


def test_a_bearer_token_opens_a_stream(address: str, acme: Tenant) -> None:
    headers = {"authorization": f"Bearer {acme.company_key}"}
    with connect(address + PATH, additional_headers=headers, proxy=None) as connection:
        assert Follower(connection).next()["event"] == "snapshot"


def test_opening_a_stream_counts_as_a_request(address: str, acme: Tenant, settings: Any) -> None:
    settings.API_RATE_LIMIT = 1
    settings.API_RATE_LIMIT = 3

    def open_one() -> bool:
        try:
            with following(address, acme.company_key):
                return False
        except InvalidStatus as refused:
            return (refused.response.status_code, "retry-after" in refused.response.headers) == (429, True)

    assert not open_one()
    wait_until(open_one, seconds=10, what="the limit")  # a minute may begin in between


def test_a_company_has_so_many_streams_at_once(
    address: str, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_STREAMS", 1)
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"
        status, body, _ = refusal(address, **{"x-hyrelog-key": acme.company_key})
        assert (status, body["code"]) == (429, "rate_limited")
        with following(address, globex.company_key) as other:
            assert other.next()["event"] == "snapshot"
    wait_until(lambda: not admission._open, seconds=10, what="the end of the streams")
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"


@pytest.mark.parametrize("path", ["/", "/v1/key/company/jobs", f"{PATH}/", "/v1/key/company/jobs/stream/x", "/healthz"])
def test_other_paths_are_refused_cleanly(address: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    status, body, _ = refusal(address, path)
    assert (status, body["code"]) == (404, "not_found")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_plain_http_is_told_to_upgrade(address: str, acme: Tenant) -> None:
    url = address.replace("ws://", "http://") + PATH
    answer = requests.get(url, headers={"x-hyrelog-key": acme.company_key}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert requests.get(url, timeout=10).status_code == 401
