"""HyreLog's own signatures: Ed25519 (RFC 8032), by the first of HYRELOG_SIGNING_KEY.

A signed message begins with a line that says what it is, so that a signature of one kind of statement never passes for
another's.
"""

import hashlib
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.utils import Buffer
from django.conf import settings

SEED_BYTES = 32


def parse_key(text: str) -> Ed25519PrivateKey:
    """The key of which `text` is the seed: 32 bytes in hex (RFC 8032, section 5.1.5). Raises ValueError."""
    if len(text) != 2 * SEED_BYTES:
        raise ValueError(f"a signing key has {2 * SEED_BYTES} hexadecimal characters, this one has {len(text)}")
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def sign(kind: str, message: Buffer) -> str:
    """The signature of a statement, in hex; `kind` is such as `hyrelog-manifest-v1`."""
    return _keys(tuple(settings.HYRELOG_SIGNING_KEY))[0].sign(f"{kind}\n".encode() + bytes(message)).hex()


def public_keys() -> dict[str, str]:
    """The public keys of all signing keys in hex, by key id; the one that signs first."""
    keys = _keys(tuple(settings.HYRELOG_SIGNING_KEY))
    public = [key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw) for key in keys]
    return {key_id(key): key.hex() for key in public}


def current_key_id() -> str:
    """The id of the key that signs."""
    return next(iter(public_keys()))


def key_id(public_key: bytes) -> str:
    """How a public key is named: the first 16 characters of its hex SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


@cache
def _keys(texts: tuple[str, ...]) -> tuple[Ed25519PrivateKey, ...]:
    return tuple(parse_key(text) for text in texts)
