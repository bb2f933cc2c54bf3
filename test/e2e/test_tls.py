"""TLS to the server: whom Tailrace believes, who it says it is, and whole streams over it."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from e2e.certificates import Authority
from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.proxy import Proxy
from e2e.shop import DIGEST, SHOP
from e2e.tailrace import Answer, Exit, Tailrace
from e2e.test_bad_input import assert_refused
from e2e.test_server_life import wait_until

PASSWORD = "s3cr3t-word"
DAY = 24 * 3600
ACCESS = """local all all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all,replication bound 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 trust
hostssl replication all 127.0.0.1/32 trust
hostnossl all tester 127.0.0.1/32 trust
"""


@dataclass
class Server:
    """A cluster that speaks TLS as "localhost", and takes everybody but the tests' own role only over it."""

    cluster: Cluster
    authority: Authority
    stranger: Authority
    client: tuple[Path, Path]
    foreign_client: tuple[Path, Path]
    database: str = "postgres"

    def conninfo(self, user: str = "postgres", host: str = "localhost", port: int = 0, **options) -> str:
        options = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate} | options
        return " ".join([f"host={host} port={port or self.cluster.port} dbname={self.database} user={user}",
                         *(f"{name}={value}" for name, value in options.items())])


def show(cluster: Cluster, certified: tuple[Path, Path]) -> None:
    """What the server shows from its next start or reload on."""
    for source, name in zip(certified, ("server.crt", "server.key")):
        shutil.copyfile(source, cluster.data / name)
        os.chmod(cluster.data / name, 0o600)
        shutil.chown(cluster.data / name, cluster.data.owner(), cluster.data.group())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("certificates")
    authority, stranger = Authority(directory, "authority"), Authority(directory, "stranger")
    cluster = Cluster()
    try:
        show(cluster, authority.sign("server", "localhost"))
        shutil.copyfile(authority.certificate, cluster.data / "ca.crt")
        os.chmod(cluster.data / "ca.crt", 0o644)
        cluster.configure({"ssl": "on", "ssl_ca_file": "'ca.crt'", "password_encryption": "'scram-sha-256'"})
        cluster.execute("CREATE ROLE tester SUPERUSER LOGIN", "CREATE ROLE certified SUPERUSER LOGIN",
                        f"CREATE ROLE bound SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        (cluster.data / "pg_hba.conf").write_text(ACCESS)
        cluster.restart()
        yield Server(cluster, authority, stranger, authority.sign("certified"), stranger.sign("certified"))
    finally:
        cluster.close()


@pytest.fixture
def shop(server: Server) -> Iterator[Server]:
    """The shop's database on that server."""
    server.cluster.execute("CREATE DATABASE shop")
    server.cluster.execute(*SHOP, database="shop")
    yield replace(server, database="shop")
    server.cluster.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    server.cluster.execute("DROP DATABASE shop WITH (FORCE)")


def mirror(tailrace: Tailrace, source: str) -> Answer:
    return tailrace.command("mirror", source, tailrace.directory / "shop.duckdb", "--state", tailrace.state, "--name", "shop",
                            "--until-caught-up", timeout_s=60)


def believes(server: Server, root: Path) -> bool:
    """Whether the server shows a certificate that this authority signed."""
    try:
        psycopg.connect(server.conninfo(sslrootcert=root)).close()
    except psycopg.OperationalError:
        return False
    return True


def assert_mirrored(tailrace: Tailrace, server: Server) -> None:
    assert rows(tailrace.directory / "shop.duckdb", DIGEST.format("public.")) == server.cluster.query(DIGEST.format(""), database=server.database)


def test_a_verified_server_is_mirrored(tailrace: Tailrace, shop: Server):
    answer = mirror(tailrace, shop.conninfo())
    assert answer.code == Exit.DONE, str(answer)
    assert_mirrored(tailrace, shop)


def test_a_server_that_another_authority_signed_is_refused(tailrace: Tailrace, server: Server):
    answer = mirror(tailrace, server.conninfo(sslrootcert=server.stranger.certificate))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "certificate verify failed", "sslrootcert")


def test_a_server_of_another_name_is_refused(tailrace: Tailrace, server: Server):
    answer = mirror(tailrace, server.conninfo(host="127.0.0.1"))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "127.0.0.1", "does not match")


def test_an_authority_without_a_file_is_named(tailrace: Tailrace, server: Server):
    answer = mirror(tailrace, server.conninfo(sslrootcert="/no/such/root.crt"))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "/no/such/root.crt")


def test_a_server_without_tls_is_refused_when_tls_is_asked_for(tailrace: Tailrace, cluster: Cluster):
    answer = mirror(tailrace, cluster.conninfo(sslmode="require"))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "does not support SSL")


def test_a_login_without_tls_is_refused_when_the_server_asks_for_it(tailrace: Tailrace, server: Server):
    answer = mirror(tailrace, server.conninfo(sslmode="disable"))
    assert_refused(answer, Exit.UNREACHABLE, "TR103", "no encryption")


def test_a_client_certificate_logs_in(tailrace: Tailrace, shop: Server):
    certificate, key = shop.client
    answer = mirror(tailrace, shop.conninfo("certified", sslcert=certificate, sslkey=key))
    assert answer.code == Exit.DONE, str(answer)
    assert_mirrored(tailrace, shop)


def test_a_login_that_lacks_its_client_certificate_is_refused(tailrace: Tailrace, server: Server):
    answer = mirror(tailrace, server.conninfo("certified", sslcert="", sslkey=""))
    assert_refused(answer, Exit.UNREACHABLE, "TR103", "client certificate")


def test_a_client_certificate_of_a_stranger_is_refused(tailrace: Tailrace, server: Server):
    certificate, key = server.foreign_client
    answer = mirror(tailrace, server.conninfo("certified", sslcert=certificate, sslkey=key))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "alert")


def test_a_key_that_others_may_read_is_refused(tailrace: Tailrace, server: Server, tmp_path: Path):
    certificate, key = server.client
    bare = tmp_path / "bare.key"
    shutil.copyfile(key, bare)
    bare.chmod(0o644)
    answer = mirror(tailrace, server.conninfo("certified", sslcert=certificate, sslkey=bare))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", str(bare))


def test_scram_is_bound_to_the_tls_channel(tailrace: Tailrace, shop: Server):
    answer = mirror(tailrace, shop.conninfo("bound", password=PASSWORD, channel_binding="require"))
    assert answer.code == Exit.DONE, str(answer)
    assert_mirrored(tailrace, shop)


def test_a_login_that_cannot_be_bound_to_the_channel_is_refused(tailrace: Tailrace, server: Server):
    # The role is trusted: nothing is proved, so nothing is bound.
    answer = mirror(tailrace, server.conninfo(channel_binding="require"))
    assert_refused(answer, Exit.UNREACHABLE, "TR135", "channel binding")


def test_large_and_small_changes_come_over_tls_through_cut_links(tailrace: Tailrace, shop: Server):
    """Values larger than a TLS record, single rows, a link that is cut at once, in between and later."""
    proxy = Proxy(shop.cluster.port)
    process = tailrace.mirror(shop.conninfo(port=proxy.port), tailrace.directory / "shop.duckdb")
    try:
        tailrace.wait_for_state("streaming")
        for turn in range(6):
            shop.cluster.execute(
                "INSERT INTO orders (customer, total, note) SELECT 1, g, to_jsonb(repeat('x', 40000)) FROM generate_series(1, 60) g",
                f"UPDATE orders SET total = total + {turn} WHERE id % 2 = 0", "UPDATE orders SET total = 0 WHERE id = 1",
                database=shop.database)
            if turn % 2:
                proxy.cut()
        answer = tailrace.wait(60)
        assert answer.code == Exit.DONE, f"{answer}\n{process.err()}"
        assert process.stop() == Exit.DONE, process.err()
    finally:
        proxy.close()
    assert_mirrored(tailrace, shop)


def test_a_certificate_that_is_renewed_while_it_streams_is_taken_at_the_next_connection(tailrace: Tailrace, shop: Server, tmp_path: Path):
    """Also one of another authority, as long as both are believed; what was agreed on before goes on."""
    both = tmp_path / "both.crt"
    both.write_bytes(shop.authority.certificate.read_bytes() + shop.stranger.certificate.read_bytes())
    process = tailrace.mirror(shop.conninfo(sslrootcert=both), tailrace.directory / "shop.duckdb")
    tailrace.wait_for_state("streaming")
    changes = ["UPDATE orders SET total = total + 1 WHERE id % 2 = 0", "DELETE FROM orders WHERE id % 9 = 1"]
    try:
        for authority in (shop.stranger, shop.authority):
            show(shop.cluster, authority.sign("server", "localhost"))
            shop.cluster.execute("SELECT pg_reload_conf()")
            wait_until(lambda believed=authority: believes(shop, believed.certificate))
            shop.cluster.execute(changes[0], database=shop.database)
            assert tailrace.wait(60).code == Exit.DONE, process.err()
            shop.cluster.query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
            shop.cluster.execute(changes[1], database=shop.database)
            assert tailrace.wait(60).code == Exit.DONE, process.err()
        assert process.stop() == Exit.DONE, process.err()
        assert_mirrored(tailrace, shop)
    finally:
        show(shop.cluster, shop.authority.sign("server", "localhost"))
        shop.cluster.execute("SELECT pg_reload_conf()")
        wait_until(lambda: believes(shop, shop.authority.certificate))


def test_a_certificate_that_expires_while_it_streams_is_named_and_nothing_is_lost(tailrace: Tailrace, shop: Server, clock: tuple[dict[str, str], Path]):
    environment, shift = clock
    target = tailrace.directory / "shop.duckdb"
    process = tailrace.mirror(shop.conninfo(), target, environment=environment)
    assert tailrace.wait(60).code == Exit.DONE, process.err()
    shift.write_text(str(3 * DAY))
    shop.cluster.execute("DELETE FROM orders WHERE id % 9 = 1", database=shop.database)
    shop.cluster.query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
    assert process.wait(30) == Exit.UNREACHABLE, process.err()
    assert "[TR135]" in process.err() and "certificate verify failed" in process.err(), process.err()
    shop.cluster.execute("UPDATE orders SET total = total + 1 WHERE id % 2 = 0", database=shop.database)
    answer = mirror(tailrace, shop.conninfo())
    assert answer.code == Exit.DONE, str(answer)
    assert_mirrored(tailrace, shop)
