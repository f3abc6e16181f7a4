"""Where a face departs from its counterpart: a map that finds local changes, keeps its scale, and can be exported."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from despoof.departure.departure import Departure, Lessons, load_departure, save_departure
from despoof.detector.backbones import BACKBONES
from despoof.errors import ArtefactError, ConfigError, InputError


def pairs(count: int, seed: int = 0, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces that are smooth noise and counterparts that differ from them by smaller noise."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(2, count, 3, 8, 8, generator=rng) * 2 - 1
    faces, noise = (F.interpolate(each, size, mode="bilinear") for each in small)
    return faces, (faces + 0.1 * noise).clamp(-1, 1)


def changed(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same with a square of each face turned to its negative, and where that is."""
    faces, counterparts = pairs(count, seed)
    regions = torch.zeros(count, 64, 64)
    for i, (top, left) in enumerate(np.random.default_rng(seed).integers(0, 48, (count, 2))):
        faces[i, :, top : top + 16, left : left + 16] *= -1
        regions[i, top : top + 16, left : left + 16] = 1
    return faces, counterparts, regions


def lessons(departure: Departure) -> tuple[Lessons, Lessons]:
    return departure.read([(*pairs(80), torch.zeros(80, 64, 64))]), departure.read([changed(80, seed=5)])


@pytest.fixture(scope="module")
def departure() -> Departure:
    torch.manual_seed(0)
    made = Departure(BACKBONES["tiny_cnn"]().eval(), 64).eval()
    with torch.no_grad():
        made.learn(*lessons(made), steps=60)
    return made


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_the_map_is_what_its_formula_says(departure: Departure) -> None:
    """Against numpy: deviations of live differences, and what the network says of them against live faces' mean."""
    faces, counterparts = pairs(80)
    live, _ = lessons(departure)
    for standard, each in zip(departure.standards, live.differences, strict=True):
        x = each.double().numpy()
        expected = (x - x.mean(0)) / np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]).std(0, ddof=1)[:, None, None]
        np.testing.assert_allclose(standard(each.float()).numpy(), expected.clip(-6, 6), atol=1e-3)
    said = departure.logits(departure.differences(faces, counterparts)).numpy()
    z = (said - said.mean(0)) / said.std(0, ddof=1)
    wide = F.interpolate(torch.from_numpy(z)[:, None], 64, mode="bilinear", align_corners=False)[:, 0].numpy()
    expected = np.where(wide > 0, wide / (wide + 3), 0)
    np.testing.assert_allclose(departure(faces, counterparts).numpy(), expected, atol=2e-2)
    means = departure(faces, counterparts).mean((1, 2)).numpy()
    np.testing.assert_allclose(departure.strengths(live), means, atol=2e-2)


def test_learning_is_the_same_twice_and_leaves_other_draws_alone(departure: Departure) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    again = Departure(departure.backbone, 64).eval()
    torch.manual_seed(3)
    again.learn(*lessons(again), steps=60)
    assert torch.rand(1) == wanted
    for name, tensor in again.state_dict().items():
        torch.testing.assert_close(tensor, departure.state_dict()[name], atol=0, rtol=0)


def test_what_it_learned_from_is_as_expected_and_a_local_change_is_found(departure: Departure) -> None:
    faces, counterparts = pairs(8, seed=1)
    plain = departure(faces, counterparts)
    assert plain.shape == (8, 64, 64)
    assert (plain.min() >= 0) & (plain.max() < 1)
    assert plain.mean() < 0.2  # a third of a deviation is .1
    other = faces.clone()
    other[:, :, 20:36, 28:44] *= -1
    found = departure(other, counterparts)
    rows, columns = np.unravel_index(found.flatten(1).argmax(1).numpy(), (64, 64))
    inside = (rows >= 20) & (rows < 36) & (columns >= 28) & (columns < 44)
    assert inside.mean() >= 0.75
    assert found.amax((1, 2)).mean() > plain.amax((1, 2)).mean()


def test_a_face_has_the_same_map_alone_and_among_others(departure: Departure) -> None:
    """The scale is fixed: two pictures can be compared."""
    faces, counterparts = pairs(4, seed=2)
    alone = departure(faces[2:3], counterparts[2:3])
    torch.testing.assert_close(departure(faces, counterparts)[2:3], alone, atol=1e-5, rtol=1e-4)


def test_the_file_holds_no_backbone_and_is_read_with_its_own_alone(departure: Departure, tmp_path: Path) -> None:
    path = tmp_path / "departure.safetensors"
    save_departure(path, departure, facts={"parents": {"generator": "abc"}})
    again = load_departure(path, departure.backbone)
    assert again.facts["parents"]["generator"] == "abc"
    assert not any("backbone" in name for name in again.state_dict())
    faces, counterparts = pairs(4, seed=3)
    torch.testing.assert_close(again(faces, counterparts), departure(faces, counterparts), atol=2e-2, rtol=0)
    with pytest.raises(ArtefactError, match="Measure it again"):
        load_departure(path, BACKBONES["tiny_cnn"]().eval())


def test_onnx_runtime_draws_the_same_map(departure: Departure, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    faces, counterparts = pairs(2, seed=4)
    path = tmp_path / "map.onnx"
    shapes = ({0: "n"}, {0: "n"})
    torch.onnx.export(
        departure, (faces, counterparts), path, dynamo=True, dynamic_shapes=shapes, input_names=["a", "b"],
        verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"a": faces.numpy(), "b": counterparts.numpy()})
    np.testing.assert_allclose(found, departure(faces, counterparts).numpy(), atol=1e-4)


def test_what_cannot_be_compared_is_refused(departure: Departure) -> None:
    with pytest.raises(InputError, match="expected both"):
        departure(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 32, 32))
    live, other = lessons(departure)
    with pytest.raises(InputError, match="two and one at the least"):
        departure.learn(live.of(np.arange(1)), other)
    backbone = BACKBONES["tiny_cnn"]()
    backbone.widen(6)
    with pytest.raises(ConfigError, match="concatenated"):
        Departure(backbone, 64)
