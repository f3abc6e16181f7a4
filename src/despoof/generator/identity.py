"""Face (N, 3, S, S) in [-1, 1] -> identity tokens and embedding, by ours, a torch iResNet or an ArcFace ONNX file.

As in the released AG-FAS (model/arcface.py in `method` notes), the condition is the 7 x 7 map before the
embedding, 49 tokens, so it carries coarse layout and not identity alone.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ArtefactError, ConfigError
from despoof.generator.config import IdentityConfig
from despoof.runs.onnx import open_onnx

IDENTITY_SIDE = 112


class FaceIdentity(NamedTuple):
    """`tokens` (N, 49, D), of our encoder layer-normalised; `embedding` (N, E), unit length."""

    tokens: torch.Tensor
    embedding: torch.Tensor


class Residual(nn.Module):
    """Pre-normalised residual block of two 3x3 convolutions, as in ArcFace's iResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class IdentityEncoder(nn.Module):
    """Small iResNet-like network; input any (N, 3, S, S) in [-1, 1], resized to 112.

    Pixels are folded four by four at entry: on a CPU it trains five times faster than depthwise blocks of
    fewer operations, whose memory traffic dominates.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        first, *rest = config.widths
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(4),  # (48, 28, 28)
            nn.Conv2d(48, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.PReLU(first),
            *(Residual(first) for _ in range(config.blocks[0])),
        ]
        width = first
        for wider, blocks in zip(rest, config.blocks[1:], strict=True):
            layers += [nn.Conv2d(width, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider)]
            layers += [Residual(wider) for _ in range(blocks)]
            width = wider
        self.map = nn.Sequential(*layers)  # (width, 7, 7)
        self.embed = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.PReLU(2 * width),
            nn.Conv2d(2 * width, 2 * width, 7, groups=2 * width, bias=False),  # global depthwise
            nn.BatchNorm2d(2 * width),
            nn.Flatten(),
            nn.Linear(2 * width, config.embedding),
        )

    def forward(self, face: torch.Tensor) -> FaceIdentity:
        """Return tokens and embedding."""
        spatial = self.map(to_identity_side(face))
        tokens = spatial.flatten(2).transpose(1, 2)  # (N, 49, D)
        tokens = F.layer_norm(tokens, tokens.shape[-1:])
        return FaceIdentity(tokens, F.normalize(self.embed(spatial), dim=1))


def to_identity_side(face: torch.Tensor) -> torch.Tensor:
    """Return faces (N, 3, S, S) at 112 px, bilinear."""
    if face.shape[-1] == IDENTITY_SIDE:
        return face
    return F.interpolate(face, (IDENTITY_SIDE, IDENTITY_SIDE), mode="bilinear", align_corners=False)


def condition_tokens(identity: FaceIdentity, condition: str) -> torch.Tensor:
    """Return (N, K, D) for the denoiser: the map, the embedding as one token, or one token of zeros."""
    if condition == "map":
        return identity.tokens
    width = identity.embedding.shape[1]
    if condition == "embedding":
        return identity.embedding[:, None] * width**0.5  # unit variance per entry
    return torch.zeros_like(identity.embedding[:, None])


def condition_width(config: IdentityConfig, condition: str) -> int:
    """Return D of `condition_tokens`."""
    if condition != "map":
        return config.embedding
    if config.encoder == "onnx":
        raise ConfigError("condition 'map' with an ONNX encoder, which gives no map. Choose 'embedding' or 'none'.")
    return config.pad_to or config.widths[-1]


class IBlock(nn.Module):
    """Pre-normalised residual block; the second convolution strides."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(self.bn1(x))
        return self.bn3(self.conv2(self.prelu(self.bn2(inner)))) + self.downsample(x)


class IResNet(nn.Module):
    """ArcFace's network (Deng et al. 2019), with the layer names of InsightFace's checkpoints, so these load strictly.

    iResNet-18 with blocks (2, 2, 2, 2), iResNet-50 with (3, 4, 14, 3), iResNet-100 with (3, 13, 30, 3). The tokens
    are the 7 x 7 x 512 map after the last 2-D batch norm, filled with zeros to the width of the denoiser's
    cross-attention, as in the paper's release: no learned projection.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        first = width_in = config.widths[0]
        self.pad_to = config.pad_to or config.widths[-1]
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)  # (first, 112, 112)
        self.bn1 = nn.BatchNorm2d(first)
        self.prelu = nn.PReLU(first)
        for number, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True), 1):
            layer = [IBlock(width_in, width, 2), *(IBlock(width, width, 1) for _ in range(blocks - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            width_in = width
        self.bn2 = nn.BatchNorm2d(width_in)
        self.fc = nn.Linear(width_in * 49, config.embedding)
        self.features = nn.BatchNorm1d(config.embedding)

    def map(self, face: torch.Tensor) -> torch.Tensor:
        """Return the map (N, width, 7, 7)."""
        x = self.prelu(self.bn1(self.conv1(to_identity_side(face))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.bn2(x)

    def forward(self, face: torch.Tensor) -> FaceIdentity:
        """Return tokens (N, 49, pad_to) and embedding."""
        spatial = self.map(face)
        tokens = spatial.flatten(2).transpose(1, 2)
        tokens = F.pad(tokens, (0, self.pad_to - tokens.shape[-1]))
        return FaceIdentity(tokens, F.normalize(self.features(self.fc(spatial.flatten(1))), dim=1))


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class OnnxIdentity(nn.Module):
    """Runs the ONNX file whose bytes are its weights, so one file needs nothing beside it; frozen, on the processor.

    The session is opened at the first face. It gives an embedding only.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("file", torch.zeros(config.onnx_bytes, dtype=torch.uint8))
        self._session: Any = None

    @torch.no_grad()
    def forward(self, face: torch.Tensor) -> FaceIdentity:
        """Return the embedding, also as the only token."""
        pixels = to_identity_side(face.float())
        if self.config.pixels == "imagenet":
            mean, deviation = (pixels.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
            pixels = ((pixels + 1) / 2 - mean) / deviation
        session = self._open()
        name = session.get_inputs()[0].name
        # one by one: many exported files have a fixed batch of one
        found = [session.run(None, {name: one[None].cpu().numpy()})[0] for one in pixels]
        embedding = F.normalize(torch.cat([torch.from_numpy(one) for one in found]), dim=1).to(face)
        return FaceIdentity(embedding[:, None], embedding)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._session = None
        super()._load_from_state_dict(*args)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_session": None}  # sessions cannot be pickled; the file is opened again

    def _open(self) -> Any:
        if self._session is None:
            self._session = open_onnx(self.file.cpu().numpy().tobytes(), where="identity encoder")
        return self._session


ENCODERS: dict[str, type[nn.Module]] = {"ours": IdentityEncoder, "iresnet": IResNet, "onnx": OnnxIdentity}


def build_identity(config: IdentityConfig) -> nn.Module:
    """Return an untrained identity encoder; one of no known name is a ConfigError."""
    if config.encoder not in ENCODERS:
        raise ConfigError(f"identity.encoder is {config.encoder!r}; expected one of {', '.join(ENCODERS)}. Name one.")
    return ENCODERS[config.encoder](config)


def read_onnx(path: str | Path, config: IdentityConfig) -> tuple[IdentityConfig, OnnxIdentity]:
    """Return the config with this file's length and embedding size, and the encoder that holds the file."""
    path = Path(path)
    if not path.is_file():
        raise ArtefactError(f"identity encoder {path} is missing; expected an ArcFace ONNX file. Give its path.")
    data = path.read_bytes()
    width = open_onnx(data, where=path).get_outputs()[0].shape[-1]
    config = replace(config, encoder="onnx", onnx_bytes=len(data), embedding=int(width))
    encoder = OnnxIdentity(config)
    encoder.file.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return config, encoder
