import secrets
from base64 import b64encode

import pytest
from standardwebhooks import Webhook

from webhooks.sending.signing import MalformedSecret, generate_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector() -> None:
    assert sign(secrets=[SECRET], message_id=ID, timestamp=1614265330, body=BODY) == SIGNATURE


def test_each_secret_of_a_rotation_signs() -> None:
    other = generate_secret(secrets.token_bytes)
    both = sign(secrets=[other, SECRET], message_id=ID, timestamp=1614265330, body=BODY).split(" ")
    assert both[1] == SIGNATURE
    assert both[0] != both[1]


def test_a_receivers_library_accepts_what_we_sign() -> None:
    secret = generate_secret(secrets.token_bytes)
    now = int(__import__("time").time())
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secrets=[SECRET, secret], message_id=ID, timestamp=now, body=BODY),
    }
    assert Webhook(secret).verify(BODY, headers) == {"test": 2432232314}


@pytest.mark.parametrize("size", [24, 64])
def test_the_shortest_and_the_longest_secret_sign(size: int) -> None:
    secret = "whsec_" + b64encode(b"k" * size).decode()
    assert sign(secrets=[secret], message_id=ID, timestamp=1, body=b"").startswith("v1,")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa\u00e4\u00e4",
        "whsec_" + b64encode(b"k" * 23).decode(),
        "whsec_" + b64encode(b"k" * 65).decode(),
    ],
)
def test_a_malformed_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(MalformedSecret) as refusal:
        sign(secrets=[secret], message_id=ID, timestamp=1, body=b"")
    assert "MfKQ" not in repr(refusal.value)
    assert refusal.value.__context__ is None


def test_nothing_to_sign_with_is_an_error() -> None:
    with pytest.raises(MalformedSecret):
        sign(secrets=[], message_id=ID, timestamp=1, body=b"")


def test_a_message_id_with_a_dot_is_an_error() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(secrets=[SECRET], message_id="a.b", timestamp=1, body=b"")


def test_a_generated_secret_is_made_of_the_given_randomness() -> None:
    assert generate_secret(bytes) == "whsec_" + b64encode(bytes(32)).decode()
