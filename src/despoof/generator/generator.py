"""The stage in one screen: encode, noise to t, denoise under the identity, decode."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from despoof.errors import InputError
from despoof.generator.autoencoder import Autoencoder
from despoof.generator.config import GeneratorConfig
from despoof.generator.diffusion import add_noise, build_schedule, sample
from despoof.generator.identity import Identity, IdentityEncoder, condition_tokens
from despoof.generator.network import build_denoiser
from despoof.runs.checkpoint import load_artefact, load_strict, save_artefact
from despoof.runs.config import config_hash, from_dict, to_dict
from despoof.runs.seed import content_seed


class Generator(nn.Module):
    """Latent diffusion DFG (AG-FAS). Use `counterpart`; the four steps are public for study and timing."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = Autoencoder(config.autoencoder)
        self.identity = IdentityEncoder(config.identity)
        self.denoiser = build_denoiser(config)
        self.schedule = build_schedule(config.diffusion)

    @torch.no_grad()
    def counterpart(self, face: torch.Tensor, *, start_step: int | None = None, salt: int = 0) -> torch.Tensor:
        """Return the real counterpart of faces (N, 3, S, S) in [-1, 1], of the same shape and range.

        Noise is seeded by each face's own pixels and `salt`, so a face has the same counterpart in any batch,
        order or process (up to float rounding). `start_step` overrides the config's t.
        """
        self._check(face)
        start = start_step or self.config.diffusion.start_step
        latents = self.autoencoder.encode(face)
        noised = self.noised(latents, face, start, salt)
        clean = self.denoised(noised, self.identity(face), start)
        return self.autoencoder.decode(clean).clamp(-1, 1)

    def noised(self, latents: torch.Tensor, face: torch.Tensor, start: int, salt: int = 0) -> torch.Tensor:
        """Return latents at step `start` with noise that belongs to each face."""
        noise = torch.stack([content_noise(one, latents.shape[1:], salt) for one in face]).to(latents)
        steps = torch.full((len(face),), start, device=latents.device)
        return add_noise(self.schedule, latents, noise, steps)

    def denoised(self, noised: torch.Tensor, identity: Identity, start: int) -> torch.Tensor:
        """Return clean latents."""
        tokens = condition_tokens(identity, self.config.condition).to(noised)

        def denoise(x: torch.Tensor, step: int) -> torch.Tensor:
            return self.denoiser(x, step, encoder_hidden_states=tokens).sample

        return sample(self.schedule, noised, start, denoise)

    @property
    def name(self) -> str:
        """Hex digits that name config and weights; counterparts on disk carry it."""
        digest = hashlib.blake2b(config_hash(self.config).encode(), digest_size=6)
        for tensor in self.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def _check(self, face: torch.Tensor) -> None:
        size = self.config.face_size
        if face.ndim != 4 or face.shape[1:] != (3, size, size):
            raise InputError(f"face of shape {tuple(face.shape)}; expected (N, 3, {size}, {size}). Align it first.")
        if not torch.isfinite(face).all() or face.abs().max() > 1.001:
            raise InputError("face holds NaN, infinity or values beyond [-1, 1]. Use despoof.faces.as_tensor.")


def content_noise(face: torch.Tensor, shape: torch.Size, salt: int) -> torch.Tensor:
    """Return standard normal noise seeded by a face's pixels, rounded to 8 bits, and a salt."""
    pixels = ((face.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    generator = torch.Generator().manual_seed(content_seed(pixels.numpy().tobytes(), salt))
    return torch.randn(shape, generator=generator)


def save_generator(path: str | Path, generator: Generator, *, half: bool = False, facts: dict | None = None) -> None:
    """Write autoencoder, identity encoder and denoiser as one file; `half` stores 16-bit floats."""
    tensors = {
        name: tensor.half() if half and tensor.is_floating_point() else tensor
        for name, tensor in generator.state_dict().items()
    }
    save_artefact(path, "generator", to_dict(generator.config), tensors, facts=facts)


def load_generator(path: str | Path) -> Generator:
    """Read what `save_generator` wrote, ready to use (eval mode, 32-bit)."""
    artefact = load_artefact(path, "generator")
    generator = Generator(from_dict(GeneratorConfig, artefact.config, str(path)))
    load_strict(generator, artefact.tensors, path)
    return generator.eval()
