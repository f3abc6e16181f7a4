"""Parts from files: the suffix or the config says whose they are. Loaded parts are frozen, in eval mode.

The authors' folder has a U-Net and an autoencoder in diffusers' format and ArcFace as InsightFace's `backbone.pth`:

    FOLDER/unet_ema/{config.json, diffusion_pytorch_model.safetensors}     or under FOLDER/checkpoint-*/
    FOLDER/vae/{config.json, diffusion_pytorch_model.safetensors}          Stable Diffusion 1.5's own
    FOLDER/backbone.pth                                                    iResNet-18
    FOLDER/scheduler/scheduler_config.json                                 optional; must agree with ours

Weights may also be `.bin`; whatever is pickled is read by torch's weights-only loader. Everything is strict.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from despoof.errors import ArtefactError
from despoof.generator.autoencoders import build_autoencoder
from despoof.generator.config import (
    PAPER,
    AutoencoderConfig,
    DiffusionConfig,
    GeneratorConfig,
    IdentityConfig,
    NetworkConfig,
    Posterior,
    StableConfig,
)
from despoof.generator.diffusion import LatentDiffusion, build_parts
from despoof.generator.identity import build_identity, read_onnx
from despoof.generator.schedule import build_schedule
from despoof.runs.checkpoint import load_artefact, load_strict
from despoof.runs.folder import read_json


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
        load_stored(built.kl, path)
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


SIZE = {"sample_size"}  # that a model was made for; convolutions and attention take any
NOISE = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "steps_offset", "set_alpha_to_one",
         "prediction_type"}  # fmt: skip


def load_published(
    folder: str | Path,
    *,
    diffusion: DiffusionConfig = PAPER.diffusion,
    posterior: Posterior = "sample",
    face_size: int = PAPER.face_size,
) -> LatentDiffusion:
    """Return the published generator, ready to use. Missing and foreign files are ArtefactErrors.

    Shapes follow the files; what no file says (t, grid, scheduler, posterior) is the paper's or as given.
    """
    folder = Path(folder)
    unet, vae, backbone = _find(folder, "unet_ema"), _find(folder, "vae"), _find(folder, "backbone.pth")
    for path in sorted(folder.glob("**/scheduler_config.json"))[:1]:
        stored = {key: value for key, value in read_json(path).items() if key in NOISE}
        _agree(stored, build_schedule(diffusion).config, path)
    denoiser, autoencoder = _stored("UNet2DConditionModel", unet), _stored("AutoencoderKL", vae)
    tensors = read_tensors(backbone)
    channels, latents = denoiser.config.in_channels, autoencoder.config.latent_channels
    if channels != latents:
        raise _refused(unet, f"works on {channels} channels, {vae} makes {latents}", "one number")
    identity = replace(read_identity(tensors, backbone), pad_to=denoiser.config.cross_attention_dim)
    stable = _stable_config(autoencoder, posterior)
    config = GeneratorConfig(
        face_size, "map", AutoencoderConfig(latents, stable=stable), identity, _network_config(denoiser), diffusion
    )
    with torch.device("meta"):  # a gigabyte of random weights would only be thrown away
        parts = build_parts(config)
    generator = LatentDiffusion(config, parts)
    _agree(denoiser.config, generator.denoiser.config, unet)
    _agree(autoencoder.config, generator.autoencoder.kl.config, vae)
    generator.denoiser, generator.autoencoder.kl = denoiser, autoencoder
    load_strict(generator.identity.to_empty(device="cpu"), tensors, backbone)
    return generator.eval()


def load_stored(model: Any, folder: str | Path) -> None:
    """Load into one of diffusers' models another of its class and shape, such as Stable Diffusion's U-Net."""
    stored = _stored(type(model).__name__, Path(folder))
    _agree(stored.config, model.config, Path(folder))
    model.load_state_dict(stored.state_dict())


def _stored(kind: str, folder: Path) -> Any:
    """Return a model in diffusers' format, in 32 bits; one that is not wholly there is refused."""
    import diffusers

    path = folder / "config.json"
    if not path.is_file():
        raise _refused(path, "is missing", "diffusers' description of a model")
    found = read_json(path).get("_class_name")
    if found != kind:
        raise _refused(path, f"is of class {found!r}", repr(kind))
    try:
        model, left = getattr(diffusers, kind).from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # diffusers' errors share no class
        raise _refused(folder, f"cannot be read ({error})", "weights that belong to its config.json") from None
    odd = sorted(str(name) for names in left.values() for name in names)
    if odd:
        raise _refused(folder, f"lacks, or has too much of, {', '.join(odd[:3])}", "weights as its config.json says")
    return model.float()


def _network_config(denoiser: Any) -> NetworkConfig:
    found = denoiser.config
    level = "first" if found.down_block_types[0] == "DownBlock2D" else "last"
    return NetworkConfig(
        tuple(found.block_out_channels), found.layers_per_block, found.norm_num_groups, level, found.attention_head_dim
    )


def _stable_config(autoencoder: Any, posterior: Posterior) -> StableConfig:
    found = autoencoder.config
    channels = tuple(found.block_out_channels)
    return StableConfig(channels, found.layers_per_block, found.norm_num_groups, found.scaling_factor, posterior)


def read_identity(tensors: dict[str, torch.Tensor], path: Path) -> IdentityConfig:
    """Return the shape of a stored iResNet: blocks and widths as the names and sizes of its tensors say."""
    layers = (1, 2, 3, 4)
    try:
        widths = tuple(tensors[f"layer{n}.0.conv1.weight"].shape[0] for n in layers)
        embedding = tensors["fc.weight"].shape[0]
    except KeyError as error:
        raise _refused(path, f"holds no {error}", "the layers of an ArcFace iResNet") from None
    blocks = tuple(sum(f"layer{n}.{i}.conv1.weight" in tensors for i in range(64)) for n in layers)
    return IdentityConfig(widths, blocks, embedding, encoder="iresnet")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file or of a pickled state dict, by the weights-only loader."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise _refused(path, "is missing", "a file of weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds here
        raise ArtefactError(f"{path} cannot be read as tensors ({error}). Restore it from its source.") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise _refused(path, "holds no plain state dict", "names and tensors")
    return found


def _refused(path: Path, found: str, expected: str) -> ArtefactError:
    return ArtefactError(
        f"{path} {found}; expected {expected}. Give the folder that holds unet_ema, vae and backbone.pth of the "
        "authors' release (see docs/generator.md)."
    )


def _find(folder: Path, name: str) -> Path:
    found = [path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.exists()]
    if not found:
        raise _refused(folder / name, "is missing, also one folder below", "the release's")
    return found[0]


def _agree(stored: dict[str, Any], built: Any, path: Path) -> None:
    """Refuse a stored setting that is not what was built: an activation or padding has no weights to betray it."""
    for key in set(stored) & set(built) - SIZE:
        own = list(built[key]) if isinstance(built[key], tuple) else built[key]
        if own != stored[key] and not key.startswith("_"):
            raise _refused(path, f"has {key} = {stored[key]!r}", repr(own))
