"""Secrets in payloads: what a type declares as one is encrypted in the row, and hidden where the payload is shown."""

import json
from collections.abc import Sequence
from typing import Any

from audit.encryption import HIDDEN, decrypt, encrypt

Payload = dict[str, Any]


def seal(payload: Payload, places: Sequence[str]) -> tuple[Payload, str]:
    """The payload with its secrets hidden, and these as a token; empty where there are none.

    A place is a dotted path such as `source.headers`; of an object there, the names stay.
    """
    secrets = {place: value for place in places if (value := _value_at(payload, place)) is not None}
    if not secrets:
        return payload, ""
    hidden = payload
    for place, value in secrets.items():
        hidden = _with(hidden, place, _hide(value))
    return hidden, encrypt(json.dumps(secrets))


def unseal(payload: Payload, token: str) -> Payload:
    """The payload as it was. Raises audit.encryption.UnreadableSecret."""
    if token:
        for place, value in json.loads(decrypt(token)).items():
            payload = _with(payload, place, value)
    return payload


def _value_at(payload: Any, place: str) -> Any:
    for name in place.split("."):
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload


def _with(payload: Payload, place: str, value: Any) -> Payload:
    name, _, rest = place.partition(".")
    return {**payload, name: _with(payload[name], rest, value) if rest else value}


def _hide(value: Any) -> Any:
    return {name: _hide(part) for name, part in value.items()} if isinstance(value, dict) else HIDDEN
