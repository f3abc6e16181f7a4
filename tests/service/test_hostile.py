"""Mutated and hand-made bodies: none is answered with 5xx or LIVE, even by a guard that calls every judged face live.
The full number is for `benchmarks/service_hostile.py`; here its first hundreds, and a check that it can fail."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")

COUNT = 260
FILE = Path(__file__).parents[2] / "benchmarks/service_hostile.py"


@pytest.fixture(scope="module")
def hostile() -> Any:
    spec = importlib.util.spec_from_file_location("service_hostile", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["service_hostile"] = module
    spec.loader.exec_module(module)
    return module


def test_no_hostile_body_is_answered_with_an_error_or_live(hostile: Any, make: Any) -> None:
    wrong, statuses = [], set()
    with make.client(make.open_guard) as client:
        for number, body in enumerate(hostile.bodies(COUNT, seed=1)):
            response = client.post(body.path, content=body.data, headers={"content-type": body.declared})
            statuses.add(response.status_code)
            if fault := hostile.wrong(response.status_code, response.json()):
                wrong.append(f"{number} {body.name}: {fault}")
        assert client.get("/readyz").status_code == 200
        assert client.app.state.service.admission.held == 0
    assert wrong == []
    assert statuses == {200, 400, 413, 415, 422}


def test_the_same_seed_makes_the_same_bodies_and_another_others(hostile: Any) -> None:
    first, again, other = (list(hostile.bodies(120, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first[100:] != other[100:]


def test_a_whole_face_would_be_live_so_the_check_can_fail(hostile: Any, make: Any, jpeg: bytes) -> None:
    with make.client(make.open_guard) as client:
        response = client.post("/v1/check", content=jpeg)
    assert hostile.wrong(response.status_code, response.json()) == "LIVE"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {}), (503, {"decision": "NO_DECISION"}), (200, {"decision": "LIVE"}), (200, []),
        (200, {"decision": "YES"}), (200, {"results": []}), (415, {"detail": "x"}),
        (200, {"results": [{"decision": "ATTACK"}, {"decision": "LIVE"}]}),
    ],
)  # fmt: skip
def test_wrong_answers_are_called_wrong(hostile: Any, status: int, answer: Any) -> None:
    assert hostile.wrong(status, answer)
