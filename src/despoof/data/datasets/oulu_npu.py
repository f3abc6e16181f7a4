"""OULU-NPU: 55 people, six phones, three sessions; prints of two printers and replays on two displays."""

from collections.abc import Iterator

from despoof.data.datasets.declaration import Allowed, Dataset, Fact
from despoof.data.sample import Label, Split

FOLDERS = {"Train_files": Split.TRAIN, "Dev_files": Split.VALIDATION, "Test_files": Split.TEST}
PEOPLE = {"Train_files": range(1, 21), "Dev_files": range(21, 36), "Test_files": range(36, 56)}
LIST = "item for item against the lists of bob.db.oulunpu 0.1.2 (Idiap)"


def names() -> Iterator[str]:
    """Yield the 4,950 official names."""
    for folder, people in PEOPLE.items():
        for phone in range(1, 7):
            for session in range(1, 4):
                yield from (f"{folder}/{phone}_{session}_{p:02d}_{kind}" for p in people for kind in range(1, 6))


def _both(learned: Allowed, tested: Allowed) -> dict[Split, tuple[Allowed, ...]]:
    return {Split.TRAIN: (learned,), Split.VALIDATION: (learned,), Split.TEST: (tested,)}


PROTOCOLS = {
    "1": _both({"session": "[12]"}, {"session": "3"}),
    "2": _both({"kind": "[124]"}, {"kind": "[135]"}),
    **{f"3.{i}": _both({"phone": f"[^{i}]"}, {"phone": f"{i}"}) for i in range(1, 7)},
    **{
        f"4.{i}": _both(
            {"phone": f"[^{i}]", "session": "[12]", "kind": "[124]"},
            {"phone": f"{i}", "session": "3", "kind": "[135]"},
        )
        for i in range(1, 7)
    },
}

DATASET = Dataset(
    name="oulu-npu",
    title="OULU-NPU",
    licence="research only, by signed agreement",
    ask="https://sites.google.com/site/oulunpudatabase/",
    citation="Boulkenafet, Komulainen, Li, Feng, Hadid: OULU-NPU, a mobile face presentation attack database with "
    "real-world variations. IEEE FG 2017.",
    layout="Train_files, Dev_files and Test_files with Phone_Session_User_File.avi",
    patterns=(
        r"(?P<split>Train_files|Dev_files|Test_files)/"
        r"(?P<phone>[1-6])_(?P<session>[1-3])_(?P<subject>\d{2})_(?P<kind>[1-5])",
    ),
    kinds={"1": "none", "2": "print", "3": "print", "4": "replay", "5": "replay"},
    splits=FOLDERS,
    counts={
        (split, label): len(PEOPLE[folder]) * 18 * (1 if label is Label.LIVE else 4)
        for folder, split in FOLDERS.items()
        for label in Label
    },
    names=names,
    protocols=PROTOCOLS,
    facts=(
        Fact("folders, names, splits and the 4,950 videos", LIST),
        Fact("protocols 1, 2, 3.1 to 3.6, 4.1 to 4.6", LIST),
    ),
)  # fmt: skip
