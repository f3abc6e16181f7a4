"""The demo shows what was judged, whatever kind of detector judged it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from despoof.cli.demo import demo
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.generator.config import TINY as TINY_GENERATOR
from despoof.generator.registry import LatentDiffusion, save_generator


@pytest.mark.parametrize("insertion", ["attention", "none"])
def test_each_judged_picture_has_face_counterpart_and_cue(
    tmp_path: Path, insertion: str, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    generator = LatentDiffusion(TINY_GENERATOR)
    facts = {
        "thresholds": {"attack_below": 0.3, "live_from": 0.6},
        "parents": {"generator": generator.name, "start_step": str(generator.start_of(None))},
    }
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion=insertion), facts))
    save_generator(tmp_path / "generator.safetensors", generator)
    demo(out=tmp_path / "out", weights=str(tmp_path), seeds=1)
    printed = capsys.readouterr().out
    pictures = {path.stem: Image.open(path).width // 256 for path in (tmp_path / "out").iterdir()}
    assert set(pictures) == {"portrait", "live-simulated-0", "display-simulated-0", "print-simulated-0"}
    assert pictures["portrait"] == 3
    judged = printed.count("liveness")
    assert list(pictures.values()).count(3) == judged
    assert printed.count("  point      balanced") == len(pictures)
