"""Redis loses what it acknowledged: restarts, promotions, emptied parts, no room, other servers."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from feldspar.errors import StoreError, UnreachableError
from feldspar.spec.types import ColumnType
from feldspar.stores.cursors import Replication, part_tags
from feldspar.stores.online import Cursor, OnlineSettings, OnlineStore, Patience, Write
from feldspar.stores.rows import Layout, StoredRow, pack_rows
from support.relay import Relay, relay
from support.valkey import Valkey, cluster, valkey

ROWS = Layout("profile", "row", (("age", ColumnType.INT),))
CURSOR = Cursor(version=3, definition="d", generation=0, epoch=1, clock=1_000, floor=0)


def _put(store: OnlineStore, customer: int, *, size: int = 1) -> int:
    rows = [StoredRow(at, at, 0, 0, at, {"age": at}) for at in range(1, size + 1)]
    key = store.key("customer", [customer], "profile@1")
    value = pack_rows(ROWS, rows, epoch=1)
    return store.write([Write(key, value, None)], kind="row", floor=0)


def _get(store: OnlineStore, customer: int) -> bytes | None:
    return store.get([store.key("customer", [customer], "profile@1")])[0]


def _push(store: OnlineStore, version: int) -> None:
    """What a push leaves."""
    before = store.cursor("profile@1")
    _put(store, version)
    marks = tuple(one.mark for one in store.replication())
    done = replace(CURSOR, version=version, servers=marks)
    store.set_cursor("profile@1", done, before=before)


@contextmanager
def _opened(server: Valkey | Relay, patience: Patience = Patience.REQUEST) -> Iterator[OnlineStore]:
    with OnlineStore(OnlineSettings(server.url, "n"), patience) as store:
        yield store


@contextmanager
def _pair(folder: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """A primary and a replica that has caught up."""
    with valkey(folder / "one") as primary, valkey(folder / "two") as replica:
        _follow(replica, primary)
        yield primary, replica


def _follow(replica: Valkey, primary: Valkey) -> None:
    with replica.client() as client:
        client.replicaof("127.0.0.1", str(primary.port))
    replica.wait(lambda info: info["master_link_status"] == "up", "INFO", "replication")


def _promote(replica: Valkey) -> None:
    with replica.client() as client:
        client.replicaof("NO", "ONE")


def _caught_up(replica: Valkey, primary: Valkey) -> None:
    with primary.client() as client:
        offset = client.info("replication")["master_repl_offset"]
    replica.wait(lambda info: info["slave_repl_offset"] >= offset, "INFO", "replication")


def test_a_server_that_is_still_the_same_one_has_lost_nothing(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, _opened(server) as store:
        _push(store, 3)

        found = store.standing("profile@1")

    assert (found.after, found.lost) == (3, "")


def test_a_first_replica_is_no_loss(tmp_path: Path) -> None:
    with valkey(tmp_path / "a") as server, valkey(tmp_path / "b") as more, _opened(server) as store:
        _push(store, 3)
        _follow(more, server)

        assert store.standing("profile@1").lost == ""


def test_a_restart_from_a_snapshot_that_has_the_cursor_has_lost_nothing(tmp_path: Path) -> None:
    with _pair(tmp_path) as (server, _), _opened(server) as store:
        _push(store, 3)
        with server.client() as client:
            client.save()
        server.stop()
        server.start()

        found = store.standing("profile@1")

    assert (found.after, found.lost) == (3, "")


def test_a_restart_that_does_not_say_what_it_has_may_have_lost_values(tmp_path: Path) -> None:
    kept = ("--appendonly", "yes")
    with valkey(tmp_path, *kept) as server, _opened(server) as store:
        _push(store, 3)
        server.stop()
        server.start(*kept)

        found = store.standing("profile@1")

    assert (found.cursor is None, found.after) == (False, None)
    assert "restarted or failed over since the last push" in found.lost


@pytest.mark.parametrize("earlier", ["0ab0", "ab", "00ab", "ab00"])
def test_an_id_with_zeros_at_its_ends_is_that_id(earlier: str) -> None:
    info = {"master_replid": "cd", "master_repl_offset": 9, "master_replid2": earlier}

    found = Replication.of({**info, "second_repl_offset": 10})

    assert found is not None
    assert found.has(f"run:{earlier}:9")
    assert not found.has(f"run:{earlier}:10")


def test_a_promoted_replica_that_had_it_all_goes_on(tmp_path: Path) -> None:
    with _pair(tmp_path) as (primary, replica):
        with _opened(primary) as store:
            _push(store, 3)
        _caught_up(replica, primary)
        _promote(replica)
        with _opened(replica) as store:
            found = store.standing("profile@1")

    assert (found.after, found.lost) == (3, "")


def test_a_promoted_replica_that_lacks_a_push_goes_on_from_the_one_before(tmp_path: Path) -> None:
    with _pair(tmp_path) as (primary, replica):
        with _opened(primary) as store:
            _push(store, 3)
            _caught_up(replica, primary)
            _promote(replica)
            _push(store, 4)
        with _opened(replica) as store:
            found = store.standing("profile@1")

    assert (found.after, found.lost) == (3, "")


def test_a_server_that_took_another_ones_values_is_not_trusted(tmp_path: Path) -> None:
    with _pair(tmp_path) as (primary, replica):
        with _opened(primary) as store:
            _push(store, 3)
            _caught_up(replica, primary)
            text = (store.cursor("profile@1") or CURSOR).text()
        _promote(replica)
        _follow(primary, replica)
        _promote(primary)
        with _opened(primary) as store, primary.client() as client:
            # two promotions on: its history no longer names the one that was pushed to
            client.hset("n:cursors", "profile@1", text)
            lost = store.standing("profile@1").lost

    assert "failed over since the last push" in lost


def test_an_emptied_part_of_a_cluster_is_noticed(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers, OnlineStore(OnlineSettings(servers.url, "n")) as store:
        _push(store, 3)
        with servers.servers[1].client() as client:
            client.flushall()

        found = store.standing("profile@1")

    assert (found.after, found.cursor is not None) == (None, True)
    assert "parts of the cluster were emptied" in found.lost


def test_a_cluster_goes_on_from_the_lowest_of_its_parts(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers, OnlineStore(OnlineSettings(servers.url, "n")) as store:
        _push(store, 3)
        text = (store.cursor("profile@1") or CURSOR).text()
        _push(store, 4)
        with servers.servers[2].client() as client:
            client.hset(f"n:cursors:{{{part_tags()[-1]}}}", "profile@1", text)

        assert store.standing("profile@1").after == 3


def test_a_request_for_one_entity_asks_one_server_of_a_cluster_twice_at_once(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as servers, OnlineStore(OnlineSettings(servers.url, "n")) as store:
        keys = [store.key("customer", [7], view) for view in ("a@1", "b@1", "c@1")]
        store.read(["a@1"], keys)
        for server in servers.servers:
            with server.client() as client:
                client.config_resetstat()

        store.read(["a@1", "b@1", "c@1"], keys)

        asked = []
        for server in servers.servers:
            with server.client() as client:
                stats = client.info("commandstats")
            asked.append({name: stats[name]["calls"] for name in stats if "mget" in name})
    assert sorted(asked, key=len) == [{}, {}, {"cmdstat_hmget": 1, "cmdstat_mget": 1}]


def test_a_full_server_says_so_serves_on_and_takes_values_again(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, _opened(server) as store, server.client() as admin:
        _push(store, 3)
        admin.config_set("maxmemory", "1mb")

        with pytest.raises(StoreError, match=r"is full \(\d+ of 1 MiB\)") as refused:
            _put(store, 8)
        served, cursor = _get(store, 3), store.cursor("profile@1")
        admin.config_set("maxmemory", "0")

        assert "feldspar online push" in refused.value.hint
        assert (served is None, cursor and cursor.version, _put(store, 8)) == (False, 3, 1)


def test_reads_and_writes_follow_a_name_to_the_promoted_replica(tmp_path: Path) -> None:
    with _pair(tmp_path) as (primary, replica), relay(primary.port) as name:
        stop, failed, read = threading.Event(), list[str](), [0]

        def reading() -> None:
            with _opened(name) as store:
                while not stop.is_set():
                    try:
                        read[0] += _get(store, 1) is not None
                    except UnreachableError as error:
                        failed.append(error.message)

        with _opened(name, Patience.JOB) as store:
            _put(store, 1)
            _caught_up(replica, primary)
            thread = threading.Thread(target=reading)
            thread.start()
            _promote(replica)
            name.target = replica.port
            _follow(primary, replica)

            written = _put(store, 2)
            primary.stop()
            before = read[0]
            replica.wait(lambda _: read[0] > before + 10, "PING")
            stop.set()
            thread.join()

        with _opened(replica) as store:
            there = _get(store, 2)
    assert (written, there is None) == (1, False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate for ``localhost`` that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *files], cwd=folder, check=True, capture_output=True)
    return folder


def _tls(folder: Path) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_a_server_with_a_private_authority_is_reached_by_its_file(
    tmp_path: Path, certificate: Path
) -> None:
    authorities = (certificate / "cert.pem").read_text(encoding="ascii")
    with valkey(tmp_path) as server, relay(server.port, _tls(certificate)) as name:
        settings = OnlineSettings(name.url, "n", authorities=authorities)
        with OnlineStore(settings) as store:
            _push(store, 3)

            assert store.standing("profile@1").after == 3


def test_a_server_that_nobody_vouches_for_is_refused(tmp_path: Path, certificate: Path) -> None:
    with valkey(tmp_path) as server, relay(server.port, _tls(certificate)) as name:
        refused = pytest.raises(UnreachableError, match="certificate verify failed")
        with _opened(name) as store, refused:
            store.get(["a"])
