"""CASIA-SURF: 1,000 people, colour, depth and infrared images; six prints with parts cut out. Colour only is used."""

from despoof.data.datasets.declaration import Dataset, Fact
from despoof.data.sample import Label, Split

SPLITS = {"Training": Split.TRAIN, "Val": Split.VALIDATION, "Testing": Split.TEST}
BOB = "bob.db.casiasurf 1.0.3 and bob.pad.face 5.0.2 (Idiap)"

DATASET = Dataset(
    name="casia-surf",
    title="CASIA-SURF",
    licence="research only, by signed agreement",
    ask="https://sites.google.com/view/face-anti-spoofing-challenge/dataset-download/casia-surfcvpr2019",
    citation="Zhang, Liu, Wan, Liang, Guo, Escalera, Escalante, Li: CASIA-SURF: a large-scale multi-modal benchmark "
    "for face anti-spoofing. IEEE TBIOM 2(2), 2020.",
    layout="Training/real_part and Training/fake_part, Val and Testing alike or with val_private_list.txt and "
    "test_private_list.txt",
    patterns=(
        r"(?P<split>Training|Val|Testing)/real_part/(?P<subject>[^/]+)/(?P<kind>real)[^/]*/color/[^/]+",
        r"(?P<split>Training|Val|Testing)/fake_part/(?P<subject>[^/]+)/(?P<kind>0[1-6])_[^/]*/color/[^/]+",
    ),
    kinds={"real": "none", **{f"0{i}": "cut" for i in range(1, 7)}},
    splits=SPLITS,
    label_lists={"val_private_list.txt": Split.VALIDATION, "test_private_list.txt": Split.TEST},
    list_kinds={"1": "none", "0": "cut"},  # of the challenge's lists; the authors' later lists say 0 for live
    counts={
        (Split.TRAIN, Label.LIVE): 8942, (Split.TRAIN, Label.ATTACK): 20324,
        (Split.VALIDATION, Label.LIVE): 2994, (Split.VALIDATION, Label.ATTACK): 6614,
        (Split.TEST, Label.LIVE): 17458, (Split.TEST, Label.ATTACK): 40252,
    },
    ignored=r".*/(?:depth|ir|profile)/[^/]+|.*-(?:color|depth|ir)",
    facts=(
        Fact("folders of Training, lists of Val and Testing, 1 = live in them, counts", BOB),
        Fact("real_part and fake_part in Val and Testing too", "CASIA-FAS-Dataset of liuajian on GitHub (author)"),
        Fact("people in Val and Testing of the challenge's form: not named, each image counts as one", BOB),
    ),
)  # fmt: skip
