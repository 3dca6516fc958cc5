"""The admin's form of a webhook: the options of the API, by the same rules, with the same errors."""

import json
from collections.abc import Sequence
from copy import copy
from typing import Any

import pydantic
from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget

from audit import strict_json
from audit.api.errors import path_of, rule_of
from audit.encryption import HIDDEN, UnreadableSecret
from webhooks.custom_headers import InvalidHeaders
from webhooks.models import Webhook
from webhooks.models.webhook import MOST, TooManyWebhooks
from webhooks.options import Options

AUTHENTICATION = ["authentication_type", "authentication_username", "authentication_secret"]
KINDS = [("", "none"), ("basic", "user name and password"), ("bearer", "bearer token")]
UNREADABLE = ("unreadable", "cannot be read: choose anew")
PLACES = {
    "retrySchedule": "retry_schedule",
    "timeoutSeconds": "timeout_seconds",
    "rateLimit": "rate_limit",
    "authentication": "authentication_type",
    "authentication.username": "authentication_username",
    "authentication.password": "authentication_secret",
    "authentication.token": "authentication_secret",
}
"""Under which field of the form a problem of the API's field is shown, where their names differ."""


class StrictDecoder(json.JSONDecoder):
    """JSON as the API reads it."""

    def decode(self, s: str, *_: Any) -> Any:
        try:
            return strict_json.loads(s.encode())
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), s, 0) from None


class StrictJSONField(forms.JSONField):
    """JSON in a small box, which is empty for null."""

    widget = AdminTextareaWidget(attrs={"rows": 2})
    default_error_messages = {"invalid": "This is not JSON, or names something twice, or is nested too deeply."}

    def __init__(self, **named: Any) -> None:
        super().__init__(decoder=StrictDecoder, **named)

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class WebhookForm(forms.ModelForm[Webhook]):
    events = StrictJSONField(initial=["*"], help_text='Patterns on the action, such as ["user.*"]; ["*"] for all.')
    categories = StrictJSONField(initial=["*"], help_text='Patterns on the category, such as ["auth"]; ["*"] for all.')
    headers = StrictJSONField(
        required=False,
        help_text='Additional request headers, such as {"X-Team": "billing"}; empty for none. A stored value is shown'
        f' as "{HIDDEN}", which keeps it.',
    )
    authentication_type = forms.ChoiceField(
        required=False, label="Authentication", choices=KINDS, help_text="Sent in the header Authorization."
    )
    authentication_username = forms.CharField(required=False, label="User name", widget=AdminTextInputWidget)
    authentication_secret = forms.CharField(
        required=False,
        strip=False,
        label="Password or token",
        widget=forms.PasswordInput(attrs={"class": "vTextField", "autocomplete": "new-password"}),
        help_text="Never shown; left empty, it stays what it is.",
    )
    retry_schedule = StrictJSONField(
        required=False,
        help_text="Seconds to wait after each failed attempt, such as [60, 300, 1800]; [] for one attempt only;"
        " empty for the default.",
    )

    class Meta:
        model = Webhook
        fields = ["company", "workspace", "url", "events", "categories", "description"]
        fields += ["headers", *AUTHENTICATION, "retry_schedule", "timeout_seconds", "rate_limit"]
        labels = {"url": "URL", "timeout_seconds": "Timeout"}
        widgets = {name: AdminTextInputWidget(attrs={"style": "width: 610px"}) for name in ("url", "description")}
        help_texts = {
            "timeout_seconds": "Seconds for one request, 1 to 60; empty for the default.",
            "rate_limit": "The most requests a second, up to 10,000; empty for no limit.",
        }

    chosen: dict[str, Any]
    """What a valid form chose, as `Webhook.objects.register` and `Webhook.change` take it."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        shown = self.instance.options_as_json()
        credentials = shown["authentication"] or {"type": ""}
        self.initial["headers"] = shown["headers"] or None
        self.initial["authentication_type"] = credentials["type"]
        self.initial["authentication_username"] = credentials.get("username", "")
        if credentials["type"] == UNREADABLE[0]:
            self.fields["authentication_type"].choices = [UNREADABLE, *KINDS]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance._state.adding:  # noqa: SLF001  Django's public way to tell a new row
            self._check_tenant(cleaned)
        try:
            self.chosen = Options.model_validate(self._sent(cleaned)).chosen()
            copy(self.instance).choose(**self.chosen)
        except pydantic.ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                self._blame(problem["loc"], rule_of(problem))
        except InvalidHeaders as error:
            self._blame([error.path], error.rule)
        return cleaned

    def _check_tenant(self, cleaned: dict[str, Any]) -> None:
        company, workspace = cleaned.get("company"), cleaned.get("workspace")
        if company and workspace and workspace.company_id != company.pk:
            self.add_error("workspace", "The workspace belongs to another company.")
        if company and Webhook.objects.of(company).count() >= MOST:
            self.add_error("company", str(TooManyWebhooks()))

    def _sent(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """The form as a request's body: of a new webhook all options, else those that were changed."""
        typed = set(self.fields if self.instance._state.adding else self.changed_data)  # noqa: SLF001
        sent = {
            field.alias or name: cleaned[name]
            for name, field in Options.model_fields.items()
            if name in typed and name in cleaned
        }
        if typed.intersection(AUTHENTICATION):
            sent["authentication"] = self._authentication(*(cleaned.get(name, "") for name in AUTHENTICATION))
        return sent

    def _authentication(self, kind: str, username: str, secret: str) -> dict[str, str] | None:
        if not kind:
            if secret:
                self.add_error("authentication_type", "Choose how the password or token is to be sent.")
            return None
        try:
            stored = self.instance.authentication or {}
        except UnreadableSecret:
            stored = {}
        if kind == "basic":
            return {"type": kind, "username": username, "password": secret or stored.get("password", "")}
        return {"type": kind, "token": secret or stored.get("token", "")}

    def _blame(self, place: Sequence[str | int], rule: str) -> None:
        path = path_of(place)
        field = PLACES.get(path) or PLACES.get(str(place[0])) or str(place[0]).partition(".")[0]
        self.add_error(field, rule if path in (field, *PLACES) else f"{path}: {rule}")
