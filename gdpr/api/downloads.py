"""The one open door: an archive for whoever has a link to it."""

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from ninja import Router

from gdpr.downloading import download

router = Router()


@router.api_operation(["GET", "HEAD"], "/gdpr/downloads/{token}", auth=None, summary="Download an archive")
def get_download(request: HttpRequest, token: str) -> HttpResponseBase:
    """The archive itself (application/zip), with Range: in order, from where the link has come to or before (else 409).

    Each response, and each refusal of a link that there is, goes on record with the address that it went to. HEAD tells
    the size and uses nothing up: no byte of the archive leaves, and nothing goes on record.
    """
    return download(request, token, now=timezone.now())
