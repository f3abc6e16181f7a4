"""Simulated media against physics, and an audit that rendering itself does not give the label away.

If the renderer left a trace of its own on attacks, a detector trained on it would learn the renderer.
"""

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.color import rgb2lab
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from despoof.data.simulation.camera import Camera, draw_camera, plane_points, to_code
from despoof.data.simulation.media import Ideal, Print, Replay, draw_medium, moire, reflectance, simulate
from despoof.errors import InputError

KINDS = ("ideal", "print", "replay")
WHITE = np.full((256, 256, 3), 200, np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(people, kind):
    first = simulate(people[0], draw_medium(kind, 3), 3)
    again = simulate(people[0], draw_medium(kind, 3), 3)
    np.testing.assert_array_equal(first, again)
    other = simulate(people[0], draw_medium(kind, 3), 4)
    assert other.shape != first.shape or (other != first).any()


def test_one_seed_takes_every_medium_with_one_camera(people):
    captures = [simulate(people[0], draw_medium(kind, 7), 7) for kind in KINDS]
    assert len({capture.shape for capture in captures}) == 1
    assert len({capture.tobytes() for capture in captures}) == 3


def test_null_media_are_the_ideal_one_byte_for_byte(people):
    for seed in range(4):
        live = simulate(people[seed], Ideal(), seed)
        np.testing.assert_array_equal(simulate(people[seed], Print(), seed), live)
        np.testing.assert_array_equal(simulate(people[seed], Replay(), seed), live)


@pytest.mark.parametrize("level", [20, 90, 180, 250])
def test_ideal_medium_keeps_a_neutral_level(level):
    image = simulate(np.full((64, 64, 3), level, np.uint8), Ideal(), 0, camera=Camera(side=64))
    assert np.abs(image.astype(int) - level).max() <= 1


def test_ideal_medium_and_camera_keep_the_portrait(portrait):
    image = simulate(portrait, Ideal(), 0, camera=Camera(side=512))
    assert np.abs(image.astype(int) - portrait).mean() < 1.5  # what JPEG 100 with 4:2:0 costs


@pytest.mark.parametrize("frequency", [0.37, 0.62, 0.83, 1.07, 1.31])
def test_moire_folds_to_f_minus_round_f(frequency):
    """The grid's frequency is set through its pitch: straight camera, 256 px across 100 mm."""
    screen = Replay(width_mm=100.0, pitch_mm=100.0 / 256 / frequency)
    capture = simulate(WHITE, screen, 0, camera=Camera(lens_sigma=0.3, photosite=0.5))
    row = capture[:, :, 1].astype(float).mean(0)
    spectrum = np.abs(np.fft.rfft((row - row.mean()) * np.hanning(256)))
    folded = frequency - round(frequency)
    assert spectrum.argmax() / 256 == pytest.approx(abs(folded), abs=1.5 / 256)
    assert spectrum.max() > 10 * np.median(spectrum)


def ripple(screen: Replay, camera: Camera, image: np.ndarray) -> float:
    """Height of the moire above the mean."""
    return float(moire(screen, camera, plane_points(camera, image.shape))[..., 1].max() - 1)


def test_a_fine_grid_is_not_resolved():
    """A phone of 458 ppi that fills 256 px over 100 mm has 7 cells a pixel: no camera sees them."""
    screen, camera = Replay(width_mm=100.0, pitch_mm=0.055), Camera(lens_sigma=0.5)
    assert ripple(screen, camera, WHITE) < 0.003
    assert np.ptp(simulate(WHITE, screen, 0, camera=camera)[..., 1].astype(int)) <= 2


def test_moire_is_rare_in_drawn_replays():
    """It is visible only in a narrow window of frequency; were it on every replay it would be a shortcut."""
    small = np.full((32, 32, 3), 200, np.uint8)
    amplitudes = [ripple(draw_medium("replay", s), draw_camera(s), small) for s in range(100)]
    assert max(amplitudes) > 0.03
    assert np.mean(np.array(amplitudes) > 0.03) < 0.38


def gamut(medium: Print) -> float:
    """Volume in L*a*b* of all colours of a 9 x 9 x 9 cube on a medium, viewed under its own white light."""
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    lab = rgb2lab(to_code(reflectance(cube, medium, 0)))[0]
    return ConvexHull(lab).volume


def test_a_print_shrinks_the_gamut():
    whole = gamut(Print())
    assert whole == pytest.approx(8.2e5, rel=0.1)  # the known volume of sRGB
    good, poor = gamut(Print(saturation=0.85, black=0.01)), gamut(Print(saturation=0.6, black=0.06))
    assert poor < good < whole
    drawn = [gamut(draw_medium("print", seed)) / whole for seed in range(20)]
    assert max(drawn) < 0.9


def test_paper_reflects_black_and_white_as_stated():
    sheet = reflectance(np.array([[[0, 0, 0], [1, 1, 1]]], np.float32), Print(black=0.05, paper=(0.8, 0.8, 0.7)), 0)
    np.testing.assert_allclose(sheet[0], [[0.05] * 3, [0.8, 0.8, 0.7]], atol=1e-6)


def test_grain_has_the_stated_deviation():
    sheet = reflectance(np.ones((128, 128, 3), np.float32), Print(grain=0.01), 0)
    assert sheet.std() == pytest.approx(0.01, rel=0.02)


def statistics(image: np.ndarray) -> np.ndarray:
    """Means, deviations, saturation and two band energies: what a lazy detector would use."""
    small = image[:160, :160].astype(float)
    grey = small.mean(-1)
    fine, coarse = np.diff(grey, axis=1).std(), (grey[4:] - grey[:-4]).std()
    return np.array([*small.mean((0, 1)), *small.std((0, 1)), np.ptp(small, axis=-1).mean(), fine, coarse])


def audit(people: list[np.ndarray], attack: dict[int, Print | Replay]) -> float:
    """AUC of attack against live, each render with a seed of its own, by cross-validated logistic regression."""
    live = [statistics(simulate(people[i % 8], Ideal(), 1000 + i)) for i in range(len(attack))]
    attacks = [statistics(simulate(people[i % 8], medium, i)) for i, medium in attack.items()]
    truth = np.r_[np.zeros(len(live)), np.ones(len(attacks))]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    found = cross_val_predict(model, np.array(live + attacks), truth, cv=folds, method="decision_function")
    return roc_auc_score(truth, found)


def test_null_media_cannot_be_told_from_live(people):
    assert 0.35 <= audit(people, {i: (Print(), Replay())[i % 2] for i in range(48)}) <= 0.65


def test_the_audit_would_see_a_difference(people):
    assert audit(people, {i: draw_medium("print", i) for i in range(48)}) > 0.75


def test_bad_images_are_refused():
    with pytest.raises(InputError):
        simulate(np.zeros((64, 64, 3), np.int32), Ideal(), 0)
