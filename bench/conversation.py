"""Talking to a running Tailrace through its control socket."""

import json
import socket
import time
from pathlib import Path


class Conversation:
    """One connection to a running Tailrace, waited for as long as `patience_s`."""

    def __init__(self, path: Path, patience_s: float = 60, pause_s: float = 0.05):
        deadline = time.monotonic() + patience_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(pause_s)
        self._lines = self._socket.makefile("rb")

    def _request(self, request: dict) -> tuple[dict, str]:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        text = ""
        while True:
            answer = json.loads(self._lines.readline())
            if "piece" in answer:
                text += self._lines.read(answer["piece"]).decode()
            elif "error" in answer:
                raise RuntimeError(str(answer["error"]))
            else:
                return answer["done"], text

    def query(self, sql: str) -> str:
        return self._request({"do": "query", "sql": sql, "as_of": "", "format": "csv", "file": "", "sink": ""})[1]

    def status(self) -> dict:
        return self._request({"do": "status"})[0]["status"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
