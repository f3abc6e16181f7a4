"""Parts from files: the suffix or the config says whose they are. Loaded parts are frozen, in eval mode."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from despoof.errors import ArtefactError
from despoof.generator.config import GeneratorConfig, IdentityConfig
from despoof.generator.onnx_identity import read_onnx
from despoof.generator.parts import build_autoencoder, build_identity
from despoof.generator.published import load_stable, read_identity, read_tensors
from despoof.runs.checkpoint import load_artefact, load_strict


def read_parts(
    config: GeneratorConfig, autoencoder: str | Path, identity: str | Path
) -> tuple[GeneratorConfig, nn.Module, nn.Module]:
    """Return both parts, and the config with the identity encoder that the file holds."""
    encoder_config, encoder = read_encoder(config.identity, identity)
    encoder.requires_grad_(False).eval()
    return replace(config, identity=encoder_config), read_autoencoder(config, autoencoder), encoder


def read_autoencoder(config: GeneratorConfig, path: str | Path) -> nn.Module:
    """Return ours from an artefact, or Stable Diffusion's from a folder in diffusers' format."""
    built = build_autoencoder(config.autoencoder)
    if config.autoencoder.stable is None:
        load_strict(built, load_artefact(path, "autoencoder").tensors, path)
    else:
        load_stable(built, Path(path))
    return built.requires_grad_(False).eval()


def read_encoder(config: IdentityConfig, path: str | Path) -> tuple[IdentityConfig, nn.Module]:
    """Return ours (.safetensors), any ArcFace ONNX file (.onnx) or a torch iResNet (.pth, .pt), with its config."""
    path = Path(path)
    if path.suffix == ".onnx":
        return read_onnx(path, config)
    if path.suffix in (".pth", ".pt"):
        tensors = read_tensors(path)
        config = replace(read_identity(tensors, path), pad_to=config.pad_to)
    elif path.suffix == ".safetensors":
        tensors = load_artefact(path, "identity").tensors
        config = replace(config, encoder="ours")
    else:
        raise ArtefactError(f"identity encoder {path} is of no known kind; expected .safetensors, .onnx, .pth or .pt.")
    encoder = build_identity(config)
    load_strict(encoder, tensors, path)
    return config, encoder
