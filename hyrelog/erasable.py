"""How an erasure treats Django's own tables."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db import models

from audit.models import Company
from audit.personal_data import erase, spare

REASONS = {
    "auth": "The accounts and permissions of HyreLog's own operators. They belong to no company.",
    "contenttypes": "The names of HyreLog's own tables. They tell of no person.",
    "sessions": "Who of HyreLog's own operators is signed in to its admin. They belong to no company.",
}
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def declare() -> None:
    """Tell erasures of the tables."""
    for label, reason in REASONS.items():
        for model in apps.get_app_config(label).get_models(include_auto_created=True):
            spare(model, reason=reason)
    # What operators did in the admin, and what the rows were called that they did it to: a webhook by its URL, say.
    erase(LogEntry, whose=_done_to_company(), kept={"object_id": "The primary key of a row."})


def _done_to_company() -> str:
    """True of what was done to a row of the company, whose key is a UUID, as of all that operators can change.

    The text is compared as a UUID, so that the row is found by the index of its table.
    """
    done_to = f'CASE WHEN "object_id" ~ \'{_UUID}\' THEN "object_id"::uuid END'
    rows = " OR ".join(
        f'EXISTS (SELECT FROM "{table}" WHERE "{table}"."{key}" = done.key AND "{table}"."{company}" = done.company)'
        for table, key, company in _keys_of_companies()
    )
    return f"EXISTS (SELECT FROM (SELECT %s::uuid AS company, {done_to} AS key) AS done WHERE {rows})"


def _keys_of_companies() -> Iterator[tuple[str, str, str]]:
    """Of each table whose rows belong to companies: its name, the column of its key, and that of the company."""
    for model in apps.get_models():
        meta = model._meta  # noqa: SLF001  Django's public way to a model's fields
        owner = next((f for f in meta.concrete_fields if f.related_model is Company), None)
        company = meta.pk if model is Company else owner
        if company and _is_uuid(meta.pk):
            yield meta.db_table, str(meta.pk.column), str(company.column)


def _is_uuid(key: models.Field[Any, Any]) -> bool:
    while isinstance(key, models.ForeignKey):
        key = key.target_field
    return isinstance(key, models.UUIDField)
