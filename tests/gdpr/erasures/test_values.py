"""The values of a document by number, and what stands in their place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdpr.erasures.values import replace, values

DOCUMENT = {"b": ["x", 1, {"c": None}], "a": True}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("abx", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abx", max_size=3), inner, max_size=4),
)


def test_values_and_names_are_numbered_as_they_stand_in_the_sorted_document() -> None:
    found = [(each.number, each.value, each.path, each.is_name) for each in values(DOCUMENT)]
    assert found == [
        (0, "a", ("a",), True),
        (1, True, ("a",), False),
        (2, "b", ("b",), True),
        (3, "x", ("b", 0), False),
        (4, 1, ("b", 1), False),
        (5, "c", ("b", 2, "c"), True),
        (6, None, ("b", 2, "c"), False),
    ]


@pytest.mark.parametrize(
    ("document", "numbers", "expected"),
    [
        ("ada", [0], "p"),
        (7, [0], "p"),
        ("ada", [], "ada"),
        ("ada", [1], "ada"),
        (DOCUMENT, [3, 5], {"a": True, "b": ["p", 1, {"p": None}]}),
        ({"a": 1, "b": 2}, [0, 2], {"p": 1, "p-2": 2}),
        ({"a": 1, "p": 2}, [0], {"p-2": 1, "p": 2}),
        ([], [0], []),
    ],
)
def test_what_is_named_by_number_is_replaced(document: Any, numbers: list[int], expected: Any) -> None:
    assert replace(document, numbers, "p") == expected


@given(JSON, st.sets(st.integers(0, 12)))
def test_nothing_else_changes(document: Any, numbers: set[int]) -> None:
    before, after = list(values(document)), list(values(replace(document, numbers, "pseudonym")))
    assert len(after) == len(before)
    kept = sorted(repr(each.value) for each in before if each.number not in numbers)
    pseudonyms = [each for each in after if isinstance(each.value, str) and each.value.startswith("pseudonym")]
    assert len(pseudonyms) == len([each for each in before if each.number in numbers])
    assert sorted(repr(each.value) for each in after if each not in pseudonyms) == kept
