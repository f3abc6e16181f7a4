"""How near a counterpart stays to a real face: identity cosine, PSNR and SSIM on held-out faces."""

from dataclasses import dataclass

import cv2
import numpy as np

from despoof.faces.align import ARCFACE_TEMPLATE, TEMPLATE, as_image, as_tensor, similarity
from despoof.faces.store import Store, StoredSample
from despoof.generator.registry import LatentDiffusion
from despoof.generator.training.identity import teacher_encoder
from despoof.runs.progress import track


@dataclass(frozen=True)
class Faithfulness:
    """Per-face values (N,): cosine by an independent encoder, PSNR in dB, SSIM; and of the autoencoder alone.

    `stranger` is the cosine of each counterpart with another person's face: what no identity would give.
    """

    cosine: np.ndarray
    stranger: np.ndarray
    psnr: np.ndarray
    ssim: np.ndarray
    autoencoder_cosine: np.ndarray
    autoencoder_psnr: np.ndarray


def faithfulness(
    store: Store, rows: list[StoredSample], generator: LatentDiffusion, teacher: str, *, start_step: int | None = None
) -> Faithfulness:
    """Measure the rows' counterparts; `teacher` is an ArcFace ONNX file that judges identity."""
    import torch

    size, encode = generator.config.face_size, teacher_encoder(teacher)
    faces = store.faces(rows, size)
    made, plain = [], []
    for start in track(range(0, len(rows), 32), "counterparts", -(-len(rows) // 32)):
        face = as_tensor(faces[start : start + 32], size)
        made += [as_image(one) for one in generator.counterpart(face, start_step=start_step)]
        with torch.inference_mode():
            plain += [as_image(one) for one in generator.autoencoder.decode(generator.autoencoder.encode(face))]
    identity = encode(arcface_crops(faces))
    got, passed = encode(arcface_crops(np.stack(made))), encode(arcface_crops(np.stack(plain)))
    return Faithfulness(
        cosine=(identity * got).sum(1),
        stranger=(np.roll(identity, 1, axis=0) * got).sum(1),
        psnr=_psnr(faces, np.stack(made)),
        ssim=_ssim(faces, np.stack(made)),
        autoencoder_cosine=(identity * passed).sum(1),
        autoencoder_psnr=_psnr(faces, np.stack(plain)),
    )


def arcface_crops(faces: np.ndarray) -> np.ndarray:
    """Return (N, 112, 112, 3): both templates are fixed, so one warp leads from one to the other.

    The AG-FAS crop lacks the forehead that the ArcFace crop shows; reflection fills it, alike for all.
    """
    warp = similarity(TEMPLATE * faces.shape[1], ARCFACE_TEMPLATE * 112)
    return np.stack([cv2.warpAffine(face, warp, (112, 112), borderMode=cv2.BORDER_REFLECT_101) for face in faces])


def _psnr(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    error = ((faces.astype(np.float64) - others) ** 2).reshape(len(faces), -1).mean(1)
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))


def _ssim(faces: np.ndarray, others: np.ndarray) -> np.ndarray:
    from skimage.metrics import structural_similarity

    pairs = zip(faces, others, strict=True)
    return np.array([structural_similarity(a, b, channel_axis=2) for a, b in pairs])
