import json
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from django.db import connection
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from audit.models import AuditEvent
from gdpr.subjects import Subject
from tests.conftest import Tenant, draft

JSON_COLUMNS = ("actor", "target", "payload", "metadata", "changes", "context")
TEXT_COLUMNS = ("category", "action")

# What LIKE, SQL, JSON, URLs, regular expressions and the case of letters each take in a way of their own.
ODD = "aAiIkKsS09.+-_%'\"\\/[]{}^$|*?,: \n\t\x01\x1f\x7f\U0001f600"
LETTERS = "\u0130\u0131\u017f\u212a\u00df\u00e4\u00c4\u0308\u03c2\u03a3"
texts = st.text(
    st.sampled_from(ODD + LETTERS) | st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12
)
numbers = st.integers(-(2**53), 2**53) | st.sampled_from([0, 1, 10**30, -(10**20)])
actor_ids = texts | numbers.map(str)
emails = st.builds(
    "{}@{}".format,
    st.text(st.sampled_from("aAiIkKsS09.+-_%'/{}^$|*?" + LETTERS), min_size=1, max_size=6),
    st.sampled_from(["example.com", "B\u00fccher.\u0130K", "localhost"]),
)
names = st.sampled_from(["id", "userId", "user_ids", "old", "field", "note", "ownerID"]) | texts

SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.lower,
    str.swapcase,
    str.title,
    lambda text: quote(text, safe=""),
    lambda text: quote(text.upper(), safe="@!'()*"),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: json.dumps(text)[1:-1].replace("@", "\\u0040"),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: unicodedata.normalize("NFC", text.upper()),
]


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    found = Subject(
        actor_ids=tuple(draw(st.lists(actor_ids, max_size=3))), emails=tuple(draw(st.lists(emails, max_size=3)))
    )
    assume(found.actor_ids or found.emails)
    return found


@st.composite
def writings(draw: st.DrawFn, subject: Subject) -> Any:
    """An identifier as somebody may have written it."""
    identifier = draw(st.sampled_from([*subject.actor_ids, *subject.emails]))
    if identifier in subject.actor_ids and draw(st.booleans()):
        try:
            number = int(identifier)
        except ValueError:
            return identifier
        return draw(st.sampled_from([number, float(number), identifier]))
    spell = draw(st.sampled_from(SPELLINGS))
    before, after = (
        draw(st.sampled_from(["", " ", "<", "/", "%20", "x", "\\u003c", "x\\n", '"'])),
        draw(st.sampled_from(["", ".", ">", "x"])),
    )
    return before + spell(identifier) + after


@st.composite
def rows(draw: st.DrawFn) -> tuple[Subject, Any, Any, str]:
    subject = draw(subjects())
    written = writings(subject)
    leaves = written | texts | numbers | st.none() | st.booleans()
    values = st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(names | writings(subject).map(str), inner, max_size=3)
        ),
        max_leaves=6,
    )
    return subject, draw(values), draw(values), draw((written | texts).map(str))


def found(
    subject: Subject, data: Any, more: Any, note: str, *, collation: str = "default"
) -> tuple[bool, Any, Any, str]:
    """Whether the condition holds for a row, and the row as the database gives it back."""
    condition, parameters = subject.condition(json_columns=["data", "more"], text_columns=["note"])
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {condition}, data::text, more::text, note"
            f' FROM (VALUES (%s::jsonb, %s::jsonb, %s COLLATE "{collation}")) AS row (data, more, note)',
            [*parameters, json.dumps(data), json.dumps(more), note],
        )
        holds, data, more, note = cursor.fetchone()
    return holds, json.loads(data), json.loads(more), note


@pytest.mark.django_db
@hypothesis.settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(row=rows())
def test_whatever_names_a_subject_is_found_by_the_condition(row: tuple[Subject, Any, Any, str]) -> None:
    subject, *sent = row
    holds, *stored = found(subject, *sent)
    named = [value for value in [*sent, *stored] if subject.matches(value)]
    hypothesis.event("names the subject" if named else "names nobody")
    assert holds or not named


@pytest.mark.django_db
@pytest.mark.parametrize("stored", ["42", "42.0", "4.2e1", "[42]", "[7,42]", "[42,7]", "[[7],[42.0]]"])
def test_a_number_is_found_however_it_is_written(stored: str) -> None:
    subject = Subject.read({"actorId": "42"})
    data = json.loads(stored)
    assert found(subject, {"userIds": data}, None, "x")[0]
    assert found(subject, None, {"userIds": data, "z": 0}, "x")[0]
    assert subject.matches({"userIds": data})


@pytest.mark.django_db
def test_case_is_the_same_in_every_locale() -> None:
    with connection.cursor() as cursor:  # to Turks, the small letter of I is another one
        cursor.execute("SELECT collname FROM pg_collation WHERE collname ~* '^(tr|az)[-_]'")
        turkish = [name for (name,) in cursor.fetchall()]
    subject = Subject(emails=("info@istanbul.example",))
    for collation in ["C", "default", *turkish]:
        assert found(subject, None, None, "INFO@ISTANBUL.EXAMPLE", collation=collation)[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "identifier",
    [
        "'; DROP TABLE audit_auditevent; --",
        "%",
        "_",
        "%s",
        "%(x)s",
        "\\",
        '"',
        "\\u0000",
        "$1",
        "{}",
        "x" * 255,
        "[",
        "1|2",
    ],
)
def test_a_hostile_id_finds_itself_and_nothing_else(identifier: str) -> None:
    subject = Subject.read({"actorId": identifier})
    assert found(subject, {"a": [identifier]}, None, "x")[0]
    assert found(subject, {identifier: 1}, None, "x")[0]
    assert found(subject, None, None, identifier)[0]
    assert not found(subject, {"a": "other", "id": 1}, ["ab\\cd", 'x"y', 12], "other 100%")[0]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["%@example.com", "_@example.com", "'x'||@example.com", "a.c@example.com"])
def test_a_hostile_address_finds_itself_and_nothing_else(address: str) -> None:
    subject = Subject.read({"email": address})
    assert found(subject, {"a": [f"<{address.upper()}>"]}, None, "x")[0]
    assert found(subject, None, None, quote(address))[0]
    assert not found(subject, {"a": "abc@example.com"}, ["other@example.com"], "abc@example.com")[0]


@pytest.mark.django_db
def test_the_condition_is_worth_its_while() -> None:
    """Of rows that hold other people, it lets none pass."""
    subject = Subject.read({"actorId": ["u1", "42"], "email": "ada@example.com"})
    assert not found(subject, {"id": "u11", "n": [420, 142, 4.2]}, {"email": "bob@example.com"}, "u1 ada@example.net")[
        0
    ]


@pytest.mark.django_db
def test_a_table_without_texts_names_nobody() -> None:
    condition, parameters = Subject.read({"actorId": "1", "email": "a@b"}).condition(json_columns=[], text_columns=[])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {condition}", parameters)
        assert cursor.fetchone() == (False,)


def test_events_are_found_by_any_of_their_columns(tenant: Tenant) -> None:
    events = tenant.record(
        draft(actor={"id": "u1"}),
        draft(actor={"id": "u2"}, target={"type": "user", "id": "u1"}),
        draft(actor={"id": "u2"}, payload={"to": ["Ada <ADA@example.com>"]}),
        draft(actor={"id": "u2"}, metadata={"path": "/?q=ada%40example.com"}),
        draft(actor={"id": "u2"}, changes=[{"field": "owner", "old": "u1", "new": "u2"}]),
        draft(actor={"id": "u2"}, context={"traceId": "u1"}),
        draft(actor={"id": "u2"}, action="u1"),
        draft(actor={"id": "u2", "email": "nada@example.com"}),
        draft(actor={"id": "u3", "email": "ada@example.net"}, payload={"u11": "u"}),
    )
    subject = Subject.read({"actorId": "u1", "email": "ada@example.com"})
    condition, parameters = subject.condition(json_columns=JSON_COLUMNS, text_columns=TEXT_COLUMNS)
    statement = f"SELECT * FROM audit_auditevent WHERE company_id = %s AND {condition} ORDER BY seq"
    passed = list(AuditEvent.objects.raw(statement, [tenant.company.id, *parameters]))
    named = [
        event
        for event in passed
        if any(subject.matches(getattr(event, column)) for column in (*JSON_COLUMNS, *TEXT_COLUMNS))
    ]
    assert passed == events[:8]  # one of them is Nada's, whom only `matches` tells from Ada
    assert named == events[:7]
