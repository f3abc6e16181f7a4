"""3DMAD: 17 people before a Kinect, two sessions live and one with a 3D mask of the person."""

from collections.abc import Iterator

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label

BOB = "bob.pad.face 5.0.2 and bob.db.maskattack (Idiap): counts they assert, fields they read"


def names() -> Iterator[str]:
    """Yield the 255 official names."""
    for person in range(1, 18):
        for session in range(1, 4):
            yield from (f"{person:02d}_{session:02d}_{take:02d}" for take in range(1, 6))


DATASET = Dataset(
    name="3dmad",
    title="3DMAD",
    licence="research only, by agreement with Idiap",
    ask="https://www.idiap.ch/dataset/3dmad",
    citation="Erdogmus, Marcel: Spoofing in 2D face recognition with 3D masks and anti-spoofing with Kinect. "
    "BTAS 2013.",
    layout="PERSON_SESSION_TAKE, such as 01_03_05, in HDF5 or as colour videos made of it",
    patterns=(r"(?P<subject>0[1-9]|1[0-7])_(?P<kind>0[1-3])_(?P<take>0[1-5])",),
    kinds={"01": "none", "02": "none", "03": "mask-3d"},
    counts={(None, Label.LIVE): 170, (None, Label.ATTACK): 85},
    names=names,
    facts=(
        Fact("17 people, 170 live and 85 attack videos, sessions of five takes; colour in Color_Data", BOB),
        Fact("session 3 is the masks", "another project's reader; bob.db.maskattack's own is_real says the reverse"),
        unchecked("citation", "from memory"),
        unchecked("the form of the names", "from memory and from readers of it, not from a list"),
        Fact("official splits draw people anew per fold; none is set", BOB),
        Fact("colour streams must be exported from HDF5 to video; this package reads no HDF5", "by design"),
    ),
)  # fmt: skip
