"""ROSE-Youtu: phones' front cameras; prints, replays and three kinds of paper mask."""

from despoof.data.datasets.declaration import Dataset, Fact, unchecked

CODE = "another project's reader of it"

DATASET = Dataset(
    name="rose-youtu",
    title="ROSE-Youtu",
    licence="research only, by signed agreement",
    ask="https://rose1.ntu.edu.sg/dataset/faceLivenessDetection/",
    citation="Li, Li, Cao, Wang, He, Kot: Unsupervised domain adaptation for face anti-spoofing. "
    "IEEE TIFS 13(7), 2018.",
    layout="a folder a person with G_NT_5s_g_E_2_1.mp4 and the like: kind, talking, phone, glasses, place, person, "
    "number",
    patterns=(
        r"(?P<kind>G|Ps|Pq|Mc|Mf|Mu|Vl|Vm)_(?P<talking>T|NT)_(?P<phone>5s|IP|HS|HW|ZTE)_"
        r"(?P<glasses>[A-Za-z]+)_(?P<place>[A-Za-z]+)_(?P<subject>\d+)_(?P<number>\d+)",
    ),
    kinds={
        "G": "none", "Ps": "print", "Pq": "print", "Mc": "mask-paper", "Mf": "mask-paper", "Mu": "mask-paper",
        "Vl": "replay", "Vm": "replay",
    },
    facts=(
        Fact("kind, talking, phone and person in the name", CODE),
        unchecked("glasses and place in the name, and what the kinds are", "from memory of the dataset's page"),
        unchecked("videos of some phones lie on their side without metadata that says so", CODE),
        unchecked("address and citation", "from memory"),
        unchecked("which people are for training; counts", "not found; no split is set, the check compares none"),
    ),
)  # fmt: skip
