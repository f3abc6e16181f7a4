"""How near a counterpart stays to a real face: identity cosine, PSNR and SSIM on held-out faces.

And how like real faces counterparts are as a crowd: Fréchet's distance between two normal distributions of features,
as FID (arXiv 1706.08500) takes it, of another network than FID's, so that no figure compares with a published FID.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from despoof.errors import InputError
from despoof.faces.store import Store, StoredSample
from despoof.generator.reconstruct import counterparts_of
from despoof.generator.registry import LatentDiffusion
from despoof.runs.seed import item_rng
from despoof.studies.readings import Encode, identities, images
from despoof.studies.tables import Estimate

# Cosine below which two faces of unknown subjects are taken for two people. Of 600 portraits of 74 people, by the
# MobileFaceNet of docs/results, .9 % of the pairs of one person lie below, and 76 % of those of two.
STRANGER_BELOW = 0.2
HALVINGS = 20

Read = Callable[[np.ndarray], np.ndarray]  # faces (N, S, S, 3) uint8 -> features (N, D)


class Pictures(NamedTuple):
    """Faces, their counterparts, and what the autoencoder alone returns: each (N, S, S, 3) uint8."""

    faces: np.ndarray
    counterparts: np.ndarray
    autoencoded: np.ndarray


@dataclass(frozen=True)
class Summary:
    """A value over so many faces: mean, 5th and 95th percentile."""

    value: str
    faces: int
    mean: Estimate
    percentile: dict[str, float]


@dataclass(frozen=True)
class Distance:
    """Fréchet's distance of one half of the real faces from pictures of the other half, over so many halvings."""

    of: str
    faces: int  # of each half
    halvings: int
    mean: float
    percentile: dict[str, float]


def pictures(
    store: Store, rows: Sequence[StoredSample], generator: LatentDiffusion, *, start_step: int | None = None
) -> Pictures:
    """Return the faces of rows and what the generator makes of them; one without an autoencoder is an InputError."""
    size, autoencoder = generator.config.face_size, getattr(generator, "autoencoder", None)
    if autoencoder is None:
        raise InputError(f"generator of kind {generator.config.kind!r} has no autoencoder; expected one that has.")
    faces = store.faces(list(rows), size)
    made = counterparts_of(generator, faces, start_step=start_step)
    return Pictures(
        faces, made, images(faces, size, lambda x: autoencoder.decode(autoencoder.encode(x)), "autoencoder")
    )


def fidelity(rows: Sequence[StoredSample], shown: Pictures, encode: Encode, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return per-face values (N,): cosine by an independent encoder, PSNR in dB, SSIM; and of the autoencoder alone.

    `stranger` is the cosine of each counterpart with another person's face, what no identity would give; NaN where
    no other face is known to be another person's. `seed` draws the strangers.
    """
    faces, made, plain = shown
    own, got, passed = (identities(encode, each) for each in shown)
    others = strangers(rows, own, seed)
    return {
        "cosine": (own * got).sum(1),
        "stranger": np.array([np.nan if j is None else own[j] @ got[i] for i, j in enumerate(others)]),
        "psnr": _psnr(faces, made),
        "ssim": _ssim(faces, made),
        "autoencoder cosine": (own * passed).sum(1),
        "autoencoder psnr": _psnr(faces, plain),
    }


def distances(shown: Pictures, read: Read, *, seed: int = 0) -> list[Distance]:
    """Return how far real faces are from other real faces, from other faces' counterparts, and autoencoded ones.

    No face is compared with a picture of itself, and all three have the same number of faces; so the first is the
    floor, what so few faces give where nothing was made. `seed` draws the halves.
    """
    features = Pictures(*map(read, shown))
    count, half = len(shown.faces), len(shown.faces) // 2
    orders = [item_rng(seed, "halves", i).permutation(count) for i in range(HALVINGS)]
    found = []
    for name, each in features._asdict().items():
        values = [frechet(features.faces[order[:half]], each[order[half : 2 * half]]) for order in orders]
        low, high = np.quantile(values, (0.05, 0.95)).tolist()
        found.append(Distance(name, half, HALVINGS, float(np.mean(values)), {"5": low, "95": high}))
    return found


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Return |m - n|^2 + tr(A + B - 2 (A B)^(1/2)) of means and covariances of features (N, D) and (M, D)."""
    a, b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second))
    roots = np.sqrt(np.linalg.eigvals(a @ b).real.clip(min=0))  # real and not negative, but for rounding
    apart = first.mean(0) - second.mean(0)
    return float(apart @ apart + np.trace(a) + np.trace(b) - 2 * roots.sum())


def strangers(rows: Sequence[StoredSample], identity: np.ndarray, seed: int = 0) -> list[int | None]:
    """Return for each row the place of a random row of another person, or None where there is none.

    Two subjects of a domain that are named and differ are two people. Where one is not named, faces with unit
    embeddings `identity` (N, E) of a cosine below `STRANGER_BELOW` are.
    """
    subjects = [(row.sample.domain, row.sample.subject) for row in rows]
    named = np.array([bool(row.sample.subject) for row in rows])
    different = np.array([[a != b for b in subjects] for a in subjects])
    apart = np.where(named[:, None] & named, different, identity @ identity.T < STRANGER_BELOW)
    found: list[int | None] = []
    for row, places in zip(rows, map(np.flatnonzero, apart), strict=True):
        found.append(int(item_rng(seed, "stranger", row.sample.path).choice(places)) if len(places) else None)
    return found


def summaries(found: Mapping[str, np.ndarray]) -> list[Summary]:
    """Return each value over the faces that have one."""
    rows = []
    for name, values in found.items():
        values = values[~np.isnan(values)]
        low, high = np.quantile(values, (0.05, 0.95)).tolist() if len(values) else (np.nan, np.nan)
        rows.append(Summary(name, len(values), Estimate.of_mean(values), {"5": low, "95": high}))
    return rows


def _psnr(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    from skimage.metrics import mean_squared_error

    error = [mean_squared_error(a, b) for a, b in zip(faces, others, strict=True)]
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))  # equal images have no infinite mean


def _ssim(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    from skimage.metrics import structural_similarity

    return np.array([structural_similarity(a, b, channel_axis=2) for a, b in zip(faces, others, strict=True)])
