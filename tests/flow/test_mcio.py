"""The published protocol, from four official layouts with videos to figures beside published ones: each stage is
tested alone, but a name that two of them spell apart breaks only here."""

import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from despoof.data.sample import Label, Split
from despoof.errors import InputError
from despoof.evaluation.baselines import number
from despoof.evaluation.protocols import read_protocol
from despoof.evaluation.runner import run_protocol, untrained
from despoof.evaluation.scores import read_scores
from despoof.faces.prepare import prepare
from despoof.faces.store import Store
from despoof.published.own import own_results
from despoof.published.registry import read_registry

pytest.importorskip("av", reason="reading and making videos needs PyAV")

from despoof.data.datasets import load_dataset  # noqa: E402
from despoof.data.video import parse_rule  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from miniatures import make_miniatures  # noqa: E402

VIDEOS = {"msu-mfsd": 2 * 2 * 8, "casia-fasd": 2 * 2 * 12, "replay-attack": 2 * 2 * 7, "oulu-npu": 2 * 2 * 5}  # tested
LIVE = {"msu-mfsd": 2 * 2 * 2, "casia-fasd": 2 * 2 * 3, "replay-attack": 2 * 2 * 2, "oulu-npu": 2 * 2 * 1}


def portrait(domain: str, species: str, subject: str, frame: int) -> np.ndarray:
    """Return (160, 160, 3): a public-domain portrait, its colour by person, paler and darker if an attack."""
    from skimage.data import astronaut

    face = cv2.resize(astronaut()[:300, 80:380], (160, 160), interpolation=cv2.INTER_AREA).astype(np.float32)
    face *= 0.85 + 0.1 * np.random.default_rng(sum(map(ord, domain + subject))).random(3)
    if species != "none":
        face = 0.5 * face + 0.5 * face.mean(2, keepdims=True)
    return np.roll(face, frame % 3, 1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("mcio")
    rule = parse_rule("published:2")
    for domain, folder in make_miniatures(root / "official", subjects=2, image=portrait).items():
        prepare(load_dataset(domain).samples(folder), root / "store", workers=1, frames=rule)
    return Store(root / "store")


def test_every_video_gives_the_two_published_frames(store):
    frames = Counter(row.sample.presentation.path for row in store.rows)
    assert set(frames.values()) == {2}
    assert {row.sample.path.rpartition("#")[2] for row in store.rows} == {"6", "13"}  # 6 and 6 + 14 // 2
    assert {row.outcome for row in store.rows} == {"face"}
    read_protocol("loo-mcio", []).require_frames(store.about["frames"])
    with pytest.raises(InputError, match="spaced:10"):
        read_protocol("loo-wcs", []).require_frames(store.about["frames"])


def test_four_cells_run_resume_and_stand_beside_published_figures(store, tmp_path):
    protocol = read_protocol("loo-mcio", [row.sample for row in store.rows])
    model = untrained("saturation", number(store, "saturation"))
    paths = run_protocol(protocol, store.rows, [model], tmp_path)
    files = {file.facts["target"]: file for file in map(read_scores, paths)}
    assert list(files) == ["msu-mfsd", "casia-fasd", "replay-attack", "oulu-npu"]
    for domain, file in files.items():
        assert len(file.rows) == VIDEOS[domain]
        assert len(file.labelled(Label.LIVE)) == LIVE[domain]
        assert (file.facts["unit"], file.facts["frames"]) == ("video mean", "published:2")
        assert set(file.facts["sources"]) == set(VIDEOS) - {domain}
        assert min(file.liveness(Label.LIVE)) > max(file.liveness(Label.ATTACK))  # attacks were made paler
    unused = {row.sample.path for row in store.rows if row.sample.split is Split.VALIDATION}
    assert not unused & {f"{row.path}#6" for file in files.values() for row in file.rows}
    before = [path.read_bytes() for path in paths]
    paths[2].unlink()
    assert [path.read_bytes() for path in run_protocol(protocol, store.rows, [model], tmp_path)] == before
    rows = own_results(list(files.values()), read_registry().protocols["mcio"])
    assert len(rows) == 2
    assert all(set(row.cells) == {"M", "C", "I", "O"} for row in rows)
    assert {row.mean("auc") for row in rows} == {100.0}
