"""Generator, cue and detector as one module, so that one graph holds them all."""

import torch
from torch import nn

from despoof.cue import CUE_FORMS
from despoof.detector.network import Detector
from despoof.errors import ConfigError
from despoof.faces.align import scaled
from despoof.faces.surroundings import SCALES, SURROUNDINGS_SIZE
from despoof.generator.diffusion import OneStep
from despoof.generator.generator import Generator


class JudgeGraph(nn.Module):
    """Aligned faces, their noise and their surroundings -> calibrated liveness, counterpart, cue.

    Normalisation is inside. Noise is for a detector that takes a cue, surroundings for one that looks at them.

    Only a one-step generator: a sampler's loop would be unrolled into a graph several times the size.
    """

    def __init__(self, generator: Generator | None, detector: Detector) -> None:
        super().__init__()
        if detector.config.uses_cue and not isinstance(generator, OneStep):
            kind = generator.config.kind if generator is not None else "none"
            raise ConfigError(
                f"generator of kind {kind!r}; expected 'one_step'. Distil one with `despoof train student`."
            )
        self.generator = generator if detector.config.uses_cue else None
        self.detector = detector

    @property
    def noise_shape(self) -> tuple[int, int, int] | None:
        """Shape (C, h, w) of one face's noise, or None where there is no generator."""
        if self.generator is None:
            return None
        side = self.generator.config.face_size // 8
        return self.generator.config.autoencoder.latent_channels, side, side

    @property
    def surroundings_shape(self) -> tuple[int, ...] | None:
        """Shape (2, R, R, 3) of what is around one face, or None where the detector does not look at it."""
        if not self.detector.config.uses_surroundings:
            return None
        return len(SCALES), SURROUNDINGS_SIZE, SURROUNDINGS_SIZE, 3

    def forward(
        self, face: torch.Tensor, noise: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return (liveness (N,),) or (liveness, counterpart, cue) for faces (N, S, S, 3) uint8."""
        x = scaled(face)
        around = None if surroundings is None else scaled(surroundings)
        if self.generator is None:
            return (self.detector.calibrated(self.detector(x, None, around).logit),)
        counterpart = self._counterpart(self.generator, x, noise)
        cue = CUE_FORMS[self.detector.config.cue_form](x, counterpart)
        return self.detector.calibrated(self.detector(x, cue, around).logit), counterpart, cue

    def _counterpart(self, generator: OneStep, x: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        start = generator.config.diffusion.start_step
        step = torch.full((1,), start)
        noised = generator.add_noise(generator.autoencoder.encode(x), noise, step)
        clean = generator.denoised(noised, generator.identity(x), start)
        return generator.autoencoder.decode(clean).clamp(-1, 1)
