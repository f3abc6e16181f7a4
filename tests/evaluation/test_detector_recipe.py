"""A recipe's members: who learns from what, and that the file that results is their mean."""

from pathlib import Path

import numpy as np
import pytest
import torch

import despoof.evaluation.models as detectors
from despoof.detector.batches import Gathered, without_simulated
from despoof.detector.network import load_detector
from despoof.evaluation.models import DetectorRecipe


def _gathered(start: int, count: int = 24) -> Gathered:
    rng = np.random.default_rng(start)
    faces = rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    live, domain = np.arange(count) % 2 == 0, np.arange(count) // 2 % 3
    return Gathered(faces, None, live, domain, [f"{start}-{i}" for i in range(count)], domain == 2)


def test_without_simulated_keeps_the_real_rows_in_order():
    gathered = _gathered(1)
    real = without_simulated(gathered)
    kept = [i for i in range(24) if gathered.domain[i] != 2]
    assert real.keys == [gathered.keys[i] for i in kept]
    assert np.array_equal(real.faces, gathered.faces[kept])
    assert np.array_equal(real.live, gathered.live[kept])
    assert not real.simulated.any()
    assert without_simulated(real) is real


def test_real_members_learn_from_real_captures_and_all_weigh_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    plain = detectors.train

    def watched(config, training, train_set, validation, folder, **options):
        seen.append((Path(folder).name, training.seed, training.start_seed, sorted(set(train_set.domain.tolist()))))
        return plain(config, training, train_set, validation, folder, **options)

    monkeypatch.setattr(detectors, "train", watched)
    recipe = DetectorRecipe("tiny", "none", Path("nowhere"), steps=2, members=2, real_members=1)
    path = recipe.fit((_gathered(1), without_simulated(_gathered(2))), 5, tmp_path)
    assert seen == [
        ("member-0", 5, 5, [0, 1, 2]),
        ("member-1", 1005, 5, [0, 1, 2]),
        ("real-member-0", 5, 5, [0, 1]),
    ]
    members = [load_detector(tmp_path / name / "detector.safetensors").state_dict() for name, *_ in seen]
    for name, value in load_detector(path).state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([member[name] for member in members]).mean(0))
