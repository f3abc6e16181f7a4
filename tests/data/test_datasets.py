"""Adapters against the owners' and Idiap's lists, as hashes of them; a wrong split or label here is in every figure.

The hashes were taken once of the lists in bob.db.oulunpu 0.1.2, bob.db.msu_mfsd_mod 2.2.9 and
bob.db.casia_fasd 2.0.10, which are not contained here.
"""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from despoof.data.datasets import DATASETS, load_dataset
from despoof.data.datasets.declaration import counted, official_name
from despoof.data.sample import Label, Sample, Split
from despoof.errors import InputError


def digest(lines) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def official(name: str) -> list[Sample]:
    dataset = load_dataset(name)
    return [dataset.sample(f"{path}.avi") for path in dataset.names()]


@pytest.mark.parametrize("name", DATASETS)
def test_every_declaration_is_whole(name):
    dataset = load_dataset(name)
    assert dataset.name == name
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert all([dataset.title, dataset.licence, dataset.ask, dataset.citation, dataset.layout, dataset.facts])
    assert "none" in dataset.kinds.values()
    assert {Label.LIVE, Label.ATTACK} >= {label for _, label in dataset.counts}
    for pattern in dataset.patterns:
        groups = re.compile(pattern).groupindex
        assert all(field in groups for field in re.findall(r"{(\w+)}", dataset.subject))
    assert dataset.sample("holiday/IMG_0001.jpg") is None


def test_an_unknown_name_is_an_error():
    with pytest.raises(InputError, match="oulu-npu"):
        load_dataset("oulu")


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("oulu-npu", 4950, "1756c49816130218"),
        ("msu-mfsd", 280, "e486167d6a193f03"),
        ("casia-fasd", 600, "76e7af1ccf46cb4b"),
    ],
)
def test_official_names_item_for_item(name, count, expected):
    names = list(load_dataset(name).names())
    assert len(names) == count
    assert digest(names) == expected


@pytest.mark.parametrize("name", ["oulu-npu", "msu-mfsd", "casia-fasd"])
def test_counts_follow_from_the_names(name):
    assert dict(counted(official(name))) == dict(load_dataset(name).counts)


def test_3dmad_counts():
    found = counted(official("3dmad"))
    assert found == {(None, Label.LIVE): 170, (None, Label.ATTACK): 85}


def test_msu_split_item_for_item():
    assert digest(f"{s.split} {s.path.removesuffix('.avi')}" for s in official("msu-mfsd")) == "34ba3500996bf922"


OULU_PROTOCOLS = {
    "1": "a0126bead6c28ced", "2": "24439b18d441450c",
    "3.1": "b46220ae237a684c", "3.2": "eac2acd7553e52b0", "3.3": "7198538d8176b036", "3.4": "15a30e5f86210571",
    "3.5": "664d4ffdfaee81bd", "3.6": "40ed0012bfe7819e",
    "4.1": "a644544f2a9f0365", "4.2": "a629d435f6b78096", "4.3": "8b4a65bac717a265", "4.4": "83fd73599424eeda",
    "4.5": "c2aea1b939487da8", "4.6": "36f6556705830c1b",
}  # fmt: skip


@pytest.fixture(scope="module")
def empty_oulu(tmp_path_factory):
    """All 4,950 names of OULU-NPU as empty files: `samples` reads no pixels."""
    root = tmp_path_factory.mktemp("oulu")
    for folder in ("Train_files", "Dev_files", "Test_files"):
        (root / folder).mkdir()
    for name in load_dataset("oulu-npu").names():
        (root / f"{name}.avi").touch()
    return root


@pytest.mark.parametrize("protocol", OULU_PROTOCOLS)
def test_oulu_protocols_item_for_item(empty_oulu, protocol):
    samples = load_dataset("oulu-npu").samples(empty_oulu, protocol=protocol)
    lines = (f"{s.split} {s.label} {s.path.removesuffix('.avi')}" for s in samples)
    assert digest(lines) == OULU_PROTOCOLS[protocol]


def test_no_person_of_oulu_is_in_two_splits(empty_oulu):
    samples = load_dataset("oulu-npu").samples(empty_oulu)
    assert len(samples) == 4950
    people = {split: {s.subject for s in samples if s.split is split} for split in Split}
    assert [len(people[split]) for split in Split] == [20, 15, 20]
    assert len(set.union(*people.values())) == 55


def test_people_of_casia_parts_are_others():
    people = {(s.split, s.subject) for s in official("casia-fasd")}
    assert len(people) == len({subject for _, subject in people}) == 50


# path, label, attack type, subject, split; one per way of naming, from the sources that the adapters name
CASES = {
    "oulu-npu": [
        ("Dev_files/3_2_21_1.avi", "live", "none", "21", "validation"),
        ("backup/OULU/Test_files/6_3_55_5.mp4", "attack", "replay", "55", "test"),
    ],
    "casia-fasd": [
        ("test_release/30/HR_1.avi", "live", "none", "test_release-30", "test"),
        ("train_release/7/6.avi", "attack", "cut", "train_release-7", "train"),
    ],
    "replay-attack": [
        ("train/real/client001_session01_webcam_authenticate_adverse_1.mov", "live", "none", "001", "train"),
        ("devel/attack/hand/attack_highdef_client030_session01_highdef_photo_adverse.mov", "attack", "replay", "030",
         "validation"),
        ("test/attack/fixed/attack_print_client009_session01_highdef_photo_controlled.mov", "attack", "print", "009",
         "test"),
    ],
    "msu-mfsd": [
        ("scene01/real/real_client001_android_SD_scene01.mp4", "live", "none", "001", "test"),
        ("scene01/attack/attack_client055_laptop_SD_printed_photo_scene01.mov", "attack", "print", "055", "train"),
    ],
    "siw": [
        ("Train/live/032/032-1-1-1-1.mov", "live", "none", "032", "train"),
        ("Test/spoof/001/001-2-3-4-1.mp4", "attack", "replay", "001", "test"),
    ],
    "siw-mv2": [
        ("Live/Live_3.mov", "live", "none", "Live/Live_3", None),
        ("Spoof/Partial_Eye/Partial_Eye_9.mov", "attack", "partial-eye", "Partial_Eye/Partial_Eye_9", None),
    ],
    "celeba-spoof": [("Data/test/5001/live/495000.jpg", "live", "none", "5001", "test")],
    "rose-youtu": [
        ("2/G_NT_5s_g_E_2_1.mp4", "live", "none", "2", None),
        ("10/Vm_T_ZTE_wg_E_10_63.mp4", "attack", "replay", "10", None),
    ],
    "wmca": [
        ("face-station/17.01.18/035_01_000_0_00.hdf5", "live", "none", "035", None),
        ("530_03_001_2_18.avi", "attack", "mask", "530", None),
        ("018_02_000_3_10.hdf5", "attack", "print", "018", None),
    ],
    "casia-surf": [
        ("Training/real_part/CLKJ_AS0005/real.rssdk/color/31.jpg", "live", "none", "CLKJ_AS0005", "train"),
        ("Training/fake_part/CLKJ_AS0005/06_enm_b.rssdk/color/31.jpg", "attack", "cut", "CLKJ_AS0005", "train"),
    ],
    "casia-surf-cefa": [
        ("phase1/train/1_001_1_1_1/profile/0001.jpg", "live", "none", "1_001", "train"),
        ("Ethnicity/EA/EA-250-198006250024/3_250_2_1_4/profile/0003.jpg", "attack", "replay", "3_250", "validation"),
        ("Mask/3D-Mask/002/1_002_1_1_2_1_3/profile/0001.jpg", "attack", "mask-3d", "1_002_1_1_2_1_3", None),
    ],
    "hifimask": [
        ("Data/1_01_0_1_1_1/0001.png", "live", "none", "1_01", None),
        ("Data/3_25_2_6_4_7/0010.png", "attack", "mask-plaster", "3_25", None),
    ],
    "3dmad": [("Data/17_03_05.hdf5", "attack", "mask-3d", "17", None), ("01_02_01.avi", "live", "none", "01", None)],
    "hkbu-mars": [
        ("real/03/07_06_03.mp4", "live", "none", "03", None),
        ("attack/09/04_02_9/0001.jpg", "attack", "mask-3d", "09", None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_names_are_decoded(name):
    dataset = load_dataset(name)
    for path, label, species, subject, split in CASES[name]:
        expected = Sample(path, Label(label), species, subject, name, None if split is None else Split(split))
        assert replace(dataset.sample(path), labels=()) == expected


WRONG = {
    "oulu-npu": ["Train_files/7_1_01_1.avi", "Train_files/1_4_01_1.avi", "x/1_1_01_1.avi", "xTrain_files/1_1_01_1.avi"],
    "msu-mfsd": ["attack/attack_client001_android_SD_scene01.mp4", "real/attack_client001_laptop_SD_scene01.mov"],
    "replay-attack": ["train/real/attack_print_client001_session01_highdef_photo_adverse.mov", "real/client001.mov"],
    "casia-surf": ["Training/fake_part/CLKJ_AS0005/06_enm_b.rssdk/depth/31.jpg"],
    "siw": ["Train/live/032/032-1-2-1-1.mov", "Train/spoof/032/032-1-1-1-1.mov"],  # name and folder disagree
    "3dmad": ["18_01_01.hdf5", "01_04_01.hdf5"],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_other_names_are_not_taken(name):
    for path in WRONG[name]:
        assert load_dataset(name).sample(path) is None, path


def test_what_a_name_says_is_a_label_to_group_results_by():
    sample = load_dataset("oulu-npu").sample("Train_files/2_3_07_4.avi")
    assert dict(sample.labels) == {"phone": "2", "session": "3", "kind": "4"}
    assert official_name(load_dataset("3dmad"), "x/01_02_03.avi") == "01_02_03"


def touch(root, *names: str):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_official_lists_give_splits(tmp_path):
    root = touch(tmp_path, "Live/Live_1.mov", "Live/Live_2.mov", "Live/Live_9.mov", "Spoof/Replay/Replay_4.mp4")
    (root / "pro_3_text").mkdir()
    (root / "pro_3_text/trainlist_live.txt").write_text("Live_1\n\nLive_100\n")
    (root / "pro_3_text/testlist_live.txt").write_text("Live_2\n")
    (root / "pro_3_text/testlist_all.txt").write_text("Replay_4\n")
    splits = {s.path: s.split for s in load_dataset("siw-mv2").samples(root)}
    assert splits == {
        "Live/Live_1.mov": Split.TRAIN, "Live/Live_2.mov": Split.TEST, "Live/Live_9.mov": None,
        "Spoof/Replay/Replay_4.mp4": Split.TEST,
    }  # fmt: skip


def test_official_lists_give_labels(tmp_path):
    names = ["Training/real_part/A/real.rssdk/color/1.jpg", "Val/0007/0001-color.jpg", "Val/0007/0001-depth.jpg"]
    root = touch(tmp_path, *names, "Val/0007/0002-color.jpg")
    rows = [f"Val/0007/000{n}-color.jpg Val/0007/000{n}-ir.jpg Val/0007/000{n}-depth.jpg {n - 1}" for n in (1, 2)]
    (root / "val_private_list.txt").write_text("\n".join(rows))
    samples = load_dataset("casia-surf").samples(root)
    assert {(s.path, s.label.value, s.split) for s in samples} == {
        (names[0], "live", Split.TRAIN),
        ("Val/0007/0001-color.jpg", "attack", Split.VALIDATION),
        ("Val/0007/0002-color.jpg", "live", Split.VALIDATION),
    }


def test_a_list_without_labels_names_file_and_line(tmp_path):
    root = touch(tmp_path, "Training/real_part/A/real.rssdk/color/1.jpg")
    (root / "val_private_list.txt").write_text("Val/0007/0001-color.jpg Val/0007/0001-ir.jpg\n")
    with pytest.raises(InputError, match="val_private_list.txt, line 1"):
        load_dataset("casia-surf").samples(root)


def celeba(tmp_path, numbers: dict[str, list[int]]):
    root = touch(tmp_path, "Data/train/1/live/1.jpg", "Data/train/1/spoof/2.jpg", "Data/train/1/spoof/3.png")
    (root / "metas/intra_test").mkdir(parents=True)
    labels = {path: [0] * 40 + tail for path, tail in numbers.items()}
    (root / "metas/intra_test/train_label.json").write_text(json.dumps(labels))
    return root


def test_celeba_types_come_from_its_labels(tmp_path):
    tails = {"Data/train/1/live/1.jpg": [0, 0, 0, 0], "Data/train/1/spoof/2.jpg": [9, 1, 1, 1]}
    samples = load_dataset("celeba-spoof").samples(celeba(tmp_path, tails))
    assert [s.attack_type for s in samples] == ["none", "replay", "unknown"]


@pytest.mark.parametrize("tail", [[0, 0, 0, 0], [99, 1, 1, 1], [9]])
def test_celeba_label_against_its_folder(tmp_path, tail):
    with pytest.raises(InputError, match=r"spoof/2\.jpg"):
        load_dataset("celeba-spoof").samples(celeba(tmp_path, {"Data/train/1/spoof/2.jpg": tail}))


def test_nothing_there_says_what_was_expected(tmp_path):
    for root, words in ((tmp_path, "Train_files"), (tmp_path / "none", "no folder")):
        with pytest.raises(InputError, match=words):
            load_dataset("oulu-npu").samples(root)


def test_an_unknown_protocol_names_the_known_ones(empty_oulu):
    with pytest.raises(InputError, match=r"4\.6"):
        load_dataset("oulu-npu").samples(empty_oulu, protocol="5")


@pytest.mark.parametrize("name", DATASETS)
def test_the_documentation_says_what_the_adapter_says(name):
    text = (Path(__file__).parents[2] / "docs/datasets.md").read_text(encoding="utf-8")
    dataset = load_dataset(name)
    known = {label for _, label in dataset.counts} == set(Label)
    files = f"{sum(dataset.counts.values()):,}" if known else "?"
    assert f"| {dataset.title} | `{name}` | {files} | {dataset.licence} | {dataset.ask} |\n" in text
    for fact in dataset.facts:
        assert f"| `{name}` | {fact.what} | {'✓' if fact.verified else '?'} | {fact.source} |\n" in text
    assert text.count(f"| `{name}` | ") == 1 + len(dataset.facts)
