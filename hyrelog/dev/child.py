"""One process of the Procfile: starting it, reading what it says, ending it with all its own children."""

import os
import shlex
import signal
import string
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hyrelog.dev.lifeline import die_with_parent

LONGEST_LINE = 64 * 1024


class Child:
    """`process` is None before the first start and after each end; `silent` once it cannot say any more."""

    def __init__(self, name: str, command: str, *, environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self.silent = True
        # No shell stands between: a signal has to reach the program itself.
        self._arguments = [string.Template(word).substitute(environment) for word in shlex.split(command)]
        self._environment = environment
        self._folder = folder
        self._unfinished = b""

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._arguments,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl+C in the terminal is for the supervisor alone
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - there are no threads
        )
        os.set_blocking(self.output, False)
        self.silent = False

    @property
    def output(self) -> int:
        """The descriptor to read from."""
        assert self.process is not None and self.process.stdout is not None  # noqa: S101, PT018 - for mypy
        return self.process.stdout.fileno()

    def read_lines(self) -> list[str]:
        """What it has said since, by whole lines; waits for nothing."""
        try:
            data = os.read(self.output, LONGEST_LINE)
        except BlockingIOError:
            return []
        self.silent = not data
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        if (self._unfinished and self.silent) or len(self._unfinished) > LONGEST_LINE:
            lines.append(self._unfinished)
            self._unfinished = b""
        return [line.decode(errors="replace") for line in lines]

    def exit_status(self) -> int | None:
        """None while it runs; negative for a signal."""
        return None if self.process is None else self.process.poll()

    def terminate(self) -> None:
        """Ask the main process alone: Celery's pool must not hear of it before Celery has made it finish."""
        if self.process is not None:
            self.process.terminate()

    def clear_away(self) -> None:
        """Kill what is left of the process and its group, and let go of its output."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):  # where nothing is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None


def describe(status: int) -> str:
    """An exit status as a reader wants it: `exit status 3`, `killed by SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
