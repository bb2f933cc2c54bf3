"""A private S3 server with a bucket, and a reader of it that shares no code with Tailrace. It is versitygw on a directory, or MinIO
where TAILRACE_S3=minio (`make minio`)."""

import datetime
import hashlib
import hmac
import itertools
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import ReservedPort

START_TIMEOUT_S = 60
ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET = "tailrace-test", "s3cret/with+signs"
REGION = "us-east-1"
#: Of temporary keys that STS of MinIO gives; it gives none for less.
LEAST_LIFE_S = 900


def program(name: str) -> Path:
    """The one that tools/deps.lock names."""
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == name)
    found = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / name / version / name
    if not found.exists():
        raise RuntimeError(f"no {found}: run tools/bootstrap {'--s3' if name == 'versitygw' else '--minio'}")
    return found


@dataclass
class Account:
    key: str
    secret: str
    token: str = ""


class S3Server:
    """One directory and versitygw on it. `certified`: certificate and key, then it speaks TLS as `localhost`. Buckets may stand in
    front of `localhost`, too. The caller closes it; closing removes everything."""

    def __init__(self, certified: tuple[Path, Path] | None = None):
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self._certified = certified
        # The server keeps what it knows of objects in extended attributes, which not every temporary place has.
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-s3-", dir="/var/tmp"))
        (self.directory / "data").mkdir()
        (self.directory / "accounts").mkdir()
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen | None = None
        self.start()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._certified else 'http'}://localhost:{self.port}"

    def _command(self) -> tuple[list, dict[str, str]]:
        command = [program("versitygw"), "--port", f"127.0.0.1:{self.port}", "--virtual-domain", f"localhost:{self.port}",
                   "--iam-dir", self.directory / "accounts", "--iam-cache-disable"]
        if self._certified:
            command += ["--cert", self._certified[0], "--key", self._certified[1]]
        return [*command, "posix", self.directory / "data"], {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}

    def start(self) -> None:
        command, environment = self._command()
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ask("GET", "/")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"the S3 server does not start: {(self.directory / 'server.log').read_text()}")

    def _open(self, request: urllib.request.Request):
        context = ssl._create_unverified_context() if self._certified else None
        return urllib.request.urlopen(request, timeout=20, context=context)

    def ask(self, method: str, path: str, query: dict[str, str] | None = None, form: str = "", service: str = "s3") -> bytes:
        """A signed question. `form`: its body."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        payload = hashlib.sha256(form.encode()).hexdigest()
        host = f"localhost:{self.port}"
        signed = "host;x-amz-content-sha256;x-amz-date"
        encoded = urllib.parse.quote(path, safe="/-_.~")
        asked = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in sorted((query or {}).items()))
        canonical = f"{method}\n{encoded}\n{asked}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{now}\n\n{signed}\n{payload}"
        scope = f"{now[:8]}/{REGION}/{service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for step in (now[:8], REGION, service, "aws4_request", text):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        headers = {"x-amz-date": now, "x-amz-content-sha256": payload,
                   "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/{scope},SignedHeaders={signed},Signature={key.hex()}"}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = f"{self.endpoint}{encoded}{'?' if asked else ''}{asked}"
        with self._open(urllib.request.Request(url, method=method, headers=headers, data=form.encode() or None)) as answer:
            return answer.read()

    def anonymous_status(self, path: str) -> int:
        try:
            with self._open(urllib.request.Request(f"{self.endpoint}{urllib.parse.quote(path)}")) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def make_bucket(self, name: str) -> None:
        self.ask("PUT", f"/{name}")

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """What is there once uploads are complete."""
        found: list[str] = []
        query = {"list-type": "2", "prefix": prefix}
        while True:
            answer = texts(self.ask("GET", f"/{bucket}", query))
            found += [text for tag, text in answer if tag == "Key"]
            following = [text for tag, text in answer if tag == "NextContinuationToken"]
            if not following:
                return sorted(found)
            query["continuation-token"] = following[0]

    def tag(self, bucket: str, key: str) -> str:
        """What the server says of an object's bytes; of an upload it ends in how many parts there were."""
        answer = texts(self.ask("GET", f"/{bucket}", {"list-type": "2", "prefix": key}))
        return next(text for tag, text in answer if tag == "ETag").strip('"')

    def uploads(self, bucket: str, key: str = "") -> list[str]:
        """Names of uploads that are neither completed nor aborted."""
        return [text for tag, text in texts(self.ask("GET", f"/{bucket}", {"uploads": "", "prefix": key})) if tag == "UploadId"]

    def download(self, bucket: str, prefix: str, into: Path) -> Path:
        """All objects below the prefix, as files below `into`; not what a lake notes for itself, which comes and goes."""
        for key in (key for key in self.keys(bucket, prefix) if not key.startswith(f"{prefix}_state/")):
            path = into / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.ask("GET", f"/{bucket}/{key}"))
        return into

    def make_account(self) -> Account:
        """Somebody who may do everything here."""
        name = f"account-{next(self._numbers)}"
        made = Account(name, f"secret-of-{name}")
        self._admin("create-user", "--access", made.key, "--secret", made.secret, "--role", "admin")
        return made

    def drop_account(self, account: Account) -> None:
        self._admin("delete-user", "--access", account.key)

    def _admin(self, *arguments: str) -> None:
        subprocess.run([program("versitygw"), "admin", "--access", KEY, "--secret", SECRET, "--endpoint-url", self.endpoint,
                        "--allow-insecure", *arguments],
                       check=True, capture_output=True)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reserved.release()
        shutil.rmtree(self.directory, ignore_errors=True)


class MinioServer(S3Server):
    """The same on MinIO."""

    def _command(self) -> tuple[list, dict[str, str]]:
        home = self.directory / "home"
        certificates = home / "certs"
        certificates.mkdir(parents=True, exist_ok=True)
        if self._certified:
            for source, name in zip(self._certified, ("public.crt", "private.key")):
                shutil.copyfile(source, certificates / name)
        environment = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_DOMAIN": "localhost", "MINIO_BROWSER": "off",
                       "HOME": str(home), "MINIO_UPDATE": "off"}
        return [program("minio"), "server", "--quiet", "--certs-dir", certificates, "--address", f"127.0.0.1:{self.port}",
                self.directory / "data"], environment

    def make_account(self) -> Account:
        """Temporary keys of the server's own token service."""
        form = urllib.parse.urlencode({"Action": "AssumeRole", "Version": "2011-06-15", "DurationSeconds": str(LEAST_LIFE_S)})
        answer = dict(texts(self.ask("POST", "/", form=form, service="sts")))
        return Account(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def texts(document: bytes) -> list[tuple[str, str]]:
    """Names without their spaces, and texts, of the elements of an XML document."""
    return [(element.tag.rpartition("}")[2], element.text or "") for element in xml.etree.ElementTree.fromstring(document).iter()]


def make_server(certified: tuple[Path, Path] | None = None) -> S3Server:
    kind = os.environ.get("TAILRACE_S3", "versitygw")
    return {"versitygw": S3Server, "minio": MinioServer}[kind](certified)
