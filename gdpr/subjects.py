"""Whom a request is about, and what names them: the definition of "found" for whoever signs an export or an erasure.

A subject has identifiers: ids that it bears as an actor, and e-mail addresses. A row names the subject if one of these
stands in one of its JSON or text columns: in the value of any member or in the name of one, at any depth.

- An **id** is found in a text that is the id and nothing else, capitals and small letters told apart. It is also found
  in a whole number that is written like it, where the name of the number's member says that it is an id: `id`, or a
  name that ends in `Id`, `ID`, `_id`, `-id` or `.id`, and the same with an `s`. Numbers in a list go by the name of the
  list, and `old` and `new` of a change go by the name in its `field`. An id within a longer text is not found: `u1`
  stands in far too many.
- An **address** is found anywhere in a text, in capitals or small letters, but only as a whole: `ada@example.com` is
  found in `<mailto:Ada@Example.com>.` and in `/role/ada@example.com`, not in `nada@example.com`, `x.ada@example.com`,
  `x+ada@example.com`, `ada@example.com.br` or `ada@example.community`, which are somebody else's. It is found too
  where a URL or a JSON text escapes some of it (`?email=ada%40example.com`), and behind the escape of a line break in
  a JSON text, although that might be a user `nada` of a domain: an address too many is the lesser evil.

Not found are a person's name, another address of the same mailbox, and an address that is shortened, hashed, encoded
(Base64, say) or misspelled. Whoever asks names each identifier by which the subject may be known.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from audit.canonical import UncanonicalValue, check
from audit.drafts import MOST_IDENTIFIER
from gdpr import addresses

MOST_IDENTIFIERS = 20
"""Of one subject, ids and addresses together."""
_NAMES_OF_IDS = ("id", "ids")
_ENDINGS_OF_IDS = ("Id", "ID", "_id", "-id", ".id", "Ids", "IDs", "_ids", "-ids", ".ids")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")
PSEUDONYM = re.compile(r"erased-[0-9a-f]{16}(?:-[0-9a-f-]+)?")
"""What stands in place of whatever named somebody who was erased; where it must differ, with a number or key behind."""
_Test = tuple[str, list[Any]]
"""A condition in SQL and its parameters."""
_EXACT = 2**53
"""Up to here a float is the number that was written; larger whole numbers are read as integers."""


class InvalidSubject(ValueError):
    """A subject that cannot be looked for; `path` names the identifier as it was sent, `rule` says why."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A person, by the identifiers under which they are looked for."""

    actor_ids: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()

    @classmethod
    def read(cls, sent: object) -> "Subject":
        """The subject of `{"actorId": …, "email": …}`, each a text or a list of texts; either may be missing.

        Raises InvalidSubject.
        """
        if not isinstance(sent, dict):
            raise InvalidSubject("subject", 'must be an object such as {"actorId": "u1", "email": "ada@example.com"}')
        for name in sent:
            if name not in ("actorId", "email"):
                raise InvalidSubject(f"subject.{ascii(name)[1:-1][:64]}", "is unknown; known are actorId and email")
        actor_ids = dict.fromkeys(text for _, text in _identifiers(sent, "actorId"))
        emails: dict[str, str] = {}
        for path, email in _identifiers(sent, "email"):
            if not addresses.ADDRESS.fullmatch(email):
                raise InvalidSubject(path, "is no e-mail address; send it alone, such as ada@example.com")
            emails.setdefault(email.lower(), email)
        count = len(actor_ids) + len(emails)
        if not 0 < count <= MOST_IDENTIFIERS:
            raise InvalidSubject("subject", f"has {count} identifiers; it must have 1 to {MOST_IDENTIFIERS}")
        return cls(actor_ids=tuple(actor_ids), emails=tuple(emails.values()))

    def as_json(self) -> dict[str, list[str]]:
        """As archives and the API show it: lists, those without an identifier left out."""
        lists = {"actorId": list(self.actor_ids), "email": list(self.emails)}
        return {name: identifiers for name, identifiers in lists.items() if identifiers}

    def pseudonyms(self) -> list[str]:
        """The identifiers that erasures put in place of others. An export may look for one; it names nobody."""
        return list(filter(PSEUDONYM.fullmatch, self.actor_ids))

    def without_pseudonyms(self) -> "Subject":
        """Whom an erasure looks for; nobody, if there is no other identifier."""
        pseudonyms = self.pseudonyms()
        return replace(self, actor_ids=tuple(one for one in self.actor_ids if one not in pseudonyms))

    def matches(self, value: Any) -> bool:
        """Whether a JSON value, or the text of a text column, names the subject."""
        pending = [(value, False)]  # and whether its name says that it is an id
        while pending:
            item, is_id = pending.pop()
            match item:
                case str() if self.is_named_in(item):
                    return True
                case bool():
                    pass  # which Python takes for 0 and 1
                case int() | float() if is_id and self.is_number(item):
                    return True
                case dict():
                    if any(map(self.is_named_in, item)):
                        return True
                    pending += _members(item)
                case list():
                    pending += [(element, is_id) for element in item]
        return False

    def is_named_in(self, text: str) -> bool:
        """Whether a text, or the name of a member, names the subject."""
        if text in self.actor_ids:
            return True
        may_hold = bool(self.emails) and ("@" in text or "%" in text or "\\u" in text)
        return may_hold and self._pattern.search(text) is not None

    def is_number(self, number: float) -> bool:
        """Whether a number is the subject's id, where its member's name says that it is an id (see `of_ids`)."""
        return number in self._numbers and (isinstance(number, int) or abs(number) <= _EXACT)

    def condition(self, *, json_columns: Iterable[str], text_columns: Iterable[str]) -> tuple[str, list[Any]]:
        """An SQL condition on a row, and its parameters: true of each row in which `matches` finds the subject.

        It is true of some others too, and much cheaper: what it lets pass is still to be put to `matches`. Column names
        are put into it as they are, and never come from outside.
        """
        in_json, in_text = ([f'"{column}"::text' for column in columns] for columns in (json_columns, text_columns))
        tests = [(f"{text} = ANY(%s::text[])", [list(self.actor_ids)]) for text in in_text]
        if within := [*(self._json_tests() if in_json else ()), *self._email_tests()]:
            # OFFSET 0 has the texts made once for a row, not once for each test. Only ASCII has the same small letters
            # in every locale, and only the collation C makes these and no others.
            texts = ", ".join(["NULL", *in_json, *in_text])
            whole = f"SELECT concat_ws(' ', {texts}) COLLATE \"C\" AS whole OFFSET 0"
            both = f"SELECT whole, lower(whole) AS small FROM ({whole}) AS made OFFSET 0"  # noqa: S608  names of columns
            exists, parameters = _any(within)
            tests.append((f"EXISTS (SELECT FROM ({both}) AS written WHERE {exists})", parameters))
        return _any(tests)

    def _json_tests(self) -> Iterator[_Test]:
        # jsonb escapes what JSON must escape, as json.dumps does, and nothing else.
        for actor_id in self.actor_ids:
            yield "strpos(whole, %s) > 0", [json.dumps(actor_id, ensure_ascii=False)]
        if self._numbers:
            # It never puts an exponent, but the zeros behind a point: 42.0
            numbers = "|".join(map(str, sorted(self._numbers)))
            yield "whole ~ %s", [f"[[ ]({numbers})[],.}}]"]

    def _email_tests(self) -> Iterator[_Test]:
        for parts in chain.from_iterable(map(addresses.parts, self.emails)):
            yield f"({' AND '.join(['strpos(small, %s) > 0'] * len(parts))})", parts

    @cached_property
    def _numbers(self) -> frozenset[int]:
        return frozenset(int(actor_id) for actor_id in self.actor_ids if _WHOLE_NUMBER.fullmatch(actor_id))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return addresses.pattern(self.emails)


def of_ids(item: Mapping[str, Any]) -> Callable[[str], bool]:
    """Which members of an object hold ids, so that numbers in them may name somebody: asked by the member's name."""
    field = item.get("field")
    of_change = isinstance(field, str) and _says_id(field)
    return lambda name: _says_id(name) or (of_change and name in ("old", "new"))


def _members(item: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """The values of an object, each with whether its name says that it is an id."""
    holds_ids = of_ids(item)
    for name, value in item.items():
        yield value, holds_ids(name)


def _says_id(name: str) -> bool:
    return name in _NAMES_OF_IDS or name.endswith(_ENDINGS_OF_IDS)


def _any(tests: Sequence[_Test]) -> _Test:
    conditions = " OR ".join(condition for condition, _ in tests)
    return f"({conditions or 'FALSE'})", [parameter for _, parameters in tests for parameter in parameters]


def _identifiers(sent: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """The texts of one kind of identifier, each with its path."""
    found: Any = sent.get(name)
    path = f"subject.{name}"
    if found is None:
        return
    items = (
        [(f"{path}[{index}]", item) for index, item in enumerate(found)] if isinstance(found, list) else [(path, found)]
    )
    for where, text in items:
        if not isinstance(text, str):
            raise InvalidSubject(where, f"is a {type(text).__name__}; it must be a text")
        if not 0 < len(text) <= MOST_IDENTIFIER:
            raise InvalidSubject(where, f"has {len(text)} characters; it must have 1 to {MOST_IDENTIFIER}")
        try:
            check(text, where)
        except UncanonicalValue as error:
            raise InvalidSubject(error.path, error.rule) from None
        yield where, text
