"""A bad setting stops every process at its start, with a hint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyrelog.env import Environment, S3Location, parse_env_file

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

COMMANDS = {
    "manage.py": [sys.executable, "manage.py", "check"],
    "web": [str(BIN / "uvicorn"), "hyrelog.asgi:application", "--port", "0"],
    "worker": [str(BIN / "celery"), "-A", "hyrelog", "worker"],
    "beat": [str(BIN / "celery"), "-A", "hyrelog", "beat"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_bad_setting_stops_the_process_and_says_what_to_do(command: list[str], tmp_path: Path) -> None:
    bad = {"WEBHOOK_TRANSPORT": "pigeon", "WEBHOOK_RETRY_SCHEDULE": "60,-5", "SECRET_KEY": ""}
    environment = os.environ | bad | {"HYRELOG_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "WEBHOOK_TRANSPORT='pigeon' is not one of curl, requests" in said
    assert "WEBHOOK_RETRY_SCHEDULE='60,-5'" in said
    assert "SECRET_KEY is not set" in said
    assert "hyrelog.E001" in said
    assert "HINT" in said


def test_a_worker_on_another_pool_than_prefork_does_not_start(tmp_path: Path) -> None:
    command = [*COMMANDS["worker"], "-P", "solo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "prefork" in done.stdout + done.stderr


@pytest.mark.parametrize("keys", ["", "not-a-key"])
def test_an_encryption_key_that_is_none_is_named_by_its_position_only(keys: str, tmp_path: Path) -> None:
    environment = os.environ | {"HYRELOG_ENCRYPTION_KEYS": keys, "HYRELOG_HOME": str(tmp_path)}
    done = subprocess.run(
        COMMANDS["manage.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "hyrelog.E002" in done.stderr
    assert "not-a-key" not in done.stderr


def test_nobody_is_disabled_before_a_warning_could_be_heard(tmp_path: Path) -> None:
    environment = os.environ | {"WEBHOOK_WARN_AFTER_HOURS": "120", "HYRELOG_HOME": str(tmp_path)}
    done = subprocess.run(
        COMMANDS["manage.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "hyrelog.E004" in done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (False, False, True)),
        ({"EMAIL_HOST": "mail.example"}, (True, False, True)),
        ({"EMAIL_HOST": "mail.example", "EMAIL_PORT": "465"}, (True, True, False)),
        ({"EMAIL_HOST": "mail.example", "EMAIL_PORT": "25", "EMAIL_USE_TLS": "no"}, (True, False, False)),
        ({"EMAIL_BACKEND": "console"}, (True, False, True)),
    ],
)
def test_e_mail_is_encrypted_unless_somebody_says_otherwise(
    given: dict[str, str], expected: tuple[bool, ...], tmp_path: Path
) -> None:
    ask = "from hyrelog.settings import *; print((SENDS_EMAIL, EMAIL_USE_SSL, EMAIL_USE_TLS))"
    environment = os.environ | given | {"HYRELOG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(expected)


def read(tmp_path: Path, **values: str) -> Environment:
    file = tmp_path / "env"
    file.write_text("# a comment\n\n" + "".join(f"{name}={value}\n" for name, value in values.items()))
    return Environment(file=file)


def test_values_are_read_by_type(tmp_path: Path) -> None:
    env = read(
        tmp_path,
        A_BOOL="Yes",
        AN_INT="7",
        SECONDS="1.5",
        HOURS="0.5",
        SENDER="Ops <ops@a.example>",
        RECIPIENTS="a@a.example, Ops <ops@a.example>,",
        NETS="10.0.0.0/8, ::1/128",
        SCHEDULE="1,2.5",
        NAMES="a, b,",
    )
    assert env.boolean("A_BOOL", default=False) is True
    assert env.integer("AN_INT", 1, least=1, most=10) == 7
    assert env.seconds("SECONDS", 9, most=10) == 1.5
    assert env.hours("HOURS", 9, most=10) == 0.5
    assert env.sender("SENDER", "x@y") == "Ops <ops@a.example>"
    assert env.recipients("RECIPIENTS") == ("a@a.example", "Ops <ops@a.example>")
    assert env.recipients("MISSING") == ()
    assert [str(network) for network in env.networks("NETS")] == ["10.0.0.0/8", "::1/128"]
    assert env.schedule("SCHEDULE", (9,)) == (1, 2.5)
    assert env.names("NAMES") == ("a", "b")
    assert env.text("MISSING", "default") == "default"
    assert env.problems == []


@pytest.mark.parametrize(
    ("value", "ask"),
    [
        ("maybe", lambda env: env.boolean("X", default=False)),
        ("11", lambda env: env.integer("X", 1, least=1, most=10)),
        ("many", lambda env: env.integer("X", 1, least=1, most=10)),
        ("0", lambda env: env.seconds("X", 1, most=10)),
        ("nan", lambda env: env.seconds("X", 1, most=10)),
        ("inf", lambda env: env.seconds("X", 1, most=10)),
        ("0", lambda env: env.hours("X", 1, most=10)),
        ("11", lambda env: env.hours("X", 1, most=10)),
        ("ops", lambda env: env.sender("X", "x@y")),
        ("@example.com", lambda env: env.sender("X", "x@y")),
        ("a@example.com;ops", lambda env: env.recipients("X")),
        ("a@example.com, ops", lambda env: env.recipients("X")),
        ("", lambda env: env.schedule("X", (1,))),
        ("10.0.0.1/8", lambda env: env.networks("X")),
    ],
)
def test_a_value_that_breaks_its_rule_is_kept_as_a_problem(tmp_path: Path, value: str, ask: object) -> None:
    env = read(tmp_path, X=value)
    ask(env)  # type: ignore[operator]
    (problem,) = env.problems
    assert problem.name == "X"
    assert f"X={value!r}" in problem.message


def test_a_database_url_s_password_is_never_shown(tmp_path: Path) -> None:
    env = read(tmp_path, URL="mysql://u:hunter2@db/x")
    env.database("URL")
    assert "hunter2" not in env.problems[0].message + env.problems[0].hint
    assert "postgres://" in env.problems[0].hint


def test_what_the_database_url_says_of_tls_is_kept(tmp_path: Path) -> None:
    environment = os.environ | {"DATABASE_URL": "postgres://u@db/x?sslmode=verify-full", "HYRELOG_HOME": str(tmp_path)}
    ask = "from hyrelog import settings; print(settings.DATABASES['default']['OPTIONS'])"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "'sslmode': 'verify-full'" in done.stdout
    assert "'prepare_threshold': None" in done.stdout


@pytest.mark.parametrize(
    "storage",
    [
        "relative/folder",
        "s3://",
        "s3://UPPER/x",
        "s3://b/x",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://bucket/x?acl=1",
    ],
)
def test_a_storage_that_is_neither_folder_nor_bucket_is_refused(storage: str, tmp_path: Path) -> None:
    env = read(tmp_path, EXPORT_STORAGE=storage)
    assert env.storage("EXPORT_STORAGE", tmp_path) == tmp_path
    (problem,) = env.problems
    assert f"EXPORT_STORAGE={storage!r} is not the absolute path of a folder" in problem.message
    assert "s3://bucket/prefix" in problem.hint


def test_a_storage_s_credentials_are_never_shown(tmp_path: Path) -> None:
    env = read(tmp_path, EXPORT_STORAGE="s3://key:hunter2@bucket/prefix")
    env.storage("EXPORT_STORAGE", tmp_path)
    assert "hunter2" not in env.problems[0].message + env.problems[0].hint


@pytest.mark.parametrize(
    ("storage", "bucket", "prefix"),
    [
        ("s3://hyrelog", "hyrelog", ""),
        ("s3://hyrelog/", "hyrelog", ""),
        ("s3://my.own-bucket/a/b_c-1/", "my.own-bucket", "a/b_c-1"),
    ],
)
def test_a_storage_in_s3_is_a_bucket_and_a_prefix(storage: str, bucket: str, prefix: str, tmp_path: Path) -> None:
    env = read(tmp_path, EXPORT_STORAGE=storage)
    assert env.storage("EXPORT_STORAGE", tmp_path) == S3Location(bucket=bucket, prefix=prefix)
    assert env.problems == []


def test_the_file_names_a_storage_of_django_and_the_credentials_for_it(tmp_path: Path) -> None:
    lines = [
        "EXPORT_STORAGE=s3://hyrelog/archives",
        "AWS_ACCESS_KEY_ID=k",
        "AWS_ENDPOINT_URL_S3=https://s3.example.com",
    ]
    (tmp_path / "env").write_text("\n".join(lines))
    ask = (
        "import django; django.setup(); from django.core.files.storage import storages; s = storages['exports']; "
        "print(type(s).__name__, s.bucket_name, s.location, s.access_key, s.client.meta.endpoint_url)"
    )
    own = {"HYRELOG_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "hyrelog.settings", "AWS_SECRET_ACCESS_KEY": "s"}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["Bucket", "hyrelog", "archives", "k", "https://s3.example.com"]


@pytest.mark.parametrize("library", ["boto3", "storages"])
def test_a_bucket_without_the_libraries_for_it_stops_the_start(library: str, tmp_path: Path) -> None:
    (tmp_path / library).mkdir()
    (tmp_path / library / "__init__.py").write_text("raise ImportError('not installed here')")
    environment = os.environ | {"EXPORT_STORAGE": "s3://hyrelog", "HYRELOG_HOME": str(tmp_path)}
    done = subprocess.run(
        COMMANDS["manage.py"], cwd=ROOT, env=environment | {"PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "hyrelog.E006" in done.stderr
    assert "django-storages" in done.stderr


def test_networks_set_but_empty_open_none(tmp_path: Path) -> None:
    assert read(tmp_path, NETS="").networks("NETS") == ()


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert parse_env_file(tmp_path / "none") == {}
