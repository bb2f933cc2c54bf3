"""A lake in a bucket: how its server is found, who is believed and let in, and keys that are lent for a while. `make minio` runs the tests
with its mark on MinIO, too."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from e2e.certificates import Authority
from e2e.key_service import ROLE_ARN, KeyService
from e2e.proxy import Proxy
from e2e.s3_server import KEY, SECRET, S3Server, make_server
from e2e.shop import Shop
from e2e.tailrace import Answer, Exit
from e2e.test_lake import rows, run, write


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    made = make_server()
    made.make_bucket("shop")
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def secure_server(authority: Authority) -> Iterator[S3Server]:
    made = make_server(authority.sign("server", host="localhost"))
    made.make_bucket("shop")
    yield made
    made.close()


def keys(secret: str = SECRET) -> str:
    return f'access_key_id: {KEY}, secret_access_key: "{secret}"'


def bucket(server: S3Server, place: str, more: str) -> str:
    return f'url: "s3://{place}", endpoint: "{server.endpoint}", {more}'


def check(mirror: Shop, options: str, environment: dict[str, str] | None = None) -> Answer:
    write(mirror, Path(), options)
    return mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml", environment=environment)


def checked(mirror: Shop, options: str, environment: dict[str, str] | None = None) -> str:
    """What `check` finds wrong with it."""
    answer = check(mirror, options, environment)
    assert answer.code != Exit.DONE, answer
    return answer.out + answer.err


def operations(server: S3Server, place: str, table: str, into: Path) -> list[tuple[str, int]]:
    name, _, prefix = place.partition("/")
    return [(row["_op"], row["id"]) for row in rows(server.download(name, prefix + "/", into), table)]


@pytest.mark.minio
def test_what_a_bucket_gets_is_what_a_reader_finds_and_nobody_else_may_read_it(mirror: Shop, server: S3Server, tmp_path: Path):
    run(mirror, Path(), bucket(server, "shop/below", keys()))
    mirror.cluster.execute("UPDATE customers SET name = 'ü' WHERE id = 3", "DELETE FROM orders WHERE id = 5", database=mirror.database)
    mirror.wait()
    mirror.stop()
    there = server.keys("shop", "below/")
    below = server.download("shop", "below/", tmp_path / "read")
    customers = rows(below, "customers")
    assert [row["_op"] for row in customers] == ["r"] * 50 + ["u"] and customers[-1]["name"] == "ü"
    assert [(row["_op"], row["id"]) for row in rows(below, "orders")][-1] == ("d", 5)
    listed = {item["path"] for path in (below / "_manifest").glob("*.json") for item in json.loads(path.read_text())["objects"]}
    assert listed == {key.removeprefix("below/") for key in there if key.endswith(".parquet")}
    # MinIO lists the uploads of whole keys only.
    assert not server.uploads("shop") and not any(server.uploads("shop", key) for key in there)
    assert server.anonymous_status("/shop/" + there[0]) == 403


def test_files_go_into_the_bucket_in_parts_of_the_size_that_is_asked_for(mirror: Shop, server: S3Server):
    def options(size: str) -> str:
        return bucket(server, "shop/parts", f"{keys()}, format: json, layout: connect, part_size: {size}")

    assert "TR857" in checked(mirror, options("5MB"))
    assert "TR857" in checked(mirror, 'url: "file:///tmp/lake", part_size: 5MiB')
    # Eleven rows of a million bytes, as one line each: more than two parts, and one commit.
    mirror.cluster.execute("INSERT INTO empty_table SELECT g, repeat('x', 1000000) FROM generate_series(1, 11) g", database=mirror.database)
    run(mirror, Path(), options("5MiB"))
    mirror.stop()
    (key,) = server.keys("shop", "parts/topics/public.empty_table/")
    assert server.tag("shop", key).endswith("-3")
    written = server.ask("GET", f"/shop/{key}").splitlines()
    assert [len(json.loads(line)["v"]) for line in written] == [1000000] * 11


def test_a_merge_that_nobody_takes_leaves_no_upload_behind_a_stop(mirror: Shop, server: S3Server):
    proxy = Proxy(server.port)
    try:
        options = f'url: "s3://shop/merged", endpoint: "http://localhost:{proxy.port}", {keys()}, compact_files: 2, format: json'
        run(mirror, Path(), options)
        mirror.cluster.execute("INSERT INTO empty_table VALUES (1, 'a')", database=mirror.database)
        mirror.wait()
        folder = "merged/public/empty_table/"
        (first,) = server.keys("shop", folder)
        # What is merged has the first place of the first of both.
        proxy.withheld = f"POST /shop/{first.partition('-')[0]}-".encode()
        mirror.cluster.execute("INSERT INTO empty_table VALUES (2, 'b')", database=mirror.database)
        assert proxy.withholds.wait(20), mirror.process.err()
        mirror.process.signal(signal.SIGTERM)
        sleep(0.3)
        proxy.withheld = None
        assert mirror.process.wait() == Exit.DONE, mirror.process.err()
        assert "files of" not in mirror.process.err()
        there = server.keys("shop", folder)
        assert len(there) == 2 and server.uploads("shop") == []
    finally:
        proxy.close()


@pytest.mark.minio
@pytest.mark.parametrize(("secret", "place", "code"), [("wrong", "shop/other", "TR861"), (SECRET, "none/other", "TR862")], ids=["secret", "bucket"])
def test_a_server_that_refuses_is_named_at_check(mirror: Shop, server: S3Server, secret: str, place: str, code: str):
    said = checked(mirror, bucket(server, place, keys(secret)))
    assert code in said and secret not in said, said


def test_keys_come_from_a_profile_and_the_place_from_the_environment(mirror: Shop, server: S3Server, tmp_path: Path):
    (tmp_path / "credentials").write_text(f"[lake]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "lake",
                   "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}"}
    process = mirror.tailrace.mirror(mirror.cluster.url(mirror.database), "s3://shop/short", "--until-caught-up", environment=environment)
    assert process.wait() == Exit.DONE, process.err()
    assert len(operations(server, "shop/short", "orders", tmp_path / "read")) == 1000


@pytest.mark.minio
def test_the_bucket_may_stand_in_front_of_the_host(mirror: Shop, server: S3Server, tmp_path: Path):
    run(mirror, Path(), bucket(server, "shop/in front ü", f"addressing: host, {keys()}"))
    mirror.cluster.execute("DELETE FROM orders WHERE id = 5", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert operations(server, "shop/in front ü", "orders", tmp_path / "read")[-1] == ("d", 5)
    # The name of the bucket is in the host: no bucket of that name, no lake.
    assert "TR862" in checked(mirror, bucket(server, "none/in front", f"addressing: host, {keys()}"))


@pytest.mark.minio
def test_a_server_is_believed_by_the_authority_that_is_named_and_by_no_other(mirror: Shop, secure_server: S3Server, authority: Authority, tmp_path: Path):
    assert secure_server.endpoint.startswith("https://")
    run(mirror, Path(), bucket(secure_server, "shop/safe", f'ca_file: "{authority.certificate}", {keys()}'))
    mirror.cluster.execute("DELETE FROM orders WHERE id = 5", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert operations(secure_server, "shop/safe", "orders", tmp_path / "read")[-1] == ("d", 5)
    stranger = Authority(tmp_path, "stranger")
    assert "TR861" in checked(mirror, bucket(secure_server, "shop/safe", f'ca_file: "{stranger.certificate}", {keys()}'))
    assert "TR861" in checked(mirror, bucket(secure_server, "shop/safe", keys()))
    # The certificate is for another name.
    elsewhere = f'url: "s3://shop/safe", endpoint: "https://127.0.0.1:{secure_server.port}", ca_file: "{authority.certificate}", {keys()}'
    assert "TR861" in checked(mirror, elsewhere)
    answer = check(mirror, bucket(secure_server, "shop/safe", keys()), {"AWS_CA_BUNDLE": str(authority.certificate)})
    assert answer.code == Exit.DONE, answer


KINDS = ("instance", "container", "web identity")


@pytest.fixture
def lender(server: S3Server) -> Iterator[KeyService]:
    made = KeyService(server.make_account())
    yield made
    made.close()


def asking(kind: str, lender: KeyService, directory: Path) -> dict[str, str]:
    """The environment in which keys are asked for there, and nowhere else."""
    nowhere = {"HOME": str(directory), "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none")}
    token = directory / "token"
    token.write_text(lender.token + "\n")
    return nowhere | {
        "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": lender.url},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": lender.url + "/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)},
        "web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": ROLE_ARN, "AWS_ENDPOINT_URL_STS": lender.url}}[kind]


def start(mirror: Shop, options: str, environment: dict[str, str]) -> None:
    write(mirror, Path(), options)
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml", environment=environment)
    mirror.wait()


@pytest.mark.minio
@pytest.mark.parametrize("kind", KINDS)
def test_lent_keys_are_fetched_again_before_they_run_out(mirror: Shop, server: S3Server, lender: KeyService, kind: str, tmp_path: Path):
    lender.life_s = 3
    start(mirror, bucket(server, f"shop/lent {kind}", ""), asking(kind, lender, tmp_path))
    deadline = monotonic() + 30
    told = 0
    while lender.lent < 4:
        told += 1
        mirror.cluster.execute(f"UPDATE customers SET name = 'n{told}' WHERE id = 1", database=mirror.database)
        mirror.wait()
        assert monotonic() < deadline, "no keys are fetched again"
    mirror.stop()
    there = operations(server, f"shop/lent {kind}", "customers", tmp_path / "read")
    assert there[50:] == [("u", 1)] * told
    # Asked for about once in their life, and never in a way that the service did not take.
    assert lender.lent < 20 and not lender.refused
    assert "TR86" not in mirror.process.err(), mirror.process.err()


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_the_server_takes_back_are_fetched_anew_in_mid_stream(mirror: Shop, server: S3Server, lender: KeyService, kind: str, tmp_path: Path):
    place = f"shop/taken back {kind}"
    start(mirror, bucket(server, place, ""), asking(kind, lender, tmp_path))
    assert lender.lent == 1
    first, lender.account = lender.account, server.make_account()
    # A web identity and a container show another token by then, which somebody wrote into the file.
    lender.token = "token-2"
    (tmp_path / "token").write_text(lender.token)
    server.drop_account(first)
    mirror.cluster.execute("DELETE FROM orders WHERE id = 5", "DELETE FROM orders WHERE id = 6", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert operations(server, place, "orders", tmp_path / "read")[1000:] == [("d", 5), ("d", 6)]
    assert lender.lent == 2
    server.drop_account(lender.account)


def test_a_lender_that_gives_nothing_or_is_away_is_named(mirror: Shop, server: S3Server, tmp_path: Path):
    lender = KeyService(server.make_account())
    options = bucket(server, "shop/nothing", "")
    asked = {kind: asking(kind, lender, tmp_path) for kind in KINDS}
    (tmp_path / "token").write_text("of somebody else")
    for kind in ("container", "web identity"):
        said = checked(mirror, options, asked[kind])
        assert "TR911" in said and "of somebody else" not in said, said
    assert "InvalidIdentityToken" in said
    lender.close()
    for kind in KINDS:
        # It may come back, so this is no more than a warning.
        answer = check(mirror, options, asked[kind])
        assert answer.code == Exit.DONE and "TR910" in answer.out, answer
    assert "TR857" in checked(mirror, options, asked["instance"] | {"AWS_EC2_METADATA_DISABLED": "true"})
    assert os.environ.get("AWS_ACCESS_KEY_ID") is None
