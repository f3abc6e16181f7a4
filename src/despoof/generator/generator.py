"""What every kind of generator is: a module with a config, a name, a trainer and `counterpart`."""

import hashlib
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import nn

from despoof.errors import InputError
from despoof.generator.config import DiffusionConfig, GeneratorConfig
from despoof.runs.config import config_hash, to_dict

Lap = Callable[[str], None]


class Generator(nn.Module):
    """Face -> counterpart. A kind says how in `make`, from which steps it can start in `start_of`, and who trains it.

    `trainer` is "module:function", looked up when the kind is trained, or "" for a kind made from another. The
    function takes (recipe, faces, folder, run, parts) and returns the generator, see `training.diffusion`.
    """

    trainer: ClassVar[str] = ""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.facts: dict = {}  # of its weights file: what run it is of

    @property
    def device(self) -> torch.device:
        """Where it computes; `to` moves it."""
        return next(self.parameters()).device

    @torch.no_grad()
    def counterpart(
        self, face: torch.Tensor, *, start_step: int | None = None, salt: int = 0, lap: Lap | None = None
    ) -> torch.Tensor:
        """Return the real counterpart of faces (N, 3, S, S) in [-1, 1], of the same shape and range.

        Whatever is random is seeded by each face's own pixels and `salt`, so a face has the same counterpart in
        any batch, order or process (up to float rounding). `start_step` overrides the config's t; `lap` is
        called with the name of each stage as it ends. Faces may lie on another device than the generator.
        """
        check_face(face, self.config.face_size)
        made = self.make(face.to(self.device), self.start_of(start_step), salt, lap or _no_lap)
        return made.clamp(-1, 1).to(face.device)

    def make(self, face: torch.Tensor, start: int, salt: int, lap: Lap) -> torch.Tensor:
        """Return counterparts of checked faces, not clamped."""
        raise NotImplementedError

    def start_of(self, start_step: int | None) -> int:
        """Return the start step: the one asked for, or the config's if None; 0 for a kind without noise."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Hex digits that name config and weights; counterparts on disk carry it."""
        config = to_dict(self.config)
        if config["diffusion"]["noise"] == DiffusionConfig.noise:
            del config["diffusion"]["noise"]  # who was made before there was a choice keeps the name
        digest = hashlib.blake2b(config_hash(config).encode(), digest_size=6)
        for tensor in self.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()


def check_face(face: torch.Tensor, size: int) -> None:
    """Raise InputError unless faces are (N, 3, size, size), finite, in [-1, 1]."""
    if face.ndim != 4 or face.shape[1:] != (3, size, size):
        raise InputError(f"face of shape {tuple(face.shape)}; expected (N, 3, {size}, {size}). Align it first.")
    if not torch.isfinite(face).all() or face.abs().max() > 1.001:
        raise InputError("face holds NaN, infinity or values beyond [-1, 1]. Use despoof.faces.as_tensor.")


def _no_lap(stage: str) -> None:
    pass
