"""What `up` shows: one line at a time, prefixed with the time and the name of the process that said it."""

import os
import select
import sys
import time
from typing import TextIO

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)  # ANSI foregrounds that read well on dark and light
PATIENCE_SECONDS = 0.2
_NAME_WIDTH = 8


class Console:
    """Writes without ever waiting long for a reader.

    A pipe that nobody empties, or a terminal stopped with Ctrl+S, must not keep the supervisor from its work: lines
    that find no taker are counted and dropped.
    """

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self.coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        self._colour_of: dict[str, int] = {}
        self._dropped = 0

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        self.show("up", text)

    def show(self, name: str, text: str) -> None:
        colour = self._colour_of.setdefault(name, COLOURS[len(self._colour_of) % len(COLOURS)])
        prefix = f"{time.strftime('%H:%M:%S')} {name:<{_NAME_WIDTH}} | "
        if self.coloured:
            prefix = f"\033[{colour}m{prefix}\033[0m"
        for line in text.splitlines():
            self._write(f"{prefix}{line}\n")

    def plain(self, text: str) -> None:
        """A text without prefix."""
        self._write(f"{text}\n")

    def _write(self, line: str) -> None:
        if not self._has_reader():
            self._dropped += 1
            return
        if self._dropped:
            line = f"({self._dropped} lines are missing here: nobody was reading)\n{line}"
            self._dropped = 0
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone: whoever closed it knows, and there is work to end
            self._dropped += 1

    def _has_reader(self) -> bool:
        try:
            patience = 0 if self._dropped else PATIENCE_SECONDS
            return bool(select.select([], [self._stream.fileno()], [], patience)[1])
        except (OSError, ValueError):  # no file, or a closed one: the write will tell
            return True
