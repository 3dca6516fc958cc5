"""Errors as the API says them: `{"error": sentence, "code": word, "details": …}` (design, sections 2 and 4)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from audit.models.company import ChainBusy

_OBJECT = "must be a JSON object"
_RULES = {
    "missing": "is required",
    "extra_forbidden": "is no field of this request; check its spelling",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have at most {max_length} of them",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be of the type {expected_tags}",
    "union_tag_not_found": "must be an object with a `type`",
}
"""What a field has to be, by pydantic's type of a problem."""


class ApiError(Exception):
    """An answer other than success; `code` is stable, `error` is for people."""

    def __init__(
        self, status: int, code: str, error: str, *, details: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.code, self.error = status, code, error
        self.details, self.headers = details, headers or {}

    def response(self) -> HttpResponse:
        body = {"error": self.error, "code": self.code}
        if self.details is not None:
            body["details"] = self.details
        return JsonResponse(body, status=self.status, headers=dict(self.headers))


def not_found(what: str) -> ApiError:
    """The one answer for what is not there and for what is not yours."""
    return ApiError(404, "not_found", f"There is no such {what}.")


def invalid(field: str, rule: str) -> ApiError:
    """One field breaks one rule."""
    return ApiError(422, "invalid", f"{field}: {rule}", details=[{"field": field, "rule": rule}])


def invalid_fields(problems: Sequence[tuple[str, str]]) -> ApiError:
    """Several fields break rules; the sentence names the first."""
    details = [{"field": field, "rule": rule} for field, rule in problems]
    return ApiError(422, "invalid", f"{problems[0][0]}: {problems[0][1]}", details=details)


def too_many(
    error: str, *, retry_after: timedelta, details: Any = None, headers: Mapping[str, str] | None = None
) -> ApiError:
    """429, with the seconds after which to come back (RFC 6585, section 4)."""
    seconds = max(1, ceil(retry_after.total_seconds()))
    told = {"Retry-After": str(seconds), **(headers or {})}
    return ApiError(429, "rate_limited", error, details=details, headers=told)


def path_of(place: Sequence[str | int]) -> str:
    """A place in pydantic's words as the API writes it: `("changes", 0, "field")` is `changes[0].field`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def rule_of(problem: Mapping[str, Any]) -> str:
    """The rule that a problem of pydantic's breaks, in our words where we have some for its kind."""
    words = _RULES.get(problem["type"])
    return words.format(**problem.get("ctx", {})) if words else str(problem["msg"]).removeprefix("Value error, ")


def install(api: NinjaAPI) -> None:
    """Have every error of `api` answered in this form."""
    api.exception_handler(ApiError)(_own)
    api.exception_handler(ValidationError)(_validation)
    api.exception_handler(HttpError)(_http)
    api.exception_handler(RequestDataTooBig)(_too_large)
    api.exception_handler(ChainBusy)(_busy)


def _own(_request: HttpRequest, error: ApiError) -> HttpResponse:
    return error.response()


def _validation(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    return invalid_fields([(_path(problem["loc"]), rule_of(problem)) for problem in error.errors]).response()


def _http(_request: HttpRequest, error: HttpError) -> HttpResponse:
    # ninja puts one of these in the place of whatever the parser of bodies raises
    known = error.__cause__ if isinstance(error.__cause__, ApiError) else None
    return (known or ApiError(error.status_code, "bad_request", str(error))).response()


def _too_large(_request: HttpRequest, _error: RequestDataTooBig) -> HttpResponse:
    mebibytes = (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) >> 20
    return ApiError(413, "too_large", f"The body is larger than {mebibytes} MiB; send smaller batches.").response()


def _busy(_request: HttpRequest, error: ChainBusy) -> HttpResponse:
    return ApiError(503, "busy", str(error), headers={"Retry-After": "1"}).response()


def _path(location: Sequence[str | int]) -> str:
    """`("body", "event", "changes", 0, "field")` as `changes[0].field`: the body's parameter is no part of it."""
    return path_of(location[2:] if location[0] == "body" else location[1:]) or "body"
