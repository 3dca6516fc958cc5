"""What is replaced in a row, by examples: `P` stands for the pseudonym."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from audit.cloudtrail import draft_of
from gdpr.erasures.naming import in_event, in_row
from gdpr.erasures.values import replace, values
from gdpr.subjects import Subject

P = "erased-0123456789abcdef"
ADA = Subject(actor_ids=("u1", "42", "ada-lovelace"), emails=("ada@example.com",))
BOB = {"id": "u2", "name": "Bob", "email": "bob@example.com", "phone": "555", "ip": "192.0.2.7"}
IN_EVENTS = ("actor", "target", "payload", "metadata", "changes", "context")


def erased_row(document: Any, subject: Subject = ADA) -> Any:
    return replace(document, in_row({"data": document}, subject).get("data", ()), P)


def erased(event: Mapping[str, Any], subject: Subject = ADA) -> dict[str, Any]:
    columns = {column: event.get(column) for column in IN_EVENTS}
    numbers = in_event(columns, subject)
    after = {column: replace(columns[column], numbers.get(column, ()), P) for column in event}
    assert not in_event(after, subject)
    return after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("u1", P),
        ("u12", "u12"),
        ("Ask ada@example.com, please", P),
        ("?to=ada%40example.com", P),
        (42, 42),
        ({"id": 42, "amount": 42}, {"id": P, "amount": 42}),
        ({"memberIds": [7, 42.0, "u1"]}, {"memberIds": [7, P, P]}),
        ([{"field": "ownerId", "old": 42, "new": 7}], [{"field": "ownerId", "old": P, "new": 7}]),
        ([{"field": "amount", "old": 42, "new": 7}], [{"field": "amount", "old": 42, "new": 7}]),
        ({"u1": 1, "ada@example.com": 2, "u2": 3}, {P: 2, f"{P}-2": 1, "u2": 3}),
        ({"u1": 1, P: 2, f"{P}-2": 3}, {f"{P}-3": 1, P: 2, f"{P}-2": 3}),
        ({"id": True, "user": None}, {"id": True, "user": None}),
    ],
)
def test_what_names_the_person_is_replaced_whole(before: Any, after: Any) -> None:
    assert erased_row(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"id": "u1", "name": "Ada", "role": "admin", "age": 36, "active": True, "phone": None},
            {"id": P, "name": P, "role": "admin", "age": P, "active": True, "phone": None},
        ),
        ({"owner": "u1", "Home_Phone": "1"}, {"owner": P, "Home_Phone": P}),
        ({"user_id": 42, "first-name": "Ada", "x": "1.2.3.4"}, {"user_id": P, "first-name": P, "x": P}),
        (
            {"email": "ada@example.com", "address": {"id": 7, "lines": ["1 Main St", 2], "main": True}},
            {"email": P, "address": {"id": P, "lines": [P, P], "main": True}},
        ),
        ({"id": "u1", "details": [{"lastName": "L."}]}, {"id": P, "details": [{"lastName": P}]}),
        ({"id": 7, "userId": "u1", "name": "Ada"}, {"id": 7, "userId": P, "name": P}),
        ({"emails": ["a@b.c", "ada@example.com"], "name": "Ada"}, {"emails": [P, P], "name": P}),
        ({"u1": {"nickname": "Countess", "seat": 3}}, {P: {"nickname": P, "seat": 3}}),
        ({"u1": ["Ada Lovelace", 3]}, {P: [P, 3]}),
        ({"user": "u1", "arn": "arn:x", "actorId": "i9"}, {"user": P, "arn": P, "actorId": P}),
        (
            [{"id": "u1", "changes": {"field": "user.phone", "old": {"no": 1}, "new": None}}],
            [{"id": P, "changes": {"field": "user.phone", "old": {"no": P}, "new": None}}],
        ),
    ],
)
def test_what_is_personal_in_an_object_about_them_is_replaced(before: Any, after: Any) -> None:
    assert erased_row(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({**BOB, "managerId": "u1"}, {**BOB, "managerId": P}),
        ({**BOB, "invitedBy": {"id": "u1", "name": "Ada"}}, {**BOB, "invitedBy": {"id": P, "name": P}}),
        ({"id": "u1", "manager": BOB}, {"id": P, "manager": BOB}),
        ({"u1": BOB}, {P: BOB}),
        ({"u1": {"name": "Ada"}, "u2": {"name": "Bob"}}, {P: {"name": P}, "u2": {"name": "Bob"}}),
        ({"createdBy": "u1", "name": "Budget"}, {"createdBy": P, "name": "Budget"}),
        ({"members": ["u1", "u2"], "name": "Team"}, {"members": [P, "u2"], "name": "Team"}),
        ({"id": "u1", "userIds": ["u2"], "customerId": "c1"}, {"id": P, "userIds": ["u2"], "customerId": "c1"}),
        ({"name": "Bob", "likes": [{"id": "u1"}]}, {"name": "Bob", "likes": [{"id": P}]}),
    ],
)
def test_what_is_about_somebody_else_stays(before: Any, after: Any) -> None:
    assert erased_row(before) == after


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (
            {"actor": {"id": "u1", "name": "Ada", "org": {"id": "o1", "seats": 3, "vip": True}, "note": None}},
            {"actor": {"id": P, "name": P, "org": {"id": P, "seats": P, "vip": True}, "note": None}},
        ),
        (
            {
                "actor": {"id": "u1"},
                "context": {"traceId": "t1", "keyId": "k1", "ip": "192.0.2.1", "userAgent": "curl"},
            },
            {"actor": {"id": P}, "context": {"traceId": "t1", "keyId": "k1", "ip": P, "userAgent": P}},
        ),
        ({"actor": {"id": "u1"}, "context": {"traceId": "u1"}}, {"actor": {"id": P}, "context": {"traceId": P}}),
        (
            {"actor": {"id": "u1"}, "payload": {"email": "new@example.com", "ip": "192.0.2.1"}},
            {"actor": {"id": P}, "payload": {"email": "new@example.com", "ip": "192.0.2.1"}},
        ),
        (
            {"actor": {"id": "u1", "email": "new@example.com"}, "payload": {"email": "New@example.com", "sms": "ok"}},
            {"actor": {"id": P, "email": P}, "payload": {"email": P, "sms": "ok"}},
        ),
        (
            {"actor": {"id": "u1"}, "payload": {"from": "192.0.2.1:443", "peers": ["::1", "2001:db8::1, 192.0.2.2"]}},
            {"actor": {"id": P}, "payload": {"from": P, "peers": ["::1", P]}},
        ),
        (
            {"actor": {"id": "u1"}, "payload": {"reviewer": BOB, "version": "1.2", "geo": {"lat": 52.5, "ok": True}}},
            {"actor": {"id": P}, "payload": {"reviewer": BOB, "version": "1.2", "geo": {"lat": P, "ok": True}}},
        ),
        (
            {"actor": {"id": "u1"}, "changes": [{"field": "phone", "old": "1", "new": 2}, {"field": "plan", "old": 1}]},
            {"actor": {"id": P}, "changes": [{"field": "phone", "old": P, "new": P}, {"field": "plan", "old": 1}]},
        ),
        (
            {"actor": BOB, "target": {"type": "user", "id": "u1"}, "payload": {"firstName": "Ada"}},
            {"actor": BOB, "target": {"type": "user", "id": P}, "payload": {"firstName": P}},
        ),
        (
            {"actor": {"id": "ada-lovelace"}, "payload": {"error": "User /Ada-Lovelace denied", "x": "ada-lovelaces"}},
            {"actor": {"id": P}, "payload": {"error": P, "x": "ada-lovelaces"}},
        ),
        ({"actor": {"id": "u1"}, "payload": {"note": "by u1"}}, {"actor": {"id": P}, "payload": {"note": "by u1"}}),
    ],
)
def test_in_an_event_of_theirs_their_traces_and_profile_are_replaced(
    event: dict[str, Any], after: dict[str, Any]
) -> None:
    assert erased(event) == after


@pytest.mark.parametrize(
    ("payload", "after"),
    [
        ({"name": "Ada"}, {"name": P}),
        ({"user": {"name": "Ada"}}, {"user": {"name": P}}),
        ({"form": {"name": "Ada", "phone": "1"}}, {"form": {"name": P, "phone": P}}),
        ({"project": {"name": "Engine"}}, {"project": {"name": "Engine"}}),
        ({"projects": [{"id": "p1", "name": "Engine"}]}, {"projects": [{"id": "p1", "name": "Engine"}]}),
    ],
)
def test_the_name_of_a_thing_in_their_event_stays(payload: Any, after: Any) -> None:
    assert erased({"actor": {"id": "u1"}, "payload": payload})["payload"] == after


def test_in_their_event_on_another_person_only_their_own_traces_are_replaced() -> None:
    changes = [{"field": "phone", "old": "1", "new": "2"}]
    event = {
        "actor": {"id": "u1", "name": "Ada"},
        "target": {"type": "crm.User", "id": "u2", "name": "Bob"},
        "payload": {"lastName": "Builder", "sourceIp": "192.0.2.1", "approver": "u1"},
        "changes": changes,
        "context": {"ip": "192.0.2.1"},
    }
    assert erased(event) == {
        "actor": {"id": P, "name": P},
        "target": {"type": "crm.User", "id": "u2", "name": "Bob"},
        "payload": {"lastName": "Builder", "sourceIp": P, "approver": P},
        "changes": changes,
        "context": {"ip": P},
    }


LOVELACE = {"id": "u1", "name": "Ada Lovelace"}
SUSPENDED = {"type": "user", "id": "u1"}


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (  # who suspended her
            {
                "target": SUSPENDED,
                "payload": {"approver": {"name": "Bob", "phone": "555"}, "sourceIPAddress": "192.0.2.7", "of": "u1"},
                "metadata": {"ip": "192.0.2.7", "userAgent": "Firefox", "email": "bob@example.com"},
                "context": {"ip": "192.0.2.7", "userAgent": "Firefox"},
            },
            {
                "target": SUSPENDED | {"id": P},
                "payload": {"approver": {"name": "Bob", "phone": "555"}, "sourceIPAddress": "192.0.2.7", "of": P},
                "metadata": {"ip": "192.0.2.7", "userAgent": "Firefox", "email": "bob@example.com"},
                "context": {"ip": "192.0.2.7", "userAgent": "Firefox"},
            },
        ),
        (  # or removed her, of which no target tells
            {
                "payload": {"memberId": "u1", "lastName": "L.", "ip": "192.0.2.7", "approver": {"phone": "555"}},
                "metadata": {"userId": "u1", "device": {"name": "Bob's"}, "seen": "192.0.2.7"},
            },
            {
                "payload": {"memberId": P, "lastName": P, "ip": "192.0.2.7", "approver": {"phone": "555"}},
                "metadata": {"userId": P, "device": {"name": "Bob's"}, "seen": "192.0.2.7"},
            },
        ),
        (  # her profile, which he changed
            {
                "target": SUSPENDED,
                "payload": {"phone": "1", "address": {"city": "X"}, "profile": {"bio": "B"}, "plan": "pro"},
                "changes": [{"field": "phone", "old": "1", "new": "2"}, {"field": "ip", "old": "192.0.2.7"}],
            },
            {
                "target": SUSPENDED | {"id": P},
                "payload": {"phone": P, "address": {"city": P}, "profile": {"bio": P}, "plan": "pro"},
                "changes": [{"field": "phone", "old": P, "new": P}, {"field": "ip", "old": "192.0.2.7"}],
            },
        ),
        (  # what is about her in it is hers, traces and all
            {"target": SUSPENDED, "payload": {"user": {"id": "u1", "lastIp": "192.0.2.1", "form": {"fax": "1"}}}},
            {"target": SUSPENDED | {"id": P}, "payload": {"user": {"id": P, "lastIp": P, "form": {"fax": P}}}},
        ),
    ],
)
def test_who_did_something_to_them_stays(event: dict[str, Any], after: dict[str, Any]) -> None:
    assert erased({"actor": BOB, **event}) == {"actor": BOB, **after}
    by_number = {"id": 7, "name": "Bob"}
    assert erased({"actor": by_number, **event}) == {"actor": by_number, **after}


@pytest.mark.parametrize("actor", [None, {}, {"name": "Somebody", "id": ""}])
def test_what_nobody_else_did_to_them_is_theirs(actor: Any) -> None:
    event = {"actor": actor, "target": SUSPENDED, "payload": {"form": {"phone": "1"}}, "context": {"ip": "192.0.2.1"}}
    after = {"payload": {"form": {"phone": P}}, "context": {"ip": P}}
    assert erased(event) == {"actor": actor, "target": SUSPENDED | {"id": P}, **after}


@pytest.mark.parametrize("actor", [BOB, None])
def test_a_thing_with_the_same_id_is_not_the_person(actor: Any) -> None:
    rest = {
        "payload": {"phone": "555", "floor": "43"},
        "metadata": {"ip": "192.0.2.7"},
        "changes": [{"field": "phone", "old": "1", "new": "2"}],
        "context": {"ip": "192.0.2.7"},
    }
    target = {"type": "invoice", "id": "42", "name": "Invoice 42", "email": "billing@example.com"}
    assert erased({"actor": actor, "target": target, **rest}) == {
        "actor": actor,
        "target": target | {"id": P},
        **rest,
    }


def test_a_person_is_still_found_in_a_thing() -> None:
    target = {"type": "invoice", "id": "i1", "customer": {"id": "u1", "name": "Ada"}, "name": "Invoice"}
    after = erased({"actor": BOB, "target": target})["target"]
    assert after == target | {"customer": {"id": P, "name": P}}
    owned = {"type": "invoice", "id": "i1", "customerId": "u1", "phone": "1"}
    assert erased({"actor": BOB, "target": owned})["target"] == owned | {"customerId": P, "phone": P}


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        ("Ada Lovelace", "Ada Lovelace", P),
        ("Ada Lovelace", "ADA LOVELACE logged in", P),
        ("Ada Lovelace", "Ada Lovelaces", "Ada Lovelaces"),
        ("A. L", "a. l", P),
        ("A. L", "by A. L", "by A. L"),
        ("Countess", "by the countess.", P),
        ("Ada", "Ada", "Ada"),
        ("Ada", "Ada logged in", "Ada logged in"),
    ],
)
def test_in_their_event_the_name_of_the_actor_names_them(name: str, text: str, after: str) -> None:
    event = {"actor": {"id": "u1", "name": name}, "payload": {"customer": text, "comments": [{"author": text}]}}
    assert erased(event)["payload"] == {"customer": after, "comments": [{"author": after}]}
    elsewhere = {"actor": BOB, "target": SUSPENDED, "payload": {"by": name}}
    assert erased(elsewhere)["payload"] == {"by": name}


def test_the_name_of_the_actor_says_of_no_object_whom_it_is_about() -> None:
    other = {"id": "u9", "name": "Ada Lovelace", "phone": "9"}
    assert erased({"actor": LOVELACE, "payload": {"to": other}})["payload"] == {"to": other | {"name": P}}


def test_what_an_imported_actor_is_called_as_one_of_its_kind_names_nobody() -> None:
    service = "cloudformation.amazonaws.com"
    identity = {"type": "AssumedRole", "invokedBy": service}
    event = {"actor": {"id": "u1", "name": service, "identity": identity}, "metadata": {"eventSource": service}}
    assert erased(event)["metadata"] == {"eventSource": service}


def test_in_their_event_an_ip_address_that_is_replaced_is_replaced_within_texts() -> None:
    event = {
        "actor": {"id": "u1"},
        "payload": {"msg": "login from 192.0.2.1.", "note": "from 192.0.2.11", "reviewer": BOB | {"ip": "192.0.2.1"}},
        "metadata": {"raw": '{"ip":"192.0.2.1"}', "peer": "to [2001:DB8::1]"},
        "context": {"ip": "192.0.2.1:443, 2001:db8::1"},
    }
    assert erased(event) == {
        "actor": {"id": P},
        "payload": {"msg": P, "note": "from 192.0.2.11", "reviewer": BOB | {"ip": "192.0.2.1"}},
        "metadata": {"raw": P, "peer": P},
        "context": {"ip": P},
    }


@pytest.mark.parametrize(
    "event",
    [
        {
            "actor": BOB,
            "payload": {"name": "Bob", "to": "nada@example.com", "ip": "192.0.2.7"},
            "context": {"ip": "::2"},
        },
        {"actor": None, "target": {"type": "user", "id": "u2"}, "changes": None},
        {"actor": [], "target": "x", "payload": [], "context": 7},
    ],
)
def test_an_event_of_somebody_else_stays(event: dict[str, Any]) -> None:
    assert erased(event) == event


def test_where_an_event_of_somebody_else_mentions_them_only_that_is_replaced() -> None:
    event = {
        "actor": BOB,
        "payload": {"name": "Bob", "invited": [{"email": "ada@example.com", "name": "Ada"}]},
        "context": {"ip": "192.0.2.7"},
    }
    after = erased(event)
    assert after["payload"] == {"name": "Bob", "invited": [{"email": P, "name": P}]}
    assert (after["actor"], after["context"]) == (event["actor"], event["context"])


def test_an_imported_record_is_freed_of_the_person_and_keeps_what_was_done() -> None:
    arn = "arn:aws:iam::111122223333:user/ada"
    record = {
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDA1",
            "arn": arn,
            "accessKeyId": "AKIA1",
            "userName": "a.l",
        },
        "eventTime": "2026-01-31T12:00:00Z",
        "eventSource": "iam.amazonaws.com",
        "eventName": "CreateUser",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "aws-cli",
        "requestParameters": {"userName": "bob", "path": "/", "name": "/secrets/7"},
        "responseElements": {"user": {"userId": "AIDA2", "userName": "bob"}, "requesterId": "AIDA1"},
        "errorMessage": f"User: {arn} is not authorized",
        "requestID": "r1",
    }
    draft = draft_of(record)
    subject = Subject(actor_ids=(arn,))
    after = erased({column: getattr(draft, column) for column in IN_EVENTS}, subject)
    assert {each.value for each in values(after["actor"]) if not each.is_name} == {P}
    assert after["payload"] == {
        "sourceIPAddress": P,
        "userAgent": P,
        "requestParameters": record["requestParameters"],
        "responseElements": {"user": {"userId": "AIDA2", "userName": "bob"}, "requesterId": P},
        "errorMessage": P,
        "requestID": "r1",
    }
    assert after["context"] == {"traceId": "r1"}
    by_key = erased({column: getattr(draft, column) for column in IN_EVENTS}, Subject(actor_ids=("AKIA1",)))
    assert arn not in json.dumps(by_key)


def test_pseudonyms_of_other_erasures_stay() -> None:
    other = "erased-fedcba9876543210"
    event = {"actor": {"id": "u1", "name": other, "deputy": f"{other}-2"}, "payload": {"email": other}}
    assert erased(event) == {"actor": {"id": P, "name": other, "deputy": f"{other}-2"}, "payload": {"email": other}}


def test_a_pseudonym_names_nobody() -> None:
    other = "erased-fedcba9876543210"
    subject = Subject(actor_ids=("u1", other, f"{other}-2"))
    event = {"actor": {"id": other, "name": other}, "payload": {"owner": other, "text": f"by {other}"}}
    assert erased(event, subject) == event
    assert erased_row([other, {"id": f"{other}-2", "name": "x"}, "u1"], subject)[2] == P
    assert erased_row({"id": other, "name": "x"}, subject) == {"id": other, "name": "x"}
    mine = {"actor": {"id": "u1", "email": other}, "payload": {"text": f"by {other}", "to": other}}
    assert erased(mine, subject) == {"actor": {"id": P, "email": other}, "payload": mine["payload"]}


@pytest.mark.parametrize("leaf", ["u1", {"email": "ada@example.com", "name": "Ada"}])
def test_no_document_is_nested_too_deep(leaf: Any) -> None:
    document = leaf
    for _ in range(20_000):
        document = {"in": [document]}
    after = erased_row(document)
    assert not ADA.matches(after)
    for _ in range(20_000):  # json cannot tell, nor can ==
        after = after["in"][0]
    assert after == (P if leaf == "u1" else {"email": P, "name": P})
