"""Where a face departs from its counterpart: a map that finds local changes, keeps its scale, and can be exported."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from despoof.departure import Departure, load_departure, save_departure
from despoof.detector.backbones import BACKBONES
from despoof.errors import ArtefactError, ConfigError, InputError


def pairs(count: int, seed: int = 0, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Faces that are smooth noise and counterparts that differ from them by smaller noise."""
    rng = torch.Generator().manual_seed(seed)
    small = torch.rand(2, count, 3, 8, 8, generator=rng) * 2 - 1
    faces, noise = (F.interpolate(each, size, mode="bilinear") for each in small)
    return faces, (faces + 0.1 * noise).clamp(-1, 1)


@pytest.fixture(scope="module")
def departure() -> Departure:
    torch.manual_seed(0)
    made = Departure(BACKBONES["tiny_cnn"]().eval(), 64).eval()
    made.learn(*pairs(80))
    return made


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_each_layer_is_what_its_formula_says(departure: Departure) -> None:
    """Against numpy: the squared length of a whitened difference is its Mahalanobis distance."""
    faces, counterparts = pairs(80)
    for normal, each in zip(departure.normals, departure.differences(faces, counterparts), strict=True):
        x = each.double().numpy()
        rest = np.moveaxis(x - x.mean(0), 1, -1)
        covariance = np.cov(rest.reshape(-1, rest.shape[-1]).T, bias=True)
        inverse = np.linalg.inv(covariance + 0.01 * np.diag(covariance).mean() * np.eye(len(covariance)))
        logs = np.log(np.einsum("nhwc,cd,nhwd->nhw", rest, inverse, rest) + 1e-6)
        expected = (logs - logs.mean(0)) / logs.std(0, ddof=1)
        np.testing.assert_allclose(normal(each).numpy(), expected, atol=2e-2)


def test_what_it_learned_from_is_as_expected_and_a_local_change_is_found(departure: Departure) -> None:
    faces, counterparts = pairs(8, seed=1)
    plain = departure(faces, counterparts)
    assert plain.shape == (8, 64, 64)
    assert (plain.min() >= 0) & (plain.max() < 1)
    assert plain.mean() < 0.2  # a third of a deviation is .1
    changed = faces.clone()
    changed[:, :, 20:36, 28:44] *= -1
    found = departure(changed, counterparts)
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
    with pytest.raises(InputError, match="two at the least"):
        departure.learn(*pairs(1))
    backbone = BACKBONES["tiny_cnn"]()
    backbone.widen(6)
    with pytest.raises(ConfigError, match="concatenated"):
        Departure(backbone, 64)
