"""A peer's TOML against networks whose answer is arithmetic: a swapped channel, a wrong box, range or class would rank
a public model by what it was never given."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from despoof.errors import ArtefactError, ConfigError
from despoof.evaluation.peers.peer import Network, packaged, packaged_names, read_peer, square_crop
from despoof.faces.detect import FoundFace
from despoof.faces.surroundings import clamped_crop
from tiny_onnx import mean_network

WEIGHTS = Path(__file__).resolve().parents[2] / ".." / "shared" / "weights"
INSIDE, OUTSIDE = np.array([200.0, 100.0, 40.0]), np.array([20.0, 60.0, 120.0])  # R, G, B of the face, and around it
FACE = FoundFace((40.0, 40.0, 20.0, 20.0), np.zeros((5, 2), np.float32), 1.0)
CHANNELS = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]  # as classes: the mean of each channel as the network is given it
TOML = """
name = "toy"
licence = "none"
needs = "face"

[[networks]]
file = "toy.onnx"
scale = 2.0
size = 40
colour = "rgb"
range = [0.0, 1.0]
output = "logits"
live = 0
"""


@pytest.fixture
def image() -> np.ndarray:
    image = np.empty((100, 100, 3), np.uint8)
    image[:] = OUTSIDE
    image[40:60, 40:60] = INSIDE
    return image


def share(scale: float) -> np.ndarray:
    """Means of R, G, B in a square of so many boxes about the face, which holds the whole face."""
    return INSIDE / scale**2 + OUTSIDE * (1 - 1 / scale**2)


def softmax(logits: np.ndarray, place: int) -> float:
    return math.exp(logits[place]) / sum(map(math.exp, logits))


def toml(folder: Path, *changes: tuple[str, str], network: str = "") -> Path:
    text = TOML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "toy.toml").write_text(text + network)
    return folder / "toy.toml"


def test_box_colour_range_and_class_are_those_of_the_file(tmp_path: Path, image: np.ndarray) -> None:
    mean_network(tmp_path / "toy.onnx", CHANNELS, 40)
    told = {
        (): softmax(share(2) / 255, 0),
        (("live = 0", "live = 2"),): softmax(share(2) / 255, 2),
        (('"rgb"', '"bgr"'),): softmax(share(2)[::-1] / 255, 0),
        (("[0.0, 1.0]", "[-1.0, 1.0]"),): softmax(share(2) / 127.5 - 1, 0),
        (("[0.0, 1.0]", "[0.0, 255.0]\nmean = [100, 60, 50]\nstd = [50, 40, 20]"),): softmax(
            (share(2) - [100, 60, 50]) / [50, 40, 20], 0
        ),
        (("scale = 2.0", "scale = 4.0"),): softmax(share(4) / 255, 0),
    }
    for changes, wanted in told.items():
        found = read_peer(toml(tmp_path, *changes)).open()(image, FACE)
        assert found == pytest.approx(wanted, abs=2e-3 if "4.0" in str(changes) else 1e-5), changes
    assert all(abs(told[()] - value) > 0.01 for changes, value in told.items() if changes)  # each would be seen


def test_channels_may_come_last(tmp_path: Path, image: np.ndarray) -> None:
    mean_network(tmp_path / "toy.onnx", CHANNELS, 40, layout="NHWC")
    found = read_peer(toml(tmp_path, ("size = 40", 'size = 40\nlayout = "NHWC"'))).open()(image, FACE)
    assert found == pytest.approx(softmax(share(2) / 255, 0), abs=1e-5)
    with pytest.raises(ArtefactError, match="size.*layout"):
        read_peer(toml(tmp_path)).open()(image, FACE)


def test_probabilities_are_taken_as_they_are_and_one_number_is_of_class_0(tmp_path: Path, image: np.ndarray) -> None:
    red = share(2)[0] / 255
    mean_network(tmp_path / "toy.onnx", [[1, 0, 0]], 40)
    as_told = read_peer(toml(tmp_path, ('"logits"', '"probabilities"'))).open()(image, FACE)
    assert as_told == pytest.approx(red, abs=1e-5)
    of_attack = read_peer(toml(tmp_path, ('"logits"', '"probabilities"'), ("live = 0", "live = 1"))).open()(image, FACE)
    assert of_attack == pytest.approx(1 - red, abs=1e-5)
    logit = read_peer(toml(tmp_path, ("live = 0", "live = 1"))).open()(image, FACE)
    assert logit == pytest.approx(1 - 1 / (1 + math.exp(-red)), abs=1e-5)


def test_networks_answer_by_their_mean(tmp_path: Path, image: np.ndarray) -> None:
    mean_network(tmp_path / "toy.onnx", CHANNELS, 40)
    mean_network(tmp_path / "other.onnx", CHANNELS, 20)
    second = TOML[TOML.index("[[networks]]") :].replace("toy.onnx", "other.onnx").replace("2.0", "1.0")
    found = read_peer(toml(tmp_path, network=second.replace("size = 40", "size = 20"))).open()(image, FACE)
    assert found == pytest.approx((softmax(share(2) / 255, 0) + softmax(share(1) / 255, 0)) / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([('colour = "rgb"', 'colour = "grb"')], r"networks\[0\]\.colour"),
        ([("live = 0", "")], r"'live' is missing.*networks"),
        ([("live = 0", 'live = "0"')], r"networks\[0\]\.live"),
        ([("size = 40", "size = 40.5")], r"networks\[0\]\.size"),
        ([("[0.0, 1.0]", "[1.0, 0.0]")], "range.*black below white"),
        ([("live = 0", "live = 0\nstd = [1.0, 0.0, 1.0]")], "std"),
        ([("live = 0", "live = 0\nbox = 2")], "unknown key 'box'; Network knows"),
        ([('needs = "face"', 'needs = "hair"')], "needs"),
        ([('name = "toy"', 'name = "a/b"')], "name = 'a/b'"),
        ([('licence = "none"', "")], "'licence' is missing"),
        ([("[[networks]]", "[[nets]]")], "'networks' is missing|unknown key 'nets'"),
    ],
)
def test_what_a_file_should_not_hold_is_named_by_its_key(tmp_path: Path, changes: list, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_peer(toml(tmp_path, *changes))


def test_answers_that_contradict_the_file_are_refused(tmp_path: Path, image: np.ndarray) -> None:
    mean_network(tmp_path / "toy.onnx", CHANNELS, 40)
    with pytest.raises(ArtefactError, match="no probabilities"):
        read_peer(toml(tmp_path, ('"logits"', '"probabilities"'), ("1.0]", "255.0]"))).open()(image, FACE)
    with pytest.raises(ArtefactError, match="class 3"):
        read_peer(toml(tmp_path, ("live = 0", "live = 3"))).open()(image, FACE)
    (tmp_path / "toy.onnx").unlink()
    with pytest.raises(ArtefactError, match="ONNX"):
        read_peer(toml(tmp_path)).open()


def test_the_label_changes_with_file_and_spec(tmp_path: Path) -> None:
    mean_network(tmp_path / "toy.onnx", CHANNELS, 40)
    labels = {read_peer(toml(tmp_path)).label, read_peer(toml(tmp_path, ("live = 0", "live = 1"))).label}
    mean_network(tmp_path / "toy.onnx", CHANNELS[::-1], 40)
    assert len(labels | {read_peer(toml(tmp_path)).label}) == 3


def test_the_pair_means_index_1_of_three_and_is_fed_bgr_0_to_255(portrait: np.ndarray) -> None:
    pair = packaged("minifasnet", "anywhere").peer
    assert [(each.file, each.scale, each.size) for each in pair.networks] == [
        ("MiniFASNetV2_27.onnx", 2.7, 80),
        ("MiniFASNetV1SE_40.onnx", 4.0, 80),
    ]
    box = (177.0, 65.0, 96.0, 118.0)
    for each in pair.networks:
        crop = cv2.resize(clamped_crop(portrait, box, each.scale), (80, 80)).astype(np.float32)
        assert np.array_equal(each.given(portrait, box)[0], crop[..., ::-1].transpose(2, 0, 1))
        assert each.liveness(np.array([[0, math.log(8), 0]])) == pytest.approx(0.8)
    assert pair.room == 2.7


def test_the_celeba_model_reads_index_0_and_is_fed_rgb_0_to_1(portrait: np.ndarray) -> None:
    peer = packaged("celeba-minifasnet", "anywhere").peer
    network, box = peer.networks[0], (177.0, 65.0, 96.0, 118.0)
    crop = cv2.resize(square_crop(portrait, box, 1.5), (128, 128), interpolation=cv2.INTER_AREA)
    assert np.array_equal(network.given(portrait, box)[0], (crop / np.float32(255)).transpose(2, 0, 1))
    assert network.liveness(np.array([[math.log(3), 0]])) == pytest.approx(0.75)
    assert peer.room == 0  # it pads


def test_square_crop_reflects_outside_or_is_black() -> None:
    image = np.arange(100)[None].repeat(100, 0).astype(np.uint8)
    assert square_crop(image, (40, 40, 20, 10), 1.5)[0].tolist() == list(range(35, 65))
    crop = square_crop(image, (0, 40, 20, 10), 1.5)
    assert crop.shape == (30, 30)
    assert crop[0].tolist() == [5, 4, 3, 2, 1, *range(25)]
    network = Network("", 1.5, 30, "rgb", (0.0, 255.0), "logits", 0, crop="black")
    black = network.given(image[..., None].repeat(3, 2), (0, 40, 20, 10))
    assert black[0, 0, 0].tolist() == [0, 0, 0, 0, 0, *range(25)]
    assert replace(network, crop="reflected").given(image[..., None].repeat(3, 2), (0, 40, 20, 10))[0, 0, 0, 0] == 5


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="third-party weights are not beside the repository")
def test_public_models_load_and_return_probabilities(portrait: np.ndarray) -> None:
    face = FoundFace((177.0, 65.0, 96.0, 118.0), np.zeros((5, 2), np.float32), 1.0)
    for name in packaged_names():
        assert 0 <= packaged(name, WEIGHTS).open()(portrait, face) <= 1
