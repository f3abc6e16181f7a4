"""Train the denoiser on the latents of real faces (AG-FAS trains on real faces only)."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from despoof.errors import ConfigError
from despoof.generator.config import DenoiserTraining, GeneratorRecipe
from despoof.generator.diffusion import LatentDiffusion, Parts, build_denoiser
from despoof.generator.registry import generator_class, load_generator
from despoof.generator.training.latents import Faces, Latents, bare_tokens, filled_tokens
from despoof.generator.training.trainer import Trainer
from despoof.generator.weights import load_stored, read_parts
from despoof.runs.checkpoint import load_strict
from despoof.runs.identity import Identity
from despoof.runs.loop import step_rng


def train_denoiser(
    recipe: GeneratorRecipe, faces: Faces, folder: Path, run: Identity, parts: dict[str, Path]
) -> LatentDiffusion | None:
    """Train on faces (N, S, S, 3) uint8 with the files of both other parts; None in a process that may not write.

    Loss: squared error of the prediction at uniform t (Ho et al. 2020, eq. 14), weighed by t, see
    `LatentDiffusion.weights`. The part `start_from` is a folder with a U-Net of the same shape in diffusers' format,
    or the weights file of a generator with such a network, whose other parts are then taken where none are given.
    """
    training = recipe.training
    torch.manual_seed(training.seed)
    generator = _assemble(recipe, parts)
    if training.recompute:
        generator.denoiser.enable_gradient_checkpointing()
    trainer = Trainer(generator.denoiser, training, folder, run, fsdp=training.fsdp)
    generator.to(trainer.device)
    with trainer.processes.main_process_first():
        latents = encode_faces(generator, faces, folder / "latents", run.label)

    def step(number: int) -> dict[str, float]:
        views, times, noise, keep = _draw(latents, generator, training, number)

        def loss(network: nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
            clean, moments, drawn, kept = (
                each.to(trainer.device)
                for each in (latents.pick("latents", views[part]), times[part], noise[part], keep[part])
            )
            tokens = filled_tokens(generator.config, latents.pick("tokens", views[part]).to(trainer.device))
            noised, wanted = generator.add_noise(clean, drawn, moments), generator.target(clean, drawn, moments)
            with trainer.autocast():
                got = network(noised, moments, encoder_hidden_states=tokens * kept).sample
            error = (got.float() - wanted).square().mean((1, 2, 3))
            weights = generator.weights(moments, training.snr_limit)
            return {"loss": (weights * error).mean(), "error": error.mean()}

        return trainer.step(loss)

    return generator if trainer.run(step, title=run.task) else None


def encode_faces(generator: LatentDiffusion, faces: Faces, folder: Path, label: str) -> Latents:
    """Return `latents` (2N, C, H, W) and bare `tokens` (2N, K, D) of all faces and mirror images; kept in a folder."""

    def make(face: torch.Tensor) -> dict[str, torch.Tensor]:
        face = face.to(generator.device)
        tokens = bare_tokens(generator.config, generator.identity(face))
        return {"latents": generator.autoencoder.encode(face), "tokens": tokens}

    return Latents(folder, label, faces, make, title="encode faces")


def _assemble(recipe: GeneratorRecipe, parts: dict[str, Path]) -> LatentDiffusion:
    config, kind, start = recipe.generator, recipe.generator.kind, parts.get("start_from")
    source = load_generator(start) if start is not None and start.is_file() else None
    if source is not None and not set(parts) & {"autoencoder", "identity"}:
        config = replace(config, autoencoder=source.config.autoencoder, identity=source.config.identity)
        read = [part.requires_grad_(False).eval() for part in (source.autoencoder, source.identity)]
    elif {"autoencoder", "identity"} <= set(parts):
        config, *read = read_parts(config, parts["autoencoder"], parts["identity"])
    else:
        raise ConfigError(f"kind {kind!r} needs an autoencoder and an identity encoder. Give both files.")
    denoiser = build_denoiser(config)
    if source is not None:
        load_strict(denoiser, source.denoiser.state_dict(), start)
    elif start is not None:
        load_stored(denoiser, start)
    return generator_class(kind)(config, Parts(*read, denoiser))


def _draw(
    latents: Latents, generator: LatentDiffusion, training: DenoiserTraining, number: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what is random in one global batch: views, times, noise, and 0 where identity is withheld."""
    rng, count = step_rng(training.seed, number), training.batch
    views = torch.randint(len(latents), (count,), generator=rng)
    times = torch.randint(generator.config.diffusion.train_steps, (count,), generator=rng)
    noise = torch.randn(count, *latents.arrays["latents"].shape[1:], generator=rng)
    keep = torch.rand(count, 1, 1, generator=rng) >= training.condition_dropout
    return views, times, noise, keep
