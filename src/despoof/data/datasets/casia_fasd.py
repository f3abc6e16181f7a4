"""CASIA-FASD: 50 people, three cameras of rising quality; warped prints, prints with eyes cut out, replays."""

from collections.abc import Iterator

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label, Split

PEOPLE = {"train_release": 20, "test_release": 30}
KINDS = {
    "1": "none", "2": "none", "HR_1": "none", "3": "print", "4": "print", "HR_2": "print",
    "5": "cut", "6": "cut", "HR_3": "cut", "7": "replay", "8": "replay", "HR_4": "replay",
}  # fmt: skip
SPLITS = {"train_release": Split.TRAIN, "test_release": Split.TEST}
BOB = "bob.db.casia_fasd 2.0.10 (Idiap), its table of names and its list of 600 annotated files, item for item"
EACH = {
    "low": "[2468]", "normal": "[1357]", "high": "HR_[1-4]", "warped": "[1-4]|HR_[12]", "cut": "[1256]|HR_[13]",
    "video": "[1278]|HR_[14]", "overall": ".*",
}  # fmt: skip


def names() -> Iterator[str]:
    """Yield the 600 official names."""
    for folder, people in PEOPLE.items():
        yield from (f"{folder}/{person}/{kind}" for person in range(1, people + 1) for kind in KINDS)


DATASET = Dataset(
    name="casia-fasd",
    title="CASIA-FASD",
    licence="research only, by signed agreement",
    ask="the authors at CBSR, NLPR, CASIA; http://www.cbsr.ia.ac.cn/english/FASDB_Agreement/Agreement.pdf",
    citation="Zhang, Yan, Liu, Lei, Yi, Li: A face antispoofing database with diverse attacks. ICB 2012.",
    layout="train_release/1..20 and test_release/1..30, each with 1.avi to 8.avi and HR_1.avi to HR_4.avi",
    patterns=(
        r"(?P<split>train_release|test_release)/(?P<subject>\d{1,2})/(?P<kind>[1-8]|HR_[1-4])",
    ),
    kinds=KINDS,
    splits=SPLITS,
    subject="{split}-{subject}",  # numbers start again in the test part, where they are other people
    counts={
        (SPLITS[folder], label): people * (3 if label is Label.LIVE else 9)
        for folder, people in PEOPLE.items()
        for label in Label
    },
    names=names,
    protocols={
        name: {Split.TRAIN: ({"kind": allowed},), Split.TEST: ({"kind": allowed},)} for name, allowed in EACH.items()
    },
    facts=(
        Fact("folders, names, splits, qualities, attack types and the 600 videos", BOB),
        Fact("the seven scenarios as protocols", "the qualities and types of bob.db.casia_fasd 2.0.10"),
        unchecked("address for requests", "from memory; others report it dead or slow"),
    ),
)  # fmt: skip
