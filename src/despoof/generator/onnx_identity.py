"""Any ArcFace checkpoint in ONNX form as identity encoder; the file's bytes are part of the generator's weights.

So an artefact stays one file that needs nothing beside it. Frozen, on the processor, embedding only.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from despoof.errors import ArtefactError
from despoof.generator.config import IdentityConfig
from despoof.generator.identity import Identity, to_identity_side

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class OnnxIdentity(nn.Module):
    """Runs the ONNX file it holds; the session is opened at the first face."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("file", torch.zeros(config.onnx_bytes, dtype=torch.uint8))
        self._session: Any = None

    @torch.no_grad()
    def forward(self, face: torch.Tensor) -> Identity:
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
        return Identity(embedding[:, None], embedding)

    def _load_from_state_dict(self, *args: Any) -> None:
        self._session = None
        super()._load_from_state_dict(*args)

    def _open(self) -> Any:
        if self._session is None:
            self._session = open_onnx(self.file.cpu().numpy().tobytes(), "identity encoder")
        return self._session


def open_onnx(data: bytes, where: str | Path) -> Any:
    """Return an onnxruntime session of one thread; bytes that are no ONNX model are an ArtefactError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public class
        raise ArtefactError(
            f"{where} is no ONNX model ({error}); expected an ArcFace checkpoint, 112 px. Give its path."
        ) from None


def read_onnx(path: str | Path, config: IdentityConfig) -> tuple[IdentityConfig, OnnxIdentity]:
    """Return the config with this file's length and embedding size, and the encoder that holds the file."""
    path = Path(path)
    if not path.is_file():
        raise ArtefactError(f"identity encoder {path} is missing; expected an ArcFace ONNX file. Give its path.")
    data = path.read_bytes()
    width = open_onnx(data, path).get_outputs()[0].shape[-1]
    config = replace(config, encoder="onnx", onnx_bytes=len(data), embedding=int(width))
    encoder = OnnxIdentity(config)
    encoder.file.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return config, encoder
