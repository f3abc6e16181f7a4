"""A public model as a TOML file says: how a face that was found is cut and given to its networks, and what they answer.

    name = "…"; licence = "…"; needs = "face" or "surroundings"; threshold = 0.5
    [[networks]]    one or more, of which the mean answers: file, scale, size, colour, range, output, live, …

docs/leaderboard.md says what each key means; `Peer` and `Network` are the whole list, and any other key is refused.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from scipy.special import expit, softmax

from despoof.errors import ArtefactError
from despoof.faces.box import Box
from despoof.faces.detect import FoundFace
from despoof.faces.surroundings import clamped_crop
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import config_hash, read_toml, to_dict
from despoof.runs.onnx import open_onnx

Liveness = Callable[[np.ndarray, FoundFace], float]  # image (H, W, 3) uint8 RGB, a face found in it -> P(live)
OFF_ONE = 1e-3  # by which the sum of probabilities may differ from 1


def square_crop(image: np.ndarray, box: Box, scale: float, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """Return a square about the box's centre, its side `scale` times the longer side; outside is the border's kind."""
    left, top, box_width, box_height = box
    side = max(1, round(scale * max(box_width, box_height)))
    x, y = round(left + box_width / 2 - side / 2), round(top + box_height / 2 - side / 2)
    pad = max(0, -x, -y, x + side - image.shape[1], y + side - image.shape[0])
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, border)
    return image[y + pad : y + pad + side, x + pad : x + pad + side]


CROPS: dict[str, Callable[[np.ndarray, Box, float], np.ndarray]] = {
    "inside": clamped_crop,
    "reflected": square_crop,
    "black": lambda image, box, scale: square_crop(image, box, scale, cv2.BORDER_CONSTANT),
}


@dataclass(frozen=True)
class Network:
    """One ONNX file: `scale` boxes of the face are cut, shrunk to `size` px a side, and put into `range`, from black to
    white; `mean` is taken off and `std` divides, both by channel in the order of `colour`.

    `live` is the place of live among the classes of `output`. An answer of one number is that of class 0.
    """

    file: str  # beside the TOML file, or in the folder that is named
    scale: float
    size: int
    colour: Literal["rgb", "bgr"]
    range: tuple[float, float]
    output: Literal["logits", "probabilities"]
    live: int
    crop: Literal["inside", "reflected", "black"] = "inside"  # of what the picture does not hold
    shrink: Literal["linear", "area"] = "linear"  # how a crop larger than `size` is shrunk
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name, count in (("range", 2), ("mean", 3), ("std", 3)):
            if len(values := getattr(self, name)) != count or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} = {list(values)}; expected {count} numbers")
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range = {list(self.range)}; expected black below white, such as [0.0, 1.0]")
        if min(self.std) <= 0:
            raise ValueError(f"std = {list(self.std)}; expected numbers above 0")
        if not 0 < self.scale <= 20 or not 1 <= self.size <= 4096 or self.live < 0:
            raise ValueError(
                f"scale = {self.scale}, size = {self.size}, live = {self.live}; expected a scale above 0 and at most "
                "20, a size of 1 to 4096 and a place from 0 on"
            )

    def given(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Return what the network is given of a face's box in an image (H, W, 3) uint8 RGB: float32, batch of one."""
        crop = CROPS[self.crop](image, box, self.scale)
        filter_ = cv2.INTER_AREA if self.shrink == "area" and len(crop) > self.size else cv2.INTER_LINEAR
        pixels = cv2.resize(crop, (self.size, self.size), interpolation=filter_).astype(np.float32)
        low, high = self.range
        pixels = pixels * np.float32(high - low) / 255 + np.float32(low)
        pixels = pixels[..., ::-1] if self.colour == "bgr" else pixels
        pixels = (pixels - np.float32(self.mean)) / np.float32(self.std)
        pixels = pixels if self.layout == "NHWC" else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[None], np.float32)

    def liveness(self, answer: np.ndarray) -> float:
        """Return P(live) of what the network answered for one face; what cannot be such is an ArtefactError."""
        classes = np.asarray(answer, np.float64).ravel()
        if self.live >= max(2, len(classes)) or not np.isfinite(classes).all():
            raise ArtefactError(f"{self.file} answered {classes[:8].tolist()}, where class {self.live} is to be live. "
                                "Correct `live` in its TOML file, or what the network is given.")  # fmt: skip
        if self.output == "logits":
            shares = softmax(classes) if len(classes) > 1 else expit(classes)
        else:
            shares = classes
            if shares.min() < 0 or shares.max() > 1 or (len(shares) > 1 and abs(shares.sum() - 1) > OFF_ONE):
                raise ArtefactError(f"{self.file} answered {classes[:8].tolist()}, which are no probabilities. Write "
                                    '`output = "logits"` in its TOML file.')  # fmt: skip
        return float(shares[self.live] if len(shares) > 1 else (shares[0], 1 - shares[0])[self.live])


@dataclass(frozen=True)
class Peer:
    """A model by one or more networks, of which the mean counts.

    `threshold` is the liveness from which its authors take a face for live. One that `needs` surroundings is outside
    its specification on a picture with less around the face than its least scale.
    """

    name: str
    licence: str
    networks: tuple[Network, ...]
    needs: Literal["face", "surroundings"]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]{1,60}", self.name):
            raise ValueError(f"name = {self.name!r}; expected letters, digits and ._+- (folders are named by it)")
        if not self.networks:
            raise ValueError("networks is empty; expected at least one table [[networks]]")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold = {self.threshold}; expected a liveness above 0 and at most 1")

    @property
    def room(self) -> float:
        """How many face boxes a picture has to span; 0 of one that needs the face alone."""
        return min(each.scale for each in self.networks) if self.needs == "surroundings" else 0.0


@dataclass(frozen=True)
class PlacedPeer:
    """A peer and the folder where its files lie."""

    peer: Peer
    folder: Path

    @property
    def name(self) -> str:
        """Of the peer."""
        return self.peer.name

    @property
    def files(self) -> list[Path]:
        """Its ONNX files, there or not."""
        return [self.folder / each.file for each in self.peer.networks]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The hash of each file, by its name; one that is missing is an ArtefactError."""
        return {each.file: file_hash(self.folder / each.file) for each in self.peer.networks}

    @property
    def label(self) -> str:
        """A hash of all that changes its answers."""
        return config_hash([to_dict(self.peer), self.hashes])

    def open(self) -> Liveness:
        """Return what gives P(live), each network on one thread; a file that is missing or no ONNX is an error."""
        runs = [(each, open_onnx(file)) for each, file in zip(self.peer.networks, self.files, strict=True)]

        def one(network: Network, session: Any, image: np.ndarray, face: FoundFace) -> float:
            inputs = {session.get_inputs()[0].name: network.given(image, face.box)}
            try:
                answer = session.run(None, inputs)[0]
            except Exception as error:  # onnxruntime's errors share no public class
                raise ArtefactError(
                    f"{network.file} does not take what its TOML file says, {next(iter(inputs.values())).shape}: "
                    f"{error}. Correct `size` or `layout`."
                ) from None
            return network.liveness(answer)

        return lambda image, face: float(np.mean([one(network, run, image, face) for network, run in runs]))


def read_peer(file: str | Path, folder: str | Path | None = None) -> PlacedPeer:
    """Read a TOML file; its networks lie beside it, or in `folder`. What it should not hold is a ConfigError."""
    return PlacedPeer(read_toml(Peer, file), Path(folder or Path(file).parent))


@cache
def packaged_names() -> tuple[str, ...]:
    """Return the names of the peers that the package knows, whose networks it does not hold."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))


def packaged(name: str, folder: str | Path) -> PlacedPeer:
    """Return one of `packaged_names`, its networks in a folder."""
    return read_peer(Path(__file__).parent / f"{name}.toml", folder)
