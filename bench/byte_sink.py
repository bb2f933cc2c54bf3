"""In front of a ClickHouse server: takes the rows of INSERTs into some tables and throws them away; all else is passed on. So what the
sink does by itself is measured with all its questions answered by a real server.

    byte_sink.py PORT SERVER_PORT TABLE...
"""

import http.client
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = PIECE

    def log_message(self, format, *arguments):
        pass

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        query = parse_qs(urlsplit(self.path).query).get("query", [""])[0]
        status, answer = 200, b""
        table = re.match(r"INSERT INTO \S+\.`(\w+)` ", query)
        if table is not None and table[1] in self.server.tables:
            piece = memoryview(bytearray(PIECE))
            while left > 0:
                left -= self.rfile.readinto(piece[:min(left, PIECE)])
        else:
            server = http.client.HTTPConnection("127.0.0.1", self.server.behind)
            server.request("POST", self.path, self.rfile.read(left),
                           {name: value for name, value in self.headers.items() if name.startswith("X-ClickHouse")})
            response = server.getresponse()
            status, answer = response.status, response.read()
            server.close()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    behind = 0
    tables: tuple[str, ...] = ()


def main() -> None:
    port, behind, *tables = sys.argv[1:]
    server = Server(("127.0.0.1", int(port)), Handler)
    server.behind, server.tables = int(behind), tuple(tables)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
