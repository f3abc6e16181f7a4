"""The audit of the simulator on drawn captures whose shifts are known: a sign that is turned round must be named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.faces.store import Store, StoredSample
from despoof.studies.simulator import (
    MEASURES,
    OF_SURROUNDINGS,
    Spread,
    banding,
    blockiness,
    conclusion,
    lines,
    noise,
    ring_luma,
    ring_sharpness,
    ripple,
    shifts,
    skin_around,
    verdict_on,
)

EACH = 6


def drawn(rng: np.random.Generator, level: float, blur: float) -> np.ndarray:
    grain = cv2.GaussianBlur(rng.normal(0, 40, (256, 256, 3)), (0, 0), blur)
    return np.clip(level + rng.normal(0, 3) + 3 * grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two cameras. Attacks are brighter and softer; simulated ones are darker and softer, live ones are right."""
    folder = tmp_path_factory.mktemp("audit")
    store, rng = Store(folder / "store", about={"face_size": 256}), np.random.default_rng(0)
    looks = {(made, "live"): (100, 2) for made in (False, True)}  # level and blur
    looks |= {(False, "attack"): (120, 4), (True, "attack"): (80, 4)}
    for camera in ("a", "b"):
        for (made, label), (level, blur) in looks.items():
            for i in range(EACH):
                name = f"{camera}-{made}-{label}-{i}.png"
                image = drawn(rng, level, blur)
                cv2.imwrite(str(folder / name), image)
                domain, origin = (f"{camera}-simulated", camera) if made else (camera, "")
                species = "none" if label == "live" else "display" if made else "display_or_print"
                sample = Sample(
                    name, Label(label), species, f"s{i}", domain, simulated=made, origin=origin, source=str(folder)
                )
                store.add(StoredSample(sample, "face", quality={"eye_distance": 60.0 + i}), image)
    return store


def test_a_wrong_sign_and_a_right_one_are_told_apart(store):
    found = {(each.species, each.measure): each for each in shifts(store)}
    assert {species for species, _ in found} == {"all", "display"}  # none that the simulator did not make
    assert {measure for _, measure in found} == set(MEASURES) - set(OF_SURROUNDINGS)  # the store holds none
    luma = found["all", "luma"]
    assert luma.verdict == "wrong sign"
    assert luma.cameras == 2
    assert luma.agree == 0
    assert luma.distance_attack == 1  # apart
    # twenty levels between the classes; the deviation about each is known only roughly
    assert luma.real.median == pytest.approx(-luma.taught.median, rel=0.5)
    assert found["all", "sharpness"].verdict == "right"
    assert found["all", "eye distance"].verdict == "no rule"
    assert abs(found["all", "luma"].live_moved.median) < 0.5
    assert "all, wrong sign: luma" in conclusion(list(found.values()))


def test_a_store_without_simulated_captures_is_refused(store, tmp_path):
    real = Store(tmp_path / "real", about={"face_size": 256})
    for row in store.rows:
        if not row.sample.simulated:
            real.add(row, store.face(row))
    with pytest.raises(InputError, match="--recapture"):
        shifts(real)


@pytest.mark.parametrize(
    ("real", "taught", "moved", "said"),
    [
        (1.0, 0.8, 0.1, "right"),
        (1.0, 9.0, 0.1, "too much"),
        (1.0, 0.1, 0.0, "not taught"),
        (1.0, -0.1, 0.0, "not taught"),
        (-1.0, 0.8, 0.0, "wrong sign"),
        (0.1, 0.3, 0.0, "no rule"),
        (0.1, -0.9, 0.0, "invented"),
        (1.0, 1.0, -0.7, "right, live moved"),
    ],
)
def test_verdicts(real, taught, moved, said):
    assert verdict_on(real, taught, moved) == said


def test_measures_against_drawn_pictures():
    rng = np.random.default_rng(1)
    flat = np.full((128, 128, 3), 128, np.uint8)
    grainy = [np.clip(128 + rng.normal(0, s, (128, 128, 1)).repeat(3, 2), 0, 255).astype(np.uint8) for s in (4, 8)]
    assert [np.exp(noise(each)) for each in grainy] == pytest.approx([4, 8], rel=0.15)
    x = np.arange(128)
    wave = (flat + (10 * np.cos(2 * np.pi * 30 * x / 128))[None, :, None]).astype(np.uint8)
    assert ripple(np.clip(wave + grainy[0] - 128, 0, 255).astype(np.uint8)) > ripple(grainy[0]) + 1
    across = (flat + (10 * np.cos(2 * np.pi * 25 * x / 128))[:, None, None]).astype(np.uint8)
    along = across.transpose(1, 0, 2)
    assert banding(across) > banding(along) + 2
    blocks = rng.integers(90, 160, (16, 16, 1)).astype(np.uint8).repeat(8, 0).repeat(8, 1).repeat(3, 2)
    assert blockiness(blocks) > 2 > blockiness(grainy[0]) + 1.5


def test_measures_of_surroundings_against_drawn_pictures():
    near = np.full((160, 160, 3), (200, 150, 120), np.uint8)  # skin all over
    assert skin_around(near) == 1
    assert lines(near) == 0
    assert ring_luma(near) == pytest.approx(0)
    near[:, :40] = (20, 30, 60)
    near[:, 120:] = (20, 30, 60)
    assert lines(near) == pytest.approx(2, abs=0.7)  # two upright edges; each may be found from both sides
    assert ring_luma(near) < -0.2
    assert skin_around(near) < 0.5
    near[::2, :32] = 255
    assert ring_sharpness(near) > 2


def test_a_spread_says_sign_and_quartiles():
    assert str(Spread.of([1.0, 2.0, 3.0])) == "+2.00 (+1.50 to +2.50)"
    assert np.isnan(Spread.of([]).median)


def test_the_command_writes_table_and_numbers(store, tmp_path: Path):
    from despoof.cli.study import simulator

    simulator(tmp_path / "audit.md", store.root, threads=1)
    text = (tmp_path / "audit.md").read_text()
    assert text.startswith("- all, wrong sign: ")
    assert "| luma " in text
    assert (tmp_path / "audit.json").exists()
