"""The documentation as its readers use it: settings and commands are complete, snippets run, links lead somewhere."""

import ast
import json
import re
import runpy
import shutil
import subprocess
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn.config
from django.apps import apps
from django.core.management import get_commands
from django.utils import timezone

from hyrelog.dev import env_file, up
from hyrelog.dev.state import CHECKOUT
from tests.conftest import Tenant
from webhooks.rendering import render_request
from webhooks.sending.request import Request

README = CHECKOUT / "README.md"
CONFIGURATION = CHECKOUT / "docs" / "configuration.md"
PAGES = sorted([README, CHECKOUT / "CHANGELOG.md", *(CHECKOUT / "docs").rglob("*.md")])
OUR_APPS = ("hyrelog", "audit", "jobs", "webhooks", "gdpr")

SECRET, OLD_SECRET, STRANGERS_SECRET = ("whsec_" + b64encode(letter * 32).decode() for letter in (b"n", b"o", b"s"))
Verify = Callable[[str, dict[str, str], bytes], Any]


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


# --- The receivers' snippets ------------------------------------------------------------------------------------


def snippet(language: str) -> str:
    """The README's one block of code in a language."""
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture(params=["python", "js"])
def verify(request: pytest.FixtureRequest, tmp_path: Path) -> Verify:
    """The README's `verify(secret, headers, body)`, as a function that raises where it refuses."""
    if request.param == "python":
        (tmp_path / "verify.py").write_text(snippet("python"), encoding="utf-8")
        function: Verify = runpy.run_path(str(tmp_path / "verify.py"))["verify"]
        return function
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed, so the README's snippet for Node is not run")
    return lambda secret, headers, body: verify_in_node(node, tmp_path, secret, headers, body)


NODE_DRIVER = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
try {
  console.log(JSON.stringify({ event: verify(secret, headers, Buffer.from(body, "base64")) }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.message }));
}
"""


def verify_in_node(node: str, folder: Path, secret: str, headers: dict[str, str], body: bytes) -> Any:
    (folder / "verify.mjs").write_text(snippet("js"), encoding="utf-8")
    (folder / "driver.mjs").write_text(NODE_DRIVER, encoding="utf-8")
    sent = json.dumps({"secret": secret, "headers": headers, "body": b64encode(body).decode()})
    command = [node, str(folder / "driver.mjs")]
    said = subprocess.run(command, input=sent, capture_output=True, text=True, check=True, timeout=30)
    answer = json.loads(said.stdout)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    return answer["event"]


def render(tenant: Tenant, *secrets: str, now: datetime | None = None) -> tuple[dict[str, str], bytes]:
    """A request as the worker sends it: its headers, in lower case as servers hand them out, and its body."""
    event = tenant.record()[0]
    request: Request = render_request(
        event,
        url="https://example.com/hook",
        secrets=list(secrets),
        version=1,
        attempt=uuid.uuid4(),
        number=1,
        replay=False,
        now=now or timezone.now(),
        timeout=15,
    )
    return {name.lower(): value for name, value in request.headers.items()}, request.body


def test_the_snippet_accepts_what_we_send(verify: Verify, tenant: Tenant) -> None:
    headers, body = render(tenant, SECRET)
    assert verify(SECRET, headers, body) == json.loads(body)


def test_the_snippet_accepts_either_secret_of_a_rotation(verify: Verify, tenant: Tenant) -> None:
    headers, body = render(tenant, SECRET, OLD_SECRET)
    assert headers["webhook-signature"].count("v1,") == 2
    assert verify(SECRET, headers, body) == verify(OLD_SECRET, headers, body)


def test_the_snippet_refuses_a_forged_body(verify: Verify, tenant: Tenant) -> None:
    headers, body = render(tenant, SECRET)
    forged = body.replace(b"user.login", b"user.creat")
    assert forged != body
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers, forged)


def test_the_snippet_refuses_another_id(verify: Verify, tenant: Tenant) -> None:
    headers, body = render(tenant, SECRET)
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers | {"webhook-id": str(uuid.uuid4())}, body)


def test_the_snippet_refuses_a_strangers_signature(verify: Verify, tenant: Tenant) -> None:
    headers, body = render(tenant, STRANGERS_SECRET)
    with pytest.raises(Exception, match=r"[Nn]o .*signature"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_the_snippet_refuses_a_timestamp_more_than_five_minutes_away(
    verify: Verify, tenant: Tenant, minutes: int
) -> None:
    headers, body = render(tenant, SECRET, now=timezone.now() + timedelta(minutes=minutes))
    with pytest.raises(Exception, match="timestamp"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_the_snippet_refuses_a_request_without_one_of_the_headers(verify: Verify, tenant: Tenant, name: str) -> None:
    headers, body = render(tenant, SECRET)
    del headers[name]
    with pytest.raises(Exception, match=r"[Mm]issing|signature"):
        verify(SECRET, headers, body)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,?", "v2,AAAA", "v1,a,b"])
def test_the_snippet_refuses_a_header_that_is_no_signature(verify: Verify, tenant: Tenant, signature: str) -> None:
    headers, body = render(tenant, SECRET)
    with pytest.raises(Exception, match=r".") as refusal:
        verify(SECRET, headers | {"webhook-signature": signature}, body)
    assert type(refusal.value).__name__ in ("WebhookVerificationError", "ValueError")


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
    folders = "|".join((*OUR_APPS, "tests", "deploy", "docs"))
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", prose(page))
    assert [name for name in named if not (CHECKOUT / name).exists()] == []
