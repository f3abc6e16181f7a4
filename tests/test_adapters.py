"""Adapters only ever deny: their box in, LIVE out only where our verdict is; what is missing or hangs denies."""

import http.client
import json
import runpy
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import despoof
from despoof.clip.attempts import AttemptPolicy
from despoof.errors import ArtefactError
from despoof.runs.config import read_toml
from despoof.verdict import Decision, Verdict

ADAPTERS = Path(__file__).parents[1] / "examples/adapters"
PIPELINES, WEBHOOK = (
    SimpleNamespace(**runpy.run_path(str(ADAPTERS / f"{name}.py"))) for name in ("face_pipelines", "webhook")
)
IMAGE = np.zeros((100, 100, 3), np.uint8)


class Stub:
    """A guard that calls the left half live, and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list = []

    def check(self, image, *, bgr=False, face=None) -> Verdict:
        self.asked.append((bgr, tuple(face)))
        return Verdict(Decision.LIVE if face[0] < 50 else Decision.ATTACK)


def missing() -> None:
    raise ArtefactError("weights are missing")


def hanging() -> None:
    time.sleep(5)


def test_insightface_keeps_the_faces_that_are_live():
    stub = Stub()
    faces = [SimpleNamespace(bbox=np.array(box, np.float32), embedding=i) for i, box in
             enumerate([(10, 20, 40, 60), (60, 20, 90, 60)])]  # fmt: skip
    kept = PIPELINES.only_live(IMAGE, faces, PIPELINES.Liveness(lambda: stub))
    assert [face.embedding for face in kept] == [0]
    assert stub.asked == [(True, (10, 20, 30, 40)), (True, (60, 20, 30, 40))]  # BGR, as OpenCV reads


def test_deepface_is_told_in_its_own_words_and_never_overruled():
    found = [
        {"facial_area": {"x": 10, "y": 20, "w": 30, "h": 40, "left_eye": (1, 2)}, "confidence": 0.9},
        {"facial_area": {"x": 60, "y": 20, "w": 30, "h": 40}},
        {"facial_area": {"x": 10, "y": 20, "w": 30, "h": 40}, "is_real": False},
        {"confidence": 0},  # no face: DeepFace with enforce_detection=False
    ]
    marked = PIPELINES.marked(IMAGE, found, PIPELINES.Liveness(Stub))
    assert [each["is_real"] for each in marked] == [True, False, False, False]
    assert marked[0]["confidence"] == 0.9
    assert "is_real" not in found[0]


@pytest.mark.parametrize("load", [missing, hanging, lambda: None])
def test_without_weights_without_an_answer_and_without_a_guard_nobody_is_live(load):
    liveness = PIPELINES.Liveness(load, AttemptPolicy(most=1, seconds=0.3))
    face = SimpleNamespace(bbox=np.array((10, 20, 40, 60)))
    assert PIPELINES.only_live(IMAGE, [face], liveness) == []
    (marked,) = PIPELINES.marked(IMAGE, [{"facial_area": {"x": 1, "y": 2, "w": 3, "h": 4}}], liveness)
    assert marked["is_real"] is False
    assert marked["liveness_reason"]


def test_the_real_guard_takes_their_boxes(portrait: np.ndarray):
    """The portrait is judged as it is without a box, and not at all where their finder saw something else."""
    guard = despoof.load()
    liveness = PIPELINES.Liveness(lambda: guard)
    image, box = portrait[..., ::-1], (177, 65, 96, 118)
    assert liveness.admits(image, box).decision is guard.check(portrait).decision
    elsewhere = liveness.admits(image, (400, 400, 50, 60))
    assert (elsewhere.decision, elsewhere.is_live) == (Decision.NO_DECISION, False)


@pytest.fixture
def hook() -> Iterator:
    running = []

    def open_hook(load, **options) -> int:
        server = WEBHOOK.server(0, load, **options)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return server.server_address

    yield open_hook
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join(10)


def post(port: int, body: bytes, **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_webhook_allows_live_alone_and_listens_on_this_machine(hook):
    says = {b"live": Decision.LIVE, b"attack": Decision.ATTACK, b"unsure": Decision.UNCERTAIN}
    host, port = hook(lambda: SimpleNamespace(check=lambda data: Verdict(says[data])))
    assert host == "127.0.0.1"
    assert post(port, b"live") == (200, {"allow": True, "why": "LIVE at attempt 1"})
    for body in (b"attack", b"unsure", b"raises a KeyError"):
        status, answer = post(port, body)
        assert (status, answer["allow"]) == (403, False)
    assert post(port, b"live", **{"content-length": "-4"})[0] == 403
    assert post(port, b"")[0] == 403


@pytest.mark.parametrize("load", [missing, hanging])
def test_the_webhook_denies_without_weights_and_in_time(hook, load):
    _, port = hook(load, policy=AttemptPolicy(most=1, seconds=0.3))
    status, answer = post(port, b"live")
    assert (status, answer["allow"]) == (403, False)


def test_the_policy_beside_them_is_the_default():
    assert read_toml(AttemptPolicy, ADAPTERS / "policy.toml") == AttemptPolicy()
