"""Secrets at rest: encrypted with the first of HYRELOG_ENCRYPTION_KEYS, readable with any of them."""

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

HIDDEN = "***"
"""What is shown in the place of a secret."""


class UnreadableSecret(Exception):
    """None of HYRELOG_ENCRYPTION_KEYS decrypts a stored secret."""

    def __init__(self) -> None:
        super().__init__("None of HYRELOG_ENCRYPTION_KEYS decrypts this secret; put the key that encrypted it back.")


def encrypt(plaintext: str) -> str:
    """The text as a Fernet token."""
    return Fernet(settings.HYRELOG_ENCRYPTION_KEYS[0]).encrypt(plaintext.encode()).decode()


def decrypt(token: str) -> str:
    """The text of a Fernet token; raises UnreadableSecret."""
    return _decrypt(token, tuple(settings.HYRELOG_ENCRYPTION_KEYS))


def read_json(token: str) -> Any:
    """What is encrypted as JSON in a token; None where there is none, or none that can be read any more."""
    try:
        return json.loads(decrypt(token)) if token else None
    except UnreadableSecret:
        return None


def is_shut(token: str) -> bool:
    """Whether there is something that none of the keys decrypts any more."""
    if not token:
        return False
    try:
        decrypt(token)
    except UnreadableSecret:
        return True
    return False


@lru_cache(maxsize=4096)  # a webhook's secret signs each of its requests
def _decrypt(token: str, keys: tuple[str, ...]) -> str:
    try:
        return MultiFernet([Fernet(key) for key in keys]).decrypt(token).decode()
    except InvalidToken:
        raise UnreadableSecret from None


def is_current(token: str) -> bool:
    """Whether the first key encrypted a token, so that the others are not needed for it."""
    try:
        Fernet(settings.HYRELOG_ENCRYPTION_KEYS[0]).decrypt(token)
    except InvalidToken:
        return False
    return True
