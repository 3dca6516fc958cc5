import json
from typing import Any

from django.db import models

from audit.encryption import HIDDEN, UnreadableSecret, decrypt, encrypt
from webhooks.credentials import authorization, masked
from webhooks.custom_headers import InvalidHeaders, complete


class RequestOptions(models.Model):
    """How requests to a webhook are made and repeated. What could hold a secret is encrypted."""

    encrypted_headers = models.TextField(
        editable=False, blank=True, default="", db_default="", help_text="Additional request headers, as JSON."
    )
    encrypted_authentication = models.TextField(
        editable=False, blank=True, default="", db_default="", help_text="Credentials, as JSON."
    )
    retry_schedule = models.JSONField(
        null=True, blank=True, help_text="Seconds to wait after each failed attempt; empty for the default."
    )
    timeout_seconds = models.FloatField(null=True, blank=True, help_text="Of one request; empty for the default.")
    rate_limit = models.PositiveIntegerField(null=True, blank=True, help_text="Requests a second; empty for no limit.")

    class Meta:
        abstract = True

    @property
    def headers(self) -> dict[str, str]:
        """The tenant's own headers in plain; raises UnreadableSecret."""
        return _unsealed(self.encrypted_headers)

    @property
    def authentication(self) -> dict[str, str] | None:
        """The credentials in plain, as they were sent; raises UnreadableSecret."""
        return _unsealed(self.encrypted_authentication) or None

    @property
    def added_headers(self) -> dict[str, str]:
        """What each request carries beside HyreLog's own headers, in plain; raises UnreadableSecret."""
        credentials = self.authentication
        return self.headers | ({"Authorization": authorization(credentials)} if credentials else {})

    def choose(self, **chosen: Any) -> list[str]:
        """Take over what was chosen, by `webhooks.options`; says which columns changed, without saving them.

        Raises InvalidHeaders where the choice does not go with what is stored.
        """
        try:
            if "headers" in chosen:
                sent = chosen.pop("headers") or {}
                stored = self.headers if HIDDEN in sent.values() else {}
                chosen["encrypted_headers"] = _sealed(complete(sent, stored=stored))
            if "authentication" in chosen:
                chosen["encrypted_authentication"] = _sealed(chosen.pop("authentication"))
            for column, value in chosen.items():
                setattr(self, column, value)
            if self.encrypted_authentication and {"encrypted_headers", "encrypted_authentication"} & chosen.keys():
                self._refuse_second_authorization()
        except UnreadableSecret:
            raise InvalidHeaders("headers", "the stored ones cannot be read any more; send all of them anew") from None
        return list(chosen)

    def _refuse_second_authorization(self) -> None:
        for name in self.headers:
            if name.lower() == "authorization":
                raise InvalidHeaders(f"headers.{name}", "stands beside `authentication`, which sets it; choose one")

    def options_as_json(self) -> dict[str, Any]:
        """The options as the API shows them. Those that cannot be read are null, or of the type `unreadable`."""
        try:
            headers: dict[str, str] | None = dict.fromkeys(self.headers, HIDDEN)
        except UnreadableSecret:
            headers = None
        try:
            credentials = self.authentication
            authentication = masked(credentials) if credentials else None
        except UnreadableSecret:
            authentication = {"type": "unreadable"}
        return {
            "headers": headers,
            "authentication": authentication,
            "retrySchedule": self.retry_schedule,
            "timeoutSeconds": self.timeout_seconds,
            "rateLimit": self.rate_limit,
        }


def _sealed(value: dict[str, str] | None) -> str:
    return encrypt(json.dumps(value)) if value else ""


def _unsealed(token: str) -> dict[str, str]:
    sealed: dict[str, str] = json.loads(decrypt(token)) if token else {}
    return sealed
