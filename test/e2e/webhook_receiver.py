"""A private HTTP server that takes webhooks, does each Idempotency-Key once, and answers as a test wants it to."""

import decimal
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from e2e.cluster import ReservedPort


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    def json(self):
        """Numbers with all their digits."""
        return json.loads(self.body, parse_float=decimal.Decimal)


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: whether it is done, and what is said of it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    wait_s: float = 0
    #: Nothing is answered: the connection ends.
    drop: bool = False

    @property
    def done(self) -> bool:
        return self.status < 300


class Receiver:
    """What was done outlives the server, as a database behind it would. The caller closes it."""

    def __init__(self, tls: tuple[Path, Path] | None = None):
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._tls = tls
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self.fate: Callable[[Request], Fate] = lambda request: Fate()
        #: All that came, and what of it was done, in that order.
        self.requests: list[Request] = []
        self.done: list[Request] = []
        self._keys: set[str] = set()
        #: Most requests under way at the same time.
        self.most_at_once = 0
        self._at_once = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def events(self) -> list[dict]:
        """What was done, each event once, in the order of its doing; requests of many are taken apart."""
        events: dict[str, dict] = {}
        with self._lock:
            for request in self.done:
                body = request.json()
                for event in body if isinstance(body, list) else [body]:
                    events.setdefault(event["id"], event)
        return list(events.values())

    def _take(self, request: Request) -> Fate:
        fate = self.fate(request)
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.requests.append(request)
            if fate.done and request.key not in self._keys:
                self._keys.add(request.key)
                self.done.append(request)
        time.sleep(fate.wait_s)
        with self._lock:
            self._at_once -= 1
        return fate

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                receiver._connections.add(self.request)
                super().setup()

            def finish(self) -> None:
                receiver._connections.discard(self.request)
                try:
                    super().finish()
                except OSError:
                    self.close_connection = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    self.close_connection = True
                    return
                fate = receiver._take(Request(self.command, self.path, dict(self.headers), body, time.monotonic()))
                if fate.drop:
                    self.close_connection = True
                    return
                self.send_response(fate.status)
                for name, value in fate.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(fate.body)))
                self.end_headers()
                self.wfile.write(fate.body)
                self.wfile.flush()

            do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, *_) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64

            def handle_error(self, request, client_address) -> None:
                """Clients that are killed break connections; what is wrong shows in what was done."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def kill(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        self.kill()
        self._reserved.release()
