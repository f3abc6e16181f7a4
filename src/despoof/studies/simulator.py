"""What simulated captures teach, against what real ones show: shifts of simple statistics from live to attack.

The shift of a camera is the difference of means, attack less live, in deviations of its own real captures; that which
is taught is the same of simulated captures whose pictures came from that camera, in the same unit. Where the two differ
in sign, whoever learns from the simulator learns the wrong thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.stats import ks_2samp

from despoof.data.image import read_image
from despoof.errors import InputError
from despoof.evaluation.baselines import BANDS, FACE_SIDE, saturation, sharpness, statistics
from despoof.evaluation.protocols import is_live
from despoof.faces.store import Store, StoredSample
from despoof.runs.progress import track

SPECIES = ("display", "print", "paper_mask")
LEAST = 5  # captures of a camera, label and kind; fewer give no mean worth the name
NONE, CLEAR = 0.2, 0.5  # deviations: below the first there is no shift to speak of, above the second there is one
WEAK, STRONG = 1 / 4, 4  # of the real shift
SMOOTH = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)  # blind to edges and slopes: leaves the noise


def luma(face: np.ndarray) -> float:
    """Return the mean luma in 0..1."""
    return float(_grey(face).mean())


def contrast(face: np.ndarray) -> float:
    """Return the deviation of the luma, of its range."""
    return float(_grey(face).std())


def warmth(face: np.ndarray) -> float:
    """Return mean red less mean blue, of the range."""
    return float((face[..., 0].mean() - face[..., 2].mean()) / 255)


def noise(face: np.ndarray) -> float:
    """Return the logarithm of the noise's deviation, in grey levels, as the median of what no edge gives."""
    left = cv2.filter2D(_grey(face) * 255, cv2.CV_64F, SMOOTH)[1:-1, 1:-1]
    return float(np.log(np.median(np.abs(left)) / (6 * 0.6745) + 0.05))


def ripple(face: np.ndarray) -> float:
    """Return how far the strongest fine wave stands above others of its frequency, as a logarithm: moire, dots."""
    grey = _grey(face)
    window = np.outer(*[np.hanning(len(grey))] * 2)
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    cycles = np.abs(np.fft.fftfreq(len(grey)) * len(grey))
    ring = np.hypot(*np.meshgrid(cycles, cycles)).astype(int)
    peaks = [np.log(power[ring == radius].max() / power[ring == radius].mean()) for radius in range(12, len(grey) // 2)]
    return float(max(peaks))


def banding(face: np.ndarray) -> float:
    """Return the logarithm of the deviation of row means about their neighbours', in grey levels: stripes across."""
    rows = _grey(face).mean(1) * 255
    return float(np.log((rows - np.convolve(np.pad(rows, 3, "edge"), np.ones(7) / 7, "valid")).std() + 0.05))


def blockiness(image: np.ndarray) -> float:
    """Return how much larger steps are on the grid of eight pixels than elsewhere, as a logarithm."""
    steps = np.abs(np.diff(_grey(image), axis=1)).mean(0)
    grid = np.arange(len(steps)) % 8 == 7
    return float(np.log((steps[grid].mean() + 1e-4) / (steps[~grid].mean() + 1e-4)))


def ring_luma(near: np.ndarray) -> float:
    """Return the mean luma of the rim of a near picture less that of its middle: a screen shines in a dark room."""
    rim = _rim(near)
    return float(_grey(near)[rim].mean() - _grey(near)[~rim].mean())


def ring_sharpness(near: np.ndarray) -> float:
    """Return how much more fine detail the rim has than the middle, as a logarithm."""
    fine, rim = cv2.Laplacian(_grey(near) * 255, cv2.CV_64F) ** 2, _rim(near)
    return float(np.log((fine[rim].mean() + 1) / (fine[~rim].mean() + 1)))


def lines(near: np.ndarray) -> float:
    """Return the length of straight lines in a near picture, in sides of it: bezels, sheets, door frames."""
    edges = cv2.Canny(cv2.cvtColor(near, cv2.COLOR_RGB2GRAY), 40, 120)
    found = cv2.HoughLinesP(edges, 1, np.pi / 180, 30, minLineLength=0.25 * len(near), maxLineGap=3)
    if found is None:
        return 0.0
    ends = found.reshape(-1, 4).astype(float)
    return float(np.hypot(ends[:, 0] - ends[:, 2], ends[:, 1] - ends[:, 3]).sum() / len(near))


def skin_around(near: np.ndarray) -> float:
    """Return the share of the rim of a near picture that has the middle's hue: hands, necks, wood."""
    colour = cv2.cvtColor(near, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(float)
    quarter = len(near) // 8
    middle = colour[3 * quarter : 5 * quarter, 3 * quarter : 5 * quarter].reshape(-1, 2)
    alike = np.hypot(*np.moveaxis(colour - np.median(middle, 0), -1, 0)) < 6
    return float(alike[_rim(near)].mean())


OF_FACE: dict[str, Callable[[np.ndarray], float]] = {
    "sharpness": sharpness,
    "luma": luma,
    "contrast": contrast,
    "saturation": saturation,
    "red less blue": warmth,
    "noise": noise,
    "ripple": ripple,
    "banding": banding,
}
OF_PICTURE: dict[str, Callable[[np.ndarray], float]] = {"blockiness": blockiness}
OF_SURROUNDINGS: dict[str, Callable[[np.ndarray], float]] = {
    "rim's luma": ring_luma,
    "rim's sharpness": ring_sharpness,
    "straight lines": lines,
    "skin around": skin_around,
}
MEASURES = (
    *OF_FACE, *(f"band {low}–{high}" for low, high in BANDS), *OF_PICTURE, "eye distance", *OF_SURROUNDINGS
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over cameras."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values; NaN of none."""
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)) if len(values) else (np.nan,) * 3
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.median:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


@dataclass(frozen=True)
class Shift:
    """One measure: how it moves from live to attack, in deviations of a camera's real captures.

    `live_moved` is simulated live less real live. Distances are Kolmogorov and Smirnov's, simulated from real, median
    over cameras. `agree` is the share of cameras where both shifts have one sign.
    """

    species: str
    measure: str
    cameras: int
    real: Spread
    taught: Spread
    agree: float
    live_moved: Spread
    distance_live: float
    distance_attack: float
    verdict: str


def shifts(store: Store) -> list[Shift]:
    """Return every shift of every species and of all together; a store without both kinds is an InputError."""
    rows = store.with_face()
    values = measured(store, rows)
    found = [
        _shift(species, name, rows, values[name])
        for species in ("all", *SPECIES)
        if any(row.sample.simulated and _is_of(row, species) for row in rows)
        for name in MEASURES
    ]
    found = [each for each in found if each.cameras]
    if not found:
        raise InputError(
            f"store {store.root} has no camera with {LEAST} real and {LEAST} simulated captures of each label. "
            "Prepare what `despoof simulate --recapture` made into the store of the captures that were shown."
        )
    return found


def measured(store: Store, rows: list[StoredSample]) -> dict[str, np.ndarray]:
    """Return each of `MEASURES` (N,) of the rows, on faces of one size; eye distances are logarithms of px.

    What is around a face is NaN where the store has no surroundings.
    """
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for row in track(rows, "measure", len(rows)):
        face, picture = store.faces([row], FACE_SIDE)[0], read_image(row.sample.file)
        near = store.surroundings([row])[0, 0] if row.around else None
        bands = statistics(face)[6 : 6 + len(BANDS)]
        numbers = (
            *(measure(face) for measure in OF_FACE.values()),
            *bands,
            *(measure(picture) for measure in OF_PICTURE.values()),
            np.log(row.quality["eye_distance"]),
            *(np.nan if near is None else measure(near) for measure in OF_SURROUNDINGS.values()),
        )
        for name, number in zip(MEASURES, numbers, strict=True):
            found[name].append(float(number))
    return {name: np.array(each) for name, each in found.items()}


def conclusion(found: Sequence[Shift]) -> str:
    """Return sentences that say where the simulator misleads, or that it does nowhere."""
    lines = []
    for species in dict.fromkeys(each.species for each in found):
        for verdict in ("wrong sign", "invented", "live moved"):
            names = [each.measure for each in found if each.species == species and verdict in each.verdict]
            if names:
                lines.append(f"- {species}, {verdict}: {', '.join(names)}")
    return "\n".join(lines) or "No measure has the wrong sign, is invented or moves the live ones."


def verdict_on(real: float, taught: float, live_moved: float) -> str:
    """Return what a shift that is taught is worth beside the real one, both in deviations."""
    if abs(real) < NONE:
        said = "no rule" if abs(taught) < CLEAR else "invented"
    elif real * taught < 0 and abs(taught) >= NONE:
        said = "wrong sign"
    elif abs(taught) < WEAK * abs(real) or real * taught < 0:
        said = "not taught"
    else:
        said = "too much" if abs(taught) > STRONG * abs(real) else "right"
    return said + (", live moved" if abs(live_moved) >= CLEAR else "")


def _shift(species: str, name: str, rows: list[StoredSample], values: np.ndarray) -> Shift:
    live, of = is_live(rows), np.array([_is_of(row, species) for row in rows])
    made, known = np.array([row.sample.simulated for row in rows]), np.isfinite(values)
    camera = np.array([row.sample.origin if row.sample.simulated else row.sample.domain for row in rows])
    real, taught, moved, live_gap, attack_gap = [], [], [], [], []
    for each in sorted(set(camera)):
        own = known & (camera == each)
        parts = [values[own & part] for part in (~made & live, ~made & ~live & of, made & live, made & ~live & of)]
        if min(len(part) for part in parts) < LEAST:
            continue
        real_live, real_attack, sim_live, sim_attack = parts
        unit = np.sqrt((real_live.var() + real_attack.var()) / 2) + 1e-9
        real.append((real_attack.mean() - real_live.mean()) / unit)
        taught.append((sim_attack.mean() - sim_live.mean()) / unit)
        moved.append((sim_live.mean() - real_live.mean()) / unit)
        live_gap.append(ks_2samp(sim_live, real_live).statistic)
        attack_gap.append(ks_2samp(sim_attack, real_attack).statistic)
    spreads = Spread.of(real), Spread.of(taught), Spread.of(moved)
    agree = float(np.mean(np.sign(real) == np.sign(taught))) if real else np.nan
    said = verdict_on(*(spread.median for spread in spreads))
    gaps = [float(np.median(gap)) if gap else np.nan for gap in (live_gap, attack_gap)]
    return Shift(species, name, len(real), spreads[0], spreads[1], agree, spreads[2], *gaps, said)


def _is_of(row: StoredSample, species: str) -> bool:
    """Say whether a row is an attack of a species, or may be: real ones are partly `display_or_print`."""
    return species == "all" or species in row.sample.attack_type


def _rim(near: np.ndarray) -> np.ndarray:
    """Return which pixels (S, S) of a near picture are beyond the face, where it has all of its room."""
    rim, width = np.ones(near.shape[:2], bool), len(near) // 5
    rim[width:-width, width:-width] = False
    return rim


def _grey(image: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) of an image (H, W, 3) uint8, in 0..1."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) / 255
