"""The public keys, as anybody can ask for them."""

import secrets
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client

from audit import signing


def test_everybody_may_have_the_public_keys_and_nobody_the_others(client: Client, settings: Any) -> None:
    settings.HYRELOG_SIGNING_KEY = [secrets.token_hex(32), secrets.token_hex(32)]
    answer = client.get("/v1/signing-keys")
    assert answer.status_code == 200
    first, second = answer.json()["keys"]
    assert first.keys() == second.keys() == {"keyId", "algorithm", "publicKey"}
    assert first["keyId"] == signing.current_key_id() != second["keyId"]
    assert {first["algorithm"], second["algorithm"]} == {"Ed25519"}
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(first["publicKey"])).verify(
        bytes.fromhex(signing.sign("hyrelog-test", b"x")), b"hyrelog-test\nx"
    )
    assert [seed for seed in settings.HYRELOG_SIGNING_KEY if seed in answer.content.decode()] == []


def test_the_public_keys_may_be_cached_for_an_hour(client: Client) -> None:
    assert client.get("/v1/signing-keys").headers["cache-control"] == "public, max-age=3600"


def test_signing_keys_are_read_and_not_written(client: Client) -> None:
    assert client.post("/v1/signing-keys").status_code == 405
