"""The stage's front: the kinds of generator by name, and their weights on disk."""

from pathlib import Path

from despoof.errors import ConfigError
from despoof.generator.autoencoders import Bottleneck, PlainAutoencoder
from despoof.generator.config import GeneratorConfig
from despoof.generator.diffusion import Flow, LatentDiffusion, OneStep
from despoof.generator.generator import Generator
from despoof.runs.checkpoint import in_bits, load_artefact, load_strict, save_artefact
from despoof.runs.config import from_dict, to_dict

GENERATORS: dict[str, type[Generator]] = {
    "diffusion": LatentDiffusion,
    "one_step": OneStep,
    "flow": Flow,
    "autoencoder": PlainAutoencoder,
    "bottleneck": Bottleneck,
}


def generator_class(kind: str) -> type[Generator]:
    """Return the class of a kind; an unknown one is a ConfigError."""
    if kind not in GENERATORS:
        raise ConfigError(f"generator.kind is {kind!r}; expected one of {', '.join(GENERATORS)}. Name one.")
    return GENERATORS[kind]


def build_generator(config: GeneratorConfig) -> Generator:
    """Return an untrained generator of the config's kind."""
    return generator_class(config.kind)(config)


def save_generator(path: str | Path, generator: Generator, *, bits: int = 32, facts: dict | None = None) -> None:
    """Write all parts and the config, which names the kind, as one file of 32, 16 or 8 bits a weight.

    `facts` are by default those of the file that the generator was read from.
    """
    tensors = in_bits(generator.state_dict(), bits)
    save_artefact(path, "generator", to_dict(generator.config), tensors, facts=facts or generator.facts)


def load_generator(path: str | Path) -> Generator:
    """Read what `save_generator` wrote, of whichever kind, ready to use (eval mode, 32-bit)."""
    artefact = load_artefact(path, "generator")
    generator = build_generator(from_dict(GeneratorConfig, artefact.config, str(path)))
    load_strict(generator, artefact.tensors, path)
    generator.facts = artefact.facts
    return generator.eval()
