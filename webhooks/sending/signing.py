"""Signatures after Standard Webhooks v1 (github.com/standard-webhooks/standard-webhooks, spec, "Signature scheme")."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from hmac import digest
from typing import Final

_PREFIX: Final = "whsec_"
_SHORTEST: Final = 24
_LONGEST: Final = 64
_GENERATED: Final = 32


class MalformedSecret(ValueError):
    """A webhook secret is not "whsec_" and the base64 of 24 to 64 bytes. The message never shows it."""


def sign(*, secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """Answer the `webhook-signature` header: one `v1,<base64>` for each secret, parted by spaces.

    `timestamp` is in whole seconds of Unix time and must equal the `webhook-timestamp` header, `message_id` the
    `webhook-id` header. During a rotation both secrets sign, the newest first. Raises `MalformedSecret`.
    """
    if not secrets:
        raise MalformedSecret("There is no webhook secret to sign with.")
    if "." in message_id:
        raise ValueError(f"The message id {message_id!r} contains a dot, which parts the fields of what is signed.")
    content = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{b64encode(digest(key_of(secret), content, sha256)).decode()}" for secret in secrets)


def generate_secret(randomness: Callable[[int], bytes]) -> str:
    """Make a new secret of 32 bytes; `randomness` is `secrets.token_bytes` in production."""
    return _PREFIX + b64encode(randomness(_GENERATED)).decode()


@lru_cache(maxsize=4096)  # a secret signs each of its webhook's requests
def key_of(secret: str) -> bytes:
    """Answer the key inside a secret; raises `MalformedSecret`, without the secret in it or chained to it."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise MalformedSecret(
            f'A webhook secret is "{_PREFIX}" and the base64 of {_SHORTEST} to {_LONGEST} bytes; this one is not.'
        )
    return key
