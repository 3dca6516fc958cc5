"""Links to archives: making, seeing and revoking them, and who used them."""

import uuid
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, not_found
from audit.api.pages import Page, page
from audit.chain import timestamp
from gdpr.api.exports import ONE, archive_of, export_of
from gdpr.models import DownloadLink
from gdpr.models.link import VALID_FOR, DownloadLinkQuerySet

router = Router()

LINKS = f"{ONE}/links"
LINK = f"{LINKS}/{{uuid:link_id}}"


class LinkIn(BaseModel):
    """How long a link works."""

    model_config = ConfigDict(extra="forbid")
    expires_in: int = Field(
        default=int(VALID_FOR.total_seconds()),
        strict=True,
        ge=60,
        le=86_400,
        alias="expiresIn",
        description="Seconds. It ends earlier with the archive, or with the API key that makes it.",
    )


@router.post(LINKS, auth=company_key, response={201: dict[str, Any]}, summary="Make a link to an archive")
def post_link(request: HttpRequest, job_id: uuid.UUID, link: LinkIn | None = None) -> tuple[int, dict[str, Any]]:
    """An address for one complete download, within an hour; whoever has it needs no key. It is shown this once.

    The body may be left out. 409 for an export that is not ready, or whose archive has expired.
    """
    archive, now = archive_of(export_of(request, job_id)), timezone.now()
    if archive is None or not archive.downloadable(now=now):
        raise ApiError(409, "not_ready", "This export has no archive to download: it is not ready, or has expired.")
    key, valid_for = key_of(request), timedelta(seconds=(link or LinkIn()).expires_in)
    made, token = DownloadLink.objects.issue(
        archive=archive, issued_by=f"API key {key}", api_key=key, valid_for=valid_for, now=now
    )
    url = request.build_absolute_uri(f"/v1/gdpr/downloads/{token}")
    return 201, {"linkId": str(made.id), "url": url, "expiresAt": timestamp(made.expires_at)}


@router.get(LINKS, auth=company_key, response=dict[str, Any], summary="List the links to an archive")
def list_links(request: HttpRequest, job_id: uuid.UUID, asked: Page) -> dict[str, Any]:
    """Newest first, with what each has served; their addresses are not kept."""
    links = _links(request, job_id).counting_accesses()
    shown, following = page(links, asked, by="id", item=_as_json)
    return {"links": shown, "nextCursor": following}


@router.get(f"{LINK}/accesses", auth=company_key, response=dict[str, Any], summary="List the uses of a link")
def list_accesses(request: HttpRequest, job_id: uuid.UUID, link_id: uuid.UUID, asked: Page) -> dict[str, Any]:
    """Each response and each refusal, newest first: from where it was asked for, when, and how many bytes left."""
    accesses = _link(request, job_id, link_id).accesses.select_related("link")
    shown, following = page(accesses, asked, by="id", item=lambda access: access.as_json())
    return {"accesses": shown, "nextCursor": following}


@router.delete(LINK, auth=company_key, response={204: None}, summary="Revoke a link")
def delete_link(request: HttpRequest, job_id: uuid.UUID, link_id: uuid.UUID) -> tuple[int, None]:
    """It serves nothing more, and a download that is under way ends. 204 also for one that was revoked before."""
    _link(request, job_id, link_id).revoke(by=f"API key {key_of(request)}", now=timezone.now())
    return 204, None


def _links(request: HttpRequest, job_id: uuid.UUID) -> DownloadLinkQuerySet:
    return DownloadLink.objects.filter(archive__job=export_of(request, job_id).job_id)


def _link(request: HttpRequest, job_id: uuid.UUID, link_id: uuid.UUID) -> DownloadLink:
    link = _links(request, job_id).select_related("archive", "company").filter(pk=link_id).first()
    if link is None:
        raise not_found("link")
    return link


def _as_json(link: Any) -> dict[str, Any]:
    """A link that `counting_accesses` found."""
    return {
        "linkId": str(link.id),
        "issuedBy": link.issued_by,
        "createdAt": timestamp(link.created_at),
        "expiresAt": timestamp(link.expires_at),
        "usedAt": link.used_at and timestamp(link.used_at),
        "revokedAt": link.revoked_at and timestamp(link.revoked_at),
        "bytes": link.sent,
        "accesses": link.asked,
        "refusals": link.refused,
    }
