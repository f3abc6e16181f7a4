"""The check of a folder against official counts finds what is missing, surplus or damaged, and passes a whole copy.

A check that is content with half a dataset lets a wrong number pass for a published one.
"""

import shutil

import pytest
from PIL import Image

from despoof.data.datasets import load_dataset
from despoof.data.datasets.check import check
from despoof.data.datasets.declaration import Dataset
from despoof.data.sample import Label, Split

TINY = Dataset(
    name="tiny", title="Tiny", licence="none", ask="nobody", citation="none", layout="train/PERSON_KIND.png",
    patterns=(r"(?P<split>train|test)/(?P<subject>[ab])_(?P<kind>[12])",),
    kinds={"1": "none", "2": "print"},
    splits={"train": Split.TRAIN, "test": Split.TEST},
    counts={(split, label): 1 for split in (Split.TRAIN, Split.TEST) for label in Label},
    names=lambda: ("train/a_1", "train/a_2", "test/b_1", "test/b_2"),
    ignored=r"depth/.*",
)  # fmt: skip


@pytest.fixture
def whole(tmp_path):
    """All four files of `TINY`, a picture of a stream that is not used, and a text file."""
    for name in (*TINY.names(), "depth/a_1"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(path)
    (tmp_path / "readme.txt").write_text("licence")
    return tmp_path


def test_a_whole_copy_is_complete(whole):
    findings = check(TINY, whole)
    assert findings.complete
    assert findings.counts == dict.fromkeys(TINY.counts, (1, 1))
    assert findings.missing == findings.extra == findings.unreadable == ()


def test_what_is_missing_is_named(whole):
    (whole / "test/b_1.png").unlink()
    findings = check(TINY, whole)
    assert not findings.complete
    assert findings.missing == ("test/b_1",)
    assert findings.counts[Split.TEST, Label.LIVE] == (0, 1)


def test_what_is_there_twice_or_of_no_dataset_is_extra(whole):
    (whole / "copy/train").mkdir(parents=True)
    shutil.copy(whole / "train/a_1.png", whole / "copy/train/a_1.png")
    shutil.copy(whole / "train/a_1.png", whole / "train/c_1.png")
    findings = check(TINY, whole)
    assert not findings.complete
    assert set(findings.extra) == {"train/a_1.png", "train/c_1.png"}  # of the two copies, the later one by name
    assert findings.counts[Split.TRAIN, Label.LIVE] == (2, 1)


def test_what_cannot_be_read_is_told_with_its_reason(whole):
    (whole / "train/a_2.png").write_bytes(b"no picture")
    findings = check(TINY, whole)
    assert [path for path, _ in findings.unreadable] == ["train/a_2.png"]
    assert "Convert it first" in findings.unreadable[0][1]
    assert not findings.complete
    assert check(TINY, whole, read="none").complete


def test_a_class_of_unknown_size_is_not_compared(tmp_path):
    for name in ("035_01_000_0_00.hdf5", "018_02_000_3_10.hdf5"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "018_02_000_4_10.hdf5").write_bytes(b"cut off")
    findings = check(load_dataset("wmca"), tmp_path)
    assert findings.counts == {(None, Label.LIVE): (1, 347), (None, Label.ATTACK): (2, None)}
    assert [path for path, _ in findings.unreadable] == ["018_02_000_4_10.hdf5"]


def test_totals_are_compared_where_only_they_are_known(tmp_path):
    (tmp_path / "Live").mkdir()
    for name in ("Live_1.mov", "Live_2.mov"):
        (tmp_path / "Live" / name).touch()
    (tmp_path / "trainlist_live.txt").write_text("Live_1\n")  # gives one of the two a split
    findings = check(load_dataset("siw-mv2"), tmp_path, read="none")
    assert findings.counts == {(None, Label.LIVE): (2, 785), (None, Label.ATTACK): (0, 915)}


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory):
    pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")
    from miniatures import make_miniatures

    return make_miniatures(tmp_path_factory.mktemp("miniatures"), subjects=2)


# Two people a split, and what the miniatures have of each: live, attacks.
EACH = {"msu-mfsd": (2, 6), "casia-fasd": (3, 9), "replay-attack": (2, 5), "oulu-npu": (1, 4)}


@pytest.mark.parametrize("name", EACH)
def test_miniatures_are_read_as_the_real_thing(miniatures, name):
    """Every file is taken, in its official split, and only counts are off."""
    findings = check(load_dataset(name), miniatures[name], workers=1)
    assert findings.extra == findings.unreadable == ()
    for (split, label), (found, official) in findings.counts.items():
        assert found == 2 * EACH[name][label is Label.ATTACK], (split, label)
        assert official == load_dataset(name).counts[split, label]
    assert not findings.complete


def test_types_of_the_miniatures(miniatures):
    """The adapters say what the makers of the miniatures meant."""
    import miniatures as makers

    for name, meant in (
        ("msu-mfsd", makers.msu_mfsd), ("casia-fasd", makers.casia_fasd), ("oulu-npu", makers.oulu_npu),
        ("replay-attack", makers.replay_attack),
    ):  # fmt: skip
        samples = load_dataset(name).samples(miniatures[name])
        assert {(s.path, s.attack_type) for s in samples} == {(path, species) for path, species, _ in meant(2)}
        people = {path: subject for path, _, subject in meant(2)}
        ours = {s.subject for s in samples}
        assert len({(people[s.path], s.subject) for s in samples}) == len(ours) == len(set(people.values()))


def test_a_video_that_breaks_off_is_found_when_read_whole(miniatures, tmp_path):
    source = miniatures["oulu-npu"] / "Train_files/1_1_01_1.avi"
    (tmp_path / "Train_files").mkdir()
    data = source.read_bytes()
    (tmp_path / "Train_files/1_1_01_1.avi").write_bytes(data[: int(len(data) * 0.7)])
    for read, count in (("first", 0), ("whole", 1)):
        assert len(check(load_dataset("oulu-npu"), tmp_path, read=read).unreadable) == count
