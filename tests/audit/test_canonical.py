import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import MAX_DEPTH, UncanonicalValue, canonical, check

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda x: abs(x) < 2**53 or x != int(x))
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_example_of_rfc_8785_section_3_2_2() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value).decode() == expected


def test_names_are_sorted_by_utf_16_code_units() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "a": 3}).decode() == '{"a":3,"\U0001f600":2,"\ufb33":1}'


@given(JSON)
def test_the_canonical_form_reads_back_as_the_value_and_is_stable(value: object) -> None:
    text = canonical(value)
    assert canonical(json.loads(text)) == text


@pytest.mark.parametrize(
    ("value", "path", "rule"),
    [
        ({"a": "x\x00y"}, "payload.a", "U+0000"),
        ({"a\x00": 1}, "payload.a\x00 (the name)", "U+0000"),
        ({"a": ["ok", "\ud800"]}, "payload.a[1]", "lone surrogate"),
        ({"a": math.nan}, "payload.a", "finite"),
        ({"a": -math.inf}, "payload.a", "finite"),
        ({"a": 2**53}, "payload.a", "beyond"),
        ({"a": -(2**53)}, "payload.a", "beyond"),
        ({"a": 1e300}, "payload.a", "beyond"),
        (nested(MAX_DEPTH + 1), "payload" + "[0]" * MAX_DEPTH, "deeper than 64"),
    ],
)
def test_what_has_no_form_that_survives_is_refused_by_its_path(value: object, path: str, rule: str) -> None:
    with pytest.raises(UncanonicalValue) as refusal:
        check(value, "payload")
    assert refusal.value.path == path
    assert rule in refusal.value.rule


@pytest.mark.parametrize(("value", "least"), [([1e-300] * 100, 30_000), ([[]] * 100, 6_400), ("x" * 100, 100)])
def test_the_size_is_what_a_value_costs_once_it_is_stored(value: object, least: int) -> None:
    assert least <= check(value, "payload") < least * 2


@pytest.mark.parametrize("value", [nested(MAX_DEPTH), 2**53 - 1, -(2**53) + 1, 0.1, "\uffff", True, None, {}])
def test_what_is_within_the_bounds_passes(value: object) -> None:
    check(value, "payload")
