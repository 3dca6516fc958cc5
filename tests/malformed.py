"""Payloads that no record of an erasure has: what the database and archives are held to alike."""

from typing import Any

ERASURE, EVENT = "0e000000-0000-0000-0000-00000000000a", "0e000000-0000-0000-0000-00000000000b"
COMMITMENT = "ab" * 32

_LISTED: dict[str, Any] = {"id": EVENT, "actor": COMMITMENT, "replaced": {}}
_STRANGE: list[dict[str, Any]] = [
    {"id": 1}, {"id": {"id": 7}}, {"id": "x"}, {"id": "9" * 10_000}, {"id": EVENT.replace("-", "")},
    {"id": EVENT.upper()}, {"id": f"{{{EVENT}}}"}, {"id": f"{EVENT}\n"},
    {"actor": None}, {"actor": 7}, {"actor": {}}, {"actor": ""}, {"actor": COMMITMENT.upper()},
    {"actor": COMMITMENT + "\n"}, {"actor": "9" * 10_000}, {"content": 1},
    {"replaced": []}, {"replaced": None}, {"replaced": {"x": []}}, {"replaced": {"actor": {}}},
    {"replaced": {"actor": [-1]}}, {"replaced": {"actor": [True]}}, {"replaced": {"actor": [0.5]}},
    {"replaced": {"actor": ["0"]}}, {"more": 1},
]  # fmt: skip
_NO_LISTS: list[Any] = [
    None, {}, "x", [], [None], [7], [[]], [{"id": EVENT, "replaced": {}}], [{"id": EVENT, "actor": COMMITMENT}],
    [_LISTED, _LISTED], [_LISTED, {"id": EVENT, "content": COMMITMENT, "replaced": {}}],
    [_LISTED | {"id": f"{n:08x}{EVENT[8:]}"} for n in range(201)],
    *([_LISTED | strange] for strange in _STRANGE),
]  # fmt: skip
_NO_IDS: list[Any] = [None, 1, [], "7", ERASURE.upper(), f"{{{ERASURE}}}", ERASURE.replace("-", "")]
PAYLOADS: list[Any] = [
    None, [], "x", {}, {"erasureId": ERASURE}, {"events": [_LISTED]},
    *({"erasureId": strange, "events": [_LISTED]} for strange in _NO_IDS),
    {"erasureId": ERASURE, "events": [_LISTED], "more": 1},
    *({"erasureId": ERASURE, "events": events} for events in _NO_LISTS),
]  # fmt: skip
GOOD: list[Any] = [
    {"erasureId": ERASURE, "events": [_LISTED]},
    {"erasureId": ERASURE, "events": [_LISTED | {"content": COMMITMENT, "replaced": {"payload": [0, 2]}}]},
    {"erasureId": ERASURE, "events": [_LISTED | {"id": f"{n:08x}{EVENT[8:]}"} for n in range(200)]},
]
"""Of the form of one, whatever they list."""
