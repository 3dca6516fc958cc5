"""Complete by construction: the declarations against the live schema."""

import pytest
from django.apps import apps
from django.db import connection

from audit.personal_data import covered, excluded


@pytest.mark.django_db
def test_every_table_is_declared_once() -> None:
    declared = [table.table for table in covered()] + [table.table for table in excluded()]
    assert len(declared) == len(set(declared))
    assert set(declared) | {"django_migrations"} == set(connection.introspection.table_names())


@pytest.mark.django_db
def test_a_covered_table_names_its_tenant_and_redacts_columns_that_exist() -> None:
    for table in covered():
        with connection.cursor() as cursor:
            described = connection.introspection.get_table_description(cursor, table.table)
        columns = {column.name for column in described}
        assert {table.company_column, *table.redact} <= columns, table.table
        assert all(table.redact.values())


def test_every_model_of_ours_that_has_a_company_is_covered_or_says_why_not() -> None:
    declared = {table.model for table in covered()} | {table.model for table in excluded()}
    for model in apps.get_models():
        if any(field.name == "company" for field in model._meta.fields):
            assert model in declared, model
