"""Real backups of the test database: pg_dump and psql, of the server's own release where it is the embedded one."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.db import connection


def program(name: str) -> str:
    """Where it is: beside the embedded server, or on the PATH. Without it the test cannot run."""
    spec = importlib.util.find_spec("pgserver")
    folders = [str(Path(place) / "pginstall" / "bin") for place in (spec and spec.submodule_search_locations) or ()]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(name: str, *arguments: str, sent: str = "") -> str:
    """Run one of Postgres' own programs on the test database, of which this process lets go meanwhile."""
    connection.close()
    told = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    environment = os.environ | {variable: str(told[setting]) for variable, setting in names.items()}
    done = subprocess.run(
        [program(name), *arguments], env=environment, input=sent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dump(*arguments: str) -> str:
    """A backup, as statements that make everything anew."""
    return run("pg_dump", "--no-owner", "--no-privileges", "--no-comments", *arguments)


def restore(statements: str) -> None:
    run("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", sent=statements)


EVENTS_ALONE = ("--data-only", "--table=audit_auditevent", "--inserts")


def put_events_back(statements: str) -> None:
    """Only the rows of one table, past its triggers: what a careless operator restores by hand.

    `statements` are of `dump(*EVENTS_ALONE)`: events that it has take the place of those that there are.
    """
    restore("ALTER TABLE audit_auditevent DISABLE TRIGGER USER;")
    there = "CREATE TEMP TABLE there ON COMMIT DROP AS TABLE audit_auditevent; DELETE FROM audit_auditevent;"
    again = "INSERT INTO public.audit_auditevent SELECT * FROM there ON CONFLICT DO NOTHING;"
    restore(f"BEGIN; {there}\n{statements}\n{again} COMMIT;")
    restore("ALTER TABLE audit_auditevent ENABLE TRIGGER USER;")
