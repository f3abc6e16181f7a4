"""What a run logs reaches TensorBoard, and a resumed run leaves one value a step: a purge at the wrong step shows
two."""

import json
from pathlib import Path

import pytest
import torch

from despoof.runs.identity import Identity
from despoof.runs.loop import LoopConfig, run_loop

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def _step(number: int) -> dict[str, float]:
    if number == 5 and not _step.__dict__.get("resumed"):
        raise KeyboardInterrupt
    return {"loss": 1 / (number + 1)}


def test_a_killed_and_resumed_run_shows_each_step_once_with_the_logged_value(tmp_path: Path) -> None:
    parts = {"net": torch.nn.Linear(1, 1)}
    config = LoopConfig(8, save_every=3, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        run_loop(tmp_path, parts, _step, config, title="test", identity=Identity("test"))
    _step.resumed = True  # type: ignore[attr-defined]
    run_loop(tmp_path, parts, _step, config, title="test", identity=Identity("test"))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    shown = {event.step: event.value for event in events.Scalars("loss")}
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))
    assert shown == pytest.approx({line["step"]: line["loss"] for line in logged}, abs=1e-6)
