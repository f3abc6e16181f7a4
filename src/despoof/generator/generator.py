"""The stage's front: the kinds of generator by name, and their weights on disk."""

from pathlib import Path

from despoof.generator.bottleneck import Bottleneck
from despoof.generator.config import GeneratorConfig
from despoof.generator.diffusion import content_noise
from despoof.generator.flow import Flow
from despoof.generator.kind import Kind
from despoof.generator.latent_diffusion import Generator
from despoof.generator.one_step import OneStep
from despoof.generator.plain_autoencoder import PlainAutoencoder
from despoof.runs.checkpoint import load_artefact, load_strict, save_artefact
from despoof.runs.config import describe, from_dict

__all__ = ["KINDS", "Generator", "build_generator", "content_noise", "load_generator", "save_generator"]

KINDS: dict[str, type[Kind]] = {
    "diffusion": Generator,
    "one_step": OneStep,
    "flow": Flow,
    "autoencoder": PlainAutoencoder,
    "bottleneck": Bottleneck,
}


def build_generator(config: GeneratorConfig) -> Kind:
    """Return an untrained generator of the config's kind."""
    return KINDS[config.kind](config)


def save_generator(path: str | Path, generator: Kind, *, half: bool = False, facts: dict | None = None) -> None:
    """Write all parts and the config, which names the kind, as one file; `half` stores 16-bit floats."""
    tensors = {
        name: tensor.half() if half and tensor.is_floating_point() else tensor
        for name, tensor in generator.state_dict().items()
    }
    save_artefact(path, "generator", describe(generator.config), tensors, facts=facts)


def load_generator(path: str | Path) -> Kind:
    """Read what `save_generator` wrote, of whichever kind, ready to use (eval mode, 32-bit)."""
    artefact = load_artefact(path, "generator")
    generator = build_generator(from_dict(GeneratorConfig, artefact.config, str(path)))
    load_strict(generator, artefact.tensors, path)
    return generator.eval()
