"""What any model must beat: single numbers, plain statistics, and public anti-spoofing models by path.

Every score function takes rows and returns liveness (N,), higher for more live.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.sample import Label
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.runner import Fit, Rows, Score
from despoof.faces.detect import FindFaces, FoundFace, find_faces
from despoof.faces.store import Store, StoredSample

FACE_SIDE = 128  # every face at one size by one filter, or its size in the source would tell the class
PAIR_SCALES = (2.7, 4.0)  # box enlargement of MiniFASNetV2 and MiniFASNetV1SE, in their file names
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
    if name not in NUMBERS:
        raise InputError(f"number {name!r}; expected one of {', '.join(NUMBERS)}. Correct the name.")

    def score(rows: Rows) -> np.ndarray:
        return np.array([NUMBERS[name](store.faces([row], FACE_SIDE)[0]) for row in rows])

    return score


def residual(faces: np.ndarray, counterparts: np.ndarray) -> np.ndarray:
    """Return -(mean |face - counterpart|), (N,), of two arrays (N, ...) of floats in the same range.

    The one-class baseline of the method: what the generator had to change is taken as evidence of attack.
    """
    if faces.shape != counterparts.shape or faces.ndim < 2:
        raise InputError(
            f"faces {faces.shape}, counterparts {counterparts.shape}; expected the same (N, ...). Pair them."
        )
    difference = np.abs(faces.astype(np.float64) - counterparts.astype(np.float64))
    return -difference.reshape(len(faces), -1).mean(axis=1)


def minifasnet_pair(v2_path: str | Path, v1se_path: str | Path, *, find: FindFaces | None = None) -> Score:
    """Return the score function of the Silent-Face pair, see `pair_liveness`, on the originals of rows."""
    return _on_originals(pair_liveness(v2_path, v1se_path), find)


def pair_liveness(v2_path: str | Path, v1se_path: str | Path) -> Callable[[np.ndarray, FoundFace], float]:
    """Return the mean P(live) of two ONNX files for a face found in an image (H, W, 3) uint8 RGB.

    Input: the found box enlarged 2.7 and 4.0 times and clamped into the frame, 80 x 80, BGR in 0..255;
    softmax of three classes, index 1 is live. The models are meant for whole camera frames: on images that
    are themselves face crops both boxes clamp to the frame, which is outside their specification.
    """
    runs = [(_session(path), scale) for path, scale in zip((v2_path, v1se_path), PAIR_SCALES, strict=True)]

    def liveness(image: np.ndarray, face: FoundFace) -> float:
        values = []
        for session, scale in runs:
            crop = clamped_crop(image, face.box, scale)
            pixels = cv2.resize(crop, (80, 80), interpolation=cv2.INTER_LINEAR)[..., ::-1]
            values.append(_softmax(_run(session, pixels.astype(np.float32)))[1])
        return float(np.mean(values))

    return liveness


def celeba_spoof_minifasnet(path: str | Path, *, find: FindFaces | None = None) -> Score:
    """Return the score function of the MiniFASNetV2-SE model that was trained on CelebA-Spoof.

    Input: a square of 1.5 times the longer side of the box, reflected outside the image, 128 x 128, RGB in
    0..1; two logits, index 0 is live.
    """
    session = _session(path)

    def liveness(image: np.ndarray, face: FoundFace) -> float:
        crop = square_crop(image, face.box, 1.5)
        shrinks = crop.shape[0] > 128
        pixels = cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return float(_softmax(_run(session, pixels.astype(np.float32) / 255))[0])

    return _on_originals(liveness, find)


def clamped_crop(image: np.ndarray, box: tuple[float, float, float, float], scale: float) -> np.ndarray:
    """Return the box enlarged about its centre, by less where the frame is smaller, moved into the frame."""
    height, width = image.shape[:2]
    left, top, box_width, box_height = box
    scale = min(scale, width / box_width, height / box_height)
    new_width, new_height = box_width * scale, box_height * scale
    left = np.clip(left + (box_width - new_width) / 2, 0, width - new_width)
    top = np.clip(top + (box_height - new_height) / 2, 0, height - new_height)
    x, y = int(left), int(top)
    return image[y : max(y + 1, round(top + new_height)), x : max(x + 1, round(left + new_width))]


def square_crop(image: np.ndarray, box: tuple[float, float, float, float], scale: float) -> np.ndarray:
    """Return a square about the box's centre, its side `scale` times the longer side; reflected outside."""
    left, top, box_width, box_height = box
    side = max(1, round(scale * max(box_width, box_height)))
    x, y = round(left + box_width / 2 - side / 2), round(top + box_height / 2 - side / 2)
    pad = max(0, -x, -y, x + side - image.shape[1], y + side - image.shape[0])
    if pad:
        image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    return image[y + pad : y + pad + side, x + pad : x + pad + side]


def statistics_baseline(store: Store, *, ridge: float = 10.0) -> Fit:
    """Return a fit of logistic regression on sixty plain statistics of the face at 128 px.

    The ridge was fixed beforehand and not tuned.
    """

    def fit(train: Rows, validation: Rows, seed: int, folder: Path) -> Score:
        values = _each_statistics(store, train)
        shift, scale = values.mean(0), values.std(0) + 1e-6
        live = np.array([row.sample.label is Label.LIVE for row in train])
        weights = logistic_regression((values - shift) / scale, live, ridge=ridge)

        def score(rows: Rows) -> np.ndarray:
            inputs = (_each_statistics(store, rows) - shift) / scale
            return _sigmoid(_with_one(inputs) @ weights)

        return score

    return fit


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


def logistic_regression(values: np.ndarray, live: np.ndarray, *, ridge: float = 1.0, steps: int = 50) -> np.ndarray:
    """Return weights (D + 1,), intercept last, that minimise log loss + ridge / 2 * |weights|^2.

    By Newton's method; the intercept is not penalised. `values` (N, D) should be standardised.
    """
    if live.all() or not live.any():
        raise InputError("training rows are of one class; expected live and attack. Choose other sources.")
    inputs = _with_one(values)
    penalty = np.full(inputs.shape[1], ridge)
    penalty[-1] = 1e-9
    weights = np.zeros(inputs.shape[1])
    for _ in range(steps):
        chance = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (chance - live) + penalty * weights
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, 5 / np.abs(step).max(initial=1e-12))  # far from the optimum Newton may overshoot
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _each_statistics(store: Store, rows: Rows) -> np.ndarray:
    return np.array([statistics(store.faces([row], FACE_SIDE)[0]) for row in rows]).reshape(len(rows), 60)


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.hstack([values, np.ones((len(values), 1))])


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))  # does not overflow


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def _on_originals(liveness: Callable[[np.ndarray, FoundFace], float], find: FindFaces | None) -> Score:
    """Return a score function that reads each original image and finds its face anew; NaN where none is."""

    def one(row: StoredSample) -> float:
        image = read_image(row.sample.file)
        found = find_faces(image, find)
        return liveness(image, found[0]) if found else np.nan

    return lambda rows: np.array([one(row) for row in rows])


def _session(path: str | Path):  # type: ignore[no-untyped-def]  # onnxruntime has no types
    import onnxruntime

    if not Path(path).is_file():
        raise ArtefactError(f"model file {path} is missing; expected an ONNX file. Give its path.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session, pixels: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    inputs = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)  # (1, 3, H, W)
    return session.run(None, {session.get_inputs()[0].name: inputs})[0][0]
