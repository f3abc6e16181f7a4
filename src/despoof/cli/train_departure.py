"""`despoof train departure`: what the difference of face and counterpart is in live faces, and what a change of one."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from despoof.cli.options import Place

if TYPE_CHECKING:
    import numpy as np
    import torch

    from despoof.faces.store import Store, StoredSample
    from despoof.generator.generator import Generator

    Batches = Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def departure(
    store: Place, out: Path, *, faces: Place | None = None, weights: str = "default", each: int = 12, count: int = 400,
    changes: int = 3, steps: int = 400, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Learn where a live face departs from its counterpart anyway, and where a changed one does; write OUT.

    Some minutes on a processor: the generator makes the counterparts, of every live face and of what changes it.
    Printed is what the maps say of cameras that were not learned from: half of them teach for the other half, in turn,
    and the file learns from all. The live captures' quantiles are printed as `despoof/explanation.py` holds them.

    Args:
        store: folder made by `despoof prepare`, of many cameras.
        out: file to write; departure.safetensors beside the detector's.
        faces: store of real faces of other sources, whose test split is learned from too.
        weights: a preset's name or a folder, whose generator makes counterparts and whose detector's backbone reads.
        each: live captures, and as many attacks to compare with, drawn from each camera.
        count: drawn from `faces`.
        changes: of each live face.
        steps: of learning.
        seed: of what is drawn.
        threads: of the processor.
    """
    import numpy as np
    import torch

    from despoof.data.sample import Label
    from despoof.departure import Departure, save_departure
    from despoof.detector.network import load_detector
    from despoof.faces.store import Store
    from despoof.pair import files_of, read_generator

    torch.set_num_threads(threads)
    generator_file, detector_file = files_of(weights)
    detector = load_detector(detector_file)
    generator = read_generator(generator_file, detector, detector_file)
    size, opened = detector.config.face_size, Store(store)
    drawn = {label: _drawn(opened, label, each) for label in Label}
    live = drawn[Label.LIVE].and_others(_others(faces, count, seed))
    of = np.tile(np.arange(len(live.faces)), changes)  # the live face of each changed one
    empty = Departure(detector.backbone, size)
    with torch.inference_mode():
        plain = empty.read(_plain(live.faces, generator))
        changed = empty.read(_changed(live, of, generator, seed))
        attacks = empty.read(_plain(drawn[Label.ATTACK].faces, generator))
    held = {Label.LIVE: plain.of(np.arange(len(drawn[Label.LIVE].faces))), Label.ATTACK: attacks}
    strengths: dict[str, np.ndarray] = {label: np.empty(len(one.faces)) for label, one in drawn.items()}
    for fold in range(2):
        other = Departure(detector.backbone, size).eval()
        other.learn(plain.of(live.folds != fold), changed.of(live.folds[of] != fold), steps=steps, seed=seed)
        for label, one in drawn.items():
            strengths[label][one.folds == fold] = other.strengths(held[label].of(one.folds == fold))
    made = Departure(detector.backbone, size).eval()
    made.learn(plain, changed, steps=steps, seed=seed)
    learned = {"faces": len(live.faces) - len(drawn[Label.LIVE].faces), "changed": len(changed)}
    strength = _tell(drawn, strengths) | learned | {"steps": steps, "seed": seed}
    parents = {"generator": generator.name, "start_step": str(generator.start_of(None))}
    save_departure(
        out, made, facts={"parents": parents, "strength": strength, "licence": detector.facts.get("licence", "")}
    )
    print(out)


def _tell(drawn: "dict[str, _Drawn]", strengths: "dict[str, np.ndarray]") -> dict:
    """Print how strongly live captures and attacks depart; return as facts what live captures do."""
    import numpy as np

    from despoof.data.sample import Label
    from despoof.metrics import auc

    live, attacks = (strengths[label] for label in (Label.LIVE, Label.ATTACK))
    cameras = len(set(drawn[Label.LIVE].cameras))
    quantiles = [round(float(one), 4) for one in np.quantile(live, np.linspace(0, 1, 21))]
    counts = f"{len(live)} live, {len(attacks)} attacks, {cameras} cameras"
    print(
        f"AUC of a map's mean, higher for attacks: {auc(-live, -attacks):.3f} ({counts}, by cameras not learned from)"
    )
    print(f"quantiles of live captures in steps of 5 %: {quantiles}")
    return {"cameras": cameras, "live": len(live), "quantiles": quantiles}


class _Drawn(NamedTuple):
    """Faces (N, S, S, 3) uint8 as they lie on disk, the camera of each, in which half of the cameras it is (N,)."""

    faces: "np.ndarray"
    cameras: list[str]
    folds: "np.ndarray"

    def and_others(self, others: "np.ndarray") -> "_Drawn":
        """Return these and faces of no camera, which are in neither half."""
        import numpy as np

        folds = np.concatenate([self.folds, np.full(len(others), -1)])
        return _Drawn(np.concatenate([self.faces, others]), [*self.cameras, *[""] * len(others)], folds)


def _drawn(store: "Store", label: str, each: int) -> _Drawn:
    import numpy as np

    from despoof.faces.align import FACE_SIZE
    from despoof.runs.seed import item_rng

    by_camera: dict[str, list[StoredSample]] = {}
    rows = store.with_face()
    half = {camera: i % 2 for i, camera in enumerate(sorted({row.sample.domain for row in rows}))}
    for row in rows:
        if row.sample.label == label:
            by_camera.setdefault(row.sample.domain, []).append(row)
    for found in by_camera.values():
        found.sort(key=lambda row: item_rng("departure", row.key).random())
    chosen = [row for camera in sorted(by_camera) for row in by_camera[camera][:each]]
    cameras = [row.sample.domain for row in chosen]
    return _Drawn(store.faces(chosen, FACE_SIZE), cameras, np.array([half[camera] for camera in cameras]))


def _others(faces: Place | None, count: int, seed: int) -> "np.ndarray":
    import numpy as np

    from despoof.faces.align import FACE_SIZE
    from despoof.faces.store import Store
    from despoof.studies.readings import held_out_faces

    if faces is None:
        return np.empty((0, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    store = Store(faces)
    return store.faces(held_out_faces(store, count, seed), FACE_SIZE)


def _plain(faces: "np.ndarray", generator: "Generator") -> "Batches":
    """Yield faces as the generator takes them, their counterparts, and that nothing was changed."""
    import torch

    for face, counterpart in _pairs(faces, generator, "counterparts"):
        yield face, counterpart, torch.zeros(len(face), *face.shape[-2:])


def _changed(live: _Drawn, of: "np.ndarray", generator: "Generator", seed: int) -> "Batches":
    """Yield live faces changed in one place, their counterparts, and where; pieces come from the same half."""
    import numpy as np
    import torch

    from despoof.data.simulation.patches import patched
    from despoof.departure import BATCH
    from despoof.runs.progress import track
    from despoof.runs.seed import item_rng

    size, first = generator.config.face_size, range(0, len(of), BATCH)
    for start in track(first, "changed faces", len(first)):
        made, regions = [], []
        for number in range(start, min(start + BATCH, len(of))):
            rng, own = item_rng(seed, "changed", number), of[number]
            other = rng.choice(np.flatnonzero(live.folds == live.folds[own]))
            face, region = patched(live.faces[own], live.faces[other], rng)
            made.append(face)
            regions.append(region)
        (pair,) = _pairs(np.stack(made), generator, "")
        where = torch.from_numpy(np.stack(regions)).float()[:, None]
        yield *pair, torch.nn.functional.interpolate(where, (size, size), mode="area")[:, 0]


def _pairs(faces: "np.ndarray", generator: "Generator", title: str) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
    from despoof.departure import BATCH
    from despoof.faces.align import as_tensor

    for start in range(0, len(faces), BATCH):
        face = as_tensor(faces[start : start + BATCH], generator.config.face_size)
        yield face, generator.counterpart(face)
