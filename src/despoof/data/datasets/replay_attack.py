"""Replay-Attack: 50 people before a laptop; prints and displays, held by hand or fixed, in two kinds of light."""

from despoof.data.datasets.declaration import Allowed, Dataset, Fact, unchecked
from despoof.data.sample import Label, Split

SPLITS = {"train": Split.TRAIN, "devel": Split.VALIDATION, "test": Split.TEST}
BOB = "bob.db.replay 3.0.9 and bob.pad.face 5.0.2 (Idiap): how they read names, and the counts they assert"
# Which attacks a protocol has; live videos are in all of them.
ATTACKS = {
    "grandtest": {}, "print": {"kind": "print"}, "mobile": {"kind": "mobile"}, "highdef": {"kind": "highdef"},
    "photo": {"form": "photo"}, "video": {"form": "video"}, "digitalphoto": {"form": "photo", "kind": "mobile|highdef"},
}  # fmt: skip


def _protocol(attacks: Allowed) -> dict[Split, tuple[Allowed, ...]]:
    return {split: ({"live": "real"}, {"live": "", **attacks}) for split in SPLITS.values()}


DATASET = Dataset(
    name="replay-attack",
    title="Replay-Attack",
    licence="research only, by agreement with Idiap",
    ask="https://www.idiap.ch/dataset/replayattack",
    citation="Chingovska, Anjos, Marcel: On the effectiveness of local binary patterns in face anti-spoofing. "
    "BIOSIG 2012.",
    layout="train, devel and test, each with real, attack/fixed and attack/hand",
    patterns=(
        r"(?P<split>train|devel|test)/(?P<live>real)/client(?P<subject>\d{3})_(?P<session>session\d\d)_"
        r"webcam_authenticate_(?P<light>adverse|controlled)_(?P<take>\d)",
        r"(?P<split>train|devel|test)/attack/(?P<support>fixed|hand)/attack_(?P<kind>print|mobile|highdef)_"
        r"client(?P<subject>\d{3})_(?P<session>session\d\d)_(?:highdef|mobile)_(?P<form>photo|video)_"
        r"(?P<light>adverse|controlled)",
    ),
    kinds={"": "none", "print": "print", "mobile": "replay", "highdef": "replay"},
    splits=SPLITS,
    counts={
        (Split.TRAIN, Label.LIVE): 60, (Split.TRAIN, Label.ATTACK): 300,
        (Split.VALIDATION, Label.LIVE): 60, (Split.VALIDATION, Label.ATTACK): 300,
        (Split.TEST, Label.LIVE): 80, (Split.TEST, Label.ATTACK): 400,
    },
    ignored=r"enrollment/.*|.*_webcam_enroll_.*",
    protocols={name: _protocol(attacks) for name, attacks in ATTACKS.items()},
    facts=(
        Fact("names, splits and counts", BOB),
        unchecked("what the seven protocols hold", "names are those of bob.pad.face 5.0.2; contents follow from them"),
        unchecked("which people are in which split", "taken from the folders, not compared with a list"),
        unchecked("where enrolment videos lie", "from memory of the dataset's page"),
    ),
)  # fmt: skip
