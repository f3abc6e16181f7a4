"""The default kind in one screen: encode, noise to t, denoise under the identity, decode."""

import torch

from despoof.generator.config import GeneratorConfig
from despoof.generator.diffusion import add_noise, build_schedule, content_noise, sample, target
from despoof.generator.identity import Identity, condition_tokens
from despoof.generator.kind import Kind, Lap
from despoof.generator.parts import Parts, build_parts


class Generator(Kind):
    """Latent diffusion DFG (AG-FAS). Use `counterpart`; the four steps are public for study and timing."""

    def __init__(self, config: GeneratorConfig, parts: Parts | None = None) -> None:
        super().__init__(config)
        parts = parts or build_parts(config)
        self.autoencoder, self.identity, self.denoiser = parts.autoencoder, parts.identity, parts.denoiser
        self.schedule = build_schedule(config.diffusion)

    def make(self, face: torch.Tensor, start: int, salt: int, lap: Lap) -> torch.Tensor:
        """Run the four steps."""
        identity = self.identity(face)
        lap("identity")
        noised = self.noised(self.autoencoder.encode(face), face, start, salt)
        lap("encode")
        clean = self.denoised(noised, identity, start)
        lap("denoise")
        made = self.autoencoder.decode(clean)
        lap("decode")
        return made

    def start_of(self, start_step: int | None) -> int:
        """Return the wish, or the config's t; whether it is on the grid is seen when sampling."""
        return self.config.diffusion.start_step if start_step is None else start_step

    def noised(self, latents: torch.Tensor, face: torch.Tensor, start: int, salt: int = 0) -> torch.Tensor:
        """Return latents at step `start` with noise that belongs to each face."""
        noise = torch.stack([content_noise(one, latents.shape[1:], salt) for one in face]).to(latents)
        steps = torch.full((len(face),), start, device=latents.device)
        return self.add_noise(latents, noise, steps)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return latents (N, C, H, W) at steps (N,)."""
        return add_noise(self.schedule, latents, noise, steps)

    def target(self, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Return what the denoiser learns to predict from noised latents."""
        return target(self.schedule, latents, noise, steps)

    def denoised(self, noised: torch.Tensor, identity: Identity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)

        def denoise(x: torch.Tensor, step: int) -> torch.Tensor:
            return self.denoiser(x, step, encoder_hidden_states=tokens).sample

        return sample(self.schedule, noised, start, denoise)
