"""Weights come back bit for bit; a missing, cut, foreign or ill-fitting file is an ArtefactError, never a guess."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from despoof.errors import ArtefactError
from despoof.runs.checkpoint import file_hash, load_artefact, load_state, load_strict, save_artefact, save_state
from full_disk import files_up_to

TENSORS = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.ones(3, dtype=torch.float16)}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_artefact(path, "detector", {"size": 3}, TENSORS, facts={"threshold": 0.5})
    return path


def test_what_is_saved_comes_back(weights):
    artefact = load_artefact(weights, "detector")
    assert (artefact.kind, artefact.config, artefact.facts) == ("detector", {"size": 3}, {"threshold": 0.5})
    assert artefact.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert artefact.tensors[name].dtype == tensor.dtype
        assert torch.equal(artefact.tensors[name], tensor)


def test_views_and_shared_tensors_can_be_saved(tmp_path):
    square = torch.arange(16.0).reshape(4, 4)
    save_artefact(tmp_path / "a", "x", {}, {"a": square.T, "b": square.T, "c": square[:, 1]})
    tensors = load_artefact(tmp_path / "a", "x").tensors
    assert torch.equal(tensors["a"], square.T)
    assert torch.equal(tensors["c"], square[:, 1])


def test_a_missing_file_names_itself(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ArtefactError, match="is missing"):
            load_artefact(path, "detector")


@pytest.mark.parametrize("keep", [0, 4, 60, 200, -1])
def test_a_cut_file_is_refused(weights, keep):
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ArtefactError, match="cannot be read"):
        load_artefact(weights, "detector")


def test_foreign_files_are_refused(tmp_path, weights):
    path = tmp_path / "foreign"
    path.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(ArtefactError, match="cannot be read"):
        load_artefact(path, "detector")
    torch.save(TENSORS, path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        load_artefact(path, "detector")
    save_file(TENSORS, path)  # safetensors of somebody else
    with pytest.raises(ArtefactError, match="format None"):
        load_artefact(path, "detector")
    save_file(TENSORS, path, metadata={"format": "despoof/0", "kind": "detector"})
    with pytest.raises(ArtefactError, match="despoof/0"):
        load_artefact(path, "detector")
    with pytest.raises(ArtefactError, match="kind 'detector'"):
        load_artefact(weights, "generator")


@pytest.mark.parametrize("config", [None, "{", "\u0000"])
def test_a_broken_config_is_refused(tmp_path, config):
    metadata = {"format": "despoof/1", "kind": "detector", "facts": json.dumps({})}
    save_file(TENSORS, tmp_path / "a", metadata=metadata | ({} if config is None else {"config": config}))
    with pytest.raises(ArtefactError, match="config"):
        load_artefact(tmp_path / "a", "detector")


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_tensors_must_fit_exactly(change):
    module = torch.nn.Linear(4, 3)
    tensors = dict(TENSORS)
    load_strict(module, tensors, "x")
    assert torch.equal(module.weight, TENSORS["weight"])
    if change == "missing":
        del tensors["bias"]
    else:
        tensors["more" if change == "surplus" else "bias"] = torch.zeros(7)
    with pytest.raises(ArtefactError, match="do not fit"):
        load_strict(torch.nn.Linear(4, 3), tensors, "x")


def test_the_hash_names_the_content(tmp_path, weights):
    (tmp_path / "copy").write_bytes(weights.read_bytes())
    assert file_hash(tmp_path / "copy") == file_hash(weights)
    (tmp_path / "copy").write_bytes(weights.read_bytes() + b"x")
    assert file_hash(tmp_path / "copy") != file_hash(weights)


def test_the_hash_of_a_folder_names_its_files_and_their_content(tmp_path):
    (tmp_path / "a/below").mkdir(parents=True)
    (tmp_path / "a/below/x.bin").write_bytes(b"x")
    (tmp_path / "a/config.json").write_bytes(b"{}")
    found = [file_hash(tmp_path / "a")]
    (tmp_path / "a/below/x.bin").write_bytes(b"y")
    found.append(file_hash(tmp_path / "a"))
    (tmp_path / "a/below/x.bin").rename(tmp_path / "a/below/z.bin")
    found.append(file_hash(tmp_path / "a"))
    assert len(set(found)) == 3
    with pytest.raises(ArtefactError, match="nowhere cannot be read"):
        file_hash(tmp_path / "nowhere")


def test_state_comes_back(tmp_path):
    assert load_state(tmp_path / "state.pt") is None
    save_state(tmp_path / "state.pt", {"step": 3, "parts": TENSORS})
    state = load_state(tmp_path / "state.pt")
    assert state["step"] == 3
    assert torch.equal(state["parts"]["weight"], TENSORS["weight"])


class Intruder:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('code ran')",)


@pytest.mark.parametrize("kind", ["cut", "text", "code"])
def test_bad_state_is_refused_and_runs_no_code(tmp_path, kind):
    path = tmp_path / "state.pt"
    if kind == "code":
        torch.save({"step": Intruder()}, path)
    else:
        save_state(path, {"step": 3})
        path.write_bytes(path.read_bytes()[:100] if kind == "cut" else b"text")
    with pytest.raises(ArtefactError, match="Delete it"):
        load_state(path)


@pytest.mark.parametrize("what", ["weights", "state"])
def test_a_full_disk_keeps_the_old_file(tmp_path, what):
    path = tmp_path / "a"

    def save(value: float) -> None:
        tensors = {"a": torch.full((100_000,), value)}
        if what == "weights":
            save_artefact(path, "x", {}, tensors)
        else:
            save_state(path, tensors)

    save(1.0)
    old = path.read_bytes()
    with files_up_to(50_000), pytest.raises(ArtefactError, match="free"):
        save(2.0)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_state_has_the_same_bytes_whether_it_was_read_from_a_file_or_not(tmp_path):
    """As of an optimiser: texts of one object and of equal ones, one tuple in two places; a kill must not show."""
    betas, net = (0.9, 0.99), torch.nn.Linear(2, 2)
    fresh = {"net": net.state_dict(), "groups": [{"betas": betas, "step": 1}, {"betas": betas, "step": 2}]}
    save_state(tmp_path / "fresh.pt", fresh)
    save_state(tmp_path / "again.pt", load_state(tmp_path / "fresh.pt"))
    assert (tmp_path / "again.pt").read_bytes() == (tmp_path / "fresh.pt").read_bytes()
    assert torch.equal(load_state(tmp_path / "again.pt")["net"]["weight"], net.weight)
