"""`despoof train departure` on drawn faces: the file, its facts, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample, Split
from despoof.departure.departure import load_departure
from despoof.detector.config import TINY as TINY_DETECTOR
from despoof.detector.network import Detector, load_detector, save_detector
from despoof.errors import ArtefactError
from despoof.faces.store import Store, StoredSample
from despoof.generator.config import TINY
from despoof.generator.registry import build_generator, load_generator, save_generator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Live captures and attacks of four cameras, other faces, a generator and a detector that were never trained."""
    folder = tmp_path_factory.mktemp("departure")
    store, rng = Store(folder / "store", about={"face_size": 256}), np.random.default_rng(0)
    for i in range(32):
        image = cv2.resize(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), (256, 256))
        label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
        store.add(StoredSample(Sample(f"{i}.png", label, species, f"s{i}", "abcd"[i % 8 // 2]), "face"), image)
    torch.manual_seed(0)
    generator = build_generator(TINY).eval()
    save_generator(folder / "generator.safetensors", generator)
    faces = Store(folder / "faces", about={"face_size": 256})
    for i, split in enumerate([Split.TRAIN, Split.TEST, Split.TEST]):
        image = cv2.resize(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), (256, 256))
        faces.add(StoredSample(Sample(f"{i}.png", Label.LIVE, subject=f"t{i}", split=split), "face"), image)
    parents = {"generator": generator.name, "start_step": str(generator.start_of(None))}
    save_detector(folder / "detector.safetensors", Detector(TINY_DETECTOR, {"parents": parents}))
    return folder


def test_the_file_says_what_it_learned_from_and_is_the_same_twice(folder: Path, capsys) -> None:
    more = [
        "--weights",
        folder,
        "--faces",
        folder / "faces",
        "--each",
        3,
        "--changes",
        2,
        "--steps",
        5,
        "--cases",
        12,
        "--threads",
        1,
    ]
    for name in ("one", "two"):
        given = ["train", "departure", folder / "store", folder / name, *more]
        build_app()([str(each) for each in given], result_action="return_value")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()
    facts = load_departure(folder / "one", load_detector(folder / "detector.safetensors").backbone).facts
    assert (facts["strength"]["live"], facts["strength"]["cameras"]) == (12, 4)
    assert (facts["strength"]["faces"], facts["strength"]["changed"]) == (2, 2 * (12 + 2))
    assert facts["parents"]["generator"] == load_generator(folder / "generator.safetensors").name
    quantiles = facts["strength"]["quantiles"]
    assert len(quantiles) == 21
    assert quantiles == sorted(quantiles)
    said = capsys.readouterr().out
    assert str(quantiles) in said
    assert "12 live, 12 attacks, 4 cameras" in said
    assert said.count("of 12 (") == 2 * 4  # of all cases, by map and residual, twice
    assert said.count("of 4 (") == 2 * 4 * 3


def test_a_generator_that_is_not_the_detectors_is_refused(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    save_generator(tmp_path / "generator.safetensors", build_generator(TINY).eval())
    (tmp_path / "detector.safetensors").write_bytes((folder / "detector.safetensors").read_bytes())
    with pytest.raises(ArtefactError, match="belongs to counterparts of"):
        build_app()(
            ["train", "departure", str(folder / "store"), str(tmp_path / "x"), "--weights", str(tmp_path)],
            result_action="return_value",
        )
