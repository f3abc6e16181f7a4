"""What any model must beat: single numbers, plain statistics, and public anti-spoofing models by path.

Every score function takes rows and returns liveness (N,), higher for more live.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.special import expit, softmax

from despoof.data.image import read_image
from despoof.errors import InputError
from despoof.evaluation.protocols import is_live
from despoof.evaluation.runner import Fit, Rows, Score
from despoof.faces.detect import FindFaces, FoundFace
from despoof.faces.scene import look
from despoof.faces.store import Store, StoredSample
from despoof.faces.surroundings import Box, clamped_crop
from despoof.runs.checkpoint import file_hash
from despoof.runs.onnx import open_onnx

FACE_SIDE = 128  # every face at one size by one filter, or its size in the source would tell the class
RIDGE = 10.0  # times half the squared weights is added to the summed log loss; fixed beforehand and not tuned
BANDS = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64))  # cycles per face, up to Nyquist at 128 px


def saturation(face: np.ndarray) -> float:
    """Return the mean HSV saturation in 0..1 of a face (H, W, 3) uint8: copies tend to be paler."""
    return float(cv2.cvtColor(face, cv2.COLOR_RGB2HSV)[..., 1].mean() / 255)


def darkness(face: np.ndarray) -> float:
    """Return 1 - mean luma in 0..1: in close-up captures, copies tend to be brighter."""
    return float(1 - cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).mean() / 255)


def sharpness(face: np.ndarray) -> float:
    """Return the logarithm of the variance of the Laplacian: copies tend to be softer."""
    return float(np.log1p(cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()))


NUMBERS: dict[str, Callable[[np.ndarray], float]] = {
    "saturation": saturation,
    "darkness": darkness,
    "sharpness": sharpness,
}


def number(store: Store, name: str) -> Score:
    """Return the score function of one of `NUMBERS` on stored faces at 128 px."""
    return lambda rows: np.array([NUMBERS[name](store.faces([row], FACE_SIDE)[0]) for row in rows])


def square_crop(image: np.ndarray, box: Box, scale: float) -> np.ndarray:
    """Return a square about the box's centre, its side `scale` times the longer side; reflected outside."""
    left, top, box_width, box_height = box
    side = max(1, round(scale * max(box_width, box_height)))
    x, y = round(left + box_width / 2 - side / 2), round(top + box_height / 2 - side / 2)
    pad = max(0, -x, -y, x + side - image.shape[1], y + side - image.shape[0])
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    return image[y + pad : y + pad + side, x + pad : x + pad + side]


@dataclass(frozen=True)
class Peer:
    """A public ONNX model: its file as its authors name it, how a face is cut and given to it, and what it answers."""

    file: str
    crop: Callable[[np.ndarray, Box, float], np.ndarray]
    enlarged: float  # how many times the box that was found
    side: int  # pixels
    bgr: bool
    divisor: float  # of pixel values
    live: int  # which class is live
    by_area: bool = False  # how a crop larger than `side` is shrunk; linearly if not

    def liveness(self, session: Any, image: np.ndarray, face: FoundFace) -> float:
        """Return P(live) of a face in an image (H, W, 3) uint8 RGB."""
        crop = self.crop(image, face.box, self.enlarged)
        filter_ = cv2.INTER_AREA if self.by_area and len(crop) > self.side else cv2.INTER_LINEAR
        pixels = cv2.resize(crop, (self.side, self.side), interpolation=filter_).astype(np.float32) / self.divisor
        planes = (pixels[..., ::-1] if self.bgr else pixels).transpose(2, 0, 1)
        inputs = np.ascontiguousarray(planes[None], np.float32)  # (1, 3, side, side)
        logits = session.run(None, {session.get_inputs()[0].name: inputs})[0][0]
        return float(softmax(logits.astype(np.float64))[self.live])


# Silent-Face's pair, and one trained on CelebA-Spoof: files, crops, colours and classes as they are published.
PEERS: dict[str, tuple[Peer, ...]] = {
    "minifasnet": (
        Peer("MiniFASNetV2_27.onnx", clamped_crop, 2.7, 80, bgr=True, divisor=1, live=1),
        Peer("MiniFASNetV1SE_40.onnx", clamped_crop, 4.0, 80, bgr=True, divisor=1, live=1),
    ),
    "celeba-minifasnet": (
        Peer("fas_johnraiven_minifas_98.20.onnx", square_crop, 1.5, 128, bgr=False, divisor=255, live=0, by_area=True),
    ),
}


def peer_hashes(name: str, folder: str | Path) -> dict[str, str]:
    """Return the hash of each file of one of `PEERS`, by its name."""
    return {each.file: file_hash(Path(folder) / each.file) for each in PEERS[name]}


def peer_liveness(name: str, folder: str | Path) -> Callable[[np.ndarray, FoundFace], float]:
    """Return the mean P(live) that one of `PEERS` gives for a face found in an image (H, W, 3) uint8 RGB.

    The models are meant for whole camera frames: on images that are themselves face crops the boxes clamp to the
    frame, which is outside their specification.
    """
    runs = [(each, open_onnx(Path(folder) / each.file)) for each in PEERS[name]]
    return lambda image, face: float(np.mean([each.liveness(session, image, face) for each, session in runs]))


def peer(name: str, folder: str | Path, *, find: FindFaces | None = None) -> Score:
    """Return one of `PEERS` on original images, looked at as `despoof prepare` does; NaN where there is no face."""
    liveness = peer_liveness(name, folder)

    def one(row: StoredSample) -> float:
        scene = look(read_image(row.sample.file), find)
        return liveness(scene.image, scene.faces[0]) if scene.faces else np.nan

    return lambda rows: np.array([one(row) for row in rows])


def statistics(face: np.ndarray) -> np.ndarray:
    """Return (60,): channel means and deviations, energy of six bands, a 4 x 4 grid of colours.

    `face` is (S, S, 3) uint8 with S a multiple of 4; bands are log energies of its luma, in cycles per face.
    """
    pixels = face.astype(np.float64) / 255
    grid = cv2.resize(pixels, (4, 4), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64) / 255
    window = np.outer(*[np.hanning(len(grey))] * 2)  # or the frame's edges would fill every band
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    cycles = np.fft.fftfreq(len(grey)) * len(grey)
    radius = np.hypot(*np.meshgrid(cycles, cycles))
    bands = [np.log(power[(radius >= low) & (radius < high)].mean() + 1e-9) for low, high in BANDS]
    return np.concatenate([pixels.mean((0, 1)), pixels.std((0, 1)), bands, grid.ravel()])


def statistics_baseline(store: Store) -> Fit:
    """Return a fit of logistic regression on sixty plain statistics of the face at 128 px, read once for all fits."""
    known: dict[str, np.ndarray] = {}

    def read(rows: Rows) -> np.ndarray:
        for row in rows:
            if row.key not in known:
                known[row.key] = statistics(store.faces([row], FACE_SIDE)[0])
        return np.array([known[row.key] for row in rows]).reshape(len(rows), 60)

    def fit(train: Rows, validation: Rows, seed: int, folder: Path) -> Score:
        judge = fit_linear(read(train), is_live(train))
        return lambda rows: judge(read(rows))

    return fit


def fit_linear(values: np.ndarray, live: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives liveness (M,) of values (M, D): logistic regression on values (N, D), live (N,) bool."""
    import torch

    from despoof.detector.frozen.probe import logistic_regression

    if live.all() or not live.any():
        raise InputError("training rows are of one class; expected live and attack. Choose other sources.")
    shift, scale, count = values.mean(0), values.std(0) + 1e-6, len(values)
    numbers, share = torch.from_numpy((values - shift) / scale), torch.full((count,), 1 / count, dtype=torch.float64)
    weight, bias = logistic_regression(numbers.double(), torch.from_numpy(live), share, RIDGE / count)
    return lambda given: expit((given - shift) / scale @ weight.numpy() + bias.item())
