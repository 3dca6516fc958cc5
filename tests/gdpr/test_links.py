"""Links to archives: who may make, see and end them, and who used them."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone

from audit.models import ApiKey, AuditEvent
from gdpr import downloading
from gdpr.downloading import CHUNK, TakenOver
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive
from gdpr.models import access as accesses
from gdpr.models import link as links
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.gdpr.conftest import CONTENT
from tests.gdpr.test_downloads import fetch, get, take

Made = tuple[Tenant, Api, str]


@pytest.fixture(autouse=True)
def do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LOOK_FOR", 0)


@pytest.fixture
def others(client: Client) -> Api:
    return Api(client, open_tenant("Globex").company_key)


def links_of(job_id: str) -> str:
    return f"/v1/key/company/gdpr/exports/{job_id}/links"


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action).order_by("seq")]


class ClientAt(AsyncClient):
    """A client at some address, as the web server sees it."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def _base_scope(self, **request: Any) -> dict[str, Any]:
        return {**super()._base_scope(**request), "client": (self._address, 4711)}  # type: ignore[misc]  # Django's own hook


def get_from(url: str, address: str, **headers: str) -> Any:
    """Ask for the archive as a client at that address, and take all of it."""

    async def ask() -> Any:
        response: Any = await ClientAt(address).get(url, headers=headers)
        if response.streaming:
            _ = [chunk async for chunk in response.streaming_content]
        return response

    return async_to_sync(ask)()


# --- Making, listing, revoking -----------------------------------------------------------------------------------


def test_a_link_is_shown_once_and_listed_without_its_token(made: Made) -> None:
    _, api, job_id = made
    issued = api.post(links_of(job_id))
    assert issued.status_code == 201
    assert issued.json().keys() == {"linkId", "url", "expiresAt"}
    token = issued.json()["url"].rsplit("/", 1)[1]
    (listed,) = api.get(links_of(job_id)).json()["links"]
    assert (listed["linkId"], listed["expiresAt"]) == (issued.json()["linkId"], issued.json()["expiresAt"])
    assert listed["issuedBy"].startswith("API key company (hlk_")
    assert (listed["usedAt"], listed["revokedAt"]) == (None, None)
    assert (listed["bytes"], listed["accesses"], listed["refusals"]) == (0, 0, 0)
    everything = json.dumps([api.get(links_of(job_id)).json(), events("gdpr.link.issued")])
    assert token not in everything
    assert DownloadLink.objects.get().digest not in everything


def test_each_link_that_is_made_is_an_event(made: Made, url: str) -> None:
    _, _, job_id = made
    link = DownloadLink.objects.get()
    (issued,) = events("gdpr.link.issued")
    assert issued.keys() == {"jobId", "linkId", "issuedBy", "expiresAt"}
    assert (issued["jobId"], issued["linkId"], issued["issuedBy"]) == (job_id, str(link.id), link.issued_by)


def test_a_link_works_for_an_hour(made: Made) -> None:
    _, api, job_id = made
    api.post(links_of(job_id))
    link = DownloadLink.objects.get()
    assert link.expires_at - link.created_at == timedelta(hours=1)


def test_a_link_works_for_as_long_as_was_asked_and_no_longer_than_its_archive_or_key(made: Made) -> None:
    tenant, api, job_id = made
    now = timezone.now()
    api.post(links_of(job_id), {"expiresIn": 86_400})
    first = DownloadLink.objects.latest("id")
    assert first.expires_at - first.created_at == timedelta(days=1)
    key_ends = now + timedelta(minutes=30)
    ApiKey.objects.matching(tenant.company_key).update(expires_at=key_ends)
    api.post(links_of(job_id))
    assert DownloadLink.objects.latest("id").expires_at == key_ends
    archive_ends = now + timedelta(minutes=20)
    ExportArchive.objects.update(expires_at=archive_ends)
    api.post(links_of(job_id))
    assert DownloadLink.objects.latest("id").expires_at == archive_ends


def test_a_link_of_another_kind_is_refused(made: Made) -> None:
    _, api, job_id = made
    for wrong in (59, 86_401, "60", True, 60.5, None):
        refused = api.post(links_of(job_id), {"expiresIn": wrong})
        assert (refused.status_code, refused.json()["details"][0]["field"]) == (422, "expiresIn")
    assert api.post(links_of(job_id), {"uses": 5}).json()["details"][0]["field"] == "uses"
    assert not DownloadLink.objects.exists()


def test_a_link_is_revoked_once_and_the_second_time_changes_nothing(made: Made, url: str) -> None:
    _, api, job_id = made
    link = DownloadLink.objects.get()
    address = f"{links_of(job_id)}/{link.id}"
    assert api.delete(address).status_code == 204
    revoked_at = api.get(links_of(job_id)).json()["links"][0]["revokedAt"]
    assert revoked_at
    assert api.delete(address).status_code == 204
    assert api.get(links_of(job_id)).json()["links"][0]["revokedAt"] == revoked_at
    (revoked,) = events("gdpr.link.revoked")
    assert revoked == {"jobId": job_id, "linkId": str(link.id), "revokedBy": link.issued_by}
    refused, error = get(url)
    assert refused.status_code == 410
    assert b"was revoked" in error


def test_revoking_a_link_through_the_api_ends_what_it_serves(made: Made, url: str) -> None:
    _, _, job_id = made
    address = f"{links_of(job_id)}/{DownloadLink.objects.get().id}"
    key = {"x-hyrelog-key": made[0].company_key}

    async def begin_and_revoke() -> None:
        response: Any = await AsyncClient().get(url)
        await anext(response.streaming_content)
        assert (await AsyncClient().delete(address, headers=key)).status_code == 204
        with pytest.raises(TakenOver, match="revoked"):
            await anext(response.streaming_content)

    async_to_sync(begin_and_revoke)()
    access = DownloadAccess.objects.get()
    assert (access.sent, access.refusal) == (CHUNK, "")


def test_foreign_links_are_404_everywhere(made: Made, url: str, others: Api) -> None:
    _, api, job_id = made
    link_id = DownloadLink.objects.get().id
    for refused in (
        others.get(links_of(job_id)),
        others.post(links_of(job_id)),
        others.get(f"{links_of(job_id)}/{link_id}/accesses"),
        others.delete(f"{links_of(job_id)}/{link_id}"),
        api.get(f"{links_of(job_id)}/{uuid.uuid4()}/accesses"),
        api.delete(f"{links_of(job_id)}/{uuid.uuid4()}"),
        api.delete(f"{links_of(str(uuid.uuid4()))}/{link_id}"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert DownloadLink.objects.get().revoked_at is None


def test_a_key_of_a_workspace_reaches_no_link(made: Made, client: Client) -> None:
    tenant, _, job_id = made
    assert Api(client, tenant.workspace_key).post(links_of(job_id)).status_code == 403


def test_an_export_without_an_archive_has_no_links(made: Made, others: Api) -> None:
    job_id = others.post("/v1/key/company/gdpr/export", {"scope": "company"}).json()["jobId"]
    assert others.get(links_of(job_id)).json() == {"links": [], "nextCursor": None}
    assert others.post(links_of(job_id)).status_code == 409


def test_an_operator_s_link_needs_no_key(made: Made) -> None:
    archive = ExportArchive.objects.get()
    _, token = DownloadLink.objects.issue(archive=archive, issued_by="operator op", now=timezone.now())
    assert get(f"/v1/gdpr/downloads/{token}")[1] == CONTENT
    assert events("gdpr.link.issued")[0]["issuedBy"] == "operator op"


# --- What goes on record ---------------------------------------------------------------------------------------


def test_who_took_the_archive_is_on_record(made: Made, url: str) -> None:
    _, api, job_id = made
    response = get_from(url, "203.0.113.9", **{"user-agent": "curl/8.5.0"})
    assert response.status_code == 200
    (link,) = api.get(links_of(job_id)).json()["links"]
    assert (link["accesses"], link["refusals"], link["bytes"]) == (1, 0, len(CONTENT))
    assert link["usedAt"]
    (access,) = api.get(f"{links_of(job_id)}/{link['linkId']}/accesses").json()["accesses"]
    assert access["issuedBy"] == link["issuedBy"]
    assert (access["address"], access["userAgent"]) == ("203.0.113.9", "curl/8.5.0")
    assert (access["start"], access["end"], access["bytes"]) == (0, len(CONTENT), len(CONTENT))
    assert access["refusal"] is None
    (downloaded,) = events("gdpr.export.downloaded")
    assert downloaded == {"jobId": job_id, "linkId": link["linkId"], "address": "203.0.113.9"}


def test_an_access_is_on_record_before_the_first_byte_leaves(url: str) -> None:
    async def begin() -> None:
        response: Any = await AsyncClient().get(url)
        assert response.status_code == 200
        access = await DownloadAccess.objects.aget()
        assert (access.sent, access.end) == (0, len(CONTENT))
        await anext(response.streaming_content)
        await access.arefresh_from_db()
        assert access.sent == CHUNK
        await response.streaming_content.aclose()

    async_to_sync(begin)()


def test_the_bytes_of_each_response_are_counted_apart(url: str) -> None:
    async_to_sync(take)(url, 2)
    get(url, range=f"bytes={CHUNK}-")
    first, second = DownloadAccess.objects.order_by("id")
    assert (first.start, first.sent) == (0, 2 * CHUNK)
    assert (second.start, second.sent) == (CHUNK, len(CONTENT) - CHUNK)
    assert DownloadLink.objects.get().sent == first.sent + second.sent


def test_a_response_that_was_taken_over_counts_no_more(url: str) -> None:
    async def both() -> None:
        first: Any = await AsyncClient().get(url)
        await anext(first.streaming_content)
        await fetch(url, range="bytes=10-19")
        with pytest.raises(TakenOver):
            await anext(first.streaming_content)

    async_to_sync(both)()
    assert [access.sent for access in DownloadAccess.objects.order_by("id")] == [CHUNK, 10]


def test_refusals_of_a_link_are_on_record_with_the_reason(made: Made, url: str) -> None:
    _, api, job_id = made
    get(url, range=f"bytes={len(CONTENT)}-")
    get(url)
    get_from(url, "2001:db8::1")
    refused = DownloadAccess.objects.refused().order_by("id")
    assert [access.refusal.split()[:3] for access in refused] == [["The", "archive", "has"], ["This", "link", "was"]]
    assert [access.sent for access in refused] == [0, 0]
    link = DownloadLink.objects.get()
    newest, served, oldest = api.get(f"{links_of(job_id)}/{link.id}/accesses").json()["accesses"]
    assert (newest["address"], newest["start"], newest["end"]) == ("2001:db8::1", None, None)
    assert "one complete download" in newest["refusal"]
    assert (served["refusal"], oldest["bytes"]) == (None, 0)
    (listed,) = api.get(links_of(job_id)).json()["links"]
    assert (listed["accesses"], listed["refusals"]) == (3, 2)


def test_refusals_without_end_fill_no_table(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accesses.MOST_REFUSALS == 100
    monkeypatch.setattr(accesses, "MOST_REFUSALS", 5)
    DownloadLink.objects.update(revoked_at=timezone.now())
    assert {get(url)[0].status_code for _ in range(8)} == {410}
    assert DownloadAccess.objects.count() == 5


def test_a_long_range_that_is_refused_is_cut_in_the_record(url: str) -> None:
    async_to_sync(fetch)(url, range="bytes=9-5" + " " * 5000)
    assert len(DownloadAccess.objects.get().refusal) == accesses.MOST_WHY


def test_responses_of_one_byte_each_fill_no_table(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_RESPONSES", 5)
    statuses = [get(url, range=f"bytes={n}-{n}")[0].status_code for n in range(7)]
    assert statuses == [206] * 5 + [410, 410]
    assert DownloadAccess.objects.served().count() == 5


def test_unknown_tokens_leave_no_trace_in_the_tables(url: str) -> None:
    token = url.rsplit("/", 1)[1]
    guesses = [
        token[:-1],
        token + "A",
        token.swapcase(),
        token[::-1],
        "%00",
        "x" * 10_000,
        DownloadLink.objects.get().digest,
    ]
    assert {get(f"/v1/gdpr/downloads/{guess}")[0].status_code for guess in guesses} == {404}
    assert not DownloadAccess.objects.exists()
    assert get(url)[0].status_code == 200


def test_head_goes_on_no_record(url: str) -> None:
    assert get(url, "head")[0].status_code == 200
    DownloadLink.objects.update(revoked_at=timezone.now())
    assert get(url, "head")[0].status_code == 410
    assert not DownloadAccess.objects.exists()


def test_a_download_from_nowhere_is_on_record_too(url: str) -> None:
    assert get_from(url, "unix:/run/hyrelog.sock", **{"user-agent": "x" * 5000}).status_code == 200
    access = DownloadAccess.objects.get()
    assert (access.address, access.user_agent) == (None, "x" * 200)
    assert events("gdpr.export.downloaded")[0]["address"] is None


def test_what_a_client_claims_to_be_forwarded_for_is_not_its_address(url: str) -> None:
    claims = {"x-forwarded-for": "198.51.100.1", "forwarded": "for=198.51.100.1", "x-real-ip": "198.51.100.1"}
    assert get_from(url, "203.0.113.9", **claims).status_code == 200
    assert DownloadAccess.objects.get().address == "203.0.113.9"
