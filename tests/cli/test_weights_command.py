"""Packing rounds networks and not what judges their numbers; thresholds were set before it, and must still hold."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from despoof.cli.weights import pack
from despoof.detector.config import PROBE
from despoof.detector.network import Detector, load_detector, save_detector


def test_what_judges_is_not_rounded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = replace(
        PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=8,
        branches=("near_minifasnet",),
    )  # fmt: skip
    made = Detector(config, {"thresholds": {"attack_below": 0.3, "live_from": 0.6}}).eval()
    given = torch.rand(4, 3, 64, 64) * 2 - 1, None, torch.rand(4, 2, 3, 160, 160) * 2 - 1
    with torch.no_grad():
        numbers = made.statistics(*given)
        made.standardise.running_mean.copy_(numbers.mean(0))
        made.standardise.running_var.copy_(numbers.var(0))
        made.standardise.running_var[0], made.standardise.running_var[1] = 1e6, 1e-9  # neither is a 16-bit float
        made.embed.weight[:, 0] *= 1e5
    whole = made.liveness(*given)
    save_detector(tmp_path / "detector.safetensors", made)
    pack("none", tmp_path / "detector.safetensors", tmp_path / "out")
    packed = load_detector(tmp_path / "out/detector.safetensors")
    assert whole.std() > 0.05
    torch.testing.assert_close(packed.liveness(*given), whole, atol=3e-3, rtol=0)
    kinds = {name: tensor.dtype for name, tensor in load_file(tmp_path / "out/detector.safetensors").items()}
    networks = {name for name, kind in kinds.items() if kind == torch.float16}
    assert networks == {name for name in kinds if name.split(".")[0] in ("backbone", "branches")} - {
        name for name, kind in kinds.items() if kind == torch.int64
    }
    assert made.standardise.running_var[0].item() == pytest.approx(packed.standardise.running_var[0].item())
