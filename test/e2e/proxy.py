"""A TCP proxy that can cut, hold and refuse connections: the network's part in the faults."""

import contextlib
import selectors
import socket
import struct
import threading


class Proxy:
    """Listens on a port of its own and forwards to one port of this host. One thread; the caller closes it."""

    def __init__(self, target_port: int):
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._holding = False
        self._refusing = False
        self._closed = False
        self.connections = 0
        self._thread = threading.Thread(target=self._forward, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """Resets every open connection; answers how many there were."""
        with self._lock:
            count = len(self._peers) // 2
            for end in list(self._peers):
                self._reset(end)
            self._peers.clear()
            return count

    def hold(self, holding: bool) -> None:
        """While held nothing is forwarded: a half-open link."""
        with self._lock:
            self._holding = holding

    def refuse(self, refusing: bool) -> None:
        """While refusing, every new connection is reset at once."""
        with self._lock:
            self._refusing = refusing

    def close(self) -> None:
        self._closed = True
        self._thread.join(5)
        self.cut()
        self._listener.close()

    @staticmethod
    def _reset(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        with self._lock:
            if self._refusing:
                self._reset(client)
                return
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
        except OSError:
            self._reset(client)
            return
        server.settimeout(5)
        client.settimeout(5)
        with self._lock:
            self._peers[client] = server
            self._peers[server] = client

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data:
                sink.sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            for end in (source, sink):
                if self._peers.pop(end, None) is not None:
                    self._reset(end)

    def _forward(self) -> None:
        while not self._closed:
            with self._lock:
                ends = {} if self._holding else dict(self._peers)
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                for end in ends:
                    with contextlib.suppress(OSError, ValueError):
                        selector.register(end, selectors.EVENT_READ)
                try:
                    ready = selector.select(0.02)
                except OSError:
                    continue
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in ends:
                        self._pass_on(key.fileobj, ends[key.fileobj])
