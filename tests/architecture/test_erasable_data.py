"""Complete by construction: what is told to erasures against the live schema, table by table and column by column."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, models

from audit.personal_data import Erasable, erasable, spared
from gdpr.models.erasure import new_pseudonym
from tests.architecture.test_personal_data import columns, led_by, run, tables

pytestmark = pytest.mark.django_db

HARMLESS = {
    *("boolean", "smallint", "integer", "bigint", "double precision", "uuid"),
    *("timestamp with time zone", "date"),
}
"""Types of columns in which no identifier can stand. Any other one, known or not, must be accounted for."""
SEARCHED = (models.JSONField, models.CharField, models.TextField)
"""Fields whose columns an erasure looks through."""
KEPT = {
    "audit_apikey": {"digest", "prefix"},
    "audit_auditevent": {
        *("actor_commitment", "actor_fresh_salt", "actor_salt", "content_commitment", "content_fresh_salt"),
        *("content_salt", "hash", "prev_hash"),
    },
    "audit_idempotencyrecord": {"route"},
    "django_admin_log": {"object_id"},
    "gdpr_downloadlink": {"digest"},
    "gdpr_erasedrow": {"key", "replaced", "table"},
    "gdpr_erasure": {"counts", "key", "preview", "pseudonym", "status"},
    "gdpr_exportarchive": {"checkpoint", "counts", "file", "scope", "sha256", "status"},
    "gdpr_exportrequest": {"scope"},
    "jobs_job": {"queue", "status", "type"},
    "jobs_jobattempt": {"outcome"},
    "jobs_joblog": {"level"},
    "webhooks_webhook": {"encrypted_previous_secret", "encrypted_secret"},
    "webhooks_webhookattempt": {"kind", "result", "timing"},
    "webhooks_webhookdelivery": {"status"},
}
"""All columns of erasable tables that are not even looked at: fingerprints, random bytes, keys, HyreLog's own words."""
PROVED = {
    "audit_auditevent": {"action", "category"},
    "gdpr_erasure": {"certificate"},
    "webhooks_webhook": {"categories", "events"},
}


def test_a_row_of_which_the_key_is_a_number_has_a_time_by_which_a_replay_tells_it_from_another() -> None:
    for table in erasable():
        fields = table.model._meta.concrete_fields
        changed = [one for one in fields if isinstance(one, SEARCHED) and one.column not in table.kept]
        if changed and not isinstance(table.model._meta.pk, models.UUIDField):
            assert any(isinstance(one, models.DateTimeField) for one in fields), table.table


def faults() -> list[str]:
    """What the declarations and the schema do not say alike."""
    declared = [table.table for table in erasable()] + [table.table for table in spared()]
    found = [f"{table} is declared twice" for table in sorted(set(declared)) if declared.count(table) > 1]
    found += [f"{table} is declared and does not exist" for table in sorted(set(declared) - tables())]
    found += [f"{table} is neither erasable nor spared" for table in sorted(tables() - set(declared))]
    return found + [fault for table in erasable() if table.table in tables() for fault in faults_of(table)]


def faults_of(table: Erasable) -> Iterator[str]:
    ways = [table.emptied.keys(), table.forms.keys(), table.numbered, table.proved.keys(), table.kept.keys()]
    for column in sorted({column for way in ways for column in way} - columns(table.table)):
        yield f"{table.table}.{column} is declared and does not exist"
    for column in sorted(columns(table.table)):
        if sum(column in way for way in ways) > 1:
            yield f"{table.table}.{column} is declared in two ways"
    if not table.deleted:
        yield from _unaccounted(table)
        yield from _refusing(table)
    if led_by(table) not in {one.table for one in erasable()}:
        yield f"{table.table} follows {table.follows}, which leads to no erasable table"


def _unaccounted(table: Erasable) -> Iterator[str]:
    settled = table.emptied.keys() | table.kept.keys()
    for column, data_type in types(table.table).items():
        if data_type not in HARMLESS and column not in settled and column not in searched(table):
            yield f"{table.table}.{column} is a {data_type} in which no erasure looks"


def _refusing(table: Erasable) -> Iterator[str]:
    """The columns that would not take the pseudonym, or not in two rows."""
    replaced = searched(table).keys() - table.kept - table.emptied.keys() - table.proved.keys() - table.forms.keys()
    for column in sorted(replaced):
        written = f"{new_pseudonym()}-{'0' * 36}" if column in table.numbered else new_pseudonym()
        if len(written) > (searched(table)[column].max_length or len(written)):
            yield f"{table.table}.{column} is too short for what stands in place of a person"
    for column in sorted(replaced & unique(table.table) - table.numbered):
        yield f"{table.table}.{column} must differ from row to row, and is not numbered"


def searched(table: Erasable) -> dict[str, models.Field[Any, Any]]:
    return {str(field.column): field for field in table.model._meta.concrete_fields if isinstance(field, SEARCHED)}


def types(table: str) -> dict[str, str]:
    """The type of each column, as Postgres calls it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = current_schema AND table_name = %s ORDER BY column_name",
            [table],
        )
        return dict(cursor.fetchall())


def unique(table: str) -> set[str]:
    """The columns that stand in a unique index, be it within an expression."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum > 0"
            " WHERE indrelid = %s::regclass AND indisunique"
            r" AND pg_get_indexdef(indexrelid) ~ ('\m' || attname || '\M')",
            [table],
        )
        return {column for (column,) in cursor.fetchall()}


@pytest.fixture
def declarations(monkeypatch: pytest.MonkeyPatch) -> list[Erasable]:
    """The tables that are declared as erasable, as a list that the test may change."""
    mine = list(erasable())
    monkeypatch.setattr("audit.personal_data._erasable", mine)
    return mine


def change(declarations: list[Erasable], name: str, **how: Any) -> None:
    """Declare a table otherwise."""
    place = next(n for n, table in enumerate(declarations) if table.table == name)
    declarations[place] = replace(declarations[place], **how)


def test_every_table_and_every_column_is_accounted_for() -> None:
    assert faults() == []


def test_what_no_erasure_looks_at_is_known() -> None:
    assert {table.table: set(table.kept) for table in erasable() if table.kept} == KEPT
    assert {table.table: set(table.proved) for table in erasable() if table.proved} == PROVED


def test_a_new_table_is_found() -> None:
    run("CREATE TABLE audit_letter (id bigint PRIMARY KEY)")
    assert faults() == ["audit_letter is neither erasable nor spared"]


@pytest.mark.parametrize(
    ("data_type", "name"),
    [("text", "text"), ("varchar(9)", "character varying"), ("jsonb", "jsonb"), ("inet", "inet"), ("text[]", "ARRAY")],
)
def test_a_new_column_in_which_somebody_may_be_named_is_found(data_type: str, name: str) -> None:
    run(f"ALTER TABLE webhooks_webhook ADD COLUMN owner {data_type}")
    assert faults() == [f"webhooks_webhook.owner is a {name} in which no erasure looks"]


def test_a_new_column_of_numbers_is_none_of_its_business() -> None:
    run("ALTER TABLE webhooks_webhook ADD COLUMN size bigint")
    assert faults() == []


def test_what_is_gone_is_found() -> None:
    run("ALTER TABLE webhooks_webhook DROP COLUMN encrypted_headers")
    run("DROP TABLE gdpr_legalhold")
    assert faults() == [
        "gdpr_legalhold is declared and does not exist",
        "webhooks_webhook.encrypted_headers is declared and does not exist",
    ]


def test_a_table_that_is_not_declared_any_more_is_found(declarations: list[Erasable]) -> None:
    declarations[:] = [table for table in declarations if table.table != "jobs_joblog"]
    assert faults() == ["jobs_joblog is neither erasable nor spared"]


def test_an_address_that_is_neither_emptied_nor_kept_is_found(declarations: list[Erasable]) -> None:
    change(declarations, "gdpr_downloadaccess", emptied={"user_agent": ""})
    assert faults() == ["gdpr_downloadaccess.address is a inet in which no erasure looks"]


def test_a_column_that_would_refuse_the_pseudonym_is_found(declarations: list[Erasable]) -> None:
    change(declarations, "webhooks_webhookattempt", kept={"result": "a word"})
    change(declarations, "audit_workspace", numbered=frozenset())
    assert faults() == [
        "audit_workspace.name must differ from row to row, and is not numbered",
        "webhooks_webhookattempt.kind is too short for what stands in place of a person",
    ]


def test_contradictions_are_found(declarations: list[Erasable]) -> None:
    change(declarations, "jobs_joblog", follows="level", proved={"text": "for the sake of it"})
    assert faults() == [
        "jobs_joblog.text is declared in two ways",
        "jobs_joblog follows level, which leads to no erasable table",
    ]


def test_a_unique_index_over_an_expression_counts(declarations: list[Erasable]) -> None:
    change(declarations, "jobs_job", numbered=frozenset())
    assert faults() == ["jobs_job.key must differ from row to row, and is not numbered"]


def test_every_declaration_says_what_it_has_to_say() -> None:
    said = [reason for table in erasable() for reason in (*table.kept.values(), *table.proved.values())]
    said += [table.reason for table in spared()]
    assert all(text and text == text.strip() for text in said)


def test_rows_follow_what_they_belong_to() -> None:
    followed = {table.table: led_by(table) for table in erasable() if table.follows}
    expected = {
        "jobs_jobattempt": "jobs_job",
        "jobs_joblog": "jobs_job",
        "webhooks_webhookdelivery": "audit_auditevent",
        "webhooks_webhookattempt": "webhooks_webhookdelivery",
        "gdpr_exportarchive": "gdpr_exportrequest",
        "gdpr_downloadlink": "gdpr_exportarchive",
        "gdpr_downloadaccess": "gdpr_downloadlink",
    }
    assert followed == expected
