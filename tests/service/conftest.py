"""Guards of service tests: real ones with tiny random weights, stubs whose answers are known; and a client."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from despoof.detector.config import TINY
from despoof.detector.network import Detector
from despoof.engine.by_torch import TorchEngine
from despoof.faces.quality import QualityLimits
from despoof.pipeline import Guard
from despoof.verdict import Decision, Verdict


@dataclass
class StubGuard:
    """Answers what `judge` says of each body; keeps the sizes of batches and the threads it was called in."""

    judge: Callable[[Any], Verdict]
    weights: dict[str, str] = field(default_factory=lambda: {"detector": "0123456789ab"})
    thresholds: tuple[float, float] = (0.3, 0.6)
    clip_thresholds: tuple[float, float] = (0.3, 0.6)
    limits: QualityLimits = field(default_factory=QualityLimits)
    engine_name: str = "torch"
    profile: None = None
    point: str = "balanced"
    find: Callable[[Any], list] = field(default=lambda image: [])  # nobody is on a clip's frames
    batches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        facts = {"thresholds": {"attack_below": 0.3, "live_from": 0.6}, "loss": float("nan")}
        self.engine = TorchEngine(Detector(replace(TINY, insertion="none"), facts))

    def check_many(self, sources: list[Any]) -> list[Verdict]:
        """Judge all but the warm-up's picture, which comes as an array."""
        if not isinstance(sources[0], bytes):
            return [Verdict(Decision.NO_DECISION)]
        self.batches.append(len(sources))
        return [self.judge(source) for source in sources]

    def with_counterpart(self, verdict: Verdict) -> Verdict:
        """Leave a verdict as it is."""
        return verdict

    def check_faces(self, scene: Any, thresholds: tuple[float, float]) -> list[Verdict]:
        """Judge what was found in a frame, which is nothing."""
        return []


def seen(liveness: float = 0.123456) -> Verdict:
    """A verdict with hand-made pictures: black face, white counterpart, a cue of one bright half."""
    cue = np.zeros((3, 64, 64), np.float32)
    cue[:, :, 32:] = 1.0
    face, counterpart = np.full((3, 64, 64), -1, np.float32), np.full((3, 64, 64), 1, np.float32)
    decision = Decision.LIVE if liveness >= 0.6 else Decision.UNCERTAIN if liveness >= 0.3 else Decision.ATTACK
    return Verdict(decision, liveness, (), (0.3, 0.6), face, counterpart, cue, {"detect": 1.25}, {})


def open_guard() -> Guard:
    """Tiny random weights whose thresholds call every face that is judged live: any failure to refuse shows."""
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    detector = Detector(replace(TINY, insertion="none"), facts).eval()
    return Guard(TorchEngine(detector, weights={"detector": "0123456789ab"}))


@contextmanager
def client_of(load: Callable[[], Any], *, ready: bool = True, headers: dict | None = None, **options: Any) -> Iterator:
    """A client on this machine of an application that has loaded (or failed to)."""
    try:
        from starlette.testclient import TestClient
    except RuntimeError as error:  # what starlette raises without a client
        pytest.skip(f"no HTTP client for tests is installed ({error}): pip install httpx2")
    from despoof.service.app import build_app

    app = build_app(load, **options)
    local = {"base_url": "http://127.0.0.1:8000", "client": ("127.0.0.1", 50000), "headers": headers}
    with TestClient(app, raise_server_exceptions=False, **local) as client:
        workers = app.state.service.workers
        for _ in range(600):
            if workers.state != "loading":
                break
            time.sleep(0.05)
        assert workers.state == "ready" or not ready
        yield client


class Served:
    """An application on a free port of this machine."""

    def __init__(self, app: Any) -> None:
        import uvicorn

        from despoof.service.server import server_config

        self.app = app
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._server = uvicorn.Server(server_config(app, app.state.service.config))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while app.state.service.workers.state == "loading":
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def serve() -> Iterator[Any]:
    opened: list[Served] = []

    def start(load: Any, **options: Any) -> Served:
        from despoof.service.app import build_app

        opened.append(Served(build_app(load, **options)))
        return opened[-1]

    yield start
    for served in opened:
        served.stop()


@pytest.fixture(scope="session")
def jpeg(portrait: np.ndarray) -> bytes:
    """The portrait as a file."""
    buffer = io.BytesIO()
    Image.fromarray(portrait).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make() -> Any:
    """What tests build with, since a conftest cannot be imported."""

    class Make:
        stub = StubGuard
        verdict = staticmethod(seen)
        open_guard = staticmethod(open_guard)
        client = staticmethod(client_of)

    return Make
