import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from hyrelog.dev.child import describe
from tests.hyrelog.dev.workshop import is_gone, until

SUPERVISE = """
import sys
from pathlib import Path
from hyrelog.dev.child import Child
from hyrelog.dev.console import Console
from hyrelog.dev.hosting import find_hosting
from hyrelog.dev.supervisor import Supervisor
from tests.servers import QuickPostgres
import os
python = sys.executable
children = [Child(name, f"{python} -c '{script}'", environment=os.environ, folder=Path.cwd())
            for name, script in zip(sys.argv[2::2], sys.argv[3::2])]
servers = []
if sys.argv[1]:
    server = QuickPostgres(find_hosting(Path(sys.argv[1]), announce=print), announce=print)
    server.start()
    print(server.url, flush=True)
    servers.append(server)
Supervisor(children, servers=servers, console=Console()).run(
    on_change=lambda pids: print("pids", pids, flush=True), on_tick=lambda: None)
for server in servers:
    server.stop()
print("all down", flush=True)
"""
SLEEP = 'import time; print("here", flush=True); time.sleep(600)'
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = f'import subprocess, sys; subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]); {SLEEP}'


class Run:
    """A supervisor in a process of its own, and what it has said so far."""

    def __init__(self, output: Path, *processes: str, home: str = "") -> None:
        self._output = output
        command = [sys.executable, "-c", SUPERVISE, home, *processes]
        with output.open("wb") as sink:
            self.process = subprocess.Popen(command, stdout=sink, stderr=sink)

    def says(self, pattern: str, *, times: int = 1) -> str:
        """The last match, once there are so many."""

        def matches() -> list[str]:
            found = re.findall(pattern, self._output.read_text())
            return found if len(found) >= times else []

        try:
            return until(matches)[-1]
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not in:\n{self._output.read_text()}") from None

    def output(self) -> str:
        return self._output.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, ending: signal.Signals = signal.SIGINT) -> float:
        """Stop it; the seconds that took."""
        started = time.monotonic()
        self.process.send_signal(ending)
        assert self.process.wait(timeout=15) == 0
        return time.monotonic() - started


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*processes: str, home: str = "") -> Run:
        runs.append(Run(tmp_path / f"output-{len(runs)}", *processes, home=home))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_output_bears_the_name_of_who_said_it(supervise: Callable[..., Run]) -> None:
    run = supervise("web", SLEEP, "worker", 'print("unfinished", end="", flush=True); import time; time.sleep(600)')
    run.says(r"web +\| here")
    run.stop()
    run.says(r"worker +\| unfinished")


def test_one_that_dies_is_named_with_its_reason_and_started_again(supervise: Callable[..., Run]) -> None:
    run = supervise("web", SLEEP, "beat", "raise SystemExit(3)")
    run.says(r"beat died \(exit status 3\); starting it again in 1 s")
    run.says(r"beat died \(exit status 3\); starting it again in 2 s")
    run.says(r"web +\| here")
    first = int(run.says(r"'web': (\d+)"))
    os.kill(first, signal.SIGKILL)
    run.says(r"web died \(killed by SIGKILL\)")
    run.says(r"web +\| here", times=2)
    assert int(run.says(r"'web': (\d+)")) != first
    run.stop()


def test_a_command_that_does_not_exist_is_named(supervise: Callable[..., Run], tmp_path: Path) -> None:
    script = SUPERVISE.replace("f\"{python} -c '{script}'\"", '"no-such-program"')
    assert script != SUPERVISE
    done = subprocess.Popen([sys.executable, "-c", script, "", "web", "-"], stdout=subprocess.PIPE, text=True)
    with done:
        assert done.stdout
        assert any("web cannot be started" in line and "no-such-program" in line for line in done.stdout)
        done.terminate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(ending: signal.Signals, supervise: Callable[..., Run]) -> None:
    run = supervise("web", SLEEP, "worker", PARENT)
    run.says("here", times=2)
    family = run.descendants()
    assert len(family) == 3
    assert run.stop(ending) < 5
    assert all(is_gone(member.pid) for member in family)


def test_one_that_does_not_listen_is_killed_in_time(supervise: Callable[..., Run]) -> None:
    run = supervise("deaf", DEAF)
    run.says("here")
    family = run.descendants()
    assert run.stop() < 10
    run.says("deaf has not finished: killed.")
    assert all(is_gone(member.pid) for member in family)


def test_orphans_of_one_that_dies_are_cleared_away(supervise: Callable[..., Run]) -> None:
    run = supervise("worker", PARENT)
    run.says("here")
    main, orphan = sorted(run.descendants(), key=lambda process: process.create_time())
    main.kill()
    until(lambda: is_gone(orphan.pid))
    run.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_nothing_outlives_a_killed_supervisor(supervise: Callable[..., Run]) -> None:
    run = supervise("web", SLEEP, "worker", SLEEP)
    run.says("here", times=2)
    family = run.descendants()
    run.process.kill()
    until(lambda: all(is_gone(member.pid) for member in family))


def test_output_that_nobody_reads_holds_nothing_up() -> None:
    chatter = 'while True: print("x" * 1000, flush=True)'
    command = [sys.executable, "-c", SUPERVISE, "", "chatter", chatter]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        until(lambda: len(psutil.Process(run.pid).children()) == 1)
        family = psutil.Process(run.pid).children()
        time.sleep(1)  # long enough to fill any pipe
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=10) == 0
        assert all(is_gone(member.pid) for member in family)


def test_a_database_that_dies_is_started_again(supervise: Callable[..., Run], home: Path) -> None:
    run = supervise("web", SLEEP, home=str(home))
    url = run.says(r"postgres://\S+")
    os.kill(int(run.says(r"'postgres': (\d+)")), signal.SIGKILL)
    run.says(r"postgres died \(killed by SIGKILL\); starting it again in 1 s")

    run.says(r"'postgres': (\d+)", times=2)
    with closing(psycopg.connect(url)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    run.stop()
    run.says("all down")


@pytest.mark.parametrize(
    ("status", "text"), [(0, "exit status 0"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_a_reason_reads_well(status: int, text: str) -> None:
    assert describe(status) == text
