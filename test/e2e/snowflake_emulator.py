"""Snowflake's emulator (fakesnow) with what the tests need besides: data in files, users, transactions that end with their sessions.

Run by the Python environment of the emulator: snowflake_emulator.py PORT DIRECTORY. What may log in stands in DIRECTORY/users.json, if it is
there: {USER: {"password": …, "public_key": PEM, "error": [code, text]}}; else everybody may.
"""

import base64
import gzip
import hashlib
import json
import re
import string
import sys
import time
from pathlib import Path

import duckdb
import fakesnow.arrow
import fakesnow.cursor
import fakesnow.info_schema
import fakesnow.instance
import fakesnow.server
import fakesnow.transforms.stage
import jwt
import pyarrow
import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from starlette.responses import JSONResponse, PlainTextResponse

PORT, DIRECTORY = int(sys.argv[1]), Path(sys.argv[2])
# The real one ends the transaction of a session that is gone, and holds up others, after some minutes.
DETACHED_AFTER_S = 1.0

emulator = sys.modules["fakesnow.server"]
used: dict[str, float] = {}


def keep_what_spans_databases() -> None:
    """Comments of tables among others, which the emulator keeps in memory only."""
    connect = duckdb.connect

    def attached(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute(f"ATTACH '{DIRECTORY / '_fs_global.duckdb'}' AS {fakesnow.instance.GLOBAL_DATABASE_NAME}")
        return connection

    fakesnow.instance.duckdb.connect = attached
    try:
        emulator.shared_fs = fakesnow.instance.FakeSnow(db_path=DIRECTORY)
    finally:
        fakesnow.instance.duckdb.connect = connect
    for file in DIRECTORY.glob("*.db"):
        emulator.shared_fs.connect(file.stem)


def mend_comments() -> None:
    """DuckDB writes into one database in a transaction: a MERGE's own temporary table needs no comment in another. Quotes are doubled."""
    original = fakesnow.info_schema.insert_table_comment_sql

    def mended(catalog: str, schema: str, table: str, comment: str) -> str:
        if table.upper() == "MERGE_CANDIDATES":
            return "SELECT 1"
        return original(*(text.replace("'", "''") for text in (catalog, schema, table, comment or "")))

    fakesnow.info_schema.insert_table_comment_sql = mended
    lengths = fakesnow.info_schema.insert_text_lengths_sql
    fakesnow.info_schema.insert_text_lengths_sql = lambda catalog, schema, table, columns: lengths(
        *(name.replace("'", "''") for name in (catalog, schema, table)), [(column.replace("'", "''"), size) for column, size in columns])


class QuotingTemplate(string.Template):
    """For answers that are made by SQL with names in it."""

    def substitute(self, **names) -> str:
        return super().substitute({key: str(name).replace("'", "''") for key, name in names.items()})


def mend_names() -> None:
    for name, value in vars(fakesnow.cursor).copy().items():
        if isinstance(value, string.Template):
            setattr(fakesnow.cursor, name, QuotingTemplate(value.template))


def mend_times() -> None:
    """A time that is NULL was read as that of 1970."""
    original = fakesnow.arrow.timestamp_to_sf_struct

    def mended(times):
        whole = times.combine_chunks() if isinstance(times, pyarrow.ChunkedArray) else times
        made = original(whole)
        return pyarrow.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=whole.is_null())

    fakesnow.arrow.timestamp_to_sf_struct = mended


async def body_of(request) -> dict:
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


def refusal(code: str, text: str) -> JSONResponse:
    return JSONResponse({"data": {"nextAction": "RETRY_LOGIN"}, "code": code, "message": text, "success": False})


def is_signed(user: dict, name: str, account: str, token: str) -> bool:
    key = load_pem_public_key(user["public_key"].encode())
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    try:
        claims = jwt.decode(token, key, algorithms=["RS256"], options={"require": ["exp", "iss", "sub"]})
    except jwt.InvalidTokenError:
        return False
    who = f"{account.upper()}.{name.upper()}"
    return claims["sub"] == who and claims["iss"] == f"{who}.SHA256:{base64.b64encode(digest).decode()}"


async def log_in(request):
    """The emulator lets everybody in; these users are asked for what they have."""
    roll_back_detached()
    file = DIRECTORY / "users.json"
    if file.exists():
        data = (await body_of(request))["data"]
        name = data.get("LOGIN_NAME", "")
        if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
            name = jwt.decode(data["TOKEN"], options={"verify_signature": False})["sub"].partition(".")[2].lower()
        user = json.loads(file.read_text()).get(name)
        if user is None:
            return refusal("390100", "Incorrect username or password was specified.")
        if "error" in user:
            return refusal(*user["error"])
        if "public_key" in user:
            if not is_signed(user, name, data["ACCOUNT_NAME"], data.get("TOKEN", "")):
                return refusal("390144", "JWT token is invalid.")
        elif data.get("PASSWORD") != user["password"]:
            return refusal("390100", "Incorrect username or password was specified.")
    return await emulator.login_request(request)


def roll_back_detached() -> None:
    for token, connection in list(emulator.sessions.items()):
        if time.monotonic() - used.get(token, 0) > DETACHED_AFTER_S:
            try:
                connection._duck_conn.rollback()
            except duckdb.Error:
                pass  # it had none


def statement_refused(code: str, state: str, text: str) -> JSONResponse:
    return JSONResponse({"data": {"errorCode": code, "sqlState": state}, "code": code, "message": text, "success": False})


async def altered(request, sql: str):
    """Columns are added as the real one adds them: not IF NOT EXISTS with a DEFAULT, and one that is there has a number of its own."""
    if re.match("ALTER TABLE .* ADD COLUMN IF NOT EXISTS .* DEFAULT ", sql):
        return statement_refused("001003", "42000", "SQL compilation error: syntax error: unexpected 'DEFAULT'.")
    answer = await emulator.query_request(request)
    if sql.startswith("ALTER TABLE ") and b"already exists" in answer.body:
        return statement_refused("001430", "42601", "SQL compilation error: column already exists")
    return answer


async def query(request):
    """What was asked is kept, one a line, and DIRECTORY/faults.json may say what becomes of it: {"refuse": [[PATTERN, CODE, SQLSTATE, TEXT]],
    "lose_commits": how many, "lose_answers": [PATTERN, …], each once}."""
    token = emulator.to_token(request) if "Authorization" in request.headers else ""
    sql = (await body_of(request)).get("sqlText", "")
    with open(DIRECTORY / "statements.log", "a") as log:
        log.write(sql[:200].replace("\n", " ") + "\n")
    file = DIRECTORY / "faults.json"
    faults = json.loads(file.read_text()) if file.exists() else {}
    for pattern, code, state, text in faults.get("refuse", ()):
        if re.match(pattern, sql):
            return statement_refused(code, state, text)
    if sql == "COMMIT" and faults.get("lose_commits"):
        file.write_text(json.dumps(faults | {"lose_commits": faults["lose_commits"] - 1}))
        emulator.sessions[token]._duck_conn.rollback()
    used[token] = time.monotonic() + 3600
    try:
        answer = await altered(request, sql)
    finally:
        used[token] = time.monotonic()
    for pattern in faults.get("lose_answers", ()):
        if re.match(pattern, sql):
            file.write_text(json.dumps(faults | {"lose_answers": [other for other in faults["lose_answers"] if other != pattern]}))
            return PlainTextResponse("the answer is lost", 503)
    return answer


mend_comments()
mend_times()
mend_names()
keep_what_spans_databases()
fakesnow.transforms.stage.LOCAL_BUCKET_PATH = str(DIRECTORY / "stages")
for route in emulator.app.routes:
    if route.path == "/session/v1/login-request":
        route.app = type(route)(route.path, log_in, methods=["POST"]).app
    if route.path == "/queries/v1/query-request":
        route.app = type(route)(route.path, query, methods=["POST"]).app
uvicorn.run(emulator.app, host="127.0.0.1", port=PORT, log_level="warning")
