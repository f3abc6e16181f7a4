"""`despoof train departure`: what the difference of face and counterpart is in live faces, and what a change of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from despoof.cli.options import Place

if TYPE_CHECKING:
    import numpy as np

    from despoof.departure.departure import Departure, Lessons
    from despoof.departure.finding import Cases
    from despoof.departure.teaching import Drawn
    from despoof.detector.network import Detector


def departure(
    store: Place, out: Path, *, faces: Place | None = None, weights: str = "default", each: int = 12, count: int = 400,
    changes: int = 3, steps: int = 400, cases: int = 200, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Learn where a live face departs from its counterpart anyway, and where a changed one does; write OUT.

    Some minutes on a processor: the generator makes the counterparts, of every live face and of what changes it.
    Printed is what the maps say of cameras that were not learned from: half of them teach for the other half, in turn,
    and the file learns from all. So is printed how often a map's highest place lies where a live capture was changed
    (a moiré patch, a glare, a paper's edge; none is learned from), beside that of the pixel residual, and how much of
    the change comes back in the counterpart. The live captures' quantiles are printed as `despoof/explanation.py`
    holds them.

    Args:
        store: folder made by `despoof prepare`, of many cameras.
        out: file to write; departure.safetensors beside the detector's.
        faces: store of real faces of other sources, whose test split is learned from too.
        weights: a preset's name or a folder, whose generator makes counterparts and whose detector's backbone reads.
        each: live captures, and as many attacks to compare with, drawn from each camera.
        count: drawn from `faces`.
        changes: of each live face.
        steps: of learning.
        cases: changes of live captures that are looked for, half of them in each half.
        seed: of what is drawn.
        threads: of the processor.
    """
    import numpy as np
    import torch

    from despoof.data.sample import Label
    from despoof.departure.departure import Departure, save_departure
    from despoof.departure.finding import cases as cases_of
    from despoof.departure.teaching import changed, drawn, plain
    from despoof.detector.network import load_detector
    from despoof.faces.store import Store
    from despoof.pair import files_of, read_generator
    from despoof.runs.seed import item_rng

    torch.set_num_threads(threads)
    generator_file, detector_file = files_of(weights)
    detector = load_detector(detector_file)
    generator = read_generator(generator_file, detector, detector_file)
    size, opened = detector.config.face_size, Store(store)
    captures = {label: drawn(opened, label, each) for label in Label}
    live = captures[Label.LIVE].and_others(_others(faces, count, seed))
    of = np.tile(np.arange(len(live.faces)), changes)  # the live face of each changed one
    empty = Departure(detector.backbone, size)
    with torch.inference_mode():
        unchanged = empty.read(plain(live.faces, generator))
        learned = empty.read(changed(live, of, generator, seed))
        attacks = empty.read(plain(captures[Label.ATTACK].faces, generator))
    held = {Label.LIVE: unchanged.of(np.arange(len(captures[Label.LIVE].faces))), Label.ATTACK: attacks}
    strengths = {label: np.empty(len(one.faces)) for label, one in captures.items()}
    looked_for, how = [], {"steps": steps, "seed": seed}
    for fold in range(2):
        other = _taught(detector, unchanged.of(live.folds != fold), learned.of(live.folds[of] != fold), **how)
        for label, one in captures.items():
            strengths[label][one.folds == fold] = other.strengths(held[label].of(one.folds == fold))
        spread = item_rng(seed, "cases").permutation(np.flatnonzero(live.folds == fold))
        looked_for.append((cases_of(live.faces[spread], generator, cases // 2, seed), other))
    counts = {"faces": int((live.folds < 0).sum()), "changed": len(learned)}
    facts = {"parents": {"generator": generator.name, "start_step": str(generator.start_of(None))}}
    facts |= {"strength": _tell(captures, strengths) | counts | how, "licence": detector.facts.get("licence", "")}
    _tell_found(looked_for)
    save_departure(out, _taught(detector, unchanged, learned, **how), facts=facts)
    print(out)


def _taught(detector: "Detector", live: "Lessons", changed: "Lessons", **how: int) -> "Departure":
    """Return a map that learned these."""
    from despoof.departure.departure import Departure

    made = Departure(detector.backbone, detector.config.face_size).eval()
    made.learn(live, changed, **how)
    return made


def _tell(captures: "dict[str, Drawn]", strengths: "dict[str, np.ndarray]") -> dict:
    """Print how strongly live captures and attacks depart; return as facts what live captures do."""
    import numpy as np

    from despoof.data.sample import Label
    from despoof.metrics import auc

    live, attacks = (strengths[label] for label in (Label.LIVE, Label.ATTACK))
    cameras = len(set(captures[Label.LIVE].cameras))
    quantiles = [round(float(one), 4) for one in np.quantile(live, np.linspace(0, 1, 21))]
    counts = f"{len(live)} live, {len(attacks)} attacks, {cameras} cameras"
    print(
        f"AUC of a map's mean, higher for attacks: {auc(-live, -attacks):.3f} ({counts}, by cameras not learned from)"
    )
    print(f"quantiles of live captures in steps of 5 %: {quantiles}")
    return {"cameras": cameras, "live": len(live), "quantiles": quantiles}


def _tell_found(looked_for: "Sequence[tuple[Cases, Departure]]") -> None:
    """Print where maps that did not learn from these cameras peak, and what of a change the generator lets through."""
    import numpy as np

    from despoof.data.simulation.local import KINDS
    from despoof.evaluation.tables import markdown
    from despoof.studies.tables import Share

    shown = {
        "map": lambda own, other: own.departures(other),
        "pixel residual": lambda own, _: own.residuals(),
        "map, if the counterpart held nothing of it": lambda own, other: own.departures(other, removed=True),
        "pixel residual, the same": lambda own, _: own.residuals(removed=True),
    }
    kinds = np.concatenate([own.kinds for own, _ in looked_for])
    rows = []
    for name, maps in shown.items():
        hit = np.concatenate([own.found(maps(own, other)) for own, other in looked_for])
        each = [hit[kinds == kind] for kind in KINDS]
        rows.append([name, *(str(Share(int(one.sum()), len(one))) for one in (hit, *each))])
    kept = [np.mean([own.kept()[kind] for own, _ in looked_for]) for kind in KINDS]
    rows.append(["comes back in the counterpart, of its size", "", *(f"{one:.2f}" for one in kept)])
    print(markdown(["highest place inside the change", "all", *KINDS], rows))


def _others(faces: Place | None, count: int, seed: int) -> "np.ndarray":
    import numpy as np

    from despoof.faces.align import FACE_SIZE
    from despoof.faces.store import Store
    from despoof.studies.readings import held_out_faces

    if faces is None:
        return np.empty((0, FACE_SIZE, FACE_SIZE, 3), np.uint8)
    store = Store(faces)
    return store.faces(held_out_faces(store, count, seed), FACE_SIZE)
