"""Where the map of what ships peaks when a live face is changed in one place, beside what pixels say of the same.

The bounds are what was measured here, less a margin for other processors; docs/explanations.md has what limits them.
"""

from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from despoof.data.simulation.local import KINDS, change
from despoof.departure import departure_of, load_departure
from despoof.detector.network import load_detector
from despoof.faces.align import align, as_tensor
from despoof.faces.detect import retinaface
from despoof.generator.registry import load_generator
from despoof.pair import files_of

CASES, SIDE = 200, 128
BOUNDS = {"map": 0.66, "map, removed wholly": 0.87}  # least share of peaks inside the changed region


class Cases(NamedTuple):
    """Changed faces, their counterparts, those of the unchanged faces (N, 3, S, S); regions (N, S, S); kinds (N,)."""

    faces: torch.Tensor
    made: torch.Tensor
    unchanged: torch.Tensor
    regions: np.ndarray
    kinds: np.ndarray


@pytest.fixture(scope="module")
def cases(portrait: np.ndarray) -> Cases:
    """Return 200 changes of ten live faces: one person's, mirrored, turned, nearer, darker and lighter."""
    live = [_live(portrait, np.random.default_rng(seed)) for seed in range(10)]
    changes = [change(live[i % len(live)], KINDS[i % len(KINDS)], i) for i in range(CASES)]
    faces = as_tensor(np.stack([one.face for one in changes]), SIDE)
    regions = np.stack([cv2.resize(one.region.astype(np.uint8), (SIDE, SIDE)) > 0 for one in changes])
    generator = load_generator(files_of("default")[0])
    made = torch.cat([generator.counterpart(some) for some in faces.split(25)])
    unchanged = generator.counterpart(as_tensor(np.stack(live), SIDE))
    places = [i % len(live) for i in range(CASES)]
    return Cases(faces, made, unchanged[places], regions, np.array([KINDS[i % len(KINDS)] for i in range(CASES)]))


def _live(portrait: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an aligned face (256, 256, 3) uint8 of the portrait as another camera might have taken it."""
    marks = np.array(retinaface(portrait)[0].landmarks, float) + rng.normal(0, 1.5, (5, 2))
    face = align(portrait, marks)
    face = face[:, ::-1] if rng.random() < 0.5 else face
    tinted = 255 * (face / 255.0) ** rng.uniform(0.7, 1.5) * rng.uniform(0.85, 1.05, 3)
    return np.clip(tinted, 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_the_map_peaks_where_a_live_face_was_changed(cases: Cases) -> None:
    """The pixel residual is the difference summed over colours, the cue that was shown before."""
    generator_file, detector_file = files_of("default")
    departure = load_departure(departure_of(detector_file), load_detector(detector_file).backbone)

    def maps(counterparts: torch.Tensor) -> np.ndarray:
        pairs = zip(cases.faces.split(25), counterparts.split(25), strict=True)
        with torch.inference_mode():
            return torch.cat([departure(*pair) for pair in pairs]).numpy()

    def residual(counterparts: torch.Tensor) -> np.ndarray:
        return (cases.faces - counterparts).abs().sum(1).numpy()

    shares = {
        "map": _inside(maps(cases.made), cases),
        "residual": _inside(residual(cases.made), cases),
        "map, removed wholly": _inside(maps(cases.unchanged), cases),
        "residual, removed wholly": _inside(residual(cases.unchanged), cases),
    }
    print(f"\n{'chance':26} {cases.regions.mean():.3f}")
    for name, found in shares.items():
        print(f"{name:26} {found['all']:.3f}  " + "  ".join(f"{kind} {found[kind]:.2f}" for kind in KINDS))
    for name, bound in BOUNDS.items():
        assert shares[name]["all"] >= bound, shares
        assert shares[name]["all"] > shares[name.replace("map", "residual")]["all"] + 0.1


def _inside(maps: np.ndarray, cases: Cases) -> dict[str, float]:
    """Return the share of maps (N, S, S) whose highest place lies in the changed region, of all and of each kind."""
    peaks = maps.reshape(len(maps), -1).argmax(1)
    hit = cases.regions.reshape(len(maps), -1)[np.arange(len(maps)), peaks]
    return {"all": hit.mean()} | {kind: hit[cases.kinds == kind].mean() for kind in KINDS}
