import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyrelog.dev.code import Code, naming, our_apps
from hyrelog.dev.state import CHECKOUT
from tests.hyrelog.dev.test_supervisor import SUPERVISE, Run
from tests.hyrelog.dev.workshop import is_gone, until

WATCHED = SUPERVISE.replace(
    "Supervisor(children, servers=servers, console=Console()).run(",
    """
from hyrelog.dev.code import Code
supervisor = Supervisor(children, servers=servers, console=Console(), grace=2)
code = Code([Path(os.environ["CODE"])], root=Path(os.environ["CODE"]))
def look():
    if changed := code.changed():
        print("changed", *changed, flush=True)
        supervisor.restart(["web"])
supervisor.run(""",
).replace("on_tick=lambda: None", "on_tick=look")
STEADY = "import time; print('running', {}, flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STEADY
POLITE = """
import signal, sys, time
def end(*_):
    print("handed back", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("running polite", flush=True)
time.sleep(600)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The folder of a program that the supervisor runs under the name web."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "program.py").write_text(STEADY.format(1))
    return folder


@pytest.fixture
def watching(tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Run]]:
    monkeypatch.setenv("CODE", str(code))
    monkeypatch.setattr("tests.hyrelog.dev.test_supervisor.SUPERVISE", WATCHED)
    runs: list[Run] = []

    def start() -> Run:
        load = f'import runpy; runpy.run_path("{code}/program.py")'
        runs.append(Run(tmp_path / "output", "web", load, "other", 'import time; print("here"); time.sleep(600)'))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_a_saved_file_restarts_what_runs_it_and_nothing_else(watching: Callable[[], Run], code: Path) -> None:
    run = watching()
    run.says("running 1")
    other = run.says(r"'other': (\d+)")
    (code / "program.py").write_text(STEADY.format(2))
    run.says("changed program.py")
    run.says("running 2")
    assert run.says(r"'other': (\d+)") == other
    assert "died" not in run.output()
    run.stop()


def test_whoever_is_restarted_finishes_first(watching: Callable[[], Run], code: Path) -> None:
    (code / "program.py").write_text(POLITE)
    run = watching()
    run.says("running polite")
    (code / "program.py").write_text(STEADY.format(2))
    run.says("handed back")
    run.says("running 2")
    run.stop()


def test_one_that_does_not_listen_is_killed_in_time_and_started_anew(watching: Callable[[], Run], code: Path) -> None:
    (code / "program.py").write_text(DEAF.format(1))
    run = watching()
    run.says("running 1")
    pid = int(run.says(r"'web': (\d+)"))
    (code / "program.py").write_text(STEADY.format(2))
    run.says("web has not finished: killed.")
    run.says("running 2")
    assert is_gone(pid)
    run.stop()


def test_a_syntax_error_ends_nothing_and_the_next_save_starts_it_at_once(
    watching: Callable[[], Run], code: Path
) -> None:
    run = watching()
    run.says("running 1")
    (code / "program.py").write_text("def broken(:\n")
    run.says("SyntaxError")
    run.says("web died .*starting it again in 4 s")
    (code / "program.py").write_text(STEADY.format(2))
    run.says("running 2")
    assert "in 8 s" not in run.output()
    run.stop()


def test_files_that_are_saved_together_are_told_together(code: Path) -> None:
    (code / "folder").mkdir()
    watched = Code([code], root=code)
    for name in ("b.py", "a.py", "folder/c.py"):
        (code / name).write_text("")
    assert watched.changed() == [], "another may follow"
    assert [str(file) for file in until(watched.changed)] == ["a.py", "b.py", "folder/c.py"]
    assert watched.changed() == []


def test_what_is_no_python_code_changes_nothing(code: Path) -> None:
    watched = Code([code], root=code)
    (code / "__pycache__").mkdir()
    for name in ("notes.txt", "__pycache__/program.py", "program.py.swp"):
        (code / name).write_text("")
    (code / "last.py").write_text("")
    assert [str(file) for file in until(watched.changed)] == ["last.py"]


def test_what_writes_all_the_time_keeps_nobody_from_being_told(code: Path) -> None:
    chatter = f'while True: open("{code}/log.txt", "a").write("x")'
    with subprocess.Popen([sys.executable, "-c", chatter]) as writer:
        try:
            until((code / "log.txt").exists)
            watched = Code([code], root=code)
            (code / "program.py").write_text("")
            assert [str(file) for file in until(watched.changed)] == ["program.py"]
        finally:
            writer.kill()


def test_at_most_three_files_are_named() -> None:
    files = [Path(f"jobs/{name}.py") for name in "abcde"]
    assert naming(files[:3]) == "jobs/a.py, jobs/b.py, jobs/c.py"
    assert naming(files) == "jobs/a.py, jobs/b.py, jobs/c.py and 2 more"


def test_all_that_the_processes_run_is_watched_and_no_more() -> None:
    assert [folder.name for folder in our_apps(CHECKOUT)] == ["audit", "gdpr", "hyrelog", "jobs", "webhooks"]
