"""A receiver of webhooks that is fast enough to measure them: a process of its own, which notes when each change of `pulse` came.

    receiver.py PORT

It answers 200 to everything. At the end of its input it prints what it noted: a JSON array of [n, time].
"""

import asyncio
import json
import re
import sys
import time

PULSE = re.compile(rb'"table":"pulse".*?"n":"?(\d+)')


class Requests(asyncio.Protocol):
    """Requests of one connection that say their length, one behind the other."""

    def __init__(self, noted: list):
        self.noted = noted
        self.buffer = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head = self.buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = int(re.search(rb"(?i)content-length: (\d+)", self.buffer[:head])[1])
            if len(self.buffer) < head + 4 + length:
                return
            body = self.buffer[head + 4:head + 4 + length]
            self.buffer = self.buffer[head + 4 + length:]
            now = time.monotonic()
            self.noted += [(int(n), now) for n in PULSE.findall(body)]
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def serve(port: int) -> list:
    noted: list = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Requests(noted), "127.0.0.1", port)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    return noted


if __name__ == "__main__":
    print(json.dumps(asyncio.run(serve(int(sys.argv[1])))))
