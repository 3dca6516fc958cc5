"""A receiver that costs as little as a receiver can: `python -m benchmarks.receiver [SECONDS]`.

It answers 204 after so many seconds, or never where the path begins with /silent, and prints its port first.
"""

import asyncio
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
LENGTH = b"content-length:"


class Receiver(asyncio.Protocol):
    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            headers = self.buffer[:head].lower()
            at = headers.index(LENGTH) + len(LENGTH)
            end = head + 4 + int(headers[at:].split(b"\r\n", 1)[0])
            if len(self.buffer) < end:
                return
            self.buffer = self.buffer[end:]
            if headers.startswith(b"post /silent"):
                continue
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main(delay: float) -> None:
    Receiver.delay = delay
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
