"""What is kept of whoever asks for an archive, of what they may well have made up."""

import pytest
from django.test import RequestFactory

from gdpr.clients import Client


@pytest.mark.parametrize(
    ("peer", "kept"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("unix:/run/hyrelog.sock", None),
        ("192.0.2.7, 198.51.100.1", None),
        ("", None),
    ],
)
def test_an_address_is_kept_in_one_form(peer: str, kept: str | None) -> None:
    assert Client.of(RequestFactory().get("/", REMOTE_ADDR=peer)).address == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("curl/8.5.0", "curl/8.5.0"),
        ("curl/8.5.0\r\nSet-Cookie: a=b", "curl/8.5.0Set-Cookie: a=b"),
        ("a\0b\x1b[31mc\x7f\u2028\ud800d", "ab[31mcd"),
        ("x" * 60_000, "x" * 200),
        ("\t" * 60_000 + "end", "end"),
    ],
)
def test_a_user_agent_is_kept_as_one_line_of_printable_letters(sent: str, kept: str) -> None:
    assert Client.of(RequestFactory().get("/", HTTP_USER_AGENT=sent)).user_agent == kept


def test_who_sends_no_user_agent_has_none() -> None:
    assert Client.of(RequestFactory().get("/")).user_agent == ""
