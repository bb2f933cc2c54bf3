"""A TCP proxy that can cut, hold, refuse and dribble: the network's part in the faults."""

import contextlib
import selectors
import socket
import struct
import threading


MOST_WAITING = 64 << 10


class Proxy:
    """Listens on a port of its own, or the given one, and forwards to one port of this host. One thread; the caller closes it."""

    def __init__(self, target_port: int, host: str = "127.0.0.1", port: int = 0):
        self._target_port = target_port
        self._listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        # By the end it goes to.
        self._waiting: dict[socket.socket, bytearray] = {}
        # Ends that said their last; their peers get what still waits.
        self._ending: set[socket.socket] = set()
        # How much an end may still say.
        self._left: dict[socket.socket, int] = {}
        # New connections end once the server, or the client, has said so many bytes, wherever that is.
        self.server_says_at_most: int | None = None
        self.client_says_at_most: int | None = None
        # So much is passed on at once at most.
        self.piece = 65536
        # A connection on which this is said is held from there on, as long as it stands here.
        self.withheld: bytes | None = None
        self.withholds = threading.Event()
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
            self._waiting.clear()
            self._ending.clear()
            self._left.clear()
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
        server.setblocking(False)
        client.setblocking(False)
        with self._lock:
            self._peers |= {client: server, server: client}
            self._waiting |= {client: bytearray(), server: bytearray()}
            for end, most in ((server, self.server_says_at_most), (client, self.client_says_at_most)):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if most is not None:
                    self._left[end] = most

    def _take(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            data = source.recv(min(self.piece, self._left.get(source, self.piece)))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        with self._lock:
            if data and sink in self._waiting:
                self._waiting[sink] += data
                if source in self._left:
                    self._left[source] -= len(data)
                    if not self._left[source]:
                        self._ending.add(source)
            elif source in self._peers:
                self._ending.add(source)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        """What waits for `sink`. What one side said last before it ended still reaches the other."""
        with self._lock:
            waiting = self._waiting.get(sink)
            if waiting is None:
                return
            if self.withheld is not None and self.withheld in waiting:
                self.withholds.set()
                return
            try:
                if waiting:
                    del waiting[:sink.send(waiting[:self.piece])]
            except BlockingIOError:
                return
            except OSError:
                waiting.clear()
                self._ending.add(source)
            if source in self._ending and not waiting:
                for end in (source, sink):
                    self._peers.pop(end, None)
                    self._waiting.pop(end, None)
                    self._ending.discard(end)
                    self._left.pop(end, None)
                    end.close()

    def _forward(self) -> None:
        """Never waits for one connection: what one side does not read must not hold up the others."""
        while not self._closed:
            with self._lock:
                peers = {} if self._holding else dict(self._peers)
                full = {end for end, data in self._waiting.items() if len(data) > MOST_WAITING}
                due = {end for end, data in self._waiting.items() if data or peers.get(end) in self._ending}
                ending = set(self._ending)
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                for end, peer in peers.items():
                    events = (selectors.EVENT_WRITE if end in due else 0) | (
                        selectors.EVENT_READ if peer not in full and end not in ending else 0)
                    with contextlib.suppress(OSError, ValueError):
                        if events:
                            selector.register(end, events)
                try:
                    ready = selector.select(0.02)
                except OSError:
                    continue
                for key, events in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                        continue
                    end = key.fileobj
                    if events & selectors.EVENT_READ:
                        self._take(end, peers[end])
                        self._pass_on(end, peers[end])
                    if events & selectors.EVENT_WRITE:
                        self._pass_on(peers[end], end)
