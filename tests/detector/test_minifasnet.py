"""MiniFASNet: our layers with the released weights answer as the released graph does; no other file is taken."""

import numpy as np
import onnx
import pytest
import torch

from despoof.detector.backbones.minifasnet import NUMBERS, V1SE, V2, MiniFASNet, load_released
from despoof.errors import ArtefactError
from despoof.runs.onnx import open_onnx

FILES = {"MiniFASNetV2_27.onnx": V2, "MiniFASNetV1SE_40.onnx": V1SE}


@pytest.fixture
def released(shared):
    return shared / "weights"


@pytest.mark.parametrize("file", FILES)
def test_answers_as_the_released_graph(released, file):
    network = MiniFASNet(FILES[file]).eval()
    load_released(network, released / file)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 80, 80, 3)).astype(np.float32)  # RGB
    pixels[1] = np.linspace(0, 255, 80)[:, None, None]
    session = open_onnx(released / file)
    bgr = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2))
    expected = np.concatenate([session.run(None, {"input": one[None]})[0] for one in bgr])
    classes = onnx.numpy_helper.to_array(onnx.load(released / file).graph.initializer[-1])  # of the last MatMul
    with torch.no_grad():
        numbers = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1)
    assert numbers.shape == (3, NUMBERS)
    np.testing.assert_allclose(numbers.numpy() @ classes, expected, atol=1e-4)
    assert np.ptp(expected, 0).max() > 0.1  # pictures differ, so a constant would not pass


def test_another_network_and_broken_files_are_refused(released, tmp_path):
    with pytest.raises(ArtefactError, match="as it was released"):
        load_released(MiniFASNet(V1SE), released / "MiniFASNetV2_27.onnx")
    cut = (released / "MiniFASNetV2_27.onnx").read_bytes()[:5000]
    (tmp_path / "cut.onnx").write_bytes(cut)
    for name in ("cut.onnx", "none.onnx"):
        with pytest.raises(ArtefactError, match=name):
            load_released(MiniFASNet(V2), tmp_path / name)


def test_widths_of_another_file_are_refused(released, tmp_path):
    model = onnx.load(released / "MiniFASNetV2_27.onnx")
    first = model.graph.initializer[0]
    wrong = onnx.numpy_helper.to_array(first)[..., :1]
    first.CopyFrom(onnx.numpy_helper.from_array(wrong.copy(), first.name))
    onnx.save(model, tmp_path / "narrow.onnx")
    with pytest.raises(ArtefactError, match="narrow.onnx do not fit"):
        load_released(MiniFASNet(V2), tmp_path / "narrow.onnx")
    model = onnx.load(released / "MiniFASNetV2_27.onnx")
    next(each for each in model.graph.node[0].attribute if each.name == "strides").ints[:] = [1, 1]
    onnx.save(model, tmp_path / "strides.onnx")
    with pytest.raises(ArtefactError, match="as it was released"):
        load_released(MiniFASNet(V2), tmp_path / "strides.onnx")
