"""What a tenant may choose about a webhook, and the rules of it: one reading for the API and the admin."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from audit.canonical import UncanonicalValue, check
from audit.encryption import HIDDEN
from webhooks.credentials import Credentials
from webhooks.custom_headers import Headers
from webhooks.sending.addresses import BlockedAddress
from webhooks.tasks import address_policy

DAY = 86_400
LONGEST_PAUSE, LONGEST_SCHEDULE = 7 * DAY, 14 * DAY
"""Seconds."""
OVERLAP, LONGEST_OVERLAP = 24, 168
"""Hours for which a secret that was replaced signs too."""


def storable(text: str) -> str:
    """The text, if Postgres can hold it; raises ValueError."""
    try:
        check(text, "")
    except UncanonicalValue as error:
        raise ValueError(error.rule) from None
    return text


def _allowed(url: str) -> str:
    try:
        address_policy().check_url(url)
    except BlockedAddress as error:
        raise ValueError(str(error).removeprefix("url: ")) from None
    return url


def _bounded(schedule: list[int]) -> list[int]:
    if sum(schedule) > LONGEST_SCHEDULE:
        raise ValueError(f"takes {sum(schedule)} seconds in all; at most {LONGEST_SCHEDULE} (14 days) are allowed")
    return schedule


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is not named stays as it is: defaults in the description of a change would tell otherwise."""
    for described in schema["properties"].values():
        described.pop("default", None)


Url = Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_allowed)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=100)]
Description = Annotated[str, StringConstraints(max_length=500), AfterValidator(storable)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(storable)]
Pause = Annotated[int, Field(strict=True, ge=1, le=LONGEST_PAUSE)]
Schedule = Annotated[list[Pause], Field(max_length=20), AfterValidator(_bounded)]


class Options(BaseModel):
    """What can be changed about a webhook; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)
    url: Url = Field(
        default="",
        description="Where deliveries are sent: `https`, without a user name, to a public address.",
        examples=["https://example.com/hooks/audit"],
    )
    events: Patterns = Field(
        default=["*"],
        description="Patterns on the action; `*` stands for any run of characters.",
        examples=[["user.*", "invoice.paid"]],
    )
    categories: Patterns = Field(
        default=["*"], description="Patterns on the category, of the same form.", examples=[["auth"]]
    )
    description: Description = Field(default="", description="For people.")
    headers: Headers | None = Field(
        default=None,
        description="Additional request headers, at most 20 of 4,096 characters in all; null for none. What is sent"
        f" replaces all of them. A value is never shown: `{HIDDEN}` stands in its place and, sent back, keeps it.",
        examples=[{"X-Environment": "production"}],
    )
    authentication: Credentials | None = Field(
        default=None,
        description="Credentials for the endpoint, sent in the header `Authorization`; null for none. Shown without"
        " password or token.",
        examples=[{"type": "basic", "username": "hyrelog", "password": "a password"}],
    )
    retry_schedule: Schedule | None = Field(
        default=None,
        alias="retrySchedule",
        description="Seconds to wait after the first failed attempt, the second, and so on: at most 20 pauses, each of"
        " 1 second to 7 days, 14 days in all. An empty list: one attempt only. Null: the default of this installation.",
        examples=[[60, 300, 1800, 21600]],
    )
    timeout_seconds: Annotated[float, Field(strict=True, ge=1, le=60)] | None = Field(
        default=None,
        alias="timeoutSeconds",
        description="For one request, from the look-up of the name to the last byte of the answer. Null: the default.",
    )
    rate_limit: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = Field(
        default=None, alias="rateLimit", description="The most requests a second. Null: no limit."
    )

    def chosen(self) -> dict[str, Any]:
        """What was named, as `Webhook.objects.register` and `Webhook.change` take it."""
        return self.model_dump(include=set(Options.model_fields), exclude_unset=True)
