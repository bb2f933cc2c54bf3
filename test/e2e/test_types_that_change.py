"""Types that are altered while columns have them: what older rows show then, nobody sends."""

from e2e.changing import assert_same, copied_again, execute, settle, until
from e2e.shop import Shop


def test_values_that_an_enum_gets_are_taken_as_they_come(mirror: Shop):
    execute(mirror, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE moods (id int PRIMARY KEY, m mood, ms text)",
            "INSERT INTO moods VALUES (1, 'sad'), (2, 'ok')")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "ALTER TYPE mood ADD VALUE 'happy'", "ALTER TYPE mood ADD VALUE 'none' BEFORE 'sad'",
            "INSERT INTO moods VALUES (3, 'happy'), (4, 'none')", "ANALYZE moods", "UPDATE moods SET m = 'happy' WHERE id = 1")
    settle(mirror)
    assert copied_again(mirror) == 0
    mirror.stop()
    assert_same(mirror, "moods", "id", "m")


def test_a_renamed_value_of_an_enum_is_renamed_in_older_rows_everywhere(mirror: Shop):
    execute(mirror, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN feeling AS mood",
            "CREATE TYPE pair AS (a int, m mood)", "CREATE TABLE moods (id int PRIMARY KEY, m mood)",
            "CREATE TABLE lists (id int PRIMARY KEY, m mood[])", "CREATE TABLE felt (id int PRIMARY KEY, m feeling)",
            "CREATE TABLE pairs (id int PRIMARY KEY, m pair)", "CREATE TABLE other (id int PRIMARY KEY, m text)",
            "INSERT INTO moods SELECT g, 'sad' FROM generate_series(1, 20) g",
            "INSERT INTO lists SELECT g, '{sad,ok}' FROM generate_series(1, 20) g",
            "INSERT INTO felt SELECT g, 'sad' FROM generate_series(1, 20) g",
            "INSERT INTO pairs SELECT g, ROW(1, 'sad')::pair FROM generate_series(1, 20) g")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "ANALYZE moods, lists, felt, pairs, other")
    for table in ("moods", "lists", "felt", "pairs"):
        execute(mirror, f"DELETE FROM {table} WHERE id = 3")
    execute(mirror, "INSERT INTO other VALUES (1, 'x')")
    until(mirror, lambda: copied_again(mirror) == 4, "not all tables are copied again")
    settle(mirror)
    mirror.stop()
    for table in ("moods", "felt", "pairs"):
        assert_same(mirror, table, "id", "m")
    assert mirror.cluster.query("SELECT count(*) FROM lists WHERE m = '{blue,ok}'", database=mirror.database) == [(19,)]
    assert_same(mirror, "lists", "id", "array_to_string(m, '|')")


def test_composite_types_that_gain_and_lose_attributes(mirror: Shop):
    execute(mirror, "CREATE TYPE place AS (x int, y text)", "CREATE TABLE places (id int PRIMARY KEY, p place)",
            "INSERT INTO places SELECT g, ROW(g, 'y')::place FROM generate_series(1, 10) g")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "ALTER TYPE place ADD ATTRIBUTE z int", "UPDATE places SET p.z = 7 WHERE id = 2")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 1, "the longer values are not copied")
    execute(mirror, "ALTER TYPE place DROP ATTRIBUTE y", "UPDATE places SET p.z = 8 WHERE id = 3")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 2, "the shorter values are not copied")
    execute(mirror, "ALTER TYPE place RENAME ATTRIBUTE z TO height", "UPDATE places SET p.height = 9 WHERE id = 4")
    settle(mirror)
    assert copied_again(mirror) == 2
    mirror.stop()
    assert_same(mirror, "places", "id", "p")


def test_domains_may_change_their_rules_and_columns_their_domains(mirror: Shop):
    execute(mirror, "CREATE DOMAIN money2 AS numeric(8,2)", "CREATE DOMAIN name2 AS varchar(20)", "CREATE DOMAIN free AS varchar",
            "CREATE TABLE bills (id int PRIMARY KEY, sum money2, who name2, n int)",
            "INSERT INTO bills SELECT g, g / 3.0, 'x' || g, g FROM generate_series(1, 10) g")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "ALTER DOMAIN money2 ADD CONSTRAINT positive CHECK (VALUE >= 0)", "ALTER DOMAIN money2 SET DEFAULT 5",
            "INSERT INTO bills (id) VALUES (11)", "ALTER DOMAIN money2 RENAME TO amount", "UPDATE bills SET sum = 1 WHERE id = 1",
            "ALTER TABLE bills ALTER COLUMN who TYPE free", "UPDATE bills SET who = 'somebody' WHERE id = 2")
    # Two types of one column between two looks at the catalog would leave the first one unknown.
    mirror.wait()
    execute(mirror, "ALTER DOMAIN amount DROP CONSTRAINT positive", "UPDATE bills SET sum = -1 WHERE id = 3",
            "ALTER TABLE bills ALTER COLUMN who TYPE text", "UPDATE bills SET who = repeat('long', 30) WHERE id = 4")
    settle(mirror)
    assert copied_again(mirror) == 0
    mirror.stop()
    assert_same(mirror, "bills", "id", "sum", "who", "n")


def test_a_domain_that_is_gone_by_the_time_its_rows_are_read(mirror: Shop):
    execute(mirror, "CREATE DOMAIN level AS int", "CREATE TABLE levels (id int PRIMARY KEY, l level, d date)",
            "INSERT INTO levels SELECT g, g, '2024-01-01' FROM generate_series(1, 10) g")
    mirror.start("--log-level", "info")
    mirror.wait()
    mirror.stop()
    execute(mirror, "UPDATE levels SET l = 100 WHERE id = 1", "INSERT INTO levels VALUES (11, 11, '2024-01-02')",
            "ALTER TABLE levels ALTER COLUMN l TYPE int", "DROP DOMAIN level", "UPDATE levels SET l = 200 WHERE id = 2")
    mirror.start("--log-level", "info")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "levels", "id", "l", "d")


def test_an_extensions_types_made_anew_under_their_names(mirror: Shop):
    execute(mirror, "CREATE EXTENSION hstore", "CREATE TABLE pairs (id int PRIMARY KEY, h hstore, n int)",
            "INSERT INTO pairs SELECT g, 'a=>1', g FROM generate_series(1, 10) g")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "UPDATE pairs SET h = 'b=>2' WHERE id = 1", "ALTER TABLE pairs ALTER COLUMN h TYPE text",
            "DROP EXTENSION hstore", "CREATE EXTENSION hstore", "ALTER TABLE pairs ALTER COLUMN h TYPE hstore USING h::hstore",
            "UPDATE pairs SET h = 'c=>NULL' WHERE id = 2")
    settle(mirror)
    execute(mirror, "DROP EXTENSION hstore CASCADE", "CREATE EXTENSION hstore", "ALTER TABLE pairs ADD COLUMN h hstore DEFAULT 'd=>4'",
            "UPDATE pairs SET h = 'e=>5' WHERE id = 3")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "pairs", "id", "h", "n")
