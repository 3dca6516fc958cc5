"""`README.html`: what is in an archive and how to check it, for a person who is no developer."""

import hashlib
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.utils.text import capfirst

from audit.personal_data import Covered, covered
from gdpr import spreadsheet
from gdpr.describing.printable import printable


def readme(manifest: dict[str, Any], *, context: dict[str, Any], erased: bool = False) -> str:
    """The page, from what is known before the manifest is written (all but the hashes of files), and `context_of`.

    `erased` says whether parts of its events were erased.
    """
    manifest, context = printable(manifest), printable(context)
    style = render_to_string("gdpr/readme.css")
    contents = list(_contents(manifest["counts"]))
    facts = {
        "manifest": manifest,
        "context": context,
        "about": _about(manifest["subject"]),
        "requested_at": _moment(manifest["request"]["requestedAt"]),
        "read_from": _moment(manifest["readFrom"]),
        "read_until": _moment(manifest["readUntil"]),
        "begun_anew": manifest["attempt"] - 1,
        "filled": [table for table in contents if table["rows"] != "0"],
        "empty": [table["title"] for table in contents if table["rows"] == "0"],
        "csv": any(file["name"] == spreadsheet.FILE for file in manifest["files"]),
        "redactions": _redactions(manifest),
        "excluded": _together(manifest["excluded"].items()),
        "erased": erased,
        "recipients": [_recipient(one) for one in context["recipients"]],
        "kept": _together((_title(table), table.kept) for table in covered()),
        # Ours, without a value in it; the page allows this style by its hash and no other.
        "style": mark_safe(style),  # noqa: S308
        "style_hash": b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    }
    return render_to_string("gdpr/readme.html", facts)


def _about(subject: dict[str, list[str]] | None) -> list[tuple[str, str]]:
    """The identifiers of the person, if the archive is about one, each behind its kind."""
    kinds = {"actorId": "the identifier", "email": "the e-mail address"}
    return [(kinds.get(kind, kind), value) for kind, values in (subject or {}).items() for value in values]


def _contents(counts: dict[str, int]) -> Iterator[dict[str, str]]:
    """The tables in the archive, as they are declared: what each holds, and how much of it."""
    for table in covered():
        if table.table in counts:
            yield {
                "title": _title(table),
                "meaning": table.meaning,
                "file": f"data/{table.table}.ndjson",
                "rows": f"{counts[table.table]:,}",
            }


def _redactions(manifest: dict[str, Any]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Of each table with rows in the archive, the columns that are left out, by reason."""
    here = [table for table in covered() if manifest["counts"].get(table.table)]
    return [(_title(table), _together(manifest["redactions"].get(table.table, {}).items())) for table in here]


def _together(said: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Each sentence with the names that it is said of, so that nothing is read twice."""
    names = defaultdict(list)
    for name, sentence in said:
        names[sentence].append(name)
    return list(names.items())


def _recipient(one: dict[str, Any]) -> dict[str, Any]:
    return one | {"since": _day(one["since"]), "until": one["until"] and _day(one["until"])}


def _title(table: Covered) -> str:
    name = table.model._meta.verbose_name_plural  # noqa: SLF001  Django's public way to a model's name
    return str(capfirst(name))


def _moment(text: str) -> str:
    return f"{_day(text)}, {datetime.fromisoformat(text).astimezone(UTC):%H:%M:%S} UTC"


def _day(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}"
