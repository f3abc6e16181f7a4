"""Every kind of generator and of identity behind one interface: shapes, repeatability, round trip, training; and what
each claims to be. A rival that were secretly another network would make every comparison with diffusion worthless."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.errors import ArtefactError, ConfigError
from despoof.generator.autoencoders import Autoencoder, PlainAutoencoder
from despoof.generator.config import (
    TINY,
    AutoencoderTraining,
    BottleneckConfig,
    DenoiserTraining,
    GeneratorConfig,
    GeneratorRecipe,
    IdentityConfig,
)
from despoof.generator.diffusion import Flow
from despoof.generator.identity import IdentityEncoder, IResNet
from despoof.generator.registry import GENERATORS, build_generator, load_generator, save_generator
from despoof.generator.training import train_generator
from despoof.generator.weights import read_encoder
from despoof.runs.checkpoint import load_artefact, save_artefact
from despoof.runs.config import to_dict

FACES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
SHORT = {"save_every": 2, "log_every": 1, "batch": 4}
IRESNET = IdentityConfig((4, 4, 4, 8), (1, 1, 1, 1), 8, encoder="iresnet")


def faces() -> torch.Tensor:
    return torch.from_numpy(FACES[:3]).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    models = {"autoencoder": Autoencoder(TINY.autoencoder), "identity": IdentityEncoder(TINY.identity)}
    for kind, model in models.items():
        save_artefact(folder / f"{kind}.safetensors", kind, to_dict(TINY), model.state_dict())
    return {kind: folder / f"{kind}.safetensors" for kind in models}


def trained(config: GeneratorConfig, folder: Path, *, faces: np.ndarray = FACES, **parts: Path) -> Path:
    recipe = GeneratorRecipe(config, DenoiserTraining(2, **SHORT), AutoencoderTraining(2, **SHORT))
    return train_generator(recipe, faces, folder, **parts)


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_kind_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = build_generator(replace(TINY, kind=kind)).eval()
    made, stages = generator.counterpart(faces()), []
    assert made.shape == (3, 3, 64, 64)
    assert made.abs().max() <= 1
    torch.manual_seed(5)
    alone = torch.cat([generator.counterpart(face[None], lap=stages.append) for face in faces()])
    torch.testing.assert_close(alone, made, rtol=0, atol=1e-5)
    assert stages[-1] == "decode"
    save_generator(tmp_path / "generator.safetensors", generator)
    assert load_artefact(tmp_path / "generator.safetensors", "generator").config.get("kind", "diffusion") == kind
    loaded = load_generator(tmp_path / "generator.safetensors")
    assert type(loaded) is GENERATORS[kind]
    assert loaded.name == generator.name
    assert torch.equal(loaded.counterpart(faces()), made)


def test_unknown_kinds_and_encoders_name_the_known() -> None:
    with pytest.raises(ConfigError, match="'x'; expected one of diffusion, one_step"):
        build_generator(replace(TINY, kind="x"))
    with pytest.raises(ConfigError, match="'x'; expected one of ours, iresnet, onnx"):
        build_generator(replace(TINY, identity=replace(TINY.identity, encoder="x")))


class Blurred(PlainAutoencoder):
    """A kind that this package does not know; its trainer stands in this file."""

    trainer = f"{__name__}:train_blurred"


def train_blurred(recipe: GeneratorRecipe, *given: object) -> Blurred:
    return Blurred(recipe.generator)


def test_a_new_kind_is_a_class_and_a_line_of_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATORS, "blurred", Blurred)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Blurred.__module__])
    path = trained(replace(TINY, kind="blurred"), tmp_path)
    assert type(load_generator(path)) is Blurred
    assert load_generator(path).counterpart(faces()).shape == (3, 3, 64, 64)


def test_names_of_equal_weights_differ_by_kind() -> None:
    torch.manual_seed(0)
    one = build_generator(TINY)
    other = build_generator(replace(TINY, kind="flow"))
    other.load_state_dict(one.state_dict())
    assert one.name != other.name


@pytest.mark.parametrize("kind", ["autoencoder", "bottleneck"])
def test_plain_kinds_refuse_a_start_step(kind: str) -> None:
    with pytest.raises(ConfigError, match="adds no noise"):
        build_generator(replace(TINY, kind=kind)).counterpart(faces(), start_step=501)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_bottleneck_is_one_short_code(size: int) -> None:
    config = replace(TINY, face_size=size, kind="bottleneck", bottleneck=BottleneckConfig(code=6, width=4))
    network = build_generator(config).autoencoder
    code = network.encode(torch.zeros(2, 3, size, size))
    assert code.shape == (2, 6, 1, 1)
    assert network.decode(code).shape == (2, 3, size, size)


def test_plain_autoencoder_is_decode_of_encode(parts: dict[str, Path], tmp_path: Path) -> None:
    path = trained(replace(TINY, kind="autoencoder"), tmp_path, autoencoder=parts["autoencoder"])
    network = Autoencoder(TINY.autoencoder)
    network.load_state_dict(load_artefact(parts["autoencoder"], "autoencoder").tensors)
    expected = network.decode(network.encode(faces())).clamp(-1, 1)
    torch.testing.assert_close(load_generator(path).counterpart(faces()), expected)


def test_bottleneck_learns(tmp_path: Path) -> None:
    config = replace(TINY, kind="bottleneck", bottleneck=BottleneckConfig(code=16, width=8))
    ramps = np.linspace(0, 255, 64)[None, :, None, None] * np.linspace(0.2, 1, 12)[:, None, None, None]
    ramps = np.broadcast_to(ramps, (12, 64, 64, 3)).astype(np.uint8)
    recipes = {n: GeneratorRecipe(config, copying=AutoencoderTraining(n, save_every=n)) for n in (1, 60)}
    first, last = (load_generator(train_generator(one, ramps, tmp_path / str(n))) for n, one in recipes.items())
    face = torch.from_numpy(ramps.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    before, after = ((one.counterpart(face) - face).abs().mean() for one in (first, last))
    assert after < 0.8 * before


def test_flow_walks_a_straight_line_exactly() -> None:
    """With the true direction, which is constant on the line, any number of Euler steps ends at the latents."""
    flow = build_generator(replace(TINY, kind="flow"))
    clean, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    told: list[float] = []

    class Ideal(torch.nn.Module):
        def forward(self, x: torch.Tensor, step: float, encoder_hidden_states: torch.Tensor):
            told.append(step)
            return type("Output", (), {"sample": flow.target(clean, noise, torch.tensor([1]))})

    flow.denoiser = Ideal()
    noised = flow.add_noise(clean, noise, torch.tensor([600, 600]))
    torch.testing.assert_close(noised, 0.4 * clean + 0.6 * noise)
    back = flow.denoised(noised, flow.identity(faces()[:2]), 600)
    torch.testing.assert_close(back, clean, rtol=1e-4, atol=1e-5)
    assert told == pytest.approx([600, 500, 400, 300, 200, 100])


def test_flow_solves_the_gaussian() -> None:
    """For x_0 ~ N(0, r²) the flow from s to 0 is x_0 = x_s r / sqrt((1 - s)² r² + s²)."""
    flow = Flow(replace(TINY, kind="flow", diffusion=replace(TINY.diffusion, grid=400))).eval()
    r, x, start = 0.5, torch.linspace(-3, 3, 256).reshape(1, 4, 8, 8), 700

    class Ideal(torch.nn.Module):
        def forward(self, x: torch.Tensor, step: float, encoder_hidden_states: torch.Tensor):
            s = step / 1000
            slope = (s - (1 - s) * r**2) / ((1 - s) ** 2 * r**2 + s**2)  # of E[ε - x_0 | x_s]
            return type("Output", (), {"sample": slope * x})

    flow.denoiser = Ideal()
    exact = x * r / ((0.3 * r) ** 2 + 0.7**2) ** 0.5
    torch.testing.assert_close(flow.denoised(x, flow.identity(faces()[:1]), start), exact, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("start", [0, -1, 1001])
def test_flow_refuses_a_start_off_its_line(start: int) -> None:
    flow = build_generator(replace(TINY, kind="flow", diffusion=replace(TINY.diffusion, start_step=start)))
    with pytest.raises(ConfigError, match=r"expected 1\.\.1000"):
        flow.counterpart(faces())


@pytest.mark.parametrize("kind", ["diffusion", "flow"])
@pytest.mark.parametrize("condition", ["map", "embedding", "none"])
def test_kinds_with_a_denoiser_train_under_each_condition(
    kind: str, condition: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    config = replace(TINY, kind=kind, condition=condition)
    assert load_generator(trained(config, tmp_path, **parts)).config == config


@pytest.mark.parametrize("pad_to", [None, 12])
def test_a_torch_iresnet_takes_the_place_of_ours(pad_to: int | None, parts: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(IResNet(IRESNET).state_dict(), tmp_path / "arcface.pth")
    config = replace(TINY, identity=replace(TINY.identity, pad_to=pad_to))
    path = trained(config, tmp_path / "run", autoencoder=parts["autoencoder"], identity=tmp_path / "arcface.pth")
    generator = load_generator(path)
    assert generator.config.identity == replace(IRESNET, pad_to=pad_to)
    assert generator.counterpart(faces()).shape == (3, 3, 64, 64)


def test_an_onnx_arcface_takes_the_place_of_ours(shared: Path, parts: dict[str, Path], tmp_path: Path) -> None:
    file = shared / "weights/id_mobilefacenet_foamliu_128d.onnx"
    if not file.is_file():
        pytest.skip("the ONNX checkpoint is not in the folder of shared weights")
    identity = replace(TINY.identity, pixels="imagenet")
    config = replace(TINY, condition="embedding", identity=identity)
    files = parts | {"identity": file}
    path = trained(config, tmp_path, faces=FACES[:4], **files)
    generator = load_generator(path)
    assert generator.config.identity.embedding == 128
    small = torch.nn.functional.interpolate(faces(), (112, 112), mode="bilinear", align_corners=False)
    crops = ((small + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    import onnxruntime

    from despoof.generator.training.identity import teacher_encoder

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pixels = (crops / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)  # ImageNet's mean and deviation
    pixels = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    wanted = np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in pixels])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(teacher_encoder(file)(crops), wanted, atol=1e-5)
    assert (wanted * generator.identity(faces()).embedding.numpy()).sum(1).min() > 0.999
    assert generator.counterpart(faces()).shape == (3, 3, 64, 64)
    with pytest.raises(ConfigError, match="gives no map"):
        trained(replace(config, condition="map"), tmp_path / "map", **files)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.onnx", b"nothing", "is no ONNX model"),
        ("x.pth", b"nothing", "cannot be read as tensors"),
        ("x.bin", b"nothing", "of no known kind"),
        ("x.safetensors", None, "is missing"),
        ("y.onnx", None, "is missing"),
        ("y.pth", None, "is missing"),
    ],
)
def test_unusable_identity_files_are_refused(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ArtefactError, match=message):
        read_encoder(TINY.identity, tmp_path / name)
