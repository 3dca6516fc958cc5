import contextlib
import selectors
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

import pycurl

_EVENTS: Final = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class CurlLoop:
    """libcurl's multi interface on the system's best selector: no limit of 1,024 descriptors, no scan of idle ones.

    Follows curl_multi_socket_action(3): libcurl says which sockets and which moment it waits for, and is called when
    one of them comes. All methods but `wake` belong to one thread.
    """

    def __init__(self, *, connections: int) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._selector = selectors.DefaultSelector()
        self._watched: set[int] = set()
        self._due: float | None = None
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def add(self, curl: Any) -> None:
        self._multi.add_handle(curl)

    def remove(self, curl: Any) -> None:
        self._multi.remove_handle(curl)

    def step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for a socket, libcurl's timer or `wake`, and let libcurl act on it."""
        if self._due is not None:
            timeout = min(timeout, self._due - monotonic())
        for key, events in self._selector.select(max(0.0, timeout)):
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
                continue
            ready = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            if events & selectors.EVENT_WRITE:
                ready |= pycurl.CSELECT_OUT
            self._multi.socket_action(key.fd, ready)
        if self._due is not None and self._due <= monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def finished(self) -> Iterator[tuple[Any, int, str]]:
        """Name the transfers that have ended: the handle, libcurl's error number (0 for none) and its message."""
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                yield curl, 0, ""
            yield from failed

    def wake(self) -> None:
        """End a wait in `step`; from any thread. A full pipe means that a wake-up is on its way already."""
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    def close(self) -> None:
        self._multi.close()
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            if fd in self._watched:
                self._watched.discard(fd)
                self._selector.unregister(fd)
        elif fd in self._watched:
            self._selector.modify(fd, _EVENTS[what])
        else:
            self._watched.add(fd)
            self._selector.register(fd, _EVENTS[what])

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1000
