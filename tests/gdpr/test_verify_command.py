"""The verifier as it is called: by itself, from the archive, and as `python -m hyrelog.verify`."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gdpr.verify import main
from tests.gdpr.archives import FORGER, HYRELOG, VERIFIER, company, export, unpacked, zipped

ROOT = VERIFIER.parents[1]
ISOLATED = [sys.executable, "-I", "-S"]


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | environment
    return subprocess.run(
        command, cwd=cwd, env=bare, capture_output=True, text=True, check=False, timeout=120, encoding="utf-8"
    )


def test_it_runs_from_the_unpacked_archive_with_nothing_but_python(tmp_path: Path) -> None:
    folder = unpacked(export(company()), tmp_path / "export")
    done = run(*ISOLATED, "verify.py", "--key", HYRELOG.key, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: every check passed, the signatures too" in done.stdout
    done = run(*ISOLATED, str(folder / "verify.py"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "NOT COMPLETE" in done.stdout
    assert run(*ISOLATED, "verify.py", "--key", FORGER.key, cwd=folder).returncode == 1


def test_running_it_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = unpacked(export(company()), tmp_path / "export")
    for _ in range(2):
        assert run(sys.executable, "verify.py", "--key", HYRELOG.key, cwd=folder).returncode == 0


def test_the_module_is_the_same_code_and_needs_no_settings(tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    archive.write_bytes(zipped(export(company())).getvalue())
    done = run(sys.executable, "-m", "hyrelog.verify", str(archive), "--key", HYRELOG.key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(*ISOLATED, str(VERIFIER), str(archive), "--key", HYRELOG.key).stdout
    done = run(sys.executable, "-m", "hyrelog.verify")
    assert done.returncode == 2
    assert "archive" in done.stderr
    loaded = "import sys, hyrelog.verify; print([name for name in sys.modules if name.startswith('django')])"
    assert run(sys.executable, "-c", loaded).stdout == "[]\n"


def test_names_beyond_a_terminals_characters_are_escaped(tmp_path: Path) -> None:
    folder = unpacked(export(company(), company={"id": company().id, "name": "Ächme"}), tmp_path / "export")
    done = run(sys.executable, str(VERIFIER), str(folder), "--key", HYRELOG.key, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\xc4chme" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.zip"], "nowhere.zip"),
        ([], "archive"),
        (["--key", "00", "{archive}"], "64 hex characters"),
        (["--key", "02" + "00" * 31, "{archive}"], "no Ed25519 public key"),
        (["--checkpoint", "nowhere.json", "{archive}"], "--checkpoint"),
        (["--checkpoint", "{text}", "{archive}"], "--checkpoint"),
    ],
)
def test_wrong_arguments_are_told_and_end_with_status_2(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, text = tmp_path / "export.zip", tmp_path / "text"
    archive.write_bytes(zipped(export(company())).getvalue())
    text.write_text("text")
    with pytest.raises(SystemExit) as ended:
        main([argument.format(archive=archive, text=text) for argument in arguments])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_an_earlier_checkpoint_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = company()
    (tmp_path / "kept.json").write_text(json.dumps(made.checkpoint()))
    options = ["--key", HYRELOG.key, "--checkpoint", str(tmp_path / "kept.json")]
    made.record(1)
    assert main([str(unpacked(export(made), tmp_path / "later")), *options]) == 0
    assert "nothing before it was rewritten" in capsys.readouterr().out
    made.chains[made.workspace(1)].clear()
    assert main([str(unpacked(export(made), tmp_path / "rewritten")), *options]) == 1
    of_one = export(company(), chosen=lambda row: row["seq"] == 1)
    assert main([str(unpacked(of_one, tmp_path / "subject")), *options]) == 2
    assert "takes an archive of scope company" in capsys.readouterr().out


def test_the_help_says_what_each_exit_status_means() -> None:
    told = " ".join(run(*ISOLATED, str(VERIFIER), "--help").stdout.split())
    assert "0 if every check passed, the signatures too; 1 if there is a fault; 2 if nothing wrong" in told


def test_it_is_written_for_python_3_9_and_its_standard_library() -> None:
    tree = ast.parse(VERIFIER.read_text(), feature_version=(3, 9))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
