"""``python -m feldspar.serving`` as a process of its own, configured by files and variables."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feldspar.stores.online import OnlineStore
from support.scoring import NOON, Payment, environment_with, put_features, small_graph
from support.serving_process import served_project, serving_process
from support.valkey import valkey

# https://github.com/torvalds/linux/blob/v6.1/include/uapi/linux/tcp.h: struct tcp_info
TCP_INFO_BYTES = 160
DATA_SEGMENTS_IN = 152


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a process that serves one customer."""
    tmp_path = tmp_path_factory.mktemp("served")
    graph = small_graph(tmp_path)
    with valkey(tmp_path / "valkey") as server:
        with OnlineStore.of(environment_with(tmp_path, server.url, "shop")) as store:
            put_features(graph, store, {1: [Payment(1, 10.0, 0.5)]})
        variables = served_project(tmp_path, "shop", server.url)
        log = tmp_path / "serving.log"
        with serving_process(Path(sys.executable), variables, log=log) as found:
            yield found


def test_the_process_serves_the_project_that_variables_name(client: httpx.Client) -> None:
    answer = client.post("/features", json={"service": "lending", "customer_id": 1})

    assert answer.status_code == 200, answer.text
    assert answer.json()["timestamp"] == NOON.isoformat().replace("+00:00", "Z")


def test_an_answer_is_sent_in_one_piece(client: httpx.Client) -> None:
    body = json.dumps({"service": "lending", "customer_id": 1}).encode()
    head = (
        "POST /features HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        for number in range(1, 4):
            connection.sendall(request)
            assert b"avg_amount_7d" in answer_on(connection)
            assert data_segments(connection) == number
        # two at once: their answers come in order, however they are cut
        connection.sendall(request + request)
        assert b"avg_amount_7d" in answer_on(connection)
        assert b"avg_amount_7d" in answer_on(connection)


def answer_on(connection: socket.socket) -> bytes:
    """The body of the next answer, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    (length,) = (
        int(line.partition(b":")[2])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length:")
    )
    return connection.recv(length, socket.MSG_WAITALL)


def data_segments(connection: socket.socket) -> int:
    """Segments with data that came in so far."""
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return int(struct.unpack_from("I", told, DATA_SEGMENTS_IN)[0])
