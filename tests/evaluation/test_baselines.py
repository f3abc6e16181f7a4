"""Baselines against scikit-learn and constructed images: a flipped sign or channel makes a floor too low."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from skimage.data import astronaut
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, InputError
from despoof.evaluation import baselines
from despoof.evaluation.peers.peer import square_crop
from despoof.faces.detect import FoundFace
from despoof.faces.store import Store, StoredSample
from despoof.faces.surroundings import clamped_crop

FACE = astronaut()[0:224, 112:336]


@pytest.fixture
def store(tmp_path):
    """A store of 40 small variations of one portrait; attacks are paler and softer."""
    store = Store(tmp_path / "store", about={"made": "here"})
    generator = np.random.default_rng(0)
    for i in range(40):
        label = Label.LIVE if i % 2 else Label.ATTACK
        face = cv2.resize(FACE, (256, 256)).astype(np.float64) + generator.normal(0, 4, 3)
        if label is Label.ATTACK:
            face = 0.6 * cv2.GaussianBlur(face, (0, 0), 3) + 0.4 * face.mean()
        species = "none" if label is Label.LIVE else "print"
        sample = Sample(f"{i}.png", label, species, f"s{i}", "d", source=str(tmp_path))
        cv2.imwrite(sample.file, FACE[..., ::-1])
        store.add(StoredSample(sample, "face"), np.clip(face, 0, 255).astype(np.uint8))
    return store


def test_numbers_fall_for_a_pale_a_bright_and_a_soft_copy():
    pale = np.repeat(cv2.cvtColor(FACE, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert baselines.saturation(pale) == 0 < baselines.saturation(FACE)
    assert baselines.darkness(np.full_like(FACE, 255)) == 0 < baselines.darkness(FACE) < 1
    assert baselines.sharpness(cv2.GaussianBlur(FACE, (0, 0), 2)) < baselines.sharpness(FACE)


def test_number_scores_stored_faces_in_row_order(store):
    rows = store.rows[:6]
    values = baselines.number(store, "saturation")(rows)
    assert values.shape == (6,)
    assert values[1::2].min() > values[::2].max()
    assert np.array_equal(baselines.number(store, "saturation")(rows[::-1]), values[::-1])


def test_statistics_are_sixty_and_the_hand_computed_ones():
    face = np.zeros((128, 128, 3), np.uint8)
    face[:, 64:, 0] = 255
    values = baselines.statistics(face)
    assert values.shape == (60,)
    assert values[:6] == pytest.approx([0.5, 0, 0, 0.5, 0, 0])
    assert values[12:].reshape(4, 4, 3)[:, :, 0].tolist() == [[0, 0, 1, 1]] * 4


@pytest.mark.parametrize("band", range(6))
def test_a_grating_fills_the_band_of_its_frequency(band):
    low, high = baselines.BANDS[band]
    wave = np.cos(2 * np.pi * (low + high) / 2 * np.arange(128) / 128)
    face = np.repeat((127.5 + 100 * np.tile(wave, (128, 1)))[..., None], 3, axis=2).astype(np.uint8)
    bands = baselines.statistics(face)[6:12]
    # Energy per coefficient; the widest bands hold most coefficients, hence the comparison of totals.
    totals = np.exp(bands) * np.array([high**2 - low**2 for low, high in baselines.BANDS])
    assert totals.argmax() == band


def test_the_linear_fit_answers_as_scikit_learn():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 5)) * [1, 2, 3, 4, 5] + 7
    live = (values - 7) @ np.array([1.0, -2, 0, 0.5, 0]) + 0.7 + rng.logistic(size=300) > 0
    judge = baselines.fit_linear(values[:200], live[:200])
    scaler = StandardScaler().fit(values[:200])
    reference = LogisticRegression(C=1 / baselines.RIDGE, tol=1e-10, max_iter=1000).fit(
        scaler.transform(values[:200]), live[:200]
    )
    wanted = reference.predict_proba(scaler.transform(values[200:]))[:, 1]
    assert judge(values[200:]) == pytest.approx(wanted, abs=1e-5)


def test_the_linear_fit_takes_separated_values_and_refuses_one_class():
    values = np.linspace(-1, 1, 40)[:, None]
    liveness = baselines.fit_linear(values, values[:, 0] > 0)(values)
    assert np.array_equal(liveness > 0.5, values[:, 0] > 0)
    with pytest.raises(InputError, match="one class"):
        baselines.fit_linear(values, np.ones(40, bool))


def test_statistics_baseline_scores_live_higher_on_rows_it_did_not_see(store, tmp_path):
    score = baselines.statistics_baseline(store)(store.rows[:20], [], 0, tmp_path)
    liveness = score(store.rows[20:])
    assert liveness[1::2].min() > liveness[::2].max()
    assert score([]).shape == (0,)


@pytest.mark.parametrize(
    ("box", "scale", "wanted"),
    [
        ((40, 40, 20, 10), 2.0, (30, 35, 40, 20)),  # about the centre
        ((0, 40, 20, 10), 2.0, (0, 35, 40, 20)),  # moved in from the left
        ((85, 92, 20, 10), 2.0, (60, 80, 40, 20)),  # moved in from the corner
        ((10, 30, 50, 25), 4.0, (0, 18, 100, 50)),  # enlarged only to the frame's width
        ((-5, -5, 200, 110), 2.7, (0, 22, 100, 55)),  # larger than the frame: shrunk in proportion
    ],
)
def test_clamped_crop_keeps_the_ratio_and_stays_inside(box, scale, wanted):
    image = np.stack(np.meshgrid(np.arange(100), np.arange(100)), -1)  # each pixel names its x and y
    crop = clamped_crop(image, box, scale)
    x, y, width, height = wanted
    assert abs(crop[0, 0] - [x, y]).max() <= 1
    assert abs(np.array(crop.shape[1::-1]) - [width, height]).max() <= 1


def _box(image):
    return [FoundFace((60.0, 30.0, 100.0, 130.0), np.zeros((5, 2), np.float32), 1.0)]


@dataclass
class Stub:
    """Stands for a public model: keeps the pictures and faces that it is given."""

    seen: list = field(default_factory=list)

    def open(self):
        return lambda image, face: self.seen.append((image, face)) or 0.25


def test_no_face_is_no_answer(store):
    assert np.isnan(baselines.peer(Stub(), find=lambda image: [])(store.rows[:1])).all()
    assert baselines.peer(Stub(), find=_box)(store.rows[:2]).tolist() == [0.25, 0.25]


def test_peers_see_a_sideways_framed_picture_upright_and_without_its_frame(store):
    """As the store's faces were made, or ours would be judged on pictures that the others cannot read."""
    upright, turned = store.rows[:2]
    whole = astronaut()[:300, 60:400]
    cv2.imwrite(upright.sample.file, whole[..., ::-1])
    framed = cv2.copyMakeBorder(np.rot90(whole), 40, 60, 0, 30, cv2.BORDER_CONSTANT)
    cv2.imwrite(turned.sample.file, framed[..., ::-1])
    stub = Stub()
    baselines.peer(stub)([upright, turned])
    crops = [cv2.resize(square_crop(image, face.box, 1.5), (128, 128)) for image, face in stub.seen]
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.98


def test_a_frame_of_a_video_is_read_from_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(baselines, "read_frame", lambda path, number: asked.append((path, number)) or FACE)
    sample = Sample("clip.mp4#7", Label.LIVE, video="clip.mp4", source=str(tmp_path))
    assert np.array_equal(baselines.original(StoredSample(sample, "face")), FACE)
    assert asked == [(str(tmp_path / "clip.mp4"), 7)]


def test_a_missing_model_file_is_an_artefact_error(tmp_path):
    with pytest.raises(ArtefactError, match="ONNX"):
        baselines.peer_liveness("celeba-minifasnet", tmp_path)
