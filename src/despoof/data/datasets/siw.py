"""SiW: 165 people, up to 30 frames a second in 1080p; prints on two papers, replays on four displays."""

from despoof.data.datasets.declaration import Allowed, Dataset, Fact, unchecked
from despoof.data.sample import Label, Split

SPLITS = {"Train": Split.TRAIN, "Test": Split.TEST}
LIST = "item for item against the lists of bob.db.siw 0.0.2 (Idiap), whose development part is ten people of Train"


def _protocol(learned: Allowed, tested: Allowed) -> dict[Split, tuple[Allowed, ...]]:
    live = {"kind": "1"}
    return {Split.TRAIN: (live, learned), Split.TEST: (live, tested)}


DATASET = Dataset(
    name="siw",
    title="SiW (Spoof in the Wild)",
    licence="research only, by signed agreement",
    ask="http://cvlab.cse.msu.edu/siw-spoof-in-the-wild-database.html",
    citation="Liu, Jourabloo, Liu: Learning deep models for face anti-spoofing: binary or auxiliary supervision. "
    "CVPR 2018.",
    layout="Train and Test, each with live/032/032-1-1-1-1.mov and spoof/032/032-1-2-1-1.mov",
    patterns=(
        r"(?P<split>Train|Test)/live/\d{3}/(?P<subject>\d{3})-(?P<sensor>\d)-(?P<kind>1)-(?P<medium>\d)-(?P<session>\d)",
        r"(?P<split>Train|Test)/spoof/\d{3}/"
        r"(?P<subject>\d{3})-(?P<sensor>\d)-(?P<kind>[23])-(?P<medium>\d)-(?P<session>\d)",
    ),
    kinds={"1": "none", "2": "print", "3": "replay"},
    splits=SPLITS,
    counts={
        (Split.TRAIN, Label.LIVE): 714, (Split.TRAIN, Label.ATTACK): 1702,
        (Split.TEST, Label.LIVE): 599, (Split.TEST, Label.ATTACK): 1454,
    },
    protocols={
        "1": _protocol({}, {}),
        **{
            f"2.{i}": _protocol({"kind": "3", "medium": f"[^{i}]"}, {"kind": "3", "medium": f"{i}"})
            for i in range(1, 5)
        },
        "3.1": _protocol({"kind": "2"}, {"kind": "3"}),
        "3.2": _protocol({"kind": "3"}, {"kind": "2"}),
    },
    facts=(
        Fact("folders, names, splits", LIST),
        unchecked("4,469 videos; others write 4,478 or 4,620, so a whole copy may hold a few more", LIST),
        Fact("protocols by attack; 1 also limits training to the first 60 frames, which no rule here does", LIST),
    ),
)  # fmt: skip
