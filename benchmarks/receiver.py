"""A receiver that costs as little as a receiver can: `python -m benchmarks.receiver SECONDS [FILE]`.

It answers 204 after so many seconds, or never where the path begins with /silent, and prints its port first. Into the
file goes a line for each request that it answers: the `webhook-id`, and when the first byte came, in seconds of Unix
time.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO, cast

import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
LENGTH = b"content-length:"
ID = b"webhook-id:"


class Receiver(asyncio.Protocol):
    delay = 0.0
    log: TextIO | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        if not self.buffer:
            self.began = time.time()
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            headers = self.buffer[:head].lower()
            end = head + 4 + int(_value(headers, LENGTH))
            if len(self.buffer) < end:
                return
            self.buffer = self.buffer[end:]
            if headers.startswith(b"post /silent"):
                continue
            if self.log:
                self.log.write(f"{_value(headers, ID).decode()} {self.began}\n")
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


def _value(headers: bytes, name: bytes) -> bytes:
    return headers[headers.index(name) + len(name) :].split(b"\r\n", 1)[0].strip()


async def main(delay: float, log: TextIO | None) -> None:
    Receiver.delay, Receiver.log = delay, log
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    file = Path(sys.argv[2]).open("w", buffering=1, encoding="ascii") if len(sys.argv) > 2 else None  # noqa: SIM115
    uvloop.run(main(float(sys.argv[1]), file))
