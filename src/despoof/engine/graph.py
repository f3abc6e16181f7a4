"""Generator and detector as modules that an exported graph can hold: pixels in, what is asked for out."""

import torch
from torch import nn

from despoof.cue import CUE_FORMS
from despoof.departure.departure import Departure
from despoof.detector.network import Detector
from despoof.errors import ConfigError
from despoof.faces.align import scaled
from despoof.faces.surroundings import SCALES, SURROUNDINGS_SIZE
from despoof.generator.diffusion import OneStep
from despoof.generator.generator import Generator


class JudgeGraph(nn.Module):
    """Faces (N, S, S, 3) uint8, their cues and surroundings, where the detector takes them -> liveness (N,) and
    embedding (N, E)."""

    outputs = ("liveness", "embedding")

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    @property
    def surroundings_shape(self) -> tuple[int, ...] | None:
        """Shape (2, R, R, 3) of what is around one face, or None where the detector does not look at it."""
        if not self.detector.config.uses_surroundings:
            return None
        return len(SCALES), SURROUNDINGS_SIZE, SURROUNDINGS_SIZE, 3

    def forward(
        self, face: torch.Tensor, cue: torch.Tensor | None = None, surroundings: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return calibrated liveness and embeddings; cues are (N, 3, S, S), surroundings (N, 2, R, R, 3) uint8."""
        around = None if surroundings is None else scaled(surroundings)
        logit, embedding = self.detector(scaled(face), cue, around)
        return self.detector.calibrated(logit), embedding


class ExplainGraph(nn.Module):
    """Faces (N, S, S, 3) uint8 and their noise -> counterpart and cue (N, 3, S, S), and map (N, S, S) by a departure.

    Noise is an input where each face has its own, since a graph cannot seed it by content. Only a one-step generator: a
    sampler's loop would be unrolled into a graph several times the size.
    """

    def __init__(self, generator: Generator, detector: Detector, departure: Departure | None = None) -> None:
        super().__init__()
        if not isinstance(generator, OneStep):
            raise ConfigError(
                f"generator of kind {generator.config.kind!r}; expected 'one_step'. Distil one with `despoof train "
                "student`."
            )
        self.generator, self.cue_form, self.departure = generator, detector.config.cue_form, departure
        self.outputs = ("counterpart", "cue") if departure is None else ("counterpart", "cue", "map")
        if departure is not None:
            self.backbone = departure.backbone  # its weights are nobody's else, and would not be exported
        config, side = generator.config, generator.config.face_size // 8
        shape = (config.autoencoder.latent_channels, side, side)
        self.noise_shape = None if config.diffusion.noise == "pair" else shape  # of one face's; None: the same for all
        if self.noise_shape is None:
            self.register_buffer("noise", generator.noise(torch.zeros(1, 1), torch.Size(shape)))

    def forward(self, face: torch.Tensor, noise: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Return what `outputs` names."""
        x, generator = scaled(face), self.generator
        latents, start = generator.autoencoder.encode(x), generator.config.diffusion.start_step
        clean = generator.cleaned(latents, self.noise if noise is None else noise, generator.identity(x), start)
        counterpart = generator.autoencoder.decode(clean).clamp(-1, 1)
        pictures = counterpart, CUE_FORMS[self.cue_form](x, counterpart)
        return pictures if self.departure is None else (*pictures, self.departure(x, counterpart))
