"""Two processes learn what one does from the same global batch: a share gathered in another order, or a gradient
averaged twice, still trains, only another model than the config says."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import despoof
from despoof.detector import backbones as backbone
from despoof.detector.backbones.backbone import Backbone, Stage
from despoof.detector.config import TINY, TINY_TRAINING, OptimiserConfig, TechniqueConfig
from despoof.detector.network import load_detector, save_detector
from despoof.detector.train import _share, train
from despoof.errors import ConfigError
from despoof.runs.processes import global_batch, open_processes, own_share
from toys import toys

CONFIG = replace(TINY, backbone="plain", insertion="none", dropout=0.0)
WORKER = """
import sys
import torch
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
from test_detector_processes import main
main(sys.argv[2])
"""


def plain() -> Backbone:
    """A backbone without batch norm, whose statistics are those of a process's own share."""
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()]
    return Backbone(layers, (Stage(2, 2, 8), Stage(4, 4, 8)), 8)


def learn(folder: Path, technique: str, accumulation: int = 1, optimiser: str = "adamw") -> Path:
    backbone.BACKBONES["plain"] = plain
    rates = OptimiserConfig(optimiser, warmup=2, new_learning_rate=1e-2)
    training = replace(TINY_TRAINING, technique=TechniqueConfig(technique), optimiser=rates)
    training = replace(training, accumulation=accumulation)
    processes = open_processes(cpu=True)
    detector = train(CONFIG, training, toys(40, 1), toys(24, 2), folder, processes=processes)
    if processes.is_main_process:
        save_detector(folder / "detector.safetensors", detector)
    processes.wait_for_everyone()
    return folder / "detector.safetensors"


def main(folder: str) -> None:
    for technique in ("ssdg", "safas"):
        learn(Path(folder) / f"two-{technique}", technique)


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(backbone.BACKBONES, "plain", plain)
    (tmp_path / "worker.py").write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    source = str(Path(despoof.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": source}
    arguments = [str(tmp_path / "worker.py"), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return tmp_path


def test_two_processes_learn_what_one_does(launched: Path) -> None:
    for technique in ("ssdg", "safas"):
        one = load_detector(learn(launched / f"one-{technique}", technique))
        two = load_detector(launched / f"two-{technique}" / "detector.safetensors")
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(two.state_dict()[name], tensor, atol=2e-5, rtol=1e-3)
        curves = [
            [json.loads(line) for line in (launched / f"{run}-{technique}" / "log.jsonl").read_text().splitlines()]
            for run in ("one", "two")
        ]
        losses = [np.array([line["cross_entropy"] for line in curve]) for curve in curves]
        np.testing.assert_allclose(losses[1], losses[0], atol=2e-5)
        assert np.ptp(losses[0]) > 1e-3  # it does learn something


class Alone:
    """What the functions ask of an accelerator."""

    num_processes, process_index = 3, 1


def test_a_share_is_every_third_item_and_must_divide() -> None:
    assert own_share(Alone(), 12).tolist() == [1, 4, 7, 10]
    with pytest.raises(ConfigError, match="batch 10 does not divide into 3 processes"):
        own_share(Alone(), 10)


def test_alone_a_share_is_the_whole() -> None:
    alone = Alone()
    alone.num_processes = 1
    values = torch.arange(4.0)
    assert global_batch(alone, values) is values


def test_parts_of_a_batch_are_those_of_one_process_and_hold_every_group() -> None:
    """A batch is sorted: two domains, live then attack, four each."""
    groups = torch.arange(16) // 4
    shares = []
    for place in range(2):
        shares.append(_share(SimpleNamespace(num_processes=2, process_index=place), 16, 2).chunk(2))
    alone = _share(SimpleNamespace(num_processes=1, process_index=0), 16, 2).chunk(2)
    for part in range(2):
        assert torch.stack([share[part] for share in shares], 1).flatten().equal(alone[part])
        assert groups[alone[part]].bincount().tolist() == [2, 2, 2, 2]


def test_an_accumulated_batch_is_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loss is a mean over samples and nothing is drawn in the network; Adam makes much of small gradients."""
    monkeypatch.setitem(backbone.BACKBONES, "plain", plain)
    whole = load_detector(learn(tmp_path / "whole", "erm", optimiser="sgd")).state_dict()
    parts = load_detector(learn(tmp_path / "parts", "erm", 2, optimiser="sgd")).state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=2e-5, rtol=1e-3)
