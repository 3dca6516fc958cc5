"""Who asks: API keys, what they are for, and how often they may ask."""

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import APIKeyHeader

from audit.api import limits
from audit.api.errors import ApiError
from audit.models import ApiKey, Workspace


class _KeyAuth(APIKeyHeader):
    """What the routes and their description have in common; the key may also come as a bearer token."""

    param_name = "x-hyrelog-key"

    def __call__(self, request: HttpRequest) -> ApiKey:
        key = _authenticate(request)
        self.admit(key)
        return key

    def authenticate(self, request: HttpRequest, key: str | None) -> ApiKey:
        raise NotImplementedError  # ninja's own way to a key is not taken

    def admit(self, key: ApiKey) -> None:
        """Raises ApiError 403 for a key of another scope."""
        raise NotImplementedError


class CompanyKey(_KeyAuth):
    """Admits keys of a whole company."""

    def admit(self, key: ApiKey) -> None:
        if key.workspace_id is not None:
            raise ApiError(403, "wrong_scope", "This key is for one workspace; this route needs a key of the company.")


class WorkspaceKey(_KeyAuth):
    """Admits keys of one workspace."""

    def admit(self, key: ApiKey) -> None:
        if key.workspace_id is None:
            raise ApiError(403, "wrong_scope", "This key is for the company; this route needs a key of one workspace.")


company_key, workspace_key = CompanyKey(), WorkspaceKey()
"""What a route names as its `auth`. Both raise ApiError: 401, 403 or 429."""


def key_of(request: HttpRequest) -> ApiKey:
    """The key that authenticated a request."""
    key: ApiKey = request.auth  # type: ignore[attr-defined]  # set by ninja from what the functions above return
    return key


def workspace_of(key: ApiKey) -> Workspace:
    """The workspace of a key that `workspace_key` admitted."""
    if key.workspace is None:
        raise LookupError(f"key {key.pk} is for no workspace")
    return key.workspace


def still_admits(key: ApiKey, request: HttpRequest, *, now: datetime) -> bool:
    """Whether a connection that lasts may go on: its key was neither ended nor restricted since it began."""
    same = ApiKey.objects.usable(now=now).filter(pk=key.pk, company=key.company_id, workspace=key.workspace_id).first()
    return same is not None and same.admits(client_address(request))


def client_address(request: HttpRequest) -> str:
    """The peer's IP address; behind a proxy, what uvicorn reads from it (FORWARDED_ALLOW_IPS)."""
    return str(request.META.get("REMOTE_ADDR", ""))


def _authenticate(request: HttpRequest) -> ApiKey:
    now = timezone.now()
    plaintext = _presented(request)
    key = ApiKey.objects.usable(now=now).matching(plaintext).select_related("company", "workspace").first()
    if key is None:
        raise ApiError(401, "unauthorized", "The API key is not valid: unknown, expired or revoked.")
    if not key.admits(client_address(request)):
        raise ApiError(403, "address_refused", "This key may not be used from this IP address.")
    limits.count(request, key)
    key.record_use(now=now)
    return key


def _presented(request: HttpRequest) -> str:
    if key := request.headers.get("x-hyrelog-key"):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    raise ApiError(
        401,
        "unauthorized",
        "No API key: send it as `x-hyrelog-key: hlk_…` or `Authorization: Bearer hlk_…`.",
        headers={"WWW-Authenticate": "Bearer"},
    )
