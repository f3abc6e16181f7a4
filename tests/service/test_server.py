"""The server on a real socket: silent connections end, no header is read in two ways, and a stop is an answer."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")
pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")

from despoof.clip.frame import Frame
from despoof.service.config import ServiceConfig
from despoof.service.server import server_config

CLIP = b"\0\0\0\x18ftypisom" + bytes(64)


def test_the_server_waits_for_nobody_for_ever() -> None:
    config = server_config(None, ServiceConfig(header_seconds=4, keep_alive_seconds=3, drain_seconds=2))
    assert config.http.header_seconds == 4
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (3, 2)
    assert config.limit_concurrency is None  # idle connections would count, and close every route
    assert not config.proxy_headers


def opened(port: int, text: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(text)
    return connection


def read(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    found = b""
    while part := connection.recv(2**16):
        found += part
    return found


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"])
def test_a_connection_that_brings_no_request_is_closed(serve: Any, make: Any, begun: bytes) -> None:
    port = serve(lambda: make.stub(None), config=ServiceConfig(header_seconds=0.2)).port
    with opened(port, begun) as connection:
        assert read(connection) == b""


def test_a_connection_that_goes_silent_after_an_answer_is_closed(serve: Any, make: Any) -> None:
    port = serve(lambda: make.stub(None), config=ServiceConfig(header_seconds=0.2)).port
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with opened(port, request + b"G") as connection:  # one byte ends uvicorn's own time-out
        assert read(connection).startswith(b"HTTP/1.1 200")


def test_many_silent_connections_do_not_close_the_routes(serve: Any, make: Any) -> None:
    port = serve(lambda: make.stub(None)).port
    silent = [opened(port) for _ in range(300)]
    with opened(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as connection:
        assert read(connection).startswith(b"HTTP/1.1 200")
    for connection in silent:
        connection.close()


def test_two_lengths_and_large_headers_are_refused_on_the_wire(serve: Any, make: Any) -> None:
    port = serve(lambda: make.stub(None)).port
    head = b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\n"
    for lines, status in (
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"400"),
        (b"X-Large: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n", b"431"),
    ):
        with opened(port, head + b"Connection: close\r\n" + lines) as connection:
            assert read(connection).startswith(b"HTTP/1.1 " + status)


def test_head_has_no_body_on_the_wire(serve: Any, make: Any) -> None:
    port = serve(lambda: make.stub(None)).port
    with opened(port, b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as connection:
        head, _, body = read(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_clips_under_way_at_a_stop_are_503_in_json(
    serve: Any, make: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def read_clip(data: bytes, rule: Any) -> Iterator[Frame]:
        for number in range(100):
            yield Frame(float(number), np.zeros((64, 64, 3), np.uint8))
            begun.set()
            assert go_on.wait(20)

    monkeypatch.setattr("despoof.service.worker.read_clip", read_clip)
    served = serve(lambda: make.stub(None), config=ServiceConfig(drain_seconds=1))
    answers: list[tuple[int, dict]] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        connection.request("POST", "/v1/check-video", CLIP)
        response = connection.getresponse()
        answers.append((response.status, json.loads(response.read())))

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=served.stop)
    stopping.start()
    for caller in callers:
        caller.join(20)
    go_on.set()
    stopping.join(20)
    assert [(status, answer["error"]) for status, answer in answers] == [(503, "stopping")] * 3
    assert "Traceback" not in capsys.readouterr().err  # uvicorn's log
