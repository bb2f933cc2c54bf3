"""ClickHouse's HTTP interface in front of ClickHouse's engine as a library (libchdb), for tests: a program of its own.

    clickhouse_front.py LIBRARY DIRECTORY PORT USER PASSWORD

Every request has a connection of its own on one shared engine. Answers are complete or errors, as with `wait_end_of_query`.
`POST /fail?mode=MODE&count=N` makes the next inserts fail: `error` refuses them, `lose` does them and never answers, `linger` is under way
until `POST /release`. Bodies may be compressed, as `Content-Encoding` says; `POST /packed?how=ENCODING` tells how many were.
"""

import base64
import ctypes
import os
import re
import sys
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

# What is no setting of the engine's among the parameters of a request.
NO_SETTINGS = {"query", "database", "wait_end_of_query", "default_format"}
STATUS = {16: 404, 60: 404, 81: 404, 516: 403, 62: 400, 53: 400}


class EngineError(Exception):
    def __init__(self, text: str):
        found = re.search(r"Code: (\d+)\.", text)
        self.code = int(found[1]) if found else 1002
        super().__init__(text)


class Engine:
    """The library on one directory. Any thread."""

    def __init__(self, library: str, directory: str):
        self.library = ctypes.CDLL(library)
        self.arguments = [b"clickhouse", b"--path=" + directory.encode()]
        self.library.chdb_connect.restype = ctypes.POINTER(ctypes.c_void_p)
        self.library.chdb_connect.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
        self.library.chdb_close_conn.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        self.library.chdb_query_n.restype = ctypes.c_void_p
        self.library.chdb_query_n.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        for name, kind in (("buffer", ctypes.c_void_p), ("length", ctypes.c_size_t), ("error", ctypes.c_char_p)):
            function = getattr(self.library, f"chdb_result_{name}")
            function.restype, function.argtypes = kind, [ctypes.c_void_p]
        self.library.chdb_destroy_query_result.argtypes = [ctypes.c_void_p]
        # The engine, with its merges, lives as long as a connection does.
        self.kept = self.connect()

    def connect(self):
        made = self.library.chdb_connect(len(self.arguments), (ctypes.c_char_p * len(self.arguments))(*self.arguments))
        if not made:
            raise RuntimeError("the engine gives no connection")
        return made

    def query(self, connection, sql: bytes) -> bytes:
        result = self.library.chdb_query_n(connection[0], sql, len(sql), b"TabSeparated", 12)
        try:
            error = self.library.chdb_result_error(result)
            if error:
                raise EngineError(error.decode("utf-8", "replace"))
            size = self.library.chdb_result_length(result)
            return ctypes.string_at(self.library.chdb_result_buffer(result), size) if size else b""
        finally:
            self.library.chdb_destroy_query_result(result)

    def ask(self, settings: dict[str, str], sql: bytes) -> bytes:
        connection = self.connect()
        try:
            for name, value in settings.items():
                self.query(connection, f"SET {name} = {literal(value)}".encode())
            return self.query(connection, sql)
        finally:
            self.library.chdb_close_conn(connection)


def literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine
    credentials = ("", "")
    directory = ""
    failures: list[str] = []
    released = threading.Event()
    #: Inserts by how their bodies were packed.
    packed: Counter = Counter()
    lock = threading.Lock()

    def log_message(self, format, *arguments):
        pass

    def who(self) -> tuple[str, str]:
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:]).decode().partition(":")
            return user, password
        return self.headers.get("X-ClickHouse-User", "default"), self.headers.get("X-ClickHouse-Key", "")

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if url.path == "/release":
            self.released.set()
            return self.answer(200, b"")
        if url.path == "/packed":
            return self.answer(200, str(self.packed[parameters["how"]]).encode())
        if url.path == "/fail":
            self.released.clear()
            self.failures.extend([parameters["mode"]] * int(parameters["count"]))
            return self.answer(200, b"")
        try:
            if self.who() != self.credentials:
                raise EngineError("Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)")
            settings = {name: value for name, value in parameters.items() if name not in NO_SETTINGS}
            if "query" not in parameters:
                return self.answer(200, self.engine.ask(settings, body))
            if not self.insert(settings, parameters["query"], body):
                self.close_connection = True
                return None
            self.answer(200, b"")
        except EngineError as error:
            text = f"{error} (version 26.5 (official build))\n".encode()
            self.answer(STATUS.get(error.code, 500), text, ("X-ClickHouse-Exception-Code", str(error.code)))

    def insert(self, settings: dict[str, str], sql: str, rows: bytes) -> bool:
        """False: there is to be no answer."""
        with self.lock:
            failure = self.failures.pop(0) if self.failures else ""
        if failure == "error":
            raise EngineError("Code: 999. DB::Exception: Session expired. (KEEPER_EXCEPTION)")
        file = os.path.join(self.directory, uuid.uuid4().hex)
        compression = self.headers.get("Content-Encoding", "none")
        with self.lock:
            self.packed[compression] += 1
        if failure == "linger":
            os.mkfifo(file)
            threading.Thread(target=self.pour_late, args=(file, rows), daemon=True).start()
        else:
            with open(file, "wb") as out:
                out.write(rows)
        try:
            insert, format_name = sql.rsplit(" FORMAT ", 1)
            self.engine.ask(settings, f"{insert} FROM INFILE {literal(file)} COMPRESSION '{compression}' FORMAT {format_name}".encode())
        finally:
            os.unlink(file)
        return failure != "lose"

    @staticmethod
    def pour_late(file: str, rows: bytes) -> None:
        """The INSERT reads, and has to wait for what it reads."""
        with open(file, "wb") as out:
            Handler.released.wait()
            out.write(rows)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    library, directory, port, user, password = sys.argv[1:]
    Handler.directory = os.path.join(directory, "rows")
    os.makedirs(Handler.directory, exist_ok=True)
    Handler.engine = Engine(library, os.path.join(directory, "data"))
    Handler.credentials = (user, password)
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
