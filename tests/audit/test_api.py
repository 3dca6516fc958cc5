import base64
import json
import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from audit import recording
from audit.models import ApiKey, AuditEvent, IdempotencyRecord
from audit.models.api_key import digest
from audit.models.company import SystemWorkspaceReserved
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.plans import Tables, explained

EVENTS = "/v1/key/workspace/events"
COMPANY_EVENTS = "/v1/key/company/events"
BATCH = EVENTS + "/batch"
SENT: dict[str, Any] = {
    "action": "user.login",
    "category": "auth",
    "actor": {"id": "u1", "email": "ada@example.com", "role": "admin"},
    "target": {"type": "session", "id": "s1"},
    "payload": {"ok": True, "n": 1.5, "text": "é😀"},
    "metadata": {"region": "eu"},
    "changes": [{"field": "plan", "old": None, "new": "pro"}],
    "occurredAt": "2026-01-31T13:00:00+01:00",
    "traceId": "t-1",
}


def post(client: Client, url: str, body: Any, key: str, **headers: str) -> Any:
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(url, data, content_type="application/json", headers={"x-hyrelog-key": key, **headers})


def get(client: Client, url: str, key: str, **query: Any) -> Any:
    return client.get(url, query, headers={"x-hyrelog-key": key})


def test_an_event_is_answered_as_it_was_recorded(client: Client, tenant: Tenant) -> None:
    answer = post(client, EVENTS, SENT, tenant.workspace_key)
    assert answer.status_code == 201
    event = AuditEvent.objects.get()
    body = answer.json()
    assert body == event.as_json()
    assert {name: body[name] for name in SENT if name != "occurredAt"} == {
        name: value for name, value in SENT.items() if name != "occurredAt"
    }
    assert body["occurredAt"] == "2026-01-31T12:00:00.000000Z"
    assert event.compute_hash() == body["hash"]
    assert (event.context or {})["ip"] == "127.0.0.1"


def test_the_key_may_come_as_a_bearer_token(client: Client, tenant: Tenant) -> None:
    answer = client.get(EVENTS, headers={"authorization": f"Bearer {tenant.workspace_key}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"action": None}, "action", "must be a text"),
        ({"action": ""}, "action", "must not be empty"),
        ({"category": "x" * 201}, "category", "at most 200"),
        ({"payload": [1]}, "payload", "JSON object"),
        ({"changes": [{"old": 1}]}, "changes[0].field", "required"),
        ({"changes": [{"field": "a", "extra": 1}]}, "changes[0].extra", "is no field"),
        ({"occurredAt": "2026-01-31T12:00:00"}, "occurredAt", "offset"),
        ({"occurredAt": "yesterday"}, "occurredAt", "RFC 3339"),
        ({"occurredAt": 1700000000}, "occurredAt", "RFC 3339"),
        ({"occurredAt": "1700000000"}, "occurredAt", "RFC 3339"),
        ({"occurredAt": "0001-01-01T00:00:00+14:00"}, "occurredAt", "1970 to 9999"),
        ({"occurredAt": "9999-12-31T23:59:59-12:00"}, "occurredAt", "1970 to 9999"),
        ({"category": "hyrelog"}, "category", "reserved"),
        ({"target": {"id": "x" * 2049}}, "target.id", "at most 2048"),
        ({"actor": {"id": 7}}, "actor.id", "must be a text"),
        ({"acter": {}}, "acter", "is no field"),
        ({"payload": {"a": [{"b": "\x00"}]}}, "payload.a[0].b", "U+0000"),
        ({"payload": {"a": "\ud800"}}, "payload.a", "surrogate"),
        ({"metadata": {"n": 2**53}}, "metadata.n", "beyond"),
        ({"metadata": {"n": 1e300}}, "metadata.n", "beyond"),
        ({"payload": {"a": "x" * 1024 * 1024, "b": "x" * 1024 * 1024}}, "event", "at most 2,097,152"),
        ({"traceId": "a\x00"}, "traceId", "U+0000"),
    ],
)
def test_bad_input_names_the_field_and_the_rule(
    client: Client, tenant: Tenant, change: dict[str, Any], field: str, rule: str
) -> None:
    answer = post(client, EVENTS, SENT | change, tenant.workspace_key)
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "invalid"
    assert [detail["field"] for detail in body["details"]] == [field]
    assert rule in body["details"][0]["rule"]
    assert body["error"].startswith(field)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "not_json"),
        ("\xff", 400, "not_json"),
        ('{"action": NaN}', 400, "not_json"),
        ("[]", 422, "invalid"),
        ('{"action": "a", "category": "b", "payload": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}", 422, "invalid"),
        ('{"action": "a", "category": "b", "payload": ' + '{"a":' * 70 + "1" + "}" * 70 + "}", 422, "invalid"),
        (b"x" * (16 * 1024 * 1024 + 1), 413, "too_large"),
    ],
    ids=["broken", "not utf-8", "NaN", "a list", "10,000 deep", "70 deep", "16 MiB and a byte"],
)
def test_a_body_that_is_no_event_is_answered_and_not_a_crash(
    client: Client, tenant: Tenant, body: str | bytes, status: int, code: str
) -> None:
    data = body.encode("latin-1") if body == "\xff" else body
    answer = post(client, EVENTS, data, tenant.workspace_key)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_batch_is_recorded_in_order(client: Client, tenant: Tenant) -> None:
    events = [SENT | {"payload": {"n": n}} for n in range(1000)]
    answer = post(client, BATCH, {"events": events}, tenant.workspace_key)
    assert answer.status_code == 201
    assert [event["seq"] for event in answer.json()["events"]] == list(range(1, 1001))
    stored = AuditEvent.objects.order_by("seq")
    assert list(stored.values_list("payload__n", flat=True)) == list(range(1000))
    assert [str(event.id) for event in stored] == [event["id"] for event in answer.json()["events"]]


def test_a_batch_with_faults_records_nothing_and_names_each(client: Client, tenant: Tenant) -> None:
    events = [SENT, SENT | {"payload": {"a": "\x00"}}, SENT, SENT | {"metadata": {"n": 2**60}}]
    answer = post(client, BATCH, {"events": events}, tenant.workspace_key)
    assert answer.status_code == 422
    fields = [detail["field"] for detail in answer.json()["details"]]
    assert fields == ["events[1].payload.a", "events[3].metadata.n"]
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_events(client: Client, tenant: Tenant, count: int) -> None:
    answer = post(client, BATCH, {"events": [SENT] * count}, tenant.workspace_key)
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "events")


@pytest.mark.parametrize(("url", "body"), [(EVENTS, SENT), (BATCH, {"events": [SENT, SENT]})])
def test_an_idempotency_key_answers_as_the_first_time(client: Client, tenant: Tenant, url: str, body: Any) -> None:
    first = post(client, url, body, tenant.workspace_key, **{"idempotency-key": "k1"})
    count = AuditEvent.objects.count()
    again = post(client, url, body, tenant.workspace_key, **{"idempotency-key": "k1"})
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    other = post(client, url, body, tenant.workspace_key, **{"idempotency-key": "k2"})
    assert other.json() != first.json()
    assert AuditEvent.objects.count() == count * 2


def test_an_idempotency_key_with_another_body_is_a_conflict(client: Client, tenant: Tenant) -> None:
    post(client, EVENTS, SENT, tenant.workspace_key, **{"idempotency-key": "k1"})
    answer = post(client, EVENTS, SENT | {"action": "x"}, tenant.workspace_key, **{"idempotency-key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
    assert AuditEvent.objects.count() == 1


def test_idempotency_keys_of_two_tenants_and_of_a_day_later_do_not_meet(
    client: Client, tenant: Tenant, other_tenant: Tenant
) -> None:
    post(client, EVENTS, SENT, tenant.workspace_key, **{"idempotency-key": "k1"})
    foreign = post(client, EVENTS, SENT | {"action": "x"}, other_tenant.workspace_key, **{"idempotency-key": "k1"})
    assert foreign.status_code == 201
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    late = post(client, EVENTS, SENT | {"action": "y"}, tenant.workspace_key, **{"idempotency-key": "k1"})
    assert late.status_code == 201


def test_a_refused_request_leaves_its_idempotency_key_free(client: Client, tenant: Tenant) -> None:
    bad = post(client, EVENTS, SENT | {"payload": {"a": "\x00"}}, tenant.workspace_key, **{"idempotency-key": "k1"})
    good = post(client, EVENTS, SENT, tenant.workspace_key, **{"idempotency-key": "k1"})
    assert (bad.status_code, good.status_code) == (422, 201)


def test_lists_page_through_everything_once_newest_first(client: Client, tenant: Tenant) -> None:
    tenant.record(*[draft() for _ in range(7)])
    for url, key in [(EVENTS, tenant.workspace_key), (COMPANY_EVENTS, tenant.company_key)]:
        seen, query = [], {"limit": 3}
        while True:
            body = get(client, url, key, **query).json()
            assert len(body["events"]) <= 3
            seen += [event["seq"] for event in body["events"]]
            if body["nextCursor"] is None:
                break
            query["cursor"] = body["nextCursor"]
        assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_filters(client: Client, tenant: Tenant) -> None:
    tenant.record(
        draft(occurred_at=datetime.fromisoformat("2026-01-01T00:00:00Z")),
        draft(action="user.logout", actor={"id": "u2"}),
        draft(category="billing", actor=None),
    )

    def seqs(**filters: str) -> list[int]:
        body = get(client, EVENTS, tenant.workspace_key, **filters).json()
        return sorted(event["seq"] for event in body["events"])

    assert seqs(action="user.logout") == [2]
    assert seqs(category="auth") == [1, 2]
    assert seqs(actorId="u2") == [2]
    assert seqs(to="2026-01-02T00:00:00Z") == [1]
    assert seqs(**{"from": "2026-01-02T00:00:00Z"}) == [2, 3]
    assert get(client, EVENTS, tenant.workspace_key, **{"from": "2026-01-02"}).status_code == 422


def test_events_are_fetched_by_their_ids(client: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    staging = tenant.company.add_workspace(name="staging")
    first, _, third = tenant.record(draft(), draft(), draft(action="user.logout"))
    (elsewhere,) = recording.record(workspace=staging, drafts=[draft()], now=NOON)
    (foreign,) = other_tenant.record()
    asked = [str(event.pk) for event in (first, elsewhere, foreign, third)] + [str(uuid.uuid4())] * 96

    def ids(url: str, key: str, **filters: Any) -> list[str]:
        body = get(client, url, key, **filters).json()
        assert body["nextCursor"] is None
        return [event["id"] for event in body["events"]]

    assert ids(COMPANY_EVENTS, tenant.company_key, id=asked) == [str(e.pk) for e in (elsewhere, third, first)]
    assert ids(EVENTS, tenant.workspace_key, id=asked) == [str(third.pk), str(first.pk)]
    assert ids(EVENTS, tenant.workspace_key, id=asked, action="user.logout") == [str(third.pk)]
    assert ids(COMPANY_EVENTS, tenant.company_key, id=str(foreign.pk)) == []
    assert len(ids(COMPANY_EVENTS, tenant.company_key)) == 4


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        ("", "'' is no UUID"),
        ("x\0", r"'x\x00' is no UUID"),
        ([str(uuid.uuid4()), "1"], "'1' is no UUID"),
        ([str(uuid.uuid4())] * 101, "must have at most 100 of them"),
    ],
)
def test_ids_that_cannot_be_any_are_refused(client: Client, tenant: Tenant, ids: Any, rule: str) -> None:
    for url, key in [(EVENTS, tenant.workspace_key), (COMPANY_EVENTS, tenant.company_key)]:
        answer = get(client, url, key, id=ids)
        assert (answer.status_code, answer.json()["details"]) == (422, [{"field": "id", "rule": rule}])


def test_ids_are_looked_up_and_not_searched_for(client: Client, tenant: Tenant) -> None:
    events = [event for _ in range(3) for event in tenant.record(*[draft() for _ in range(1_000)])]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_auditevent")
    table = Tables(names=("audit_auditevent",), indexes=("audit_auditevent", "event_"))
    for url, key in [(EVENTS, tenant.workspace_key), (COMPANY_EVENTS, tenant.company_key)]:
        with explained() as plans:
            assert len(get(client, url, key, id=[str(event.pk) for event in events[::200]]).json()["events"]) == 15
        assert table.rows_read(*plans) < 300


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_name_that_stands_twice_is_refused(client: Client, tenant: Tenant) -> None:
    for text, name in (
        ('{"action": "a", "category": "b", "action": "c"}', "action"),
        ('{"action": "a", "category": "b", "payload": {"x": [{"n": 1, "m": 2, "n": 3}]}}', "n"),
    ):
        answer = post(client, EVENTS, text, tenant.workspace_key)
        assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, name)
        assert "twice" in answer.json()["error"]
    assert not AuditEvent.objects.exists()


def test_no_key_records_into_the_system_workspace(client: Client, tenant: Tenant) -> None:
    system = tenant.company.system_workspace
    with pytest.raises(SystemWorkspaceReserved):
        ApiKey.objects.issue(company=tenant.company, workspace=system, name="system")
    with pytest.raises(CommandError, match="nobody else records there"):
        call_command("create_api_key", workspace=str(system.id))
    key = ApiKey(company=tenant.company, workspace=system, name="system", prefix="hlk_", digest=digest("hlk_old"))
    with pytest.raises(ValidationError, match="nobody else records there"):
        key.full_clean()
    key.save()  # one that was issued before this was refused
    for url, body in ((EVENTS, SENT), (BATCH, {"events": [SENT]})):
        answer = post(client, url, body, "hlk_old")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("name", ["action", "category", "actorId", "from"])
def test_a_filter_that_cannot_be_stored_is_refused_by_name(client: Client, tenant: Tenant, name: str) -> None:
    for url, key in [(EVENTS, tenant.workspace_key), (COMPANY_EVENTS, tenant.company_key)]:
        answer = get(client, url, key, **{name: "a\x00"})
        assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, name)


@pytest.mark.parametrize("name", ["", "a\x00", "x" * 256])
def test_a_bad_idempotency_key_is_refused(client: Client, tenant: Tenant, name: str) -> None:
    answer = post(client, EVENTS, SENT, tenant.workspace_key, **{"idempotency-key": name})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "Idempotency-Key")
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "true",
        "1e400",
        "5",
        '"-"',
        '"1e400"',
        "[]",
        "{}",
        '"\\u0000"',
        "[" * 5_000,
        "\x00",
        '"٣"',
        '" 3"',
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(client: Client, tenant: Tenant, text: str) -> None:
    for url, key in [(EVENTS, tenant.workspace_key), (COMPANY_EVENTS, tenant.company_key)]:
        answer = get(client, url, key, cursor=cursor(text))
        assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "cursor")


def test_a_cursor_far_beyond_any_place_ends_the_list(client: Client, tenant: Tenant) -> None:
    tenant.record()
    assert len(get(client, EVENTS, tenant.workspace_key, cursor=cursor('"' + "9" * 30 + '"')).json()["events"]) == 1
    assert get(client, EVENTS, tenant.workspace_key, cursor=cursor('"-' + "9" * 30 + '"')).json()["events"] == []


def test_a_page_of_large_events_is_shorter_and_goes_on(client: Client, tenant: Tenant) -> None:
    tenant.record(*[draft(payload={"text": "x" * 2_000_000}) for _ in range(7)], draft())
    seen, sizes, query = [], [], {"limit": 500}
    while True:
        answer = get(client, "/v1/key/company/events", tenant.company_key, **query)
        seen += [event["seq"] for event in answer.json()["events"]]
        sizes.append(len(answer.content))
        if answer.json()["nextCursor"] is None:
            break
        query["cursor"] = answer.json()["nextCursor"]
    assert seen == [8, 7, 6, 5, 4, 3, 2, 1]
    assert len(sizes) == 2
    assert max(sizes) < 11_000_000


def test_lists_of_every_length_end_where_they_should(client: Client, tenant: Tenant) -> None:
    tenant.record(*[draft() for _ in range(60)])
    for limit in (1, 19, 20, 21, 40, 59, 60, 61, 500):
        body = get(client, EVENTS, tenant.workspace_key, limit=limit).json()
        assert len(body["events"]) == min(limit, 60)
        assert (body["nextCursor"] is None) == (limit >= 60)


def test_a_busy_chain_is_answered_with_when_to_come_back(
    client: Client, committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.models.company.PATIENCE", "100ms")
    tenant = open_tenant("Acme")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            tenant.record()
            held.set()
            done.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        answer = post(client, EVENTS, SENT, tenant.workspace_key)
    finally:
        done.set()
        holder.join()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "1")
    assert AuditEvent.objects.count() == 1
    assert post(client, EVENTS, SENT, tenant.workspace_key).status_code == 201


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "ImFiYyI"}, {"cursor": "é"}]
)
def test_a_bad_page_is_refused_by_name(client: Client, tenant: Tenant, query: dict[str, Any]) -> None:
    answer = get(client, EVENTS, tenant.workspace_key, **query)
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, next(iter(query)))


def test_no_tenant_sees_another_s_events(client: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    tenant.record()
    assert get(client, EVENTS, other_tenant.workspace_key).json()["events"] == []
    assert get(client, COMPANY_EVENTS, other_tenant.company_key).json()["events"] == []


def test_a_workspace_key_sees_only_its_workspace(client: Client, tenant: Tenant) -> None:
    staging = tenant.company.add_workspace(name="staging")
    _, key = ApiKey.objects.issue(company=tenant.company, workspace=staging, name="staging")
    tenant.record()
    assert get(client, EVENTS, key).json()["events"] == []


def test_wrong_scopes_are_403(client: Client, tenant: Tenant) -> None:
    for answer in (
        post(client, EVENTS, SENT, tenant.company_key),
        get(client, "/v1/key/company/events", tenant.workspace_key),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")


def test_no_key_and_bad_keys_are_401(client: Client, tenant: Tenant) -> None:
    now = timezone.now()
    key = ApiKey.objects.matching(tenant.workspace_key).get()
    assert client.get(EVENTS).status_code == 401
    assert client.get(EVENTS).headers["www-authenticate"] == "Bearer"
    for bad in ("hlk_unknown", "", "\u00e9", "x" * 10_000):
        assert get(client, EVENTS, bad).status_code == 401
    ApiKey.objects.filter(pk=key.pk).update(expires_at=now - timedelta(seconds=1))
    assert get(client, EVENTS, tenant.workspace_key).status_code == 401
    ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
    assert get(client, EVENTS, tenant.workspace_key).status_code == 200
    key.revoke(now=now)
    assert get(client, EVENTS, tenant.workspace_key).status_code == 401


def test_a_closed_company_s_keys_are_refused(client: Client, tenant: Tenant) -> None:
    assert tenant.company.close(now=timezone.now())
    assert get(client, EVENTS, tenant.workspace_key).status_code == 401


def test_a_key_bound_to_networks_is_refused_from_elsewhere(client: Client, tenant: Tenant) -> None:
    ApiKey.objects.matching(tenant.workspace_key).update(allowed_networks=["203.0.113.0/24", "2001:db8::/32"])
    assert get(client, EVENTS, tenant.workspace_key).json()["code"] == "address_refused"
    for address in ("203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"):
        answer = client.get(EVENTS, headers={"x-hyrelog-key": tenant.workspace_key}, REMOTE_ADDR=address)
        assert answer.status_code == 200


def test_the_rate_limit_answers_429_with_when_to_come_back(client: Client, tenant: Tenant, settings: Any) -> None:
    settings.API_RATE_LIMIT = 3
    answers = [get(client, EVENTS, tenant.workspace_key) for _ in range(7)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused  # at least one, also where a minute ended between two of them
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60
    assert refused[0].headers["x-ratelimit-limit"] == "3"
    assert refused[0].headers["x-ratelimit-remaining"] == "0"
    assert answers[0].headers["x-ratelimit-remaining"] == "2"


def test_the_key_s_use_is_noted(client: Client, tenant: Tenant) -> None:
    get(client, EVENTS, tenant.workspace_key)
    first = ApiKey.objects.matching(tenant.workspace_key).get().last_used_at
    get(client, EVENTS, tenant.workspace_key)
    assert first is not None
    assert ApiKey.objects.matching(tenant.workspace_key).get().last_used_at == first


def test_the_description_names_every_route_and_how_to_authenticate(client: Client) -> None:
    described = client.get("/v1/openapi.json").json()
    assert "/v1/key/workspace/events" in described["paths"]
    assert "/v1/key/company/gdpr/export" in described["paths"]
    schemes = described["components"]["securitySchemes"].values()
    assert {(scheme["in"], scheme["name"]) for scheme in schemes} == {("header", "x-hyrelog-key")}
    once = {path for path, methods in described["paths"].items() if "Idempotency-Key" in str(methods.get("post"))}
    assert once == {
        "/v1/key/workspace/events",
        "/v1/key/workspace/events/batch",
        "/v1/key/company/gdpr/export",
        "/v1/key/company/gdpr/erasures",
        "/v1/key/company/jobs",
    }
    assert client.get("/docs").status_code == 200


def test_unknown_routes_are_answered_in_the_one_form(client: Client) -> None:
    answer = client.get("/v1/no/such/route")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
