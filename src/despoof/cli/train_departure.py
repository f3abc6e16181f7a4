"""`despoof train departure`: what the difference of face and counterpart is in live captures; no steps, no seed."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

    from despoof.detector.network import Detector
    from despoof.faces.store import StoredSample


def departure(store: Path, counterparts: Path, out: Path, *, weights: str = "default", each: int = 12) -> None:
    """Learn from live captures how far a face departs from its counterpart anyway; write OUT, a few seconds' work.

    Printed is what the maps say of cameras that were not learned from: half of them teach for the other half, in turn,
    and the file learns from all. The live captures' quantiles are printed as `despoof/explanation.py` holds them.

    Args:
        store: folder made by `despoof prepare`, of many cameras.
        counterparts: folder made by `despoof reconstruct` from it, with the generator of the weights.
        out: file to write; departure.safetensors beside the detector's.
        weights: a preset's name or a folder, whose detector's backbone reads.
        each: live captures, and as many attacks to compare with, drawn from each camera.
    """
    import numpy as np
    import torch

    from despoof.data.sample import Label
    from despoof.departure import Departure, save_departure
    from despoof.detector.network import load_detector
    from despoof.metrics import auc
    from despoof.pair import files_of, parents_of

    detector = load_detector(files_of(weights)[1])
    _require_made_by(detector, counterparts)
    drawn = {label: _drawn(store, counterparts, label, each, detector.config.face_size) for label in Label}
    live, strengths = drawn[Label.LIVE], {label: np.empty(len(pairs.cameras)) for label, pairs in drawn.items()}
    with torch.inference_mode():
        for fold in range(2):
            other = Departure(detector.backbone, detector.config.face_size).eval()
            other.learn(*live.of(live.folds != fold))
            for label, pairs in drawn.items():
                strengths[label][pairs.folds == fold] = other.strengths(*pairs.of(pairs.folds == fold))
        made = Departure(detector.backbone, detector.config.face_size).eval()
        made.learn(live.faces, live.counterparts)
    quantiles = [round(float(one), 4) for one in np.quantile(strengths[Label.LIVE], np.linspace(0, 1, 21))]
    of = {"cameras": len(set(live.cameras)), "live": len(live.cameras), "quantiles": quantiles}
    facts = {"parents": parents_of(detector), "strength": of, "licence": detector.facts.get("licence", "")}
    save_departure(out, made, facts=facts)
    area = auc(-strengths[Label.LIVE], -strengths[Label.ATTACK])
    counts = f"{len(live.cameras)} live, {len(drawn[Label.ATTACK].cameras)} attacks, {of['cameras']} cameras"
    print(f"AUC of a map's mean, higher for attacks: {area:.3f} ({counts}, by cameras not learned from)")
    print(f"quantiles of live captures in steps of 5 %: {quantiles}")
    print(out)


class _Pairs(NamedTuple):
    """Faces and counterparts (N, 3, S, S), the camera of each, and in which half of the cameras it is (N,)."""

    faces: "torch.Tensor"
    counterparts: "torch.Tensor"
    cameras: list[str]
    folds: "np.ndarray"

    def of(self, chosen: "np.ndarray") -> "tuple[torch.Tensor, torch.Tensor]":
        """Return the faces and counterparts where `chosen` (N,) is true."""
        return self.faces[chosen], self.counterparts[chosen]


def _drawn(store: Path, counterparts: Path, label: str, each: int, size: int) -> _Pairs:
    import numpy as np

    from despoof.faces.align import as_tensor
    from despoof.faces.counterparts import read_counterparts
    from despoof.faces.store import Store
    from despoof.runs.seed import item_rng

    opened = Store(store)
    by_camera: dict[str, list[StoredSample]] = {}
    rows = opened.with_face()
    half = {camera: i % 2 for i, camera in enumerate(sorted({row.sample.domain for row in rows}))}
    for row in rows:
        if row.sample.label == label:
            by_camera.setdefault(row.sample.domain, []).append(row)
    for found in by_camera.values():
        found.sort(key=lambda row: item_rng("departure", row.key).random())
    chosen = [row for camera in sorted(by_camera) for row in by_camera[camera][:each]]
    cameras = [row.sample.domain for row in chosen]
    faces = opened.faces(chosen, size)
    made = read_counterparts(counterparts, chosen, size, faces=faces)
    folds = np.array([half[camera] for camera in cameras])
    return _Pairs(as_tensor(faces, size), as_tensor(made, size), cameras, folds)


def _require_made_by(detector: "Detector", counterparts: Path) -> None:
    """Raise ArtefactError unless the counterparts are of the detector's generator, from its start step."""
    from despoof.errors import ArtefactError
    from despoof.faces.counterparts import made_by
    from despoof.pair import parents_of

    parents = parents_of(detector)
    expected = str(parents.get("generator")), str(parents.get("start_step"))
    if (here := made_by(counterparts)) != expected:
        raise ArtefactError(
            f"{counterparts} is of {here[0]} from step {here[1]}, not made by the detector's generator; "
            f"expected {expected[0]} from {expected[1]}. "
            "Run `despoof reconstruct` with the generator of these weights."
        )
