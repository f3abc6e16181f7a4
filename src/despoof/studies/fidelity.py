"""How near a counterpart stays to a real face: identity cosine, PSNR and SSIM on held-out faces."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from despoof.errors import InputError
from despoof.evaluation.tables import markdown
from despoof.faces.store import Store, StoredSample
from despoof.generator.registry import LatentDiffusion
from despoof.runs.seed import item_rng
from despoof.studies.readings import Encode, half_width, identities, images

# Cosine below which two faces of unknown subjects are taken for two people. Of 600 portraits of 74 people, by the
# MobileFaceNet that is the default teacher, .9 % of the pairs of one person and 76 % of those of two lie below.
STRANGER_BELOW = 0.2


@dataclass(frozen=True)
class Fidelity:
    """Per-face values (N,): cosine by an independent encoder, PSNR in dB, SSIM; and of the autoencoder alone.

    `stranger` is the cosine of each counterpart with another person's face, what no identity would give; NaN where
    no other face is known to be another person's.
    """

    cosine: np.ndarray
    stranger: np.ndarray
    psnr: np.ndarray
    ssim: np.ndarray
    autoencoder_cosine: np.ndarray
    autoencoder_psnr: np.ndarray


def fidelity(
    store: Store,
    rows: Sequence[StoredSample],
    generator: LatentDiffusion,
    encode: Encode,
    *,
    start_step: int | None = None,
    seed: int = 0,
) -> Fidelity:
    """Measure the rows' counterparts; `encode` judges identity, `seed` draws the strangers."""
    size, autoencoder = generator.config.face_size, getattr(generator, "autoencoder", None)
    if autoencoder is None:
        raise InputError(f"generator of kind {generator.config.kind!r} has no autoencoder; expected one that has.")
    faces = store.faces(list(rows), size)
    made = images(faces, size, lambda face: generator.counterpart(face, start_step=start_step), "counterparts")
    plain = images(faces, size, lambda face: autoencoder.decode(autoencoder.encode(face)), "autoencoder")
    own, got, passed = (identities(encode, pictures) for pictures in (faces, made, plain))
    others = strangers(rows, own, seed)
    stranger = [np.nan if other is None else own[other] @ got[i] for i, other in enumerate(others)]
    return Fidelity(
        cosine=(own * got).sum(1),
        stranger=np.array(stranger),
        psnr=_psnr(faces, made),
        ssim=_ssim(faces, made),
        autoencoder_cosine=(own * passed).sum(1),
        autoencoder_psnr=_psnr(faces, plain),
    )


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
    for i, row in enumerate(rows):
        places = np.flatnonzero(apart[i])
        found.append(int(item_rng(seed, "stranger", row.sample.path).choice(places)) if len(places) else None)
    return found


def table(found: Fidelity) -> str:
    """Return the values as a Markdown table: mean, its 95 % interval, 5th and 95th percentile."""
    rows = []
    for field in fields(found):
        values = getattr(found, field.name)
        values = values[~np.isnan(values)]
        mean, half = (values.mean(), half_width(values)) if len(values) else (np.nan, np.nan)
        ends = np.quantile(values, (0.05, 0.95)) if len(values) else (np.nan, np.nan)
        figures = map("{:.3f}".format, (mean, mean - half, mean + half, *ends))
        rows.append((field.name.replace("_", " "), len(values), *figures))
    return markdown(("", "faces", "mean", "95 % from", "to", "5th percentile", "95th"), rows)


def _psnr(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    from skimage.metrics import mean_squared_error

    error = [mean_squared_error(a, b) for a, b in zip(faces, others, strict=True)]
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))  # equal images have no infinite mean


def _ssim(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    from skimage.metrics import structural_similarity

    pairs = zip(faces, others, strict=True)
    return np.array([structural_similarity(a, b, channel_axis=2) for a, b in pairs])
