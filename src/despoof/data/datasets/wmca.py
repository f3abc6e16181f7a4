"""WMCA: 72 people before colour, depth, infrared and thermal cameras; glasses, masks, prints, replays."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label

BATL = "documentation and database of bob.db.batl 1.0.0 (Idiap), the collection that WMCA was released from"

DATASET = Dataset(
    name="wmca",
    title="WMCA (Wide Multi-Channel Presentation Attack)",
    licence="research only, by agreement with Idiap",
    ask="https://www.idiap.ch/dataset/wmca",
    citation="George, Mostaani, Geissenbuhler, Nikisins, Anjos, Marcel: Biometric face presentation attack detection "
    "with multi-channel convolutional neural network. IEEE TIFS 15, 2020.",
    layout="face-station/DATE/CLIENT_SESSION_PRESENTER_TYPE_INSTRUMENT, in HDF5 or as colour videos made of it",
    patterns=(
        r"(?P<subject>\d{3})_(?P<session>\d{2})_(?P<presenter>\d{3})_(?P<kind>[0-5])_(?P<instrument>\d{2})",
    ),
    kinds={"0": "none", "1": "disguise", "2": "mask", "3": "print", "4": "replay", "5": "makeup"},
    counts={(None, Label.LIVE): 347},
    facts=(
        Fact("names, types 0 to 5, 347 live videos of 72 people", BATL),
        unchecked("make-up and some disguises are in the collection and not in every release", BATL),
        unchecked("address; journal of the citation", "from memory"),
        unchecked("counts of attacks and the splits of its protocols", "lists not public; none is set"),
        Fact("colour streams must be exported from HDF5 to video; this package reads no HDF5", "by design"),
    ),
)  # fmt: skip
