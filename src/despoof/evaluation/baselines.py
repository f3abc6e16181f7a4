"""What any model must beat: single numbers, plain statistics, and public anti-spoofing models by path.

Every score function takes rows and returns liveness (N,), higher for more live.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from scipy.special import expit

from despoof.data.image import read_image
from despoof.data.video import read_frame
from despoof.errors import InputError
from despoof.evaluation.peers.peer import Liveness, PlacedPeer, packaged
from despoof.evaluation.protocols import is_live
from despoof.evaluation.runner import Fit, Rows, Score
from despoof.faces.detect import FindFaces
from despoof.faces.scene import look
from despoof.faces.store import Store, StoredSample

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


def peer_liveness(name: str, folder: str | Path) -> Liveness:
    """Return the mean P(live) that one of `packaged_names` gives for a face found in an image (H, W, 3) uint8 RGB."""
    return packaged(name, folder).open()


def peer(placed: PlacedPeer, *, find: FindFaces | None = None) -> Score:
    """Return a public model on original images, looked at as `despoof prepare` does; NaN where there is no face."""
    liveness = placed.open()

    def one(row: StoredSample) -> float:
        scene = look(original(row), find)
        return liveness(scene.image, scene.faces[0]) if scene.faces else np.nan

    return lambda rows: np.array([one(row) for row in rows])


def original(row: StoredSample) -> np.ndarray:
    """Return the picture (H, W, 3) uint8 RGB that a row of a store was made from, of a video its frame."""
    sample = row.sample
    if sample.video and sample.path.startswith(f"{sample.video}#"):  # as `despoof prepare` names frames
        return read_image(read_frame(sample.presentation.file, int(sample.path.rpartition("#")[2])))
    return read_image(sample.file)


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
