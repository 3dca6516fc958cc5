"""Complete by construction: the declarations against the live schema, table by table and column by column."""

from collections.abc import Iterator

import pytest
from django.db import connection

from audit.personal_data import Covered, Erasable, cover, covered, excluded

pytestmark = pytest.mark.django_db

NOT_OURS = {"django_migrations"}


def tables() -> set[str]:
    return set(connection.introspection.table_names()) - NOT_OURS


def columns(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def foreign_keys(table: str) -> dict[str, str]:
    """The table that each column refers to."""
    with connection.cursor() as cursor:
        return {
            column: refers_to
            for column, (_, refers_to) in connection.introspection.get_relations(cursor, table).items()
        }


def faults() -> list[str]:
    """What the declarations and the schema do not say alike."""
    declared = [table.table for table in covered()] + [table.table for table in excluded()]
    found = [f"{table} is declared twice" for table in sorted(set(declared)) if declared.count(table) > 1]
    found += [f"{table} is declared and does not exist" for table in sorted(set(declared) - tables())]
    found += [f"{table} is not declared" for table in sorted(tables() - set(declared))]
    return found + [fault for table in covered() if table.table in tables() for fault in faults_of(table)]


def faults_of(table: Covered) -> Iterator[str]:
    there, described, redacted = columns(table.table), table.columns.keys(), table.redact.keys()
    for column in sorted(there - described - redacted):
        yield f"{table.table}.{column} is neither described nor redacted"
    for column in sorted((described | redacted) - there):
        yield f"{table.table}.{column} is declared and does not exist"
    for column in sorted(described & redacted):
        yield f"{table.table}.{column} is both described and redacted"
    if table.company_column not in described:
        yield f"{table.table} does not name its tenant"
    if led_by(table) not in {one.table for one in covered()}:
        yield f"{table.table} follows {table.follows}, which leads to no covered table"


def led_by(table: Covered | Erasable) -> str | None:
    """The table that a table's rows follow, itself where they follow none."""
    if table.follows is None:
        return table.table
    referred = foreign_keys(table.table).get(table.follows)
    if table.leader is None:
        return referred
    leader: str = table.leader._meta.db_table
    # The same keys, or they would follow rows at random.
    return leader if referred == foreign_keys(leader).get(str(table.leader._meta.pk.column)) else None


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def declarations(monkeypatch: pytest.MonkeyPatch) -> list[Covered]:
    """The tables that are declared as covered, as a list that the test may change."""
    mine = list(covered())
    monkeypatch.setattr("audit.personal_data._covered", mine)
    return mine


def test_every_table_and_every_column_is_declared_once() -> None:
    assert faults() == []


def test_a_new_table_is_found() -> None:
    run("CREATE TABLE audit_letter (id bigint PRIMARY KEY)")
    assert faults() == ["audit_letter is not declared"]


def test_a_new_column_is_found() -> None:
    run("ALTER TABLE webhooks_webhook ADD COLUMN owner text")
    assert faults() == ["webhooks_webhook.owner is neither described nor redacted"]


def test_a_column_that_is_gone_is_found() -> None:
    run("ALTER TABLE webhooks_webhook DROP COLUMN description")
    run("ALTER TABLE webhooks_webhook DROP COLUMN encrypted_headers")
    assert faults() == [
        "webhooks_webhook.description is declared and does not exist",
        "webhooks_webhook.encrypted_headers is declared and does not exist",
    ]


def test_a_table_that_is_gone_is_found() -> None:
    run("DROP TABLE webhooks_endpointhour")
    assert faults() == ["webhooks_endpointhour is declared and does not exist"]


def test_contradictions_are_found(declarations: list[Covered]) -> None:
    workspaces = next(table for table in declarations if table.table == "audit_workspace")
    cover(
        workspaces.model,
        meaning=workspaces.meaning,
        kept=workspaces.kept,
        columns={column: meaning for column, meaning in workspaces.columns.items() if column != "company_id"},
        redact={"name": "for the sake of it", "company_id": "for the sake of it"},
        follows="name",
    )
    assert faults() == [
        "audit_workspace is declared twice",
        "audit_workspace.name is both described and redacted",
        "audit_workspace does not name its tenant",
        "audit_workspace follows name, which leads to no covered table",
    ]


def test_every_declaration_says_what_it_has_to_say() -> None:
    for table in covered():
        said = [table.meaning, table.kept, *table.columns.values(), *table.redact.values()]
        assert all(text and text == text.strip() for text in said), table.table
    assert all(table.reason for table in excluded())


def test_rows_follow_what_they_belong_to() -> None:
    followed = {table.table: led_by(table) for table in covered() if table.follows}
    expected = {
        "webhooks_webhookdelivery": "audit_auditevent",
        "webhooks_webhookattempt": "webhooks_webhookdelivery",
        "jobs_jobattempt": "jobs_job",
        "jobs_joblog": "jobs_job",
        "gdpr_exportarchive": "gdpr_exportrequest",
        "gdpr_downloadlink": "gdpr_exportarchive",
        "gdpr_downloadaccess": "gdpr_downloadlink",
        "gdpr_erasureapproval": "gdpr_erasure",
        "gdpr_erasedrow": "gdpr_erasure",
    }
    assert followed == expected


def test_no_secret_is_described() -> None:
    said = {column for table in covered() for column in table.columns}
    assert not {name for name in said if any(word in name for word in ("encrypted", "digest", "token", "secrets"))}
