"""What holds of every document: the person is found no more, others' objects are as they were, and once is enough."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import check
from gdpr.erasures.naming import in_event, in_row
from gdpr.erasures.personal import Kind, kind
from gdpr.erasures.values import replace, values
from gdpr.subjects import Subject

PSEUDONYM = "erased-0123456789abcdef"
IN_EVENTS = ("actor", "target", "payload", "metadata", "changes", "context")
BOB = {"id": "u-bob", "name": "Bob", "email": "bob@example.com", "ip": "192.0.2.7", "note": ["Bob's", 7]}

identifiers = st.sampled_from(
    ["u1", "42", "-7", "ada-lovelace", "id", "field", "old", "userId", "name", PSEUDONYM[:-1]]
)
addresses = st.sampled_from(["ada@example.com", "o'neil+x@example.com", "j\u00f6rg@b\u00fccher.example"])
subjects = st.builds(
    Subject,
    actor_ids=st.lists(identifiers, min_size=1, max_size=3, unique=True).map(tuple),
    emails=st.lists(addresses, max_size=2, unique=True).map(tuple),
)
written = st.one_of(
    identifiers,
    addresses,
    addresses.map(str.upper),
    addresses.map("<{}>, Bob".format),
    addresses.map(lambda text: f"?to={text.replace('@', '%40')}"),
    addresses.map(lambda text: f"\\n{text}"),
    st.sampled_from(
        [
            "u2",
            "Ada",
            "192.0.2.1",
            "from 192.0.2.1",
            "by ada lovelace",
            "nada@example.com",
            "x ada-lovelace y",
            "",
            PSEUDONYM,
            f"{PSEUDONYM}-2",
        ]
    ),
)
numbers = st.sampled_from([42, 42.0, -7, 7, 1.5, 2**53 - 1, True, False, None])
neutral = st.sampled_from(["id", "user_ids", "field", "old", "new", "note", "items", "ownerId", "by", PSEUDONYM])
personal = st.sampled_from(["userId", "name", "email", "phone", "address", "ip", "userName", "profile", "arn"])
not_personal = written.filter(lambda text: kind(text) is Kind.OTHER)
"""Below a personal name all is replaced, whomever it names."""


def documents(names: st.SearchStrategy[str], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )


anything = documents(neutral | personal | written, written | numbers)
objects = st.dictionaries(neutral | personal | written, anything, max_size=4)
events = st.fixed_dictionaries(
    {
        "actor": st.none()
        | objects
        | st.fixed_dictionaries({"id": written, "name": written | st.just("Ada Lovelace")}),
        "target": st.none()
        | objects
        | st.fixed_dictionaries({"type": st.sampled_from(["user", "invoice"]), "id": written}),
        "payload": st.none() | objects,
        "metadata": st.none() | objects,
        "changes": st.none() | st.lists(objects, max_size=3),
        "context": st.none() | objects,
    }
)
thorough = hypothesis.settings(deadline=None, max_examples=100)


def erase(columns: dict[str, Any], found: dict[str, list[int]]) -> dict[str, Any]:
    return {column: replace(item, found.get(column, ()), PSEUDONYM) for column, item in columns.items()}


@pytest.mark.parametrize("naming", [in_event, in_row])
@thorough
@given(columns=events, subject=subjects)
def test_the_person_is_found_no_more_and_nothing_is_left_for_a_second_time(
    naming: Any, columns: dict[str, Any], subject: Subject
) -> None:
    found = naming(columns, subject)
    after = erase(columns, found)
    assert not any(map(subject.matches, after.values()))
    assert naming(after, subject) == {}
    for item in after.values():
        check(item, "item")


@pytest.mark.parametrize("naming", [in_event, in_row])
@thorough
@given(columns=events, subject=subjects)
def test_what_is_found_is_numbered_as_values_numbers_it_and_nobody_unnamed_is_touched(
    naming: Any, columns: dict[str, Any], subject: Subject
) -> None:
    before = json.dumps(columns)
    found = naming(columns, subject)
    assert json.dumps(columns) == before
    named = any(map(subject.matches, columns.values()))
    hypothesis.event("named" if named else "not named")
    assert bool(found) == named
    for column, numbered in found.items():
        all_values = list(values(columns[column]))
        assert numbered == sorted(set(numbered))
        assert all(isinstance(all_values[number].value, (str, int, float)) for number in numbered)
        assert not any(isinstance(all_values[number].value, bool) for number in numbered)
    other_order = {name: json.loads(json.dumps(columns[name])) for name in reversed(columns)}
    other_order = {name: reversed_members(item) for name, item in other_order.items()}
    assert naming(other_order, subject) == found


def reversed_members(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: reversed_members(item[name]) for name in reversed(item)}
    return [*map(reversed_members, item)] if isinstance(item, list) else item


@pytest.mark.parametrize("naming", [in_event, in_row])
@thorough
@given(data=st.data(), subject=subjects)
def test_nothing_of_another_person_s_object_changes(naming: Any, data: st.DataObject, subject: Subject) -> None:
    hypothesis.assume(not subject.matches(BOB))
    others = documents(neutral | not_personal, not_personal | numbers | st.just(BOB))
    payload = data.draw(st.dictionaries(neutral | not_personal, others, min_size=1, max_size=4))
    columns = {"actor": {"id": subject.actor_ids[0]}, "payload": payload, "changes": [payload]}
    after = erase(columns, naming(columns, subject))
    assert as_sorted(after).count(as_sorted(BOB)) == as_sorted(columns).count(as_sorted(BOB))


@thorough
@given(data=st.data(), subject=subjects, document=anything)
def test_what_another_person_leaves_behind_stays(data: st.DataObject, subject: Subject, document: Any) -> None:
    hypothesis.assume(not subject.matches(BOB))
    whom = {"type": data.draw(st.sampled_from(["user", "invoice", ""])), "id": subject.actor_ids[0]}
    traces = {"ip": BOB["ip"], "userAgent": ["Firefox", {"version": 1}], "seen": BOB["ip"]}
    told = {"of": document, "id": data.draw(st.sampled_from([subject.actor_ids[0], "u9"])), **traces}
    columns = {"actor": BOB, "target": whom} | dict.fromkeys(("payload", "metadata", "context"), told)
    after = erase(columns, in_event(columns, subject))
    assert after["actor"] == BOB
    for column in ("payload", "metadata", "context"):
        assert traces.items() <= after[column].items()


def as_sorted(item: Any) -> str:
    return json.dumps(item, sort_keys=True)
