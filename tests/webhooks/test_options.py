"""What a tenant may choose for a webhook's requests, and how it is kept."""

from base64 import b64decode
from typing import Any

import hypothesis
import pydantic
import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from hypothesis import given
from hypothesis import strategies as st

from audit.encryption import HIDDEN, UnreadableSecret
from tests.api import Api
from tests.conftest import NOON, Tenant
from webhooks.models import Webhook
from webhooks.models.webhook import ENCRYPTED
from webhooks.options import DAY, Options
from webhooks.sending.request_headers import check_headers

WEBHOOKS = "/v1/key/company/webhooks"
URL = "https://example.com/hook"
BASIC = {"type": "basic", "username": "ada", "password": "pass:wörd"}
BEARER = {"type": "bearer", "token": "abc.DEF-1~_+/=="}
HEADERS = {"X-Environment": "production", "User-Agent": "Acme/1"}
OPTIONS = {"headers": HEADERS, "authentication": BASIC, "retrySchedule": [5, 60], "timeoutSeconds": 2.5, "rateLimit": 9}
NO_OPTIONS: dict[str, Any] = {
    "headers": {}, "authentication": None, "retrySchedule": None, "timeoutSeconds": None, "rateLimit": None,
}  # fmt: skip


def make(api: Api, **options: Any) -> Any:
    answer = api.post(WEBHOOKS, {"url": URL} | options)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def shown(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in NO_OPTIONS}


def problems(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.content
    return {problem["field"]: problem["rule"] for problem in answer.json()["details"]}


def test_options_are_kept_and_shown_without_what_is_secret(api: Api) -> None:
    made = make(api, **OPTIONS)
    assert shown(made) == OPTIONS | {
        "headers": {"X-Environment": HIDDEN, "User-Agent": HIDDEN},
        "authentication": {"type": "basic", "username": "ada"},
    }
    webhook = Webhook.objects.get()
    assert (webhook.headers, webhook.authentication) == (HEADERS, BASIC)
    assert (webhook.retry_schedule, webhook.timeout_seconds, webhook.rate_limit) == ([5, 60], 2.5, 9)
    made.pop("secret")
    assert api.get(f"{WEBHOOKS}/{made['id']}").json() == made
    assert api.get(WEBHOOKS).json()["webhooks"] == [made]


def test_what_could_be_secret_is_encrypted_at_rest(api: Api) -> None:
    make(api, **OPTIONS)
    row = str(Webhook.objects.values().get())
    assert not [text for text in ("production", "pass:w", "ada") if text in row]


def test_without_options_nothing_is_added_and_the_defaults_hold(api: Api) -> None:
    assert shown(make(api)) == NO_OPTIONS
    assert Webhook.objects.get().added_headers == {}


@pytest.mark.parametrize(
    ("authentication", "expected"),
    [
        (BASIC, "Basic YWRhOnBhc3M6d8O2cmQ="),
        ({"type": "basic", "username": "", "password": ""}, "Basic Og=="),
        (BEARER, "Bearer abc.DEF-1~_+/=="),
    ],
)
def test_credentials_make_the_header_authorization(api: Api, authentication: dict[str, str], expected: str) -> None:
    make(api, authentication=authentication, headers={"X-Environment": "production"})
    added = Webhook.objects.get().added_headers
    assert added == {"X-Environment": "production", "Authorization": expected}
    check_headers(added)


@pytest.mark.parametrize(
    ("options", "field", "rule"),
    [
        ({"headers": {"Host": "x"}}, "headers.Host", "transport"),
        ({"headers": {"content-length": "1"}}, "headers.content-length", "transport"),
        ({"headers": {"Transfer-Encoding": "x"}}, "headers.Transfer-Encoding", "transport"),
        ({"headers": {"Webhook-Id": "x"}}, "headers.Webhook-Id", "HyreLog"),
        ({"headers": {"webhook-anything": "x"}}, "headers.webhook-anything", "HyreLog"),
        ({"headers": {"HYRELOG-Replay": "x"}}, "headers.HYRELOG-Replay", "HyreLog"),
        ({"headers": {"Content-Type": "text/plain"}}, "headers.Content-Type", "HyreLog"),
        ({"headers": {"Content-Encoding": "gzip"}}, "headers.Content-Encoding", "HyreLog"),
        ({"headers": {"TraceParent": "x"}}, "headers.TraceParent", "HyreLog"),
        ({"headers": {"Accept-Encoding": "br"}}, "headers.Accept-Encoding", "HyreLog"),
        ({"headers": {"Proxy-Authorization": "x"}}, "headers.Proxy-Authorization", "HyreLog"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a", "twice"),
        ({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers.X-A", "visible ASCII"),
        ({"headers": {"X-A": "1\n"}}, "headers.X-A", "visible ASCII"),
        ({"headers": {"X-A": " 1"}}, "headers.X-A", "visible ASCII"),
        ({"headers": {"X-A": "ü"}}, "headers.X-A", "visible ASCII"),
        ({"headers": {"X A": "1"}}, "headers.X A", "not a header name"),
        ({"headers": {"": "1"}}, "headers.", "not a header name"),
        ({"headers": {"X-Ä": "1"}}, "headers.X-\\xc4", "not a header name"),
        ({"headers": {"X-A": 1}}, "headers.X-A", "must be a text"),
        ({"headers": {"X-A": None}}, "headers.X-A", "must be a text"),
        ({"headers": {"X-A": HIDDEN}}, "headers.X-A", "none yet"),
        ({"headers": [["X-A", "1"]]}, "headers", "JSON object"),
        ({"headers": {f"X-{n}": "1" for n in range(21)}}, "headers", "at most 20"),
        ({"headers": {"X-A": "v" * 4094}}, "headers", "more than 4096"),
        ({"headers": {"authorization": "x"}, "authentication": BEARER}, "headers.authorization", "choose one"),
        ({"authentication": "ada:x"}, "authentication", "JSON object"),
        ({"authentication": {}}, "authentication", "type"),
        ({"authentication": {"type": "digest"}}, "authentication", "basic"),
        ({"authentication": {"type": ["basic"]}}, "authentication", "basic"),
        ({"authentication": {"type": "basic", "username": "a"}}, "authentication.password", "required"),
        ({"authentication": BASIC | {"username": "a:b"}}, "authentication.username", "colon"),
        ({"authentication": BASIC | {"password": "a\nb"}}, "authentication.password", "control character"),
        ({"authentication": BASIC | {"password": "\ud800"}}, "authentication.password", ""),
        ({"authentication": BASIC | {"token": "x"}}, "authentication.token", "is no field"),
        ({"authentication": {"type": "bearer", "token": ""}}, "authentication.token", "RFC 6750"),
        ({"authentication": {"type": "bearer", "token": "a b"}}, "authentication.token", "RFC 6750"),
        ({"authentication": {"type": "bearer", "token": "a\r\nb"}}, "authentication.token", "RFC 6750"),
        ({"retrySchedule": [60, 0]}, "retrySchedule[1]", "at least 1"),
        ({"retrySchedule": [1, 2, "3"]}, "retrySchedule[2]", "whole number"),
        ({"retrySchedule": [True]}, "retrySchedule[0]", "whole number"),
        ({"retrySchedule": [1.5]}, "retrySchedule[0]", "whole number"),
        ({"retrySchedule": [7 * 86400 + 1]}, "retrySchedule[0]", "604800"),
        ({"retrySchedule": [7 * 86400, 7 * 86400, 1]}, "retrySchedule", "14 days"),
        ({"retrySchedule": [1] * 21}, "retrySchedule", "at most 20"),
        ({"retrySchedule": 60}, "retrySchedule", "list"),
        ({"timeoutSeconds": 0.5}, "timeoutSeconds", "1"),
        ({"timeoutSeconds": 61}, "timeoutSeconds", "60"),
        ({"timeoutSeconds": "5"}, "timeoutSeconds", "number"),
        ({"rateLimit": 0}, "rateLimit", "1"),
        ({"rateLimit": 10_001}, "rateLimit", "10000"),
        ({"rateLimit": 10**30}, "rateLimit", "10000"),
        ({"retry_schedule": [60]}, "retry_schedule", "is no field"),
        ({"description": "a\0b"}, "description", "U+0000"),
    ],
)
def test_a_bad_option_names_the_field_and_the_rule_when_made_and_when_changed(
    api: Api, options: dict[str, Any], field: str, rule: str
) -> None:
    refused = problems(api.post(WEBHOOKS, {"url": URL} | options))
    assert rule in refused[field]
    assert not Webhook.objects.exists()
    made = make(api)
    refused = problems(api.patch(f"{WEBHOOKS}/{made['id']}", options))
    assert rule in refused[field]
    assert shown(api.get(f"{WEBHOOKS}/{made['id']}").json()) == NO_OPTIONS


def test_every_bad_header_is_named_and_no_value_is(api: Api) -> None:
    answer = api.post(WEBHOOKS, {"url": URL, "headers": {"Host": "hush", "X-A": "hu\tsh\n", "X-B": "fine"}})
    assert problems(answer).keys() == {"headers.Host", "headers.X-A"}
    assert b"hu" not in answer.content


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"retrySchedule": []}, ("retry_schedule", [])),
        ({"retrySchedule": [1] * 20}, ("retry_schedule", [1] * 20)),
        ({"retrySchedule": [7 * 86400] * 2}, ("retry_schedule", [7 * 86400] * 2)),
        ({"timeoutSeconds": 1}, ("timeout_seconds", 1)),
        ({"timeoutSeconds": 60}, ("timeout_seconds", 60)),
        ({"rateLimit": 10_000}, ("rate_limit", 10_000)),
        ({"headers": {"X-A": "v" * 4093}}, ("headers", {"X-A": "v" * 4093})),
        ({"headers": {f"X-{n}": "" for n in range(20)}}, ("headers", {f"X-{n}": "" for n in range(20)})),
        ({"headers": {"Authorization": "Digest x"}}, ("headers", {"Authorization": "Digest x"})),
    ],
)
def test_what_stands_just_within_a_bound_is_allowed(api: Api, options: Any, kept: tuple[str, Any]) -> None:
    make(api, **options)
    assert getattr(Webhook.objects.get(), kept[0]) == kept[1]


def test_only_what_is_named_is_changed(api: Api) -> None:
    made = make(api, **OPTIONS, description="CRM")
    made.pop("secret")
    address = f"{WEBHOOKS}/{made['id']}"
    before = Webhook.objects.values().get()
    assert api.patch(address, {}).json() == made
    assert Webhook.objects.values().get() == before
    changed = api.patch(address, {"events": ["user.*"], "rateLimit": 5})
    assert changed.status_code == 200
    assert changed.json() == made | {"events": ["user.*"], "rateLimit": 5}
    assert Webhook.objects.values().get() == before | {"events": ["user.*"], "rate_limit": 5}


def test_null_resets_an_option(api: Api) -> None:
    made = make(api, **OPTIONS)
    answer = api.patch(f"{WEBHOOKS}/{made['id']}", dict.fromkeys(NO_OPTIONS))
    assert shown(answer.json()) == NO_OPTIONS
    assert Webhook.objects.get().added_headers == {}


@pytest.mark.parametrize("field", ["url", "events", "categories", "description"])
def test_what_is_no_option_cannot_be_null(api: Api, field: str) -> None:
    assert field in problems(api.patch(f"{WEBHOOKS}/{make(api)['id']}", {field: None}))


def test_a_masked_header_keeps_its_value_and_one_left_out_goes(api: Api) -> None:
    made = make(api, headers={"X-A": "a", "X-B": "b"})
    address = f"{WEBHOOKS}/{made['id']}"
    read = api.get(address).json()["headers"]
    assert api.patch(address, {"headers": read | {"X-C": "c"}}).status_code == 200
    assert Webhook.objects.get().headers == {"X-A": "a", "X-B": "b", "X-C": "c"}
    assert api.patch(address, {"headers": {"x-b": HIDDEN}}).json()["headers"] == {"x-b": HIDDEN}
    assert Webhook.objects.get().headers == {"x-b": "b"}
    assert "none yet" in problems(api.patch(address, {"headers": {"X-A": HIDDEN}}))["headers.X-A"]


def test_kept_values_count_in_the_size_of_all_headers(api: Api) -> None:
    made = make(api, headers={"X-A": "v" * 4000})
    refused = problems(api.patch(f"{WEBHOOKS}/{made['id']}", {"headers": {"X-A": HIDDEN, "X-B": "v" * 91}}))
    assert "more than 4096" in refused["headers"]


def test_authorization_has_one_source_also_where_the_other_is_stored(api: Api) -> None:
    by_header = f"{WEBHOOKS}/{make(api, headers={'authorization': 'x'})['id']}"
    assert "choose one" in problems(api.patch(by_header, {"authentication": BEARER}))["headers.authorization"]
    assert api.patch(by_header, {"authentication": BEARER, "headers": {}}).status_code == 200
    assert "choose one" in problems(api.patch(by_header, {"headers": {"AUTHORIZATION": "x"}}))["headers.AUTHORIZATION"]
    assert api.patch(by_header, {"authentication": None, "headers": {"Authorization": "x"}}).status_code == 200
    assert Webhook.objects.get().added_headers == {"Authorization": "x"}


@pytest.mark.parametrize("body", ["", "{", "[]", '"x"', "7", "null", '{"url": "https://a.example", "url": "x"}'])
def test_nonsense_changes_nothing(api: Api, body: str) -> None:
    made = make(api, **OPTIONS)
    before = Webhook.objects.values().get()
    answer = api.patch(f"{WEBHOOKS}/{made['id']}", body)
    assert answer.status_code in (400, 422)
    assert answer.json().keys() >= {"error", "code"}
    assert Webhook.objects.values().get() == before


@pytest.mark.parametrize("field", ["workspaceId", "secret", "enabled", "id", "disabledAt"])
def test_what_cannot_be_changed_is_refused(api: Api, field: str) -> None:
    assert "is no field" in problems(api.patch(f"{WEBHOOKS}/{make(api)['id']}", {field: None}))[field]


def test_a_changed_url_is_checked(api: Api) -> None:
    made = make(api)
    assert "10.0.0.1" in problems(api.patch(f"{WEBHOOKS}/{made['id']}", {"url": "https://10.0.0.1/"}))["url"]
    assert api.get(f"{WEBHOOKS}/{made['id']}").json()["url"] == URL


def test_changing_a_webhook_leaves_alone_what_others_change_meanwhile(api: Api, tenant: Tenant) -> None:
    made = make(api)
    stale = Webhook.objects.get()
    Webhook.objects.get().disable(reason="gone", now=NOON)
    assert stale.change(description="CRM")
    assert (api.get(f"{WEBHOOKS}/{made['id']}").json()["disabledReason"], stale.disabled_at) == ("gone", None)


def test_a_deleted_webhook_is_not_changed_and_keeps_no_secret(api: Api) -> None:
    make(api, **OPTIONS)
    webhook = Webhook.objects.get()
    assert webhook.delete_softly(now=NOON)
    assert not webhook.change(description="CRM")
    assert Webhook.objects.values_list(*ENCRYPTED).get() == ("", "", "", "")


def test_what_cannot_be_read_any_more_is_said_to_be_so_and_can_be_replaced(api: Api, settings: LazySettings) -> None:
    made = make(api, **OPTIONS)
    address = f"{WEBHOOKS}/{made['id']}"
    settings.HYRELOG_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert shown(api.get(address).json()) == OPTIONS | {"headers": None, "authentication": {"type": "unreadable"}}
    with pytest.raises(UnreadableSecret):
        _ = Webhook.objects.get().added_headers
    assert "send all of them anew" in problems(api.patch(address, {"headers": {"X-Environment": HIDDEN}}))["headers"]
    assert "send all of them anew" in problems(api.patch(address, {"authentication": BEARER}))["headers"]
    assert api.patch(address, {"description": "CRM"}).status_code == 200
    assert api.patch(address, {"headers": {}, "authentication": BEARER}).status_code == 200
    assert Webhook.objects.get().authentication == BEARER


# --- Properties -------------------------------------------------------------------------------------------------


unhurried = hypothesis.settings(deadline=None)  # the machine may be busy


def accepted(**sent: Any) -> Options | None:
    try:
        return Options.model_validate(sent)
    except pydantic.ValidationError:
        return None


NAMES = st.from_regex(r"[xX]-[A-Za-z.!]{0,3}", fullmatch=True) | st.sampled_from(["host", "Webhook-Id"]) | st.text()
VALUES = st.text(st.characters(min_codepoint=30, max_codepoint=130), max_size=8)


@unhurried
@given(st.dictionaries(NAMES, VALUES, max_size=22))
def test_whatever_headers_are_accepted_can_go_on_the_wire(headers: dict[str, str]) -> None:
    if options := accepted(headers=headers):
        assert options.headers == headers
        check_headers(headers)
        lower = {name.lower() for name in headers}
        assert len(lower) == len(headers) <= 20
        assert not lower & {"host", "webhook-id"}


@unhurried
@given(st.text(max_size=40), st.text(max_size=40))
def test_accepted_basic_credentials_are_read_back_as_they_were_sent(username: str, password: str) -> None:
    if options := accepted(authentication={"type": "basic", "username": username, "password": password}):
        webhook = Webhook()
        webhook.choose(**options.chosen())
        added = webhook.added_headers
        check_headers(added)
        decoded = b64decode(added["Authorization"].removeprefix("Basic ")).decode()
        assert decoded.split(":", 1) == [username, password]


@unhurried
@given(st.lists(st.integers(0, 700_000), max_size=22))
def test_a_schedule_is_accepted_exactly_if_it_is_within_all_bounds(schedule: list[int]) -> None:
    within = len(schedule) <= 20 and all(1 <= pause <= 7 * DAY for pause in schedule) and sum(schedule) <= 14 * DAY
    assert (accepted(retrySchedule=schedule) is not None) == within
