"""Stable Diffusion's autoencoder behind the two functions of ours: encode and decode, latents of about unit size."""

import torch
from torch import nn

from despoof.generator.config import AutoencoderConfig, StableConfig
from despoof.generator.diffusion import content_noise

POSTERIOR_SALT = 0x5D15  # keeps the posterior's draw apart from the noise to t, which has salts 0, 1, ...


class StableAutoencoder(nn.Module):
    """(N, 3, S, S) in [-1, 1] <-> (N, 4, S/8, S/8) by diffusers' `AutoencoderKL`."""

    def __init__(self, config: AutoencoderConfig) -> None:
        from diffusers import AutoencoderKL

        super().__init__()
        stable = self.stable = config.stable or StableConfig()
        levels = len(stable.channels)
        self.kl = AutoencoderKL(
            latent_channels=config.latent_channels,
            block_out_channels=stable.channels,
            layers_per_block=stable.layers,
            norm_num_groups=stable.groups,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            scaling_factor=stable.scaling,
        )

    def encode(self, face: torch.Tensor) -> torch.Tensor:
        """Return scaled latents: the posterior's mode, or a sample whose noise belongs to each face.

        The release samples from the global state, so its counterparts cannot be repeated.
        """
        posterior = self.kl.encode(face).latent_dist
        latents = posterior.mode()
        if self.stable.posterior == "sample":
            noise = torch.stack([content_noise(one, latents.shape[1:], POSTERIOR_SALT) for one in face])
            latents = latents + posterior.std * noise.to(latents)
        return latents * self.stable.scaling

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return a face (N, 3, S, S), not clamped."""
        return self.kl.decode(latents / self.stable.scaling).sample
