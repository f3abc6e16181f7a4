"""The command: closed on open addresses without a key, one line where the extra is missing, and a real server on a real
socket that ends in order; a default that listens to the world would be found by strangers first."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from despoof.cli.app import build_app as commands
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import ArtefactError, ConfigError

KEY = "a-key-of-this-test"


def serve(*tokens: object) -> object:
    return commands()(["serve", *map(str, tokens)], result_action="return_value")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    (tmp_path / "card.md").write_text("Licence: of this test.")
    return tmp_path


def test_help_names_every_option_and_limit(capsys: pytest.CaptureFixture) -> None:
    serve("--help")
    text = capsys.readouterr().out
    for option in (
        "--host",
        "--port",
        "--weights",
        "--key-file",
        "--threads",
        "--workers",
        "max-bytes",
        "waiting",
        "answer-seconds",
    ):
        assert option in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "a.example"])
def test_an_open_address_without_a_key_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    monkeypatch.delenv("DESPOOF_API_KEYS", raising=False)
    monkeypatch.setattr("uvicorn.Server.run", lambda server: pytest.fail("the door is open"))
    with pytest.raises(ConfigError, match="no API key"):
        serve("--host", host)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'despoof\[serve\]'"):
        serve()


def test_a_wrong_name_of_weights_ends_the_command_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    monkeypatch.setattr("uvicorn.Server.run", lambda server: pytest.fail("it stays up without weights"))
    with pytest.raises(ArtefactError, match="TYPO"):
        serve("--weights", "TYPO")


@pytest.mark.parametrize("option", ["--workers", "--threads"])
def test_no_workers_and_no_threads_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        serve(option, 0)


@pytest.fixture
def server(weights: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "despoof", "serve", "--port", str(port), "--weights", str(weights)]
    process = subprocess.Popen(
        [*command, "--workers=2", "--limits.max-bytes=400000"], env=os.environ | {"DESPOOF_API_KEYS": KEY}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    yield process, port
    process.kill()
    process.communicate()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {"authorization": f"Bearer {KEY}"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_the_installed_command_serves_and_ends_in_order(server: tuple, jpeg: bytes) -> None:
    process, port = server
    for _ in range(300):
        try:
            if ask(port, "GET", "/readyz")[0] == 200:
                break
        except OSError:
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    status, answer = ask(port, "POST", "/v1/check", jpeg)
    assert (status, answer["decision"]) == (200, "LIVE")
    assert ask(port, "GET", "/v1/model")[1]["licence"] == "Licence: of this test."
    assert ask(port, "POST", "/v1/check", jpeg + bytes(400_000))[0] == 413
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGTERM)
    assert out == f"despoof: http://127.0.0.1:{port}/\n"
    assert "Traceback" not in log
    assert KEY not in log
    rows = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [row["status"] for row in rows if row["route"] == "/v1/check"] == [200, 413]
