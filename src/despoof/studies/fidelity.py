"""How near a counterpart stays to a real face: identity cosine, PSNR and SSIM on held-out faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Summary:
    """A value over so many faces: mean, 5th and 95th percentile."""

    value: str
    faces: int
    mean: Estimate
    percentile: dict[str, float]


def fidelity(
    store: Store,
    rows: Sequence[StoredSample],
    generator: LatentDiffusion,
    encode: Encode,
    *,
    start_step: int | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return per-face values (N,): cosine by an independent encoder, PSNR in dB, SSIM; and of the autoencoder alone.

    `stranger` is the cosine of each counterpart with another person's face, what no identity would give; NaN where
    no other face is known to be another person's. `seed` draws the strangers.
    """
    size, autoencoder = generator.config.face_size, getattr(generator, "autoencoder", None)
    if autoencoder is None:
        raise InputError(f"generator of kind {generator.config.kind!r} has no autoencoder; expected one that has.")
    faces = store.faces(list(rows), size)
    made = counterparts_of(generator, faces, start_step=start_step)
    plain = images(faces, size, lambda face: autoencoder.decode(autoencoder.encode(face)), "autoencoder")
    own, got, passed = (identities(encode, pictures) for pictures in (faces, made, plain))
    others = strangers(rows, own, seed)
    return {
        "cosine": (own * got).sum(1),
        "stranger": np.array([np.nan if j is None else own[j] @ got[i] for i, j in enumerate(others)]),
        "psnr": _psnr(faces, made),
        "ssim": _ssim(faces, made),
        "autoencoder cosine": (own * passed).sum(1),
        "autoencoder psnr": _psnr(faces, plain),
    }


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
