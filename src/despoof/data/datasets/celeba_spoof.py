"""CelebA-Spoof: 625,537 images of 10,177 people; ten types of attack in the label files."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from despoof.data.datasets.declaration import Dataset, Fact, unchecked
from despoof.data.sample import Label, Sample, Split
from despoof.errors import InputError

KIND, VERDICT = 40, 43  # places in a label: type of attack; 0 live, 1 attack
TYPES = {
    0: "none", 1: "print", 2: "print", 3: "print", 4: "mask-paper", 5: "mask-paper", 6: "cut", 7: "replay",
    8: "replay", 9: "replay", 10: "mask-3d",
}  # fmt: skip
README = "README of github.com/ZhangYuanhan-AI/CelebA-Spoof (the authors)"


def refine(root: Path, samples: list[Sample]) -> list[Sample]:
    """Return the samples with the type of attack that metas/intra_test says, where its files are there."""
    labels = {path: label for file in sorted(root.rglob("intra_test/*_label.json")) for path, label in _labels(file)}
    return [replace(one, attack_type=_species(one, labels)) for one in samples]


def _labels(file: Path) -> Iterator[tuple[str, list[int]]]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        yield from ((path, [int(number) for number in label]) for path, label in table.items())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{file} is no label file ({error}). Expected JSON of path -> 44 numbers; copy it again."
        ) from None


def _species(sample: Sample, labels: dict[str, list[int]]) -> str:
    label = labels.get("/".join(Path(sample.path).parts[-5:]))
    if label is None:
        return sample.attack_type
    known = len(label) > VERDICT and label[KIND] in TYPES
    if not known or (label[VERDICT] == 0) != (sample.label is Label.LIVE):
        raise InputError(f"{sample.path} lies under {sample.label} and its label says {label[KIND:]}. Copy it again.")
    return "none" if sample.label is Label.LIVE else TYPES[label[KIND]]


DATASET = Dataset(
    name="celeba-spoof",
    title="CelebA-Spoof",
    licence="non-commercial research only",
    ask="https://github.com/ZhangYuanhan-AI/CelebA-Spoof",
    citation="Zhang, Yin, Li, Yin, Yan, Shao, Liu: CelebA-Spoof: large-scale face anti-spoofing dataset with rich "
    "annotations. ECCV 2020.",
    layout="Data/train and Data/test with NUMBER/live and NUMBER/spoof, and metas/intra_test with the labels",
    patterns=(r"Data/(?P<split>train|test)/(?P<subject>\d+)/(?P<kind>live|spoof)/[^/]+",),
    kinds={"live": "none", "spoof": "unknown"},
    splits={"train": Split.TRAIN, "test": Split.TEST},
    refine=refine,
    facts=(
        Fact("licence; 625,537 images of 10,177 people", README),
        Fact("a label's last number is 0 for live and 1 for attack", "intra_dataset_code of the authors"),
        unchecked("a label's number 40 is the type of attack, and its ten meanings", "another project's code"),
        unchecked("folders below Data", "others' code that reads them"),
        unchecked("counts per part and class", "not found; the check compares none"),
    ),
)  # fmt: skip
