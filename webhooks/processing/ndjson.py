"""NDJSON: a JSON object on each line."""

from collections.abc import Iterable, Iterator
from json import JSONDecodeError

from audit import strict_json
from webhooks.processing.conditions import Row
from webhooks.processing.lines import NOT_UTF8, TOO_LONG, Line, Unreadable


def rows(lines: Iterable[Line]) -> Iterator[Row | Unreadable]:
    """The objects, one for each line that is not empty; JSON as the API reads it (audit.strict_json)."""
    for number, text in lines:
        if text is None:
            yield Unreadable(number, TOO_LONG)
        elif text.strip():
            yield _row(number, text)


def _row(number: int, text: bytes) -> Row | Unreadable:
    try:
        row = strict_json.loads(text.decode())
    except UnicodeDecodeError:
        return Unreadable(number, NOT_UTF8)
    except JSONDecodeError as error:
        return Unreadable(number, f"is not JSON: {error.msg} at column {error.colno}")
    except strict_json.DuplicateName as error:
        return Unreadable(number, f"{error.name!r} stands twice in one object")
    except RecursionError:
        return Unreadable(number, "is nested too deeply")
    except ValueError as error:  # NaN and its like; or an integer that Python refuses to read
        return Unreadable(number, "has a number of too many digits" if "digits" in str(error) else str(error))
    return row if isinstance(row, dict) else Unreadable(number, "is not a JSON object")
