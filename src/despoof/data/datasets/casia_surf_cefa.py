"""CASIA-SURF CeFA: three ethnicities, colour, depth and infrared; prints, replays, 3D and silicone masks."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Split

README = "readme of CASIA_CeFA in github.com/liuajian/CASIA-FAS-Dataset (authors)"
PARTS = {Split.TRAIN: range(1, 201), Split.VALIDATION: range(201, 301), Split.TEST: range(301, 500)}
PEOPLE = {f"{race}_{n:03d}": split for split, numbers in PARTS.items() for n in numbers for race in (1, 2, 3)}

DATASET = Dataset(
    name="casia-surf-cefa",
    title="CASIA-SURF CeFA",
    licence="research only, by signed agreement",
    ask="https://sites.google.com/view/face-anti-spoofing-challenge/dataset-download/casia-surf-cefacvpr2020",
    citation="Liu, Tan, Wan, Escalera, Guo, Li: CASIA-SURF CeFA: a benchmark for multi-modal cross-ethnicity face "
    "anti-spoofing. WACV 2021.",
    layout="Ethnicity/AF, CA and EA, and Mask/3D-Mask and Silicone-Mask, with "
    "RACE_ID_DEVICE_SESSION_KIND/profile/0001.jpg",
    patterns=(
        r"(?P<subject>(?P<race>[123])_\d{3})_(?P<device>[1-4])_(?P<session>[123])_(?P<kind>[1-4])/profile/[^/]+",
        r"(?P<kind>3D-Mask|Silicone-Mask)/\d{3}/(?P<subject>[12]_\d{3}(?:_\d){5})/profile/[^/]+",
    ),
    kinds={
        "1": "none", "2": "print", "3": "print", "4": "replay",
        "3D-Mask": "mask-3d", "Silicone-Mask": "mask-silicone",
    },
    people=PEOPLE,
    ignored=r".*/(?:depth|ir)/[^/]+",
    facts=(
        Fact("names: race, person, device, session, kind; masks in folders of their own", README),
        unchecked("colour images in the folder profile, and people 1-200, 201-300, 301-499 as the three parts",
             "another project's code; agrees with 800 and 400 videos a race in the readme"),
        unchecked("counts per part and class", "the readme counts per protocol, not per part; none is compared"),
        unchecked("a mask's video counts as its own person; masks have no split", README),
    ),
)  # fmt: skip
