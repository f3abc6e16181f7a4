"""Names of the hub against a folder in its cache's layout, without a network: what is loaded must be those very files,
checked as any folder's, and what exists here must never be taken from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import despoof
from despoof.data.portrait import portrait
from despoof.engine import hub as module
from despoof.engine.hub import card_data, push, write_card
from despoof.errors import ArtefactError, ConfigError
from despoof.pair import HUB_NAME, TAKEN, WEIGHTS, files_of, from_hub, place_of

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")
FIRST, SECOND = "1" * 40, "2" * 40  # revisions
FILES = ("despoof.json", "judge.onnx")
LOADS = """
import json, sys
import despoof
from despoof.data.portrait import portrait
from despoof.errors import DespoofError
found = {}
for name in sys.argv[1:]:
    try:
        guard = despoof.load(name, threads=1)
        found[name] = [guard.check(portrait()).liveness, guard.weights["detector"], guard.thresholds[1]]
    except DespoofError as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions of owner/name, of which the second is main and has a threshold of its own; damaged ones."""
    cache = tmp_path_factory.mktemp("cache")
    snapshot(cache, "owner/name", FIRST)
    newer = snapshot(cache, "owner/name", SECOND)
    about = json.loads((newer / "despoof.json").read_text())
    about["facts"]["points"]["balanced"]["live_from"] = about["facts"]["thresholds"]["live_from"] = 0.75
    (newer / "despoof.json").write_text(json.dumps(about))
    (snapshot(cache, "owner/damaged", FIRST) / "judge.onnx").write_bytes(b"another")
    return cache


def snapshot(cache: Path, name: str, revision: str) -> Path:
    root = cache / f"models--{name.replace('/', '--')}"
    folder = root / "snapshots" / revision
    folder.mkdir(parents=True)
    for file in FILES:
        shutil.copy(WEIGHTS / file, folder)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs/main").write_text(revision)
    return folder


def loaded(cache: Path, *names: str, where: Path, **more: str) -> dict:
    env = {"PYTHONPATH": str(Path(despoof.__file__).parents[1]), "OMP_NUM_THREADS": "1", "HF_HUB_CACHE": str(cache),
           "HF_HUB_OFFLINE": "1", "HOME": str(where), "PATH": os.environ["PATH"]} | more  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *names], cwd=where, env=env, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_name_is_loaded_from_the_cache_and_a_revision_is_that_one(cache: Path, tmp_path: Path) -> None:
    first, second = f"owner/name@{FIRST}", "owner/name"
    found = loaded(cache, first, second, "owner/damaged", "owner/absent", where=tmp_path)
    guard = despoof.load(threads=1)
    assert found[first] == [guard.check(portrait()).liveness, guard.weights["detector"], guard.thresholds[1]]
    assert found[second] == [*found[first][:2], 0.75]
    assert found["owner/damaged"].startswith("ArtefactError")
    assert "judge.onnx is missing or not the file that passed parity" in found["owner/damaged"]
    assert found["owner/absent"].startswith("ArtefactError: 'owner/absent' is no folder here, and the hub gave nothing")


def test_a_path_that_exists_goes_before_a_name(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "owner/name").mkdir(parents=True)
    assert "weights file" in loaded(cache, "owner/name", where=tmp_path)["owner/name"]  # of the empty folder here


def test_only_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *given, **more: pytest.fail("asked the hub"))
    for which in ("./weights", "../weights", "a/b/c", "/owner/name", "weights", "owner/", Path("owner/name")):
        with pytest.raises(ArtefactError, match="is no preset"):
            files_of(which)
    assert HUB_NAME.fullmatch("owner/name@v1.0")["revision"] == "v1.0"


def test_what_is_asked_of_the_hub_is_files_that_hold_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **more: asked.append((name, more)) or str(tmp_path)
    )
    from_hub.cache_clear()
    assert place_of("owner/name@v1") == place_of("owner/name@v1") == tmp_path
    from_hub.cache_clear()
    assert asked == [
        ("owner/name", {"revision": "v1", "allow_patterns": ["*.safetensors", "*.onnx", "*.json", "*.md"]})
    ]


def test_without_the_extra_the_message_says_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="no folder here.*pip install 'despoof\\[hub\\]'"):
        files_of("owner/other")
    with pytest.raises(ConfigError, match="pip install 'despoof\\[hub\\]'"):
        push(WEIGHTS, "owner/name")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in FILES:
        shutil.copy(WEIGHTS / file, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "state.pt").write_bytes(b"pickled")
    return folder


def test_a_card_says_licence_data_and_figures_in_its_header(weights: Path) -> None:
    card = huggingface_hub.ModelCard.load(write_card(weights, "owner/name", datasets=["owner/captures"]))
    facts = despoof.load(weights, threads=1).engine.facts
    told = card.data.to_dict()
    assert told["license"] == "other"
    assert told["license_name"] == facts["licence"] == "research use only"
    assert (told["library_name"], told["datasets"]) == ("despoof", ["owner/captures"])
    assert "presentation-attack-detection" in told["tags"]
    expected = facts["points"]["balanced"]["expected"]
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values == {"bpcer": expected["bpcer"]["value"], "apcer": expected["apcer"]["mean"]["value"]}
    assert 'despoof.load("owner/name")' in card.text
    assert f"{100 * expected['bpcer']['value']:.1f} (" in card.text
    assert "no certification" in card.text


def test_a_card_that_lies_there_keeps_its_text_and_header(weights: Path) -> None:
    (weights / "README.md").write_text("---\nlicense: mit\nlanguage: de\n---\n\n# Mine\n\nMy text.\n")
    for _ in range(2):  # again and again the same
        write_card(weights, "owner/name")
        text = (weights / "README.md").read_text()
        assert text.endswith("---\n\n# Mine\n\nMy text.\n")
        told = huggingface_hub.ModelCard(text).data
        assert (told.license, told.language, told.library_name) == ("mit", "de", "despoof")
        assert {each.metric_type for each in told.eval_results} == {"apcer", "bpcer"}


def test_weights_without_figures_have_a_card_too() -> None:
    data = card_data({"thresholds": {"attack_below": 0.3, "live_from": 0.6}}, "owner/name")
    assert data.eval_results is None
    assert data.license_name == "not stated by the weights"


class Uploads:
    """Stands for the hub: notes what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, token: str | None = "t") -> None:
        self.made, self.sent = [], []
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
        monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, **more: self.made.append((name, more)))
        monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **more: self.sent.append(more))


def test_an_upload_is_private_and_takes_what_may_be_taken(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Uploads(monkeypatch)
    assert push(weights, "owner/name") == "https://huggingface.co/owner/name"
    assert hub.made == [("owner/name", {"private": True, "exist_ok": True})]
    assert hub.sent[0]["allow_patterns"] == list(TAKEN)
    taken = huggingface_hub.utils.filter_repo_objects([path.name for path in weights.iterdir()], allow_patterns=TAKEN)
    assert set(taken) == {*FILES, "README.md"}
    push(weights, "owner/name", public=True)
    assert hub.made[1][1]["private"] is False


def test_what_cannot_be_uploaded_is_said_with_the_next_step(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Uploads(monkeypatch, token=None)
    with pytest.raises(ConfigError, match="card is written.*hf auth login"):
        push(weights, "owner/name")
    assert (weights / "README.md").is_file()
    hub = Uploads(monkeypatch)
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda *given, **more: 1 / 0)
    with pytest.raises(ConfigError, match="was not uploaded .ZeroDivisionError"):
        push(weights, "owner/name")
    for name in ("owner", "owner/name@v1", "a/b/c"):
        with pytest.raises(ConfigError, match="names no repository"):
            push(weights, name)
    with pytest.raises(ConfigError, match="no folder of weights"):
        push(weights / "none", "owner/name")
    (weights / "judge.onnx").write_bytes(b"another")
    (weights / "README.md").unlink()
    with pytest.raises(ArtefactError, match="parity"):
        push(weights, "owner/name")
    assert not hub.sent
    assert not (weights / "README.md").exists()


def test_the_module_names_what_the_hub_knows() -> None:
    assert module.CARD == huggingface_hub.constants.REPOCARD_NAME
