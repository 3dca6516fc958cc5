"""The documentation as its readers use it: settings and commands are complete, examples are real, links lead on."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn.config
from django.apps import apps
from django.core.management import get_commands
from django.db import connection

from audit.models import AuditEvent
from hyrelog.dev import env_file, up
from hyrelog.dev.state import CHECKOUT
from hyrelog.ops.gauges import GAUGES
from hyrelog.ops.metrics import CONCURRENCY
from tests.conftest import NOON
from webhooks.models import WebhookAttempt, WebhookDelivery
from webhooks.models.attempt import Result
from webhooks.models.delivery import Status
from webhooks.sending.outcome import Kind, Timing

README = CHECKOUT / "README.md"
CONFIGURATION = CHECKOUT / "docs" / "configuration.md"
RECEIVING = CHECKOUT / "docs" / "receiving.md"
RECEIVING_EXAMPLES = CHECKOUT / "examples" / "receiving"
RUNBOOKS = CHECKOUT / "docs" / "runbooks.md"
STATEMENTS = re.findall(
    r"^ *```sql\n(.*?)^ *```$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
)
EXAMPLES = sorted(RECEIVING_EXAMPLES.iterdir())
PAGES = sorted([README, CHECKOUT / "CHANGELOG.md", *(CHECKOUT / "docs").rglob("*.md")])
OUR_APPS = ("hyrelog", "audit", "jobs", "webhooks", "gdpr")


def page_id(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


# --- Settings ---------------------------------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """The rows of the tables of settings, by name."""
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|(.*)$", prose(CONFIGURATION), flags=re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(set(names)) == len(names), "a setting has two rows"
    return dict(rows)


def reads(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each reading of a setting: the `"NAME"` that is the first argument of a reader's method, and the call."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=reader), args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(reader) in ("env", "_environment", "environment", "reader", "os.environ"):
                    yield name, node


def known_to_code() -> set[str]:
    files = [CHECKOUT / "flowerconfig.py", *(CHECKOUT / "hyrelog").rglob("*.py")]
    sources = [file.read_text(encoding="utf-8") for file in files]
    looked_up = {name for source in sources for name in re.findall(r'"([A-Z_]+)" (?:not )?in os\.environ', source)}
    demo = {name for source in sources for name in re.findall(r'"(DEMO_[A-Z_]+)"', source)}
    uvicorns = set(re.findall(r'"([A-Z_]+)"', Path(uvicorn.config.__file__).read_text(encoding="utf-8")))
    ours = {name for file in files for name, _ in reads(file)}
    return ours | looked_up | demo | uvicorns | set(up.PORTS) | set(env_file._GENERATED)


@pytest.mark.parametrize("file", ["hyrelog/settings.py", "flowerconfig.py"])
def test_every_setting_is_documented(file: str) -> None:
    names = {name for name, _ in reads(CHECKOUT / file)}
    assert len(names) > 4
    assert names - documented().keys() == set()


def test_the_ports_and_what_up_generates_are_documented() -> None:
    assert {*up.PORTS, *env_file._GENERATED} - documented().keys() == set()


def test_no_documented_setting_is_unknown_to_the_code() -> None:
    assert documented().keys() - known_to_code() == set()


def literals(parts: list[ast.expr]) -> Iterator[Any]:
    """The values that stand in the source as they are, those in tuples one by one; what is computed is passed over."""
    for part in parts:
        try:
            value = ast.literal_eval(part)
        except ValueError:
            continue
        yield from value if isinstance(value, tuple) else (value,)


def test_documented_defaults_and_bounds_are_those_of_the_code() -> None:
    rows, compared = documented(), 0
    for file in (CHECKOUT / "hyrelog" / "settings.py", CHECKOUT / "flowerconfig.py"):
        for name, call in reads(file):
            said = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg != "hint")]
            for value in literals(said):
                forms = {str(value).lower() if isinstance(value, bool) else str(value)}
                forms |= {f"{value:,}"} if isinstance(value, int) else set()
                shown = "|".join(re.escape(form) for form in forms)
                assert re.search(rf"(?<![\w.])(?:{shown})(?!\w)", rows[name]), f"{name}: its row does not say {value}"
                compared += 1
    assert compared > 30


# --- Commands ---------------------------------------------------------------------------------------------------


def test_every_command_is_in_the_readme() -> None:
    paths = {apps.get_app_config(label).name for label in OUR_APPS}
    ours = [name for name, app in get_commands().items() if app in paths]
    assert len(ours) >= 4
    text = README.read_text(encoding="utf-8")
    assert [name for name in ("up", *ours) if f"`manage.py {name}" not in text] == []


def test_every_target_of_make_that_the_readme_names_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = re.findall(r"`make ([a-z]+)`", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    assert {"run", "test"} <= set(named) <= set(targets)


# --- Examples ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", EXAMPLES, ids=page_id)
def test_the_page_on_receiving_quotes_each_example_as_it_is(file: Path) -> None:
    language = {".py": "python", ".mjs": "js", ".sh": "sh"}[file.suffix]
    assert f"```{language}\n{file.read_text(encoding='utf-8')}```\n" in RECEIVING.read_text(encoding="utf-8")


def shown(page: Path) -> list[Any]:
    """The values of a page's blocks of JSON."""
    blocks = re.findall(r"^```json\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [json.loads(block) for block in blocks]


def test_the_page_on_receiving_shows_every_field_of_what_is_sent_and_of_the_log() -> None:
    envelope, delivery = shown(RECEIVING)
    event = AuditEvent(occurred_at=NOON, recorded_at=NOON)
    assert list(envelope) == ["type", "timestamp", "data"]
    assert envelope["data"].keys() == event.as_json().keys()
    (attempt,) = delivery.pop("attemptLog")
    assert delivery.keys() == WebhookDelivery(created_at=NOON).as_json().keys()
    assert attempt.keys() == WebhookAttempt(started_at=NOON).as_json().keys()
    assert attempt["timing"].keys() == Timing().as_json().keys()


@pytest.mark.parametrize("words", [Status, Result, Kind])
def test_the_page_on_receiving_names_every_state_of_the_log(words: Iterable[str]) -> None:
    page = RECEIVING.read_text(encoding="utf-8")
    assert [word for word in words if f"`{word}`" not in page] == []


def test_the_readme_s_snippet_is_the_example_s() -> None:
    (quoted,) = re.findall(
        r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    imports, function = quoted.split("\n\n\n")
    example = (RECEIVING_EXAMPLES / "receiver.py").read_text(encoding="utf-8")
    assert function in example
    assert [line for line in imports.splitlines() if line and line not in example] == []


# --- Runbooks ---------------------------------------------------------------------------------------------------


def test_the_runbooks_tell_what_each_metric_means() -> None:
    text = RUNBOOKS.read_text(encoding="utf-8")
    names = ["hyrelog_database_up", CONCURRENCY, *(gauge.name for gauge in GAUGES)]
    assert [name for name in names if f"| `{name}" not in text] == []
    assert set(re.findall(r"`(hyrelog_\w+)", text)) <= set(names)
    assert len(STATEMENTS) >= 5


def test_the_runbooks_have_an_alarm_for_whatever_the_law_sets_a_time_to() -> None:
    alarms = set(re.findall(r"^ +expr: (\w+) > 0$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE))
    overdue = {gauge.name for gauge in GAUGES if gauge.name.endswith("_overdue")}
    assert len(overdue) == 2
    assert overdue <= alarms


@pytest.mark.django_db
@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_statements_of_the_runbooks_can_be_run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.description


# --- Links ------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue  # to the outside
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(CHECKOUT), f"{link} leads out of the checkout"
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_of_the_code_that_are_named_exist(page: Path) -> None:
    folders = "|".join((*OUR_APPS, "tests", "deploy", "docs", "examples"))
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", prose(page))
    assert [name for name in named if not (CHECKOUT / name).exists()] == []
