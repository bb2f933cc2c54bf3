"""Types of extensions that few servers have: pgvector (`tools/versions 18`) and PostGIS (`make extensions`)."""

from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Tailrace

# Type, literal, the text that the server gives of it; each becomes text.
VECTORS = [("vector(3)", "'[1,-2.5,3e-10]'", "[1,-2.5,3e-10]"), ("vector", "'[0.1]'", "[0.1]"),
           ("halfvec(2)", "'[1.5,65504]'", "[1.5,65504]"), ("sparsevec(9)", "'{1:1,9:-2.5}/9'", "{1:1,9:-2.5}/9"),
           ("embedding", "'[4,5]'", "[4,5]")]
SHAPES = [("geometry(Point, 4326)", "'SRID=4326;POINT(13.5 52.25)'", "0101000020E61000000000000000002B400000000000204A40"),
          ("geometry", "'POLYGON((0 0,1 0,1 1,0 0))'",
           "010300000001000000040000000000000000000000" + "0000000000000000" + "000000000000F03F" + "0000000000000000"
           + "000000000000F03F" + "000000000000F03F" + "0000000000000000" + "0000000000000000"),
          ("geometry(PointZ)", "'POINT Z (1 2 3)'", "0101000080000000000000F03F00000000000000400000000000000840"),
          ("geometry", "'POINT EMPTY'", "0101000000000000000000F87F000000000000F87F"),
          ("geography(Point)", "'POINT(-1 2)'", "0101000020E6100000000000000000F0BF0000000000000040"),
          ("box2d", "'BOX(1 2,3 4)'", "BOX(1 2,3 4)"), ("box3d", "'BOX3D(1 2 3,4 5 6)'", "BOX3D(1 2 3,4 5 6)")]


def run_until_caught_up(tailrace: Tailrace, cluster: Cluster, database: str, target: Path) -> None:
    process = tailrace.mirror(cluster.url(database), target, "--until-caught-up", "--history")
    assert process.wait(120) == Exit.DONE, process.err()


@pytest.mark.parametrize("extension, preparations, values", [
    pytest.param("vector", ["CREATE DOMAIN embedding AS vector(2)"], VECTORS, id="pgvector"),
    pytest.param("postgis", [], SHAPES, id="PostGIS")])
def test_types_of_a_large_extension_come_as_their_text(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path: Path,
                                                       extension: str, preparations: list[str], values: list[tuple[str, str, str]]):
    """By copy and by stream, changed, unchanged beside a change, NULL, and in lists; in mirror and history."""
    kinds = [kind for kind, *_ in values]
    texts = [text for *_, text in values]
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    literals = ", ".join(f"{value}::{kind}" for kind, value, _ in values)
    cluster.execute(f"CREATE EXTENSION {extension}", *preparations,
                    f"CREATE TABLE v (id int PRIMARY KEY, n int, {columns}, list {kinds[0].split('(')[0]}[])",
                    f"INSERT INTO v VALUES (1, 0, {literals}, ARRAY[{values[0][1]}::{kinds[0]}, NULL])",
                    "INSERT INTO v (id, n) VALUES (2, 0)", database=database)
    target = tmp_path / "target.duckdb"
    run_until_caught_up(tailrace, cluster, database, target)
    cluster.execute(f"INSERT INTO v VALUES (3, 0, {literals})", "UPDATE v SET n = 1 WHERE id = 1",
                    f"UPDATE v SET c0 = {values[0][1]} WHERE id = 2", "INSERT INTO v (id) VALUES (4)", "DELETE FROM v WHERE id = 4",
                    database=database)
    run_until_caught_up(tailrace, cluster, database, target)
    shown = ", ".join(f"c{n}" for n in range(len(kinds)))
    nothing = [None] * len(kinds)
    expected = [(1, 1, *texts, [texts[0], None]), (2, 0, texts[0], *nothing[1:], None), (3, 0, *texts, None)]
    assert cluster.query(f"SELECT {', '.join(f'c{n}::text' for n in range(len(kinds)))} FROM v WHERE id = 1", database) == [tuple(texts)]
    for table, which in (("v", "true"), ("v__history", "is_current")):
        assert rows(target, f"SELECT id, n, {shown}, list FROM public.{table} WHERE {which} ORDER BY id") == expected
        types = dict(rows(target, f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'"))
        assert {types[f"c{n}"] for n in range(len(kinds))} == {"VARCHAR"} and types["list"] == "VARCHAR[]"
    process = tailrace.mirror(cluster.url(database), target, "--history")
    assert tailrace.wait(60).code == Exit.DONE, process.err()
    verified = tailrace.command("verify", "--state", tailrace.state)
    assert verified.code == Exit.DONE, str(verified)
    assert process.stop() == Exit.DONE, process.err()
