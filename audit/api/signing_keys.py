"""The public keys by which HyreLog's signatures are checked, for everybody."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from audit import signing

FRESH_FOR = 3600
"""Seconds for which the answer may be taken from a cache."""

router = Router(tags=["signing keys"])


# Not counted against any limit: it reads no table, and is the same for everybody.
@router.get("/signing-keys", auth=None, response=dict[str, Any], summary="List the public signing keys")
def list_signing_keys(request: HttpRequest, response: HttpResponse) -> dict[str, Any]:  # noqa: ARG001
    """Ed25519 (RFC 8032), in hexadecimal; the first one signs, the others signed earlier. No key is asked for."""
    response.headers["Cache-Control"] = f"public, max-age={FRESH_FOR}"
    keys = signing.public_keys().items()
    return {"keys": [{"keyId": name, "algorithm": "Ed25519", "publicKey": public} for name, public in keys]}
