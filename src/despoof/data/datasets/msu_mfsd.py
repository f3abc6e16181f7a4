"""MSU-MFSD: 35 people, laptop and phone camera; printed photos, replays on a tablet and on a phone."""

from collections.abc import Iterator

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label, Split

TRAIN = (2, 3, 5, 6, 7, 8, 9, 11, 12, 21, 22, 34, 53, 54, 55)
TEST = (1, 13, 14, 23, 24, 26, 28, 29, 30, 32, 33, 35, 36, 37, 39, 42, 48, 49, 50, 51)
KINDS = {"": "none", "ipad_video": "replay", "iphone_video": "replay", "printed_photo": "print"}
BOB = "item for item against the lists of bob.db.msu_mfsd_mod 2.2.9 (Idiap)"


def names() -> Iterator[str]:
    """Yield the 280 official names, from the folders real and attack on."""
    for person in TRAIN + TEST:
        for device in ("android", "laptop"):
            yield f"real/real_client{person:03d}_{device}_SD_scene01"
            attacks = (kind for kind in KINDS if kind)
            yield from (f"attack/attack_client{person:03d}_{device}_SD_{kind}_scene01" for kind in attacks)


DATASET = Dataset(
    name="msu-mfsd",
    title="MSU-MFSD",
    licence="research only, by signed agreement",
    ask="http://biometrics.cse.msu.edu/Publications/Databases/MSUMobileFaceSpoofing/index.htm",
    citation="Wen, Han, Jain: Face spoof detection with image distortion analysis. IEEE TIFS 10(4), 2015.",
    layout="scene01/real and scene01/attack with real_client001_android_SD_scene01.mp4 and the like",
    patterns=(
        r"real/real_client(?P<subject>\d{3})_(?P<camera>android|laptop)_SD_scene01",
        r"attack/attack_client(?P<subject>\d{3})_(?P<camera>android|laptop)_SD_"
        r"(?P<kind>ipad_video|iphone_video|printed_photo)_scene01",
    ),
    kinds=KINDS,
    people={f"{person:03d}": Split.TRAIN for person in TRAIN} | {f"{person:03d}": Split.TEST for person in TEST},
    counts={
        (Split.TRAIN, Label.LIVE): 30, (Split.TRAIN, Label.ATTACK): 90,
        (Split.TEST, Label.LIVE): 40, (Split.TEST, Label.ATTACK): 120,
    },
    names=names,
    facts=(
        Fact("names, splits by person and the 280 videos", BOB),
        Fact(
            "live phone videos of people 003 and 005 to 009 are upside down; the metadata says so and is honoured",
            "bob.db.msu_mfsd_mod 2.2.9: its list, and the metadata of the video of 005 in it",
        ),
        unchecked("the folder scene01 above real and attack", "others' pipelines; Idiap's lists begin below"),
        unchecked("address and citation", "from memory of the paper, not looked up again"),
    ),
)  # fmt: skip
