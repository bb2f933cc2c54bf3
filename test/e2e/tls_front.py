"""TLS in front of a server that has none itself: a real peer of OpenSSL's. One thread for each direction of a connection."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path


class TlsFront:
    """Passes what it decrypts on to a port of this host. The caller closes it."""

    def __init__(self, target_port: int, certificate: tuple[Path, Path], clients: Path | None = None):
        """`clients`: the authority whose certificates clients have to show."""
        self._target_port = target_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        if clients:
            self._context.load_verify_locations(clients)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        #: Names in the certificates that clients showed.
        self.seen: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw, self._context.wrap_socket(raw, server_side=True) as client, \
                socket.create_connection(("127.0.0.1", self._target_port)) as server:
            shown = client.getpeercert() or {}
            self.seen += [value for part in shown.get("subject", ()) for name, value in part if name == "commonName"]
            back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()
