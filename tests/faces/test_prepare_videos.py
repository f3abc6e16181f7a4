"""Videos become one row per frame, a broken one becomes one row that says so, and a kill between frames resumes."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from despoof.data.image import read_image
from despoof.data.sample import Label, Sample, Split
from despoof.data.video import parse_rule
from despoof.errors import ArtefactError, InputError
from despoof.faces import prepare as module
from despoof.faces.prepare import prepare
from despoof.faces.store import Store

av = pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")

RULE = parse_rule("published:2")


@pytest.fixture
def dataset(tmp_path, people):
    """Two videos of ten frames with a face, one of them without in its second half; a broken one; a picture."""
    from PIL import Image

    from miniatures import write_video

    root = tmp_path / "data"
    nobody = np.zeros_like(people[1])
    write_video(root / "a.mp4", [people[0]] * 10)
    write_video(root / "b.avi", [people[1]] * 8 + [nobody] * 2)
    (root / "broken.mov").write_bytes(b"no video")
    Image.fromarray(people[2]).save(root / "picture.png")
    where = {"domain": "d", "source": str(root)}
    samples = [
        Sample("a.mp4", Label.LIVE, subject="1", **where, split=Split.TRAIN),
        Sample("b.avi", Label.ATTACK, "replay", subject="2", **where, split=Split.TEST),
        Sample("broken.mov", Label.LIVE, subject="3", **where),
        Sample("picture.png", Label.LIVE, subject="4", **where),
    ]
    return samples, root


def contents(store) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_one_row_per_frame(dataset, tmp_path):
    samples, root = dataset
    store = prepare(samples, tmp_path / "store", workers=1, frames=parse_rule("spaced:2"))
    outcomes = {row.sample.path: row.outcome.split(":")[0] for row in store.rows}
    assert outcomes == {
        "a.mp4#2": "face", "a.mp4#7": "face", "b.avi#2": "face", "b.avi#7": "face", "broken.mov": "unreadable",
        "picture.png": "face",
    }  # fmt: skip
    rows = {row.sample.path: row for row in store.rows}
    frame = rows["b.avi#7"]
    assert frame.sample == replace(samples[1], path="b.avi#7", video="b.avi")
    assert frame.sample.presentation == samples[1]
    assert read_image(frame.sample.file).shape == (240, 240, 3)  # other stages read the whole picture again
    assert store.about["frames"] == "spaced:2"
    assert [row.frames for row in Store(tmp_path / "store").rows] == [2, 2, 2, 2, 1, 1]


def test_a_frame_without_a_face_is_kept(dataset, tmp_path):
    samples, root = dataset
    store = prepare(samples[1:2], tmp_path / "store", workers=1, frames=parse_rule("every:9"))
    assert [(row.sample.path, row.outcome) for row in store.rows] == [("b.avi#0", "face"), ("b.avi#9", "no_face")]


def test_workers_write_the_same_store(dataset, tmp_path, monkeypatch):
    """Also where processes are started afresh, as on macOS, on Windows and from Python 3.14 on."""
    samples, root = dataset
    monkeypatch.setitem(sys.modules, "torch", None)
    prepare(samples, tmp_path / "one", workers=1, frames=RULE)
    prepare(samples, tmp_path / "two", workers=2, frames=RULE)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 5])
def test_a_store_cut_anywhere_resumes_to_the_same(dataset, tmp_path, lines):
    """Also in the middle of a video, and after another dataset was prepared in between."""
    samples, root = dataset
    prepare(samples, tmp_path / "whole", workers=1, frames=RULE)
    prepare(samples, tmp_path / "store", workers=1, frames=RULE)
    manifest = tmp_path / "store/samples.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:lines]))
    prepare(samples[3:], tmp_path / "store", workers=1, frames=RULE)
    prepare(samples, tmp_path / "store", workers=1, frames=RULE)
    rows = [{row.sample.path: row for row in Store(tmp_path / name).rows} for name in ("whole", "store")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(Store(tmp_path / "store").rows)


def test_a_finished_store_is_left_alone(dataset, tmp_path, monkeypatch):
    samples, root = dataset
    prepare(samples, tmp_path / "store", workers=1, frames=RULE)
    before = contents(tmp_path / "store")
    monkeypatch.setattr(module, "_prepare_one", lambda sample, **_: pytest.fail(f"{sample} was done again"))
    prepare(samples, tmp_path / "store", workers=1, frames=RULE)
    prepare(samples[3:], tmp_path / "store", workers=1)  # pictures need no rule, also beside videos
    assert contents(tmp_path / "store") == before


def test_videos_need_a_rule_and_a_store_keeps_its_own(dataset, tmp_path):
    samples, root = dataset
    with pytest.raises(InputError, match="--frames published:2"):
        prepare(samples, tmp_path / "store", workers=1)
    prepare(samples[:1], tmp_path / "store", workers=1, frames=RULE)
    with pytest.raises(ArtefactError, match="every:5"):
        prepare(samples, tmp_path / "store", workers=1, frames=parse_rule("every:5"))


def test_without_pyav_nothing_is_kept_as_unreadable(dataset, tmp_path, monkeypatch):
    samples, root = dataset
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"despoof\[video\]"):
        prepare(samples, tmp_path / "store", workers=1, frames=RULE)
    assert not (tmp_path / "store").exists()


def test_a_video_too_small_for_a_face_says_so(tmp_path):
    from miniatures import write_video

    write_video(tmp_path / "small.mp4", [np.zeros((16, 64, 3), np.uint8)] * 8)
    sample = Sample("small.mp4", Label.LIVE, source=str(tmp_path))
    store = prepare([sample], tmp_path / "store", workers=1, frames=RULE)
    (row,) = store.rows
    assert "at least 32 px" in row.outcome
    assert row.sample.path == "small.mp4"


def test_a_path_with_another_label_is_refused(dataset, tmp_path):
    samples, root = dataset
    prepare(samples[:1], tmp_path / "store", workers=1, frames=RULE)
    other = replace(samples[0], label=Label.ATTACK, attack_type="print", domain="other")
    with pytest.raises(InputError, match="Use another folder"):
        prepare([other], tmp_path / "store", workers=1, frames=RULE)


def test_another_detector_is_named_in_the_store(dataset, tmp_path):
    samples, root = dataset
    with pytest.raises(ArtefactError, match="face_detection_yunet"):
        prepare(samples, tmp_path / "store", workers=1, frames=RULE, yunet_file=tmp_path / "none.onnx")
    for name in ("one", "two"):
        (tmp_path / f"{name}.onnx").write_text(name)
    abouts = [module._about([], tmp_path, None, str(tmp_path / f"{name}.onnx")) for name in ("one", "two")]
    assert abouts[0] != abouts[1]
    assert abouts[0] | {"detector": 0} == module.ABOUT | {"detector": 0}


def test_yunet_finds_what_the_own_detector_finds(dataset, tmp_path, shared):
    path = shared / "weights/face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip("the folder `shared` has no YuNet file")
    samples, root = dataset
    ours = prepare(samples, tmp_path / "ours", workers=1, frames=RULE)
    other = prepare(samples, tmp_path / "other", workers=1, frames=RULE, yunet_file=path)
    assert other.about["detector"].startswith("yunet-")
    assert [(r.sample.path, r.outcome[:10]) for r in ours.rows] == [(r.sample.path, r.outcome[:10]) for r in other.rows]
    apart = [
        np.abs(np.subtract(one.landmarks, two.landmarks)).mean() / one.quality["eye_distance"]
        for one, two in zip(ours.rows, other.rows, strict=True)
        if one.landmarks
    ]
    assert 0 < max(apart) < 0.12  # of the distance of the eyes: other networks, the same points
    with pytest.raises(ArtefactError):
        prepare(samples, tmp_path / "ours", workers=1, frames=RULE, yunet_file=path)
