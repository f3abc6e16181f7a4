"""Train the kinds without noise, the rivals of diffusion: the plain autoencoder and the bottleneck."""

from pathlib import Path

import torch

from despoof.errors import ConfigError
from despoof.generator.config import GeneratorConfig
from despoof.generator.plain import Bottleneck, PlainAutoencoder
from despoof.generator.registry import save_generator
from despoof.generator.training.autoencoder import AutoencoderTraining, train_autoencoder
from despoof.generator.training.latents import Faces
from despoof.generator.weights import read_autoencoder
from despoof.runs.checkpoint import load_artefact, load_strict
from despoof.runs.loop import LoopConfig

PLAIN = ("autoencoder", "bottleneck")


def train_plain(
    config: GeneratorConfig,
    loop: LoopConfig,
    faces: Faces,
    folder: str | Path,
    *,
    autoencoder: str | Path | None = None,
    seed: int = 0,
) -> Path:
    """Return the artefact of a plain kind, trained on faces (N, S, S, 3) uint8.

    The plain autoencoder is the one that diffusion uses: a trained one may be given, and is then only wrapped.
    """
    path = Path(folder) / "generator.safetensors"
    if config.kind == "autoencoder":
        wrapped = PlainAutoencoder(config)
        if autoencoder is None:
            autoencoder = train_autoencoder(config, AutoencoderTraining(loop, seed=seed), faces[:], folder)
        wrapped.autoencoder = read_autoencoder(config, autoencoder)
        save_generator(path, wrapped)
        return path
    if config.kind != "bottleneck":
        raise ConfigError(f"kind {config.kind!r} is not one of {', '.join(PLAIN)}. Use train_generator.")
    training = AutoencoderTraining(loop, seed=seed)
    torch.manual_seed(training.seed)
    generator = Bottleneck(config)
    trained = train_autoencoder(config, training, faces[:], folder, network=generator.autoencoder)
    load_strict(generator.autoencoder, load_artefact(trained, "autoencoder").tensors, trained)
    save_generator(path, generator)
    return path
