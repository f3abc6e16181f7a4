"""What every study shares: faces and captures chosen by seed, counterparts in batches, and what is read off a cue."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
import torch

from despoof.data.sample import Split
from despoof.errors import InputError
from despoof.evaluation.baselines import fit_linear, statistics
from despoof.evaluation.intervals import Scores
from despoof.evaluation.protocols import is_live, leave_one_out
from despoof.evaluation.scores import ScoreFile
from despoof.faces.align import ARCFACE_TEMPLATE, TEMPLATE, as_image, as_tensor, similarity
from despoof.faces.store import Store, StoredSample
from despoof.metrics import auc
from despoof.runs.progress import track
from despoof.runs.seed import item_rng

if TYPE_CHECKING:
    from despoof.detector.backbones.backbone import Backbone

T = TypeVar("T")
BATCH = 32
Make = Callable[[torch.Tensor], torch.Tensor]  # faces (N, 3, S, S) in [-1, 1] -> images of the same form
Encode = Callable[[np.ndarray], np.ndarray]  # ArcFace crops (N, 112, 112, 3) uint8 -> unit embeddings (N, E)


def held_out_faces(store: Store, count: int | None = None, seed: int = 0) -> list[StoredSample]:
    """Return `count` faces of the test split, or all, the same in any run; a store without one is an InputError."""
    rows = [row for row in store.with_face() if row.sample.split is Split.TEST]
    if not rows:
        raise InputError(
            f"store {store.root} has no face in a test split; expected held-out faces. Prepare a table whose column "
            "`split` says `test`."
        )
    return some(rows, count, seed)


def real_captures(store: Store, per_group: int | None = None, seed: int = 0) -> list[StoredSample]:
    """Return `per_group` captures of each domain and label, or all, the same in any run; none that is simulated."""
    groups: dict[tuple[str, str], list[StoredSample]] = {}
    for row in store.with_face():
        if not row.sample.simulated:
            groups.setdefault((row.sample.domain, row.sample.label.value), []).append(row)
    return [row for key in sorted(groups) for row in some(groups[key], per_group, seed)]


def some(rows: Sequence[T], count: int | None, seed: int) -> list[T]:
    """Return `count` of the rows, or all, in their order and the same in any run."""
    order = item_rng(seed, "study").permutation(len(rows))[:count]
    return [rows[i] for i in sorted(order)]


def pairs(faces: np.ndarray, size: int, make: Make, title: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield faces (N, S, S, 3) uint8 in batches as tensors of a size, each with what `make` makes of it."""
    for start in track(range(0, len(faces), BATCH), title, -(-len(faces) // BATCH)):
        face = as_tensor(faces[start : start + BATCH], size)
        with torch.inference_mode():
            made = make(face)
        yield face, made


def images(faces: np.ndarray, size: int, make: Make, title: str) -> np.ndarray:
    """Return what `make` makes of faces (N, S, S, 3) uint8, in the same form."""
    return np.stack([as_image(one) for _, made in pairs(faces, size, make, title) for one in made])


def signed_cues(faces: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return face minus counterpart, both (N, S, S, 3) uint8, in [-2, 2]."""
    return (faces.astype(np.float32) - made) / 127.5


def residuals(faces: np.ndarray, made: np.ndarray) -> np.ndarray:
    """Return the mean size of each signed cue (N,), of a range of 2."""
    return np.abs(signed_cues(faces, made)).reshape(len(faces), -1).mean(1)


def cue_statistics(cues: np.ndarray) -> np.ndarray:
    """Return (N, 65) statistics of signed cues (N, S, S, 3): those of a face, and of the cue's size."""
    return np.stack([_statistics(cue) for cue in cues])


def _statistics(cue: np.ndarray) -> np.ndarray:
    shifted = np.clip((cue + 1) * 127.5, 0, 255).astype(np.uint8)
    size = np.abs(cue)
    inner = size[len(size) // 4 : -len(size) // 4, len(size) // 4 : -len(size) // 4]
    extra = [np.log(size.mean() + 1e-6), np.log(inner.mean() + 1e-6), *np.quantile(size, (0.5, 0.9, 0.99))]
    return np.concatenate([statistics(shifted), extra])


def correlation(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Return Pearson's correlation (N,) of two batches of cues."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (first, second))
    return torch.nn.functional.cosine_similarity(a, b).numpy()


def scores_across(rows: Sequence[StoredSample], values: np.ndarray, *, judged: np.ndarray | None = None) -> np.ndarray:
    """Return liveness (N,) of each real domain by logistic regression on values (N, D) of the others.

    Recaptures of a domain are not learned from for it; what is simulated is not scored and NaN. `judged` (N, D) is
    scored in place of the values themselves, for example those of disturbed captures.
    """
    live, scores = is_live(rows), np.full(len(rows), np.nan)
    for _, learned, tested in leave_one_out(rows):
        scores[tested] = fit_linear(values[learned], live[learned])((values if judged is None else judged)[tested])
    return scores


def by_domain(rows: Sequence[StoredSample], scores: np.ndarray) -> dict[str, Scores]:
    """Return scores (N,) of each real domain, live and attack apart, with their subjects."""
    live, subject, found = is_live(rows), np.array([row.sample.subject for row in rows]), {}
    for target, _, tested in leave_one_out(rows):
        own, other = tested & live, tested & ~live
        found[target] = Scores(scores[own], scores[other], list(subject[own]), list(subject[other]))
    return found


def aucs(rows: Sequence[StoredSample], scores: np.ndarray) -> dict[str, float]:
    """Return the AUC (live above attack) of scores (N,) per real domain."""
    return {name: auc(found.live, found.attack) for name, found in by_domain(rows, scores).items()}


def scored_places(file: ScoreFile, rows: Sequence[StoredSample]) -> np.ndarray:
    """Return the place in `rows` of each sample that a score file gives a liveness; one not there is an error."""
    places = {row.key: i for i, row in enumerate(rows)}
    scored = [row for row in file.rows if row.liveness is not None]
    missing = [row.path for row in scored if row.key not in places]
    if missing:
        raise InputError(f"the store lacks {len(missing)} samples that were scored, such as {missing[0]}. Give theirs.")
    return np.array([places[row.key] for row in scored], int)


def pooled(backbone: "Backbone", faces: np.ndarray) -> np.ndarray:
    """Return what a backbone finds at last in faces (N, S, S, 3) uint8, pooled to (N, C)."""
    batches = [as_tensor(faces[start : start + BATCH], faces.shape[1]) for start in range(0, len(faces), BATCH)]
    with torch.inference_mode():
        return torch.cat([backbone.pool(backbone(each)) for each in batches]).numpy()


def identities(encode: Encode, faces: np.ndarray) -> np.ndarray:
    """Return unit embeddings (N, E) of faces (N, S, S, 3) uint8 by an independent encoder.

    Both templates are fixed, so one warp leads from one to the other. The AG-FAS crop lacks the forehead that the
    ArcFace crop shows; reflection fills it, alike for all.
    """
    warp = similarity(TEMPLATE * faces.shape[1], ARCFACE_TEMPLATE * 112)
    return encode(
        np.stack([cv2.warpAffine(face, warp, (112, 112), borderMode=cv2.BORDER_REFLECT_101) for face in faces])
    )
