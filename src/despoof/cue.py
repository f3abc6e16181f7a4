"""What the counterpart lacks: face, counterpart (N, 3, S, S) or (3, S, S) in [-1, 1] -> cue, same shape."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from despoof.errors import ConfigError, InputError

if TYPE_CHECKING:
    import torch

EPSILON = 1e-8  # the authors' release adds it to the deviation
SLACK = 1e-3  # rounding a decoder may leave beyond [-1, 1]
PICTURE_QUANTILE = 0.99


def cue(face: "torch.Tensor", counterpart: "torch.Tensor", form: str = "standardised") -> "torch.Tensor":
    """Return the cue of each face; equal images give exactly zero.

    `form` is a key of `CUE_FORMS`. Raises InputError for unequal shapes or values beyond [-1, 1].
    """
    if form not in CUE_FORMS:
        raise ConfigError(f"cue form {form!r} is unknown; expected one of {', '.join(CUE_FORMS)}.")
    if face.shape != counterpart.shape:
        raise InputError(
            f"face {tuple(face.shape)} and counterpart {tuple(counterpart.shape)}; expected one shape. "
            "Make the counterpart from this face."
        )
    _check(face, "face")
    _check(counterpart, "counterpart")
    return CUE_FORMS[form](face, counterpart)


def standardised(face: "torch.Tensor", counterpart: "torch.Tensor") -> "torch.Tensor":
    """Return the signed difference less its mean, over its deviation: one of each per sample.

    Both run over all channels and pixels together, as in the authors' release (AG-FAS), so the difference's
    size is lost and its pattern kept. Double precision: a constant difference must not become rounding noise
    divided by `EPSILON`.
    """
    difference = face.double() - counterpart.double()
    axes = (-3, -2, -1)
    centred = difference - difference.mean(axes, keepdim=True)
    deviation = centred.square().mean(axes, keepdim=True).sqrt()
    return (centred / (deviation + EPSILON)).to(face.dtype)


def signed(face: "torch.Tensor", counterpart: "torch.Tensor") -> "torch.Tensor":
    """Return face minus counterpart, in [-2, 2]."""
    return face - counterpart


def absolute(face: "torch.Tensor", counterpart: "torch.Tensor") -> "torch.Tensor":
    """Return the size of the difference, in [0, 2]."""
    return (face - counterpart).abs()


CUE_FORMS: dict[str, Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]] = {
    "standardised": standardised,
    "signed": signed,
    "absolute": absolute,
}


def cue_picture(cue: "np.ndarray | torch.Tensor") -> np.ndarray:
    """Return a cue (3, S, S), an array or a tensor of the processor, as (S, S, 3) uint8 for people to look at.

    Grey 128 is nothing, brighter is more in the face than in the counterpart, darker is less. The scale is
    symmetric and the picture's own: the 99th percentile of absolute values reaches 1 or 255, what is beyond
    is clipped. So pictures show where a cue lies, and do not compare in strength.
    """
    if cue.ndim != 3 or cue.shape[0] != 3:
        raise InputError(f"cue of shape {tuple(cue.shape)}; expected (3, S, S). Give one cue at a time.")
    values = np.asarray(cue, np.float32).transpose(1, 2, 0)
    scale = float(np.quantile(np.abs(values), PICTURE_QUANTILE)) or float(np.abs(values).max())
    if scale == 0:
        return np.full(values.shape, 128, np.uint8)
    return (128 + 127 * np.clip(values / scale, -1, 1)).round().astype(np.uint8)


def _check(image: "torch.Tensor", name: str) -> None:
    shape = tuple(image.shape)
    if len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape or not image.is_floating_point():
        raise InputError(
            f"{name} of shape {shape}, {image.dtype}; expected floats (N, 3, S, S) or (3, S, S). "
            "Turn pixels into a tensor with despoof.faces.align.as_tensor."
        )
    low, high = (value.item() for value in image.detach().aminmax())
    if not (low >= -1 - SLACK and high <= 1 + SLACK):  # written so that NaN fails
        raise InputError(f"{name} holds values in {low:.4g}..{high:.4g}; expected [-1, 1]. Scale it first.")
