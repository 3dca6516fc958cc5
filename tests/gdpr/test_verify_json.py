"""The verifier's JSON against the library that events are sealed with."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from audit import chain
from gdpr.verify import JsonReader, canonical, timestamp
from tests.gdpr.archives import as_postgres

MOST = 2**53 - 1
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"))
NAMES = st.text(st.sampled_from('aZ~é\ufb00\uffff😀\U0010ffff\u0000\n\\"'), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MOST, MOST) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_the_canonical_form_is_the_librarys(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(FLOATS)
@example(5e-324)
@example(1.7976931348623157e308)
@example(1e21)
@example(123456789012345680000.0)
@example(9.999999999999999e-7)
@example(0.000001)
@example(-0.0)
def test_numbers_are_written_as_ecmascript_writes_them(number: float) -> None:
    assert canonical([number, -number]) == rfc8785.dumps([number, -number])


@pytest.mark.parametrize(
    ("number", "written"),
    # RFC 8785, appendix B
    [
        (-5e-324, "-5e-324"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (999999999999999900000.0, "999999999999999900000"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (333333333.3333332, "333333333.3333332"),
        (-0.0000033333333333333333, "-0.0000033333333333333333"),
        (1424953923781206.2, "1424953923781206.2"),
    ],
)
def test_the_samples_of_rfc_8785(number: float, written: str) -> None:
    assert canonical(number).decode() == written


@given(JSON)
def test_what_was_read_is_written_in_canonical_form_whichever_way_is_taken(value: Any) -> None:
    reader = JsonReader()
    read = reader.read(json.dumps(value, ensure_ascii=False).encode())
    assert reader.canonical(read) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [{"a": 1, "B": [True, None, {"": "é😀\x7f\u2028\x1f/"}]}, [], "😀", 2**53 - 1, {"actor": None}]
)
def test_json_dumps_writes_what_has_ascii_names_and_no_fractions(value: Any) -> None:
    reader = JsonReader()
    read = reader.read(json.dumps(value).encode())
    assert reader.plain
    assert reader.canonical(read) == rfc8785.dumps(value)


@pytest.mark.parametrize("text", ['{"é": 1}', '{"\\ud83d\\ude00": 1}', "[0.5]", "1e2", '[{"a": {"ﬀ": 1}}, {"a": 1}]'])
def test_other_values_are_written_by_the_rules_themselves(text: str) -> None:
    reader = JsonReader()
    reader.read(text.encode())
    assert not reader.plain
    assert reader.read(b"1") == 1
    assert reader.plain


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[-Infinity]",
        b"1e400",
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5_000_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"{} {}",
        b"",
        b"{}".decode().encode("utf-16"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_others_may_read_in_another_way_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each says something else
        JsonReader().read(text)


def test_lone_surrogates_and_what_is_not_finite_have_no_canonical_form() -> None:
    reader = JsonReader()
    for value in (reader.read(b'"\\ud800"'), reader.read(b'{"\\ud800": 0.5}')):
        with pytest.raises(ValueError, match="surrogate"):
            reader.canonical(value)
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="no number"):
            canonical(number)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_those_that_events_are_hashed_with(moment: datetime) -> None:
    written = json.loads(as_postgres({"at": moment}))["at"]
    assert timestamp(written) == chain.timestamp(moment)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.1234567+00:00", "2026-01-31T12:00:00.+00:00", "infinity", "",
     "2026-01-31T12:00:00+01:00", "2026-01-31 12:00:00+00:00", "٢026-01-31T12:00:00+00:00",
     "2026-01-31T12:00:00+00:00\n"],
)  # fmt: skip
def test_a_time_that_postgres_does_not_write_so_is_none(text: str) -> None:
    assert timestamp(text) is None
