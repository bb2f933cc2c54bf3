"""The private servers of this example: PostgreSQL, and versitygw, which speaks S3."""

import json
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import private_servers  # noqa: E402  (stands beside the examples)
from private_servers import Server, answers, free_port  # noqa: E402

BUCKET = "lakehouse"


class Settings:
    """Ports and keys, chosen once and kept in `lakehouse.json`, since a pipeline knows its source and targets by where they are."""

    def __init__(self, directory: Path):
        file = directory / "lakehouse.json"
        if not file.exists():
            chosen = {"postgres_port": int(os.environ.get("LAKEHOUSE_PG_PORT", 0)) or free_port(),
                      "s3_port": int(os.environ.get("LAKEHOUSE_S3_PORT", 0)) or free_port(),
                      "key": "lakehouse", "secret": secrets.token_hex(16)}
            file.touch(mode=0o600)
            file.write_text(json.dumps(chosen))
        kept = json.loads(file.read_text())
        self.postgres_port, self.s3_port = kept["postgres_port"], kept["s3_port"]
        self.key, self.secret = kept["key"], kept["secret"]


def postgres(directory: Path, settings: Settings) -> Server:
    """Its commit times are what the proof compares."""
    return private_servers.postgres(directory, settings.postgres_port, HERE / "schema.sql")


def source_url(settings: Settings) -> str:
    return private_servers.postgres_url(settings.postgres_port)


def endpoint(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.s3_port}"


def s3(directory: Path, settings: Settings) -> Server:
    """Every directory below `s3` is a bucket, every file in it an object."""
    (directory / "s3" / BUCKET).mkdir(parents=True, exist_ok=True)
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == "versitygw")
    program = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / "versitygw" / version / "versitygw"
    return Server(directory, "s3", [program, "--port", f"127.0.0.1:{settings.s3_port}", "posix", directory / "s3"],
                  {"ROOT_ACCESS_KEY": settings.key, "ROOT_SECRET_KEY": settings.secret}, lambda: answers(settings.s3_port))
