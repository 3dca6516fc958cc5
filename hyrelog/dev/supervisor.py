"""Runs the Procfile's processes and watches the embedded servers beneath them, until it is told to stop."""

import selectors
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from hyrelog.dev.child import Child, describe
from hyrelog.dev.console import Console
from hyrelog.dev.hosting import ServerFailed
from hyrelog.dev.server import Server

GRACE_SECONDS = 6.0
"""What the processes get to finish; the servers' own endings still fit into the ten seconds that Ctrl+C may take."""
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""After so long a life a death counts as the first one again."""
SECOND_THOUGHT = 1.0
"""A second signal means "now" only if it comes later than this: `make` passes on what the terminal has sent already."""
TICK_SECONDS = 0.2

OnChange = Callable[[dict[str, int]], object]
"""Told the pids by name whenever they have changed."""


def stop_signals() -> list[signal.Signals]:
    """What ends `up`; the terminal's end does, unless `nohup` was there before us."""
    signals = [signal.SIGINT, signal.SIGTERM]
    return signals if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*signals, signal.SIGHUP]


class Revival:
    """When something that dies is started again: after 1 s, 2 s, 4 s and so on."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._pause = 0.5
        self._started = time.monotonic()

    def schedule(self) -> float:
        """Set the next start; the pause in seconds."""
        now = time.monotonic()
        steady = now - self._started > STEADY_SECONDS
        self._pause = 1.0 if steady else min(self._pause * 2, LONGEST_PAUSE)
        self.due = now + self._pause
        return self._pause

    def claim(self) -> bool:
        """Whether the time has come; if so, it is counted as a start."""
        if self.due is None or time.monotonic() < self.due:
            return False
        self.due, self._started = None, time.monotonic()
        return True


class Supervisor:
    """The servers run already, and are the caller's to stop."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        servers: Sequence[Server] = (),
        console: Console,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._children = children
        self._servers = servers
        self._console = console
        self._grace = grace
        self._on_change: OnChange = lambda _: None
        names = [*(child.name for child in children), *(server.name for server in servers)]
        self._revivals = {name: Revival() for name in names}
        self._selector = selectors.DefaultSelector()
        self._asked_to_stop: float | None = None
        self._in_a_hurry = False
        self._waiting_for_server = False

    def run(self, *, on_change: OnChange, on_tick: Callable[[], object]) -> None:
        """Start all; return once a signal has come and every process is gone."""
        self._on_change = on_change
        for each in stop_signals():
            signal.signal(each, self._hear)
        for child in self._children:
            self._start(child)
        self._tell()
        while self._asked_to_stop is None:
            self._pass_on_output(TICK_SECONDS)
            self._watch_servers()
            for child in self._children:
                self._watch(child)
            on_tick()
        self._stop()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now = time.monotonic()
        if self._asked_to_stop is None:
            self._asked_to_stop = now
        elif now - self._asked_to_stop > SECOND_THOUGHT:
            self._in_a_hurry = True
        if self._waiting_for_server:
            raise KeyboardInterrupt

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as problem:
            pause = self._revivals[child.name].schedule()
            self._console.say(f"{child.name} cannot be started ({problem}); trying again in {pause:g} s.")
            return
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def _watch(self, child: Child) -> None:
        status = child.exit_status()
        if status is not None:
            self._clear_away(child)
            pause = self._revivals[child.name].schedule()
            self._console.say(f"{child.name} died ({describe(status)}); starting it again in {pause:g} s.")
            self._tell()
        elif self._revivals[child.name].claim():
            self._start(child)
            self._tell()

    def _watch_servers(self) -> None:
        for server in self._servers:
            revival = self._revivals[server.name]
            status = server.exit_reason()
            if status is not None and revival.due is None:
                pause = revival.schedule()
                self._console.say(f"{server.name} died ({describe(status)}); starting it again in {pause:g} s.")
            elif revival.claim():
                self._restart(server, revival)

    def _restart(self, server: Server, revival: Revival) -> None:
        self._waiting_for_server = True
        try:
            server.start()
            self._tell()
        except ServerFailed as failure:
            self._console.say(f"{failure}\nTrying again in {revival.schedule():g} s.")
        except KeyboardInterrupt:
            pass  # the loop ends by itself
        finally:
            self._waiting_for_server = False

    def _stop(self) -> None:
        self._console.say("Stopping.")
        deadline = time.monotonic() + self._grace
        for child in self._children:
            child.terminate()
        while (left := self._alive()) and time.monotonic() < deadline and not self._in_a_hurry:
            self._pass_on_output(TICK_SECONDS)
        for child in left:
            self._console.say(f"{child.name} has not finished: killed.")
        for child in self._children:
            self._clear_away(child)

    def _alive(self) -> list[Child]:
        return [child for child in self._children if child.process is not None and child.exit_status() is None]

    def _pass_on_output(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
        for key, _ in self._selector.select(seconds):
            self._read(key.data)

    def _read(self, child: Child) -> None:
        for line in child.read_lines():
            self._console.show(child.name, line)
        if child.silent:
            self._selector.unregister(child.output)

    def _clear_away(self, child: Child) -> None:
        if child.process is None:
            return
        if not child.silent:
            self._read(child)  # its last words often say why
        if not child.silent:  # a child of its own still holds the other end
            self._selector.unregister(child.output)
        child.clear_away()

    def _tell(self) -> None:
        processes = {child.name: child.process for child in self._children}
        pids = {name: process.pid for name, process in processes.items() if process is not None}
        self._on_change(pids | {server.name: server.process.pid for server in self._servers if server.process})
