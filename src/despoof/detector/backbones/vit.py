"""Vision transformers (Dosovitskiy et al., arXiv 2010.11929) as a row of layers: picture -> tokens (N, 1 + T, D).

Their released weights lie in a folder of Hugging Face's layout: config.json (model_type vit, dinov2, clip or
clip_vision_model), and model.safetensors or pytorch_model.bin.

The first token is the class token, the others are patches in rows from the top left. Each transformer layer is two
entries of the row, self-attention and MLP with their residuals, so that something may come between them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from despoof.detector.backbones.backbone import HALF, IMAGENET_DEVIATION, IMAGENET_MEAN, Backbone, Stage, Tensors
from despoof.errors import ArtefactError, ConfigError
from despoof.runs.checkpoint import load_state

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

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ViTShape:
    """Sizes, colours, and in what CLIP's (arXiv 2103.00020) and DINOv2's (arXiv 2304.07193) towers differ from ViT."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 16
    size: int = 224  # pixels of the picture
    epsilon: float = 1e-12  # of the layer norms
    patch_bias: bool = True
    entry_norm: bool = False  # CLIP: a layer norm before the first layer
    layer_scale: bool = False  # DINOv2: a learned factor on each residual
    quick_gelu: bool = False  # CLIP: x sigmoid(1.702 x)
    mean: tuple[float, ...] = HALF  # of the colours that it was trained on
    deviation: tuple[float, ...] = HALF


SHAPES = {
    "vit_b16": ViTShape(),
    "vit_tiny": ViTShape(width=16, layers=3, heads=2, patch=8, size=64),  # for tests
    "clip_b16": ViTShape(
        epsilon=1e-5, patch_bias=False, entry_norm=True, quick_gelu=True,
        mean=(0.48145466, 0.4578275, 0.40821073), deviation=(0.26862954, 0.26130258, 0.27577711),
    ),
    "dinov2_s14": ViTShape(
        width=384, heads=6, patch=14, epsilon=1e-6, layer_scale=True,
        mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION,
    ),
}  # fmt: skip


class Embed(nn.Module):
    """Patches and class token, with positions; these are interpolated for a picture of another size."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        side = shape.size // shape.patch
        self.patches = nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=shape.patch_bias)
        self.first = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.positions = nn.Parameter(torch.empty(1, 1 + side * side, shape.width))
        self.norm = nn.LayerNorm(shape.width, shape.epsilon) if shape.entry_norm else nn.Identity()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return (N, 1 + T, D)."""
        grid = self.patches(picture)  # (N, D, h, w)
        tokens = torch.cat([self.first.expand(len(grid), -1, -1), grid.flatten(2).transpose(1, 2)], 1)
        return self.norm(tokens + resized_positions(self.positions, grid.shape[-2:]))


class SelfAttention(nn.Module):
    """h + s SA(LN h)."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.query, self.key, self.value, self.out = (nn.Linear(shape.width, shape.width) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(shape.width)) if shape.layer_scale else 1.0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape."""
        normed = self.norm(tokens)
        q, k, v = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return tokens + self.scale * self.out(seen)


class Mlp(nn.Module):
    """h + s MLP(LN h), four times as wide inside."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.widen, self.narrow = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)
        self.scale = nn.Parameter(torch.ones(shape.width)) if shape.layer_scale else 1.0
        self.activation: Activation = quick_gelu if shape.quick_gelu else F.gelu

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape."""
        return tokens + self.scale * self.narrow(self.activation(self.widen(self.norm(tokens))))


def transformer(shape: ViTShape) -> Backbone:
    """Return a vision transformer. A stage ends after each self-attention, so what comes there precedes the MLP."""
    stages = tuple(Stage(2 + 2 * i, shape.patch, shape.width, f"layer_{i + 1}") for i in range(shape.layers))
    return Backbone(
        vit_layers(shape), stages, shape.width,
        mean=shape.mean, deviation=shape.deviation, side=shape.size, released=ReleasedFolder(shape),
    )  # fmt: skip


def vit_layers(shape: ViTShape) -> list[nn.Module]:
    """Return embedding, then self-attention and MLP of every layer in turn, then the last layer norm."""
    layers: list[nn.Module] = [Embed(shape)]
    for _ in range(shape.layers):
        layers += [SelfAttention(shape), Mlp(shape)]
    layers.append(nn.LayerNorm(shape.width, shape.epsilon))
    for module in layers:
        module.apply(_initialise)
    return layers


def resized_positions(positions: torch.Tensor, grid: torch.Size | tuple[int, int]) -> torch.Tensor:
    """Return positions (1, 1 + T, D) for a grid (h, w) of patches; the class token keeps its own."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if tuple(grid) == (side, side):
        return positions
    patches = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    patches = F.interpolate(patches, size=tuple(grid), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], 1)


def quick_gelu(values: torch.Tensor) -> torch.Tensor:
    """Return x sigmoid(1.702 x), CLIP's GELU."""
    return values * torch.sigmoid(1.702 * values)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Embed):
        nn.init.trunc_normal_(module.positions, std=0.02)


class ReleasedFolder(NamedTuple):
    """The weights of a transformer of this shape, poolers and heads left out."""

    shape: ViTShape

    def find(self, start: str) -> Path:
        """Return the folder."""
        if start == "imagenet":
            raise ConfigError(
                'start is "imagenet" for a transformer, whose weights no wheel carries; expected the path of a folder '
                'in Hugging Face\'s layout. Give it as start, or use start="random".'
            )
        return Path(start)

    def read(self, path: Path) -> Tensors:
        """Return the folder's tensors, renamed."""
        shape, config = self.shape, _config(path)
        wanted = {
            "hidden_size": shape.width,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "patch_size": shape.patch,
        }
        for name, value in wanted.items():
            if config.get(name) != value:
                raise ArtefactError(
                    f"{path / 'config.json'} says {name} {config.get(name)!r}; this backbone has {value}. "
                    "Give the folder of such a model, or choose another backbone."
                )
        tensors = _renamed(_tensors(path), shape.layers)
        if "0.positions" in tensors:
            side = shape.size // shape.patch
            positions = tensors["0.positions"].reshape(1, -1, shape.width)
            tensors["0.positions"] = resized_positions(positions.float(), (side, side))
        if "0.first" in tensors:
            tensors["0.first"] = tensors["0.first"].reshape(1, 1, -1)
        return tensors


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


def _tensors(folder: Path) -> Tensors:
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


def _renamed(tensors: Tensors, layers: int) -> Tensors:
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
