"""The certificate of an erasure as a page, for a person who is no developer: to read, to print, to put in a file."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from gdpr.describing.printable import printable
from gdpr.erasures import archives
from gdpr.erasures.titles import column_title, table_title


def as_page(certificate: Mapping[str, Any]) -> str:
    """One HTML file, complete in itself: no script, nothing from elsewhere, every value escaped.

    `certificate` is what gdpr.erasures.certificate made; it is shown, not checked.
    """
    body = printable(certificate["body"])
    style = render_to_string("gdpr/readme.css")
    facts = {
        "body": body,
        "key_id": printable(certificate["keyId"]),
        "signature": printable(certificate["signature"]),
        "requested_at": _moment(body["requestedAt"]),
        "approvals": [(one["by"], _moment(one["at"])) for one in body["approvals"]],
        "started_at": body["startedAt"] and _moment(body["startedAt"]),
        "completed_at": _moment(body["completedAt"]),
        "repeated_at": body["repeatedAt"] and _moment(body["repeatedAt"]),
        "counts": list(_counts(body["counts"])),
        # Archives are deleted whomever they hold.
        "found": bool(body["records"]) or any(n for table, n in body["counts"].items() if table != archives.TABLE),
        "remaining": list(_remaining(body["remaining"] or {})),
        "events": f"{sum(one['events'] for one in body['records']):,}",
        # Ours, without a value in it; the page allows this style by its hash and no other.
        "style": mark_safe(style),  # noqa: S308
        "style_hash": b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    }
    return render_to_string("gdpr/certificate.html", facts)


def _counts(counts: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """What each kind of record is called, its table, and how many there were; those without any are left out."""
    for table, count in sorted(counts.items()):
        if count:
            yield table_title(table), table, f"{count:,}"


def _remaining(remaining: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """The same of what was left: which column of which records."""
    for place, count in sorted(remaining.items()):
        if count:
            yield column_title(place), place, f"{count:,}"


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}, {moment:%H:%M:%S} UTC"
