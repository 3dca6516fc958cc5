"""The verifier's Ed25519 against RFC 8032 and against the library that signs."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.verify import is_signed, key_id, public_key
from tests.gdpr.archives import HYRELOG

L = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
ABC = hashlib.sha512(b"abc").hexdigest()
# RFC 8032, section 7.1: public key, message, signature
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
            "655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
            "b00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
            "c027beceea1ec40a"
        ),
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        ABC,
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17a"
            "d9bef1177331a704"
        ),
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032(key: str, message: str, signature: str) -> None:
    signed, made, by = bytes.fromhex(message), bytes.fromhex(signature), bytes.fromhex(key)
    assert is_signed(signed, signature=made, key=by)
    assert not is_signed(signed + b"\0", signature=made, key=by)
    assert not is_signed(signed, signature=made, key=bytes.fromhex(HYRELOG.key))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_what_the_library_signs_is_signed(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    signature, key = private.sign(message), private.public_key().public_bytes_raw()
    assert is_signed(message, signature=signature, key=key)


@given(st.integers(0, 511), st.binary(max_size=20))
@settings(max_examples=20, deadline=None)
def test_no_bit_of_a_signature_may_change(bit: int, message: bytes) -> None:
    changed = bytearray(HYRELOG.private.sign(message))
    changed[bit // 8] ^= 1 << bit % 8
    assert not is_signed(message, signature=bytes(changed), key=bytes.fromhex(HYRELOG.key))


def test_s_must_be_less_than_the_order() -> None:
    signature = HYRELOG.private.sign(b"x")
    malleated = signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    assert not is_signed(b"x", signature=malleated, key=bytes.fromhex(HYRELOG.key))


@pytest.mark.parametrize("signature", [b"", b"\0" * 63, b"\0" * 64, b"\xff" * 64, b"\0" * 65])
def test_what_is_no_signature_is_none(signature: bytes) -> None:
    assert not is_signed(b"x", signature=signature, key=bytes.fromhex(HYRELOG.key))


@pytest.mark.parametrize(
    "encoded",
    [
        (P + 1).to_bytes(32, "little"),  # y = 1, not reduced
        (P + 3).to_bytes(32, "little"),
        (1 | 1 << 255).to_bytes(32, "little"),  # x = 0 with the sign of an odd x
        (2).to_bytes(32, "little"),  # on no curve
    ],
)
def test_points_have_one_encoding(encoded: bytes) -> None:
    with pytest.raises(ValueError, match="no Ed25519 public key"):
        public_key(encoded.hex())
    # The signature of anything by the neutral element, were its other encodings taken too.
    assert not is_signed(b"x", signature=encoded + b"\0" * 32, key=(1).to_bytes(32, "little"))


@pytest.mark.parametrize("text", ["", "00", "g" * 64, HYRELOG.key + "00", HYRELOG.key[:-1], " " + HYRELOG.key[1:]])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hex characters"):
        public_key(text)


def test_a_key_is_named_by_its_hash() -> None:
    assert key_id(public_key(HYRELOG.key.upper())) == HYRELOG.key_id
