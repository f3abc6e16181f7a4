"""Train what encodes and decodes, on real faces: mean absolute error over a pyramid, of values and of gradients."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ConfigError
from despoof.faces.align import as_tensor
from despoof.generator.autoencoders import Autoencoder, PlainAutoencoder
from despoof.generator.config import AutoencoderRecipe, AutoencoderTraining, GeneratorRecipe
from despoof.generator.registry import build_generator
from despoof.generator.training.latents import Faces, data_hash, mapped_pixels
from despoof.generator.training.trainer import Trainer
from despoof.generator.weights import read_autoencoder
from despoof.runs.checkpoint import save_artefact
from despoof.runs.config import to_dict
from despoof.runs.folder import alone_in_folder
from despoof.runs.identity import Identity, provenance
from despoof.runs.loop import claim, step_rng


@alone_in_folder
def train_autoencoder(recipe: AutoencoderRecipe, faces: Faces, folder: str | Path) -> Path:
    """Train on faces (N, S, S, 3) uint8 and return the path of the weights file."""
    run = Identity("train autoencoder", to_dict(recipe), data_hash(faces))
    torch.manual_seed(recipe.training.seed)
    network = Autoencoder(recipe.generator.autoencoder)
    path = Path(folder) / "autoencoder.safetensors"
    if _fit(network, recipe.training, faces, folder, run):
        save_artefact(path, "autoencoder", to_dict(recipe.generator), network.state_dict(), facts=provenance(run))
    return path


def train_copying(
    recipe: GeneratorRecipe, faces: Faces, folder: Path, run: Identity, parts: dict[str, Path]
) -> PlainAutoencoder | None:
    """Train a kind that encodes and decodes only on faces (N, S, S, 3) uint8; None in a process that may not write.

    The kind `autoencoder` is the one that diffusion uses: a trained one may be given, and is then only wrapped.
    """
    kind = recipe.generator.kind
    unused = set(parts) - ({"autoencoder"} if kind == "autoencoder" else set())
    if unused:
        raise ConfigError(f"kind {kind!r} does not use the parts {', '.join(sorted(unused))}. Leave them out.")
    torch.manual_seed(recipe.copying.seed)
    generator = build_generator(recipe.generator)
    if "autoencoder" in parts:
        claim(folder, run)
        generator.autoencoder = read_autoencoder(recipe.generator, parts["autoencoder"])
        return generator
    return generator if _fit(generator.autoencoder, recipe.copying, faces, folder, run) else None


def _fit(network: nn.Module, training: AutoencoderTraining, given: Faces, folder: str | Path, run: Identity) -> bool:
    """Train a network's `encoder` and `decoder`; True in the process that may write."""
    if not hasattr(network, "encoder"):
        raise ConfigError("Stable Diffusion's autoencoder is not trained here. Give its folder in diffusers' format.")
    trainer = Trainer(_Copying(network.to(memory_format=torch.channels_last)), training, folder, run)
    with trainer.processes.main_process_first():
        faces = mapped_pixels(given, Path(folder) / "pixels", run.label)
    with torch.no_grad():
        shape = network.encoder(as_tensor(faces[:1], faces.shape[1]).to(trainer.device)).shape[1:]

    def step(number: int) -> dict[str, float]:
        rng = step_rng(training.seed, number)
        drawn = draw_faces(faces, training.batch, rng)
        noise = training.latent_noise * torch.randn(training.batch, *shape, generator=rng)

        def loss(copying: nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
            face = drawn[part].to(trainer.device, memory_format=torch.channels_last)
            with trainer.autocast():
                raw, back = copying(face, noise[part].to(trainer.device))
            back = back.float()
            # the small pull keeps raw latents near unit size, where bfloat16 is accurate
            total = pyramid_error(back, face) + 1e-3 * raw.float().square().mean()
            return {"loss": total, "l1": (back.detach() - face).abs().mean()}

        return trainer.step(loss)

    writes = trainer.run(step, title=run.task)
    if isinstance(network, Autoencoder):
        _measure_latents(network, faces, trainer.device)
    return writes


class _Copying(nn.Module):
    """Encode, add noise in units of the latents' deviation, decode: one forward, as several processes need it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, face: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return raw latents and the face from the noised ones."""
        raw = self.network.encoder(face)
        spread = raw.detach().float().std((0, 2, 3), keepdim=True)
        return raw, self.network.decoder(raw + spread * noise)


def draw_faces(faces: np.ndarray, count: int, rng: torch.Generator) -> torch.Tensor:
    """Return (count, 3, S, S) in [-1, 1], drawn with replacement, half of them mirrored."""
    picks = torch.randint(len(faces), (count,), generator=rng).numpy()
    return mirrored(as_tensor(faces[picks], faces.shape[1]), rng)


def mirrored(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mirror each item of (N, 3, S, S) with probability one half."""
    flip = torch.rand(len(batch), generator=rng) < 0.5
    return torch.where(flip[:, None, None, None], batch.flip(3), batch)


def pyramid_error(back: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error of values and gradients at full, half and quarter size."""
    total = back.new_zeros(())
    for _ in range(3):
        total = total + F.l1_loss(back, face)
        for axis in (2, 3):
            total = total + F.l1_loss(back.diff(dim=axis), face.diff(dim=axis))
        back, face = F.avg_pool2d(back, 2), F.avg_pool2d(face, 2)
    return total


@torch.no_grad()
def _measure_latents(model: Autoencoder, faces: np.ndarray, device: torch.device) -> None:
    rng = step_rng(0, 0)
    model.standardise(torch.cat([model.encoder(draw_faces(faces, 64, rng).to(device)) for _ in range(8)]))
