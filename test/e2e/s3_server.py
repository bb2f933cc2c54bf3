"""A private S3 server (versitygw on a directory) with a bucket, and a reader of it that shares no code with Tailrace."""

import datetime
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from e2e.cluster import ReservedPort

START_TIMEOUT_S = 30
ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "tailrace-test", "s3cret/with+signs"
REGION = "us-east-1"


def program() -> Path:
    """The one that tools/deps.lock names."""
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == "versitygw")
    found = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / "versitygw" / version / "versitygw"
    if not found.exists():
        raise RuntimeError(f"no {found}: run tools/bootstrap --s3")
    return found


class S3Server:
    """One directory and the server on it. The caller closes it; closing removes everything."""

    def __init__(self):
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        # The server keeps what it knows of objects in extended attributes, which not every temporary place has.
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-s3-", dir="/var/tmp"))
        (self.directory / "data").mkdir()
        self._process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        environment = os.environ | {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen([program(), "--port", f"127.0.0.1:{self.port}", "posix", self.directory / "data"],
                                             env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ask("GET", "/")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"versitygw does not start: {(self.directory / 'server.log').read_text()}")

    def ask(self, method: str, path: str) -> bytes:
        """A signed question with an empty body."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        host = f"127.0.0.1:{self.port}"
        signed = "host;x-amz-content-sha256;x-amz-date"
        encoded = urllib.parse.quote(path, safe="/-_.~")
        canonical = f"{method}\n{encoded}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{now}\n\n{signed}\n{empty}"
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for step in (now[:8], REGION, "s3", "aws4_request", text):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        headers = {"x-amz-date": now, "x-amz-content-sha256": empty,
                   "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/{scope},SignedHeaders={signed},Signature={key.hex()}"}
        with urllib.request.urlopen(urllib.request.Request(f"http://{host}{encoded}", method=method, headers=headers), timeout=20) as answer:
            return answer.read()

    def anonymous_status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def make_bucket(self, name: str) -> None:
        self.ask("PUT", f"/{name}")

    def keys(self, bucket: str) -> list[str]:
        """What is there once uploads are complete, as the file system below the server has it."""
        root = self.directory / "data" / bucket
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".sgwtmp" not in path.parts)

    def uploads(self, bucket: str) -> list[Path]:
        """Uploads that are neither completed nor aborted."""
        return list((self.directory / "data" / bucket / ".sgwtmp" / "multipart").glob("*/*"))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reserved.release()
        shutil.rmtree(self.directory, ignore_errors=True)
