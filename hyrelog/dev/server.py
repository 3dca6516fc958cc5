"""What the embedded servers have in common: start or adopt, watch, stop.

Which process is ours is never read from a pid file. It is the one that runs the program with our data folder among
its arguments, as our account; and it is adopted only if it lets us in with our password and names our folder.
"""

import re
import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import psutil

from hyrelog.dev import processes
from hyrelog.dev.binaries import find_executable
from hyrelog.dev.hosting import Announce, Hosting, ServerFailed
from hyrelog.dev.lifeline import die_with_parent
from hyrelog.dev.ports import first_free, is_free

START_SECONDS = 120
"""Recovery after a crash may take its time."""
ADOPT_SECONDS = 10
"""How long a server that is found running may keep us out, starting or stopping, before it is replaced."""


class PasswordRefused(Exception):
    """A server is there, and our password is not its password."""


class Server(ABC):
    """One embedded server. `remembered` is its URL of an earlier start, for the port and the password in it."""

    name: ClassVar[str]
    program: ClassVar[str]
    wheel: ClassVar[str]
    path_in_wheel: ClassVar[str]
    url_form: ClassVar[str]
    usual_port: ClassVar[int]
    port_lost: ClassVar[str]
    """What its log says when its port was taken."""
    keeps_password: ClassVar[bool]
    """Whether its password is in its data, and not given to it at each start."""
    endings: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    """The signals that stop it, from the gentle one on, each with the seconds it is given."""

    def __init__(self, hosting: Hosting, *, remembered: str = "", announce: Announce) -> None:
        known = self.recognise(remembered)
        self._knows_password = bool(known)
        self.port = int(known["port"]) if known else self.usual_port
        self.password = known["password"] if known else secrets.token_hex(16)
        self.hosting = hosting
        self.announce = announce
        self.process: psutil.Process | None = None
        self._port_is_settled = False
        self.executable = find_executable(hosting, wheel=self.wheel, path=self.path_in_wheel, announce=announce)
        self.data = hosting.data(self.name)

    @classmethod
    def recognise(cls, url: str) -> re.Match[str] | None:
        """The port and password of a URL that an embedded server was given; None for any other URL."""
        form = re.escape(cls.url_form).replace("PORT", r"(?P<port>\d+)")
        return re.fullmatch(form.replace("PASSWORD", "(?P<password>[0-9a-f]{32})"), url)

    @property
    def url(self) -> str:
        return self.url_form.replace("PASSWORD", self.password).replace("PORT", str(self.port))

    @property
    @abstractmethod
    def served(self) -> Path:
        """The folder that stands among the process's arguments, and that it names when asked."""

    @property
    def log(self) -> Path:
        return self.hosting.home / f"{self.name}.log"

    def start(self) -> None:
        """Adopt the server that already runs on our data, or start one.

        The port may change at the first start of this object, not at a later one: by then others know it.
        """
        running = processes.find(self.program, argument=str(self.served), uid=self.hosting.uid)
        if running and self._adopt(running):
            self.announce(f"{self.name} was still running (pid {running.pid}): taken over.")
        else:
            self._prepare()
            self._start()
        self._port_is_settled = True

    def exit_reason(self) -> int | None:
        """None while it runs; else its exit status, negative for a signal, 0 where nobody can know it."""
        return 0 if self.process is None else processes.exit_status(self.process)

    def stop(self) -> None:
        if self.process is not None:
            processes.end(self.process, self.endings)
            self.process = None

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder ready for a start."""

    @abstractmethod
    def _spawn(self) -> psutil.Popen:
        """Start the process."""

    @abstractmethod
    def _lets_us_in(self, running: psutil.Process) -> bool:
        """Whether it accepts our password and works on our data.

        False means not yet, or a stranger; raises PasswordRefused.
        """

    def _adopt(self, running: psutil.Process) -> bool:
        deadline = time.monotonic() + ADOPT_SECONDS
        try:
            while self._knows_password and processes.exit_status(running) is None and time.monotonic() < deadline:
                if self._lets_us_in(running):
                    self.process = running
                    return True
                time.sleep(0.1)
        except PasswordRefused:
            pass
        processes.end(running, self.endings)
        return False

    def _start(self) -> None:
        for _ in range(5):  # a port that is free now may be taken by the time that the server asks for it
            self._choose_port()
            self.process = process = self._spawn()
            if self._becomes_ready(process):
                return
            if self.port_lost not in self._last_words():
                break
        self.stop()
        raise ServerFailed(f"{self.name} did not start. Its log, {self.log}, ends:\n{self._last_words()}")

    def _becomes_ready(self, process: psutil.Process) -> bool:
        """Whether it lets us in before it ends, or time does; raises PasswordRefused."""
        deadline = time.monotonic() + START_SECONDS
        while self.exit_reason() is None and time.monotonic() < deadline:
            try:
                if self._lets_us_in(process):
                    return True
            except PasswordRefused:
                if self.keeps_password:
                    raise
                # Else it was another server, faster to the port; ours is about to end.
            time.sleep(0.05)
        return False

    def _choose_port(self) -> None:
        port = self.port if self._port_is_settled else first_free(self.port)
        if not is_free(port):
            raise ServerFailed(f"Port {port}, on which {self.name} ran until now, has been taken by another process.")
        if port != self.port:
            self.announce(f"Port {self.port} is taken: {self.name} uses {port}.")
            self.port = port

    def _run(self, arguments: list[str], *, config: str = "") -> psutil.Popen:
        """Spawn the executable with a short environment: neither secrets nor PG* settings of ours reach it."""
        with self.log.open("wb") as log:
            process = psutil.Popen(
                [str(self.executable), *arguments],
                cwd=self.data,
                env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
                stdin=subprocess.PIPE if config else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl+C in the terminal is for `up`, which stops its servers last
                preexec_fn=die_with_parent(self.endings[0][0]),
                **self.hosting.identity,
            )
        if config:
            with process.stdin:
                process.stdin.write(config.encode())
        return process

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
