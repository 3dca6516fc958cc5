"""Which names say that a value is personal, and which texts are IP addresses."""

import pytest

from gdpr.erasures.personal import Kind, is_ip_address, is_of_a_person, kind


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        (Kind.TRACE, "ip IP clientIp sourceIPAddress X-Forwarded-For user_agent User-Agent deviceId geo latitude ips"),
        (
            Kind.PROFILE,
            "first_name firstName First-Name displayname userEmail E-Mail homePhone fax zip ZIP_code",
        ),
        (Kind.PROFILE, "billingAddress addresses birth.date gender passportNo taxId IBAN avatar_url accessKeyId login"),
        (Kind.PROFILE, "user.email profile/phone contacts[0].phone users[mobile]"),
        (Kind.NAME, "name Name names owner.name"),
        (Kind.OWN, "arn userId actor_id profile"),
        (Kind.OTHER, "id bucketName fileName rolename amount note description traceId keyId country . / é"),
    ],
)
def test_a_name_says_what_kind_of_value_it_has(expected: Kind, names: str) -> None:
    assert {name: kind(name) for name in names.split()} == dict.fromkeys(names.split(), expected)


def test_a_name_that_is_long_says_nothing() -> None:
    assert kind("x" * 60 + "mail") is Kind.OTHER
    assert kind("x." * 32 + "email") is Kind.OTHER


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1", " 192.0.2.1", "192.0.2.1:443", "[2001:db8::1]:443", "2001:DB8::1", "fe80::1%eth0", "10.0.0.1, ::2"],
)
def test_ip_addresses_are_known_by_their_form(text: str) -> None:
    assert is_ip_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", ":", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "10.0.0.0/8", "0.0.0.0", "127.0.0.1", "::", "::1"),  # noqa: S104
        *("12:30", "from 192.0.2.1", "192.0.2.1,", "abc", "\u0661.2.3.4", "1.2.3.4\n", ",", "[", "[]:1"),
    ],
)
def test_nothing_else_is(text: str) -> None:
    assert not is_ip_address(text)


def test_types_of_targets_that_are_people() -> None:
    assert all(map(is_of_a_person, ["user", "Users", "AWS::IAM::User", "crm.customer", "team_members"]))
    assert not any(map(is_of_a_person, ["invoice", "AWS::S3::Object", "userdata", "", None, 7, ["user"]]))
