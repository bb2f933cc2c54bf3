"""An ordinary database, and its mirror."""

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Process, Tailrace

SHOP = [
    "CREATE TYPE state AS ENUM ('new', 'paid', 'sent')",
    "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, joined date DEFAULT '2024-01-01')",
    "CREATE TABLE orders (id bigserial PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE, total numeric(10,2), "
    "state state DEFAULT 'new', tags text[] DEFAULT '{}', note jsonb)",
    "CREATE TABLE empty_table (id int PRIMARY KEY, v text)",
    "CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid'",
    "INSERT INTO customers (name) SELECT 'customer ' || g FROM generate_series(1, 50) g",
    "INSERT INTO orders (customer, total, tags, note) SELECT 1 + g % 50, g / 7.0, ARRAY['a', NULL, g::text], "
    "jsonb_build_object('g', g) FROM generate_series(1, 1000) g",
]
DIGEST = "SELECT count(*), sum(id), sum(total)::text, count(*) FILTER (WHERE state = 'paid') FROM {}orders"


class Shop:
    """The shop's mirror: started, waited for, compared."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace):
        self.cluster, self.database, self.tailrace = cluster, database, tailrace
        self.target = tailrace.directory / "shop.duckdb"
        self.process: Process | None = None

    def start(self, *options: str, **environment: str) -> Process:
        self.process = self.tailrace.mirror(self.cluster.url(self.database), self.target, *options, environment=environment)
        return self.process

    def wait(self) -> None:
        answer = self.tailrace.wait(60)
        assert answer.code == Exit.DONE, f"{answer}\n{self.process.err()}"

    def problems(self) -> list[dict]:
        """What the status names; nothing while the program is still coming up."""
        try:
            return self.tailrace.status()["problems"]
        except RuntimeError:
            return []

    def stop(self) -> None:
        assert self.process.stop() == Exit.DONE, self.process.err()

    def change(self) -> None:
        self.cluster.execute("UPDATE orders SET state = 'paid', total = total + 1 WHERE id % 3 = 0",
                             "DELETE FROM orders WHERE id % 10 = 1",
                             "INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 200) g",
                             "UPDATE customers SET id = id + 1000 WHERE id > 40 AND NOT EXISTS (SELECT FROM orders WHERE customer = customers.id)",
                             "DELETE FROM customers WHERE id = 7", database=self.database)

    def assert_equal(self) -> None:
        """Only when the program has let go of the file."""
        source = self.cluster.query(DIGEST.format(""), database=self.database)
        assert rows(self.target, DIGEST.format("public.")) == source
        customers = "SELECT id, name, joined::text FROM public.customers ORDER BY id"
        assert rows(self.target, customers) == self.cluster.query(customers, database=self.database)
