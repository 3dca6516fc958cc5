import unicodedata
from typing import Any

import pytest

from gdpr.subjects import InvalidSubject, Subject

ADA = Subject(emails=("ada@example.com",))


def by_id(*actor_ids: str) -> Subject:
    return Subject(actor_ids=actor_ids)


def nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [{"in": value}]
    return value


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "ADA@Example.COM",
        "<mailto:Ada@Example.com>.",
        "arn:aws:sts::1:assumed-role/role/ada@example.com",
        "Ask ada@example.com. She knows.",
        "Was it ada@example.com? Or ada@example.com...",
        "'ada@example.com','bob@example.com'",
        "Ada Lovelace <ada@example.com>, Bob <bob@example.com>",
        "-ada@example.com\n+bob@example.com",
        '{"to":"ada@example.com"}',
        '{"to":"Ada \\u003cada@example.com\\u003e"}',
        '{"to":"Ada\\nada@example.com"}',
        '{"to":"Ada\\tADA@example.com\\n"}',
        '{"to":"ada\\u0040example.com"}',
        "https://example.com/?email=ada%40example.com&from=a",
        "https://example.com/?to=Ada%20%3cada%40EXAMPLE.com%3e",
        "nada@example.com and ada@example.com",
        "user=ada@example.com;role=admin",
        "ada@example.com\u2014and nobody else",
        "x" * 1_000_000 + " ada@example.com",
    ],
)
def test_an_address_is_found_anywhere_in_a_text(text: str) -> None:
    assert ADA.matches(text)
    assert ADA.matches({"note": [text]})
    assert ADA.matches({text: None})


@pytest.mark.parametrize(
    "text",
    [
        "nada@example.com",
        "x.ada@example.com",
        "x+ada@example.com",
        "x-ada@example.com",
        "x_ada@example.com",
        "o'ada@example.com",
        "\u00e4ada@example.com",
        "a\u0308ada@example.com",
        "?email=x%2Bada%40example.com",
        "ada@example.com.br",
        "ada@example.community",
        "ada@example.com-bank.test",
        "ada@example.com\u00fc",
        "ada@example_com",
        "ada@exampleXcom",
        "ada at example.com",
        "ada@example",
        "",
    ],
)
def test_somebody_else_s_address_is_not_found(text: str) -> None:
    assert not ADA.matches(text)
    assert not ADA.matches({text: [text]})


@pytest.mark.parametrize("spelling", ["j\u00f6rg@b\u00fccher.example", "jo\u0308rg@bu\u0308cher.example"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_beyond_ascii_are_found_in_either_case_and_either_form(spelling: str, form: Any) -> None:
    subject = Subject.read({"email": spelling})
    assert subject.matches(unicodedata.normalize(form, "an J\u00d6RG@B\u00dcCHER.example."))
    assert subject.matches("?an=j%C3%B6rg%40b%c3%bccher.example")
    assert not subject.matches("jorg@bucher.example")


def test_turkish_i_is_a_letter_of_its_own() -> None:
    assert Subject(emails=("info@example.com",)).matches("INFO@EXAMPLE.COM")
    assert not Subject(emails=("info@example.com",)).matches("\u0130nfo@example.com")
    assert not Subject(emails=("info@example.com",)).matches("\u0131nfo@example.com")


@pytest.mark.parametrize(
    "value",
    ["u1", ["u1"], {"actor": {"id": "u1"}}, {"u1": "admin"}, {"a": [1, None, {"b": ["x", "u1"]}]}, nested("u1", 5_000)],
)
def test_an_id_is_found_where_a_text_is_the_id(value: object) -> None:
    assert by_id("u1").matches(value)


@pytest.mark.parametrize(
    "value", ["u12", "U1", " u1", "user:u1", {"id": "u"}, {"u1 ": "u1x"}, None, [], {}, nested(1, 5_000)]
)
def test_an_id_within_a_longer_text_is_not_found(value: object) -> None:
    assert not by_id("u1").matches(value)


@pytest.mark.parametrize(
    "value",
    [
        {"id": 42},
        {"userId": 42},
        {"userID": 42},
        {"user_id": 42},
        {"user-id": 42},
        {"user.id": 42},
        {"user": {"id": 42.0}},
        {"memberIds": [7, 42]},
        {"member_ids": [7, [42]]},
        [{"field": "ownerId", "old": 42, "new": 7}],
        [{"field": "owner.id", "old": None, "new": 42}],
        [{"field": "reviewer_ids", "old": [], "new": [7, 42]}],
    ],
)
def test_an_id_is_found_in_a_number_whose_name_says_that_it_is_an_id(value: object) -> None:
    assert by_id("u1", "42").matches(value)


@pytest.mark.parametrize(
    "value",
    [
        42,
        [42],
        {"amount": 42},
        {"paid": 42},
        {"idle": 42},
        {"id": {"amount": 42}},
        {"id": 420},
        {"id": 42.5},
        {"id": True},
        {"old": 42},
        [{"field": "amount", "old": 42}],
        [{"field": ["ownerId"], "old": 42}],
    ],
)
def test_other_numbers_are_no_ids(value: object) -> None:
    assert not by_id("42", "1").matches(value)


@pytest.mark.parametrize("actor_id", ["042", "+42", "42.0", "4_2", " 42", "\u0664\u0662", "-0"])
def test_a_number_is_compared_with_an_id_that_is_written_like_it_only(actor_id: str) -> None:
    assert not by_id(actor_id).matches({"id": 42})
    assert not by_id(actor_id).matches({"id": 0})
    assert by_id(actor_id).matches({"id": actor_id})


def test_a_number_with_thousands_of_digits_is_compared_too() -> None:
    assert not by_id("42").matches({"id": 10**10_000})
    assert by_id("9" * 255).matches({"id": int("9" * 255)})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"actorId": "u1"}, {"actorId": ["u1"]}),
        ({"email": "Ada@example.com"}, {"email": ["Ada@example.com"]}),
        ({"actorId": ["u1", "u2", "u1"], "email": None}, {"actorId": ["u1", "u2"]}),
        (
            {"actorId": [], "email": ["Ada@example.com", "ada@example.com", "a@b"]},
            {"email": ["Ada@example.com", "a@b"]},
        ),
        ({"actorId": ["x"] * 100, "email": "o'neil+tag@xn--bcher-kva.example"}, None),
        ({"actorId": "\u0130\U0001f600\"\\%_'", "email": "j\u00f6rg@b\u00fccher.example"}, None),
    ],
)
def test_what_is_read_is_shown_as_lists_and_reads_back(sent: dict[str, Any], expected: dict[str, Any] | None) -> None:
    subject = Subject.read(sent)
    assert expected is None or subject.as_json() == expected
    assert Subject.read(subject.as_json()) == subject


@pytest.mark.parametrize(
    ("sent", "path", "rule"),
    [
        (None, "subject", "must be an object"),
        ("u1", "subject", "must be an object"),
        ({}, "subject", "has 0 identifiers; it must have 1 to 20"),
        ({"actorId": [], "email": None}, "subject", "has 0 identifiers"),
        ({"actorId": [str(n) for n in range(12)], "email": [f"a{n}@b" for n in range(9)]}, "subject", "has 21"),
        ({"actorId": "u1", "actorID": "u2"}, "subject.actorID", "unknown"),
        ({"\ud800\n" * 100: 1}, "subject." + "\\ud800\\n" * 8, "unknown"),
        ({"actorId": 42}, "subject.actorId", "is a int; it must be a text"),
        ({"actorId": {"id": "u1"}}, "subject.actorId", "is a dict"),
        ({"actorId": ["u1", None]}, "subject.actorId[1]", "is a NoneType"),
        ({"actorId": ""}, "subject.actorId", "has 0 characters"),
        ({"actorId": "x" * 256}, "subject.actorId", "has 256 characters; it must have 1 to 255"),
        ({"actorId": ["u1", "a\x00"]}, "subject.actorId[1]", "U+0000"),
        ({"email": "a\ud800@b"}, "subject.email", "lone surrogate"),
        ({"email": "x" * 250 + "@b.com"}, "subject.email", "has 256 characters"),
        *(
            ({"email": ["a@b", text]}, "subject.email[1]", "is no e-mail address")
            for text in (
                "ada",
                "@example.com",
                "ada@",
                "a@b@c",
                "ada@example.com.",
                "ada@.com",
                "ada@-x.com",
                "ada@a..b",
                " ada@example.com",
                "ada@example.com\n",
                "Ada <ada@example.com>",
                "mailto:ada@example.com",
                "a b@example.com",
                "ada@exa mple.com",
                'a"b@example.com',
                "a\\b@example.com",
                "ada@%",
            )
        ),
    ],
)
def test_what_cannot_be_looked_for_is_refused_by_its_path(sent: object, path: str, rule: str) -> None:
    with pytest.raises(InvalidSubject) as refusal:
        Subject.read(sent)
    assert refusal.value.path == path
    assert rule in refusal.value.rule
