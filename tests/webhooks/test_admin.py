"""The admin's pages of a webhook: the API's options by the same rules, and no secret on them but a new one, once."""

import html
import json
import re
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.conftest import Tenant
from webhooks.models import Webhook
from webhooks.models.webhook import MOST

URL = "https://example.com/hook"
BASIC = {"type": "basic", "username": "ada", "password": "pass"}
HEADERS = {"X-Team": "billing", "X-Env": "production"}


@pytest.fixture
def webhook(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(
        company=tenant.company, url=URL, headers=HEADERS, authentication=BASIC, retry_schedule=[5], rate_limit=9
    )[0]


def page(view: str, *args: Any) -> str:
    return reverse(f"admin:webhooks_webhook_{view}", args=args)


def typed(operator: Client, url: str) -> dict[str, Any]:
    """What the form at `url` sends if nothing is changed."""
    form = operator.get(url).context["adminform"].form
    return {name: form[name].value() if form[name].value() is not None else "" for name in form.fields}


def change(operator: Client, webhook: Webhook, **fields: Any) -> Any:
    url = page("change", webhook.pk)
    return operator.post(url, typed(operator, url) | fields, follow=True)


def errors(answer: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return found


def shown_secret(answer: Any) -> str:
    (secret,) = set(re.findall(r"whsec_[\w+/=]+", html.unescape(answer.content.decode())))
    return str(secret)


def test_a_webhook_is_made_with_all_its_options(operator: Client, tenant: Tenant) -> None:
    fields = typed(operator, page("add")) | {
        "company": str(tenant.company.pk),
        "url": URL,
        "headers": json.dumps(HEADERS),
        "authentication_type": "bearer",
        "authentication_secret": "abc",
        "retry_schedule": "[]",
        "timeout_seconds": "2.5",
        "rate_limit": "10",
    }
    answer = operator.post(page("add"), fields, follow=True)
    webhook = Webhook.objects.get()
    assert shown_secret(answer) == webhook.secret
    assert webhook.added_headers == HEADERS | {"Authorization": "Bearer abc"}
    assert (webhook.retry_schedule, webhook.timeout_seconds, webhook.rate_limit) == ([], 2.5, 10)


def test_saving_a_form_as_it_is_changes_nothing(operator: Client, webhook: Webhook) -> None:
    before = Webhook.objects.values().get()
    assert change(operator, webhook).status_code == 200
    assert Webhook.objects.values().get() == before


def test_only_what_was_typed_is_changed(operator: Client, webhook: Webhook) -> None:
    before = Webhook.objects.values().get()
    url = page("change", webhook.pk)
    fields = typed(operator, url)
    webhook.disable(reason="gone", now=timezone.now())  # while the operator is typing
    operator.post(url, fields | {"description": "CRM", "rate_limit": ""})
    after = Webhook.objects.values().get()
    assert {name for name in after if after[name] != before[name]} == {  # type: ignore[literal-required]
        "description", "rate_limit", "disabled_at", "disabled_reason",
    }  # fmt: skip


def test_masked_headers_are_kept_and_an_emptied_field_sends_none(operator: Client, webhook: Webhook) -> None:
    change(operator, webhook, headers='{"X-Team": "***", "X-New": "new"}')
    webhook.refresh_from_db()
    assert webhook.headers == {"X-Team": "billing", "X-New": "new"}
    change(operator, webhook, headers="")
    webhook.refresh_from_db()
    assert webhook.headers == {}


def test_a_password_is_left_alone_while_its_field_is_empty_and_goes_with_its_type(
    operator: Client, webhook: Webhook
) -> None:
    for fields, expected in [
        ({"authentication_username": "bob"}, BASIC | {"username": "bob"}),
        ({"authentication_secret": "new"}, {"type": "basic", "username": "bob", "password": "new"}),
        ({"authentication_type": "bearer", "authentication_secret": "t"}, {"type": "bearer", "token": "t"}),
        ({"authentication_type": ""}, None),
    ]:
        change(operator, webhook, **fields)
        webhook.refresh_from_db()
        assert webhook.authentication == expected


@pytest.mark.parametrize(
    ("fields", "field", "error"),
    [
        ({"url": "https://10.0.0.1/"}, "url", "10.0.0.1 is not a public address: private (RFC 1918)"),
        ({"events": '["a", ""]'}, "events", "events[1]: must not be empty"),
        ({"headers": '{"Host": "x"}'}, "headers", "headers.Host: is set by the transport alone"),
        ({"headers": '{"X-A": "***"}'}, "headers", "headers.X-A: *** stands for the value that is stored"),
        ({"headers": '{"X-A": "1", "X-A": "2"}'}, "headers", "names something twice"),
        ({"headers": "[" * 100_000}, "headers", "nested too deeply"),
        ({"headers": "{"}, "headers", "not JSON"),
        ({"headers": '["x"]'}, "headers", "JSON object"),
        ({"headers": '{"Authorization": "x"}'}, "headers", "headers.Authorization: stands beside"),
        ({"authentication_username": "a:b"}, "authentication_username", "colon"),
        ({"authentication_type": "bearer"}, "authentication_secret", "RFC 6750"),
        ({"authentication_type": "", "authentication_secret": "x"}, "authentication_type", "Choose how"),
        ({"retry_schedule": "[60, 0]"}, "retry_schedule", "retrySchedule[1]: must be at least 1"),
        ({"timeout_seconds": "61"}, "timeout_seconds", "at most 60"),
        ({"rate_limit": "0"}, "rate_limit", "at least 1"),
    ],
)
def test_the_form_shows_the_errors_of_the_api_under_their_field(
    operator: Client, webhook: Webhook, fields: dict[str, str], field: str, error: str
) -> None:
    before = Webhook.objects.values().get()
    found = errors(change(operator, webhook, **fields))
    assert error in " ".join(found[field])
    assert Webhook.objects.values().get() == before


def test_credentials_that_cannot_be_read_are_said_to_be_so_and_can_be_removed(
    operator: Client, webhook: Webhook, settings: LazySettings
) -> None:
    settings.HYRELOG_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert b"cannot be read" in operator.get(page("change", webhook.pk)).content
    assert change(operator, webhook, description="CRM").status_code == 200
    assert "cannot be read" in str(errors(change(operator, webhook, authentication_type="bearer",
                                                 authentication_secret="t")))  # fmt: skip
    change(operator, webhook, authentication_type="", headers="{}")
    webhook.refresh_from_db()
    assert webhook.description == "CRM"
    assert webhook.authentication is None


def test_a_company_with_too_many_webhooks_gets_an_error_and_no_crash(operator: Client, tenant: Tenant) -> None:
    for _ in range(MOST):
        Webhook.objects.register(company=tenant.company, url=URL)
    fields = typed(operator, page("add")) | {"company": str(tenant.company.pk), "url": URL}
    assert "100 webhooks" in str(errors(operator.post(page("add"), fields)))


def test_a_workspace_of_another_company_is_refused(operator: Client, tenant: Tenant, other_tenant: Tenant) -> None:
    fields = {"company": str(tenant.company.pk), "workspace": str(other_tenant.workspace.pk), "url": URL}
    answer = operator.post(page("add"), typed(operator, page("add")) | fields)
    assert errors(answer)["workspace"] == ["The workspace belongs to another company."]


def test_a_secret_is_rotated_after_a_question_and_shown_once(operator: Client, webhook: Webhook) -> None:
    old, url = webhook.secret, page("rotate_secret", webhook.pk)
    assert f'href="{url}"' in operator.get(page("change", webhook.pk)).content.decode()
    assert b"whsec_" not in operator.get(url).content
    for hours in ("", "-1", "169", "x"):
        assert operator.post(url, {"overlap_hours": hours}).status_code == 200
    webhook.refresh_from_db()
    assert webhook.secret == old
    answer = operator.post(url, {"overlap_hours": "24"}, follow=True)
    webhook.refresh_from_db()
    assert shown_secret(answer) == webhook.secret
    assert webhook.signing_secrets(now=timezone.now()) == [webhook.secret, old]
    assert b"whsec_" not in operator.get(page("change", webhook.pk)).content
    assert "older secret" in operator.get(url).content.decode()
    assert LogEntry.objects.get().get_change_message() == "Rotated the secret."


def test_the_list_leads_to_the_rotation_of_one_webhook_at_a_time(operator: Client, tenant: Tenant) -> None:
    made = [Webhook.objects.register(company=tenant.company, url=URL)[0].pk for _ in range(2)]
    chosen = {"action": "rotate_secret", "_selected_action": made[:1]}
    assert operator.post(page("changelist"), chosen).headers["Location"] == page("rotate_secret", made[0])
    answer = operator.post(page("changelist"), chosen | {"_selected_action": made}, follow=True)
    assert "Choose one webhook" in answer.content.decode()


def test_a_deleted_or_missing_webhook_gets_no_secret(operator: Client, webhook: Webhook) -> None:
    webhook.delete_softly(now=timezone.now())
    assert operator.post(page("rotate_secret", webhook.pk), {"overlap_hours": "0"}).status_code == 403
    missing = page("rotate_secret", webhook.company_id)
    assert operator.post(missing, {"overlap_hours": "0"}).status_code == 404


def test_who_may_only_look_sees_no_value_and_rotates_nothing(client: Client, webhook: Webhook) -> None:
    viewer = get_user_model().objects.create_user("viewer", "v@example.com", is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(codename="view_webhook"))
    client.force_login(viewer)
    text = html.unescape(client.get(page("change", webhook.pk)).content.decode())
    assert '{"X-Team": "***", "X-Env": "***"}' in text
    assert '{"type": "basic", "username": "ada"}' in text
    assert not [secret for secret in ("billing", "production", "pass", webhook.secret) if f">{secret}" in text]
    assert "billing" not in text
    assert page("rotate_secret", webhook.pk) not in text
    assert client.get(page("rotate_secret", webhook.pk)).status_code == 403
    assert client.post(page("rotate_secret", webhook.pk), {"overlap_hours": "0"}).status_code == 403


def test_webhooks_are_filtered_by_state(operator: Client, tenant: Tenant) -> None:
    on, off, gone = (
        Webhook.objects.register(company=tenant.company, url=f"{URL}/{name}")[0] for name in ("on", "off", "gone")
    )
    off.disable(reason="x", now=timezone.now())
    gone.delete_softly(now=timezone.now())
    for state, webhook in [("enabled", on), ("disabled", off), ("deleted", gone)]:
        listed = operator.get(page("changelist"), {"state": state}).context["cl"].result_list
        assert [row.pk for row in listed] == [webhook.pk]
