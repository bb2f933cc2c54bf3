"""Reads Snowflake by its own Python client: a JSON list a line in, [SQL] or [SQL, [parameters]], and its answer a line out.

Run by the Python environment of the emulator: snowflake_client.py PORT [DATABASE [SCHEMA]].
"""

import datetime
import decimal
import json
import sys

import snowflake.connector


def plain(value):
    """As JSON has it, without loss."""
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return value


def main() -> None:
    where = dict(zip(("database", "schema"), sys.argv[2:]))
    connection = snowflake.connector.connect(
        user="reader", password="reader", account="test", host="127.0.0.1", port=int(sys.argv[1]), protocol="http", network_timeout=20,
        session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False}, **where)
    for line in sys.stdin:
        try:
            cursor = connection.cursor().execute(*json.loads(line))
            answer = {"columns": [column.name for column in cursor.description or ()], "rows": [[plain(v) for v in row] for row in cursor.fetchall()]}
        except snowflake.connector.errors.Error as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
