"""A sample: one image of a dataset with what is known of it, and no pixels."""

import hashlib
import os.path
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from despoof.errors import InputError

Person = tuple[str, str]  # domain and subject: one number in two domains is two people


class Label(StrEnum):
    """What was presented to the camera. Never written as 0 or 1: repositories disagree on which is live."""

    LIVE = "live"
    ATTACK = "attack"


class Split(StrEnum):
    """Which part of a dataset a sample belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Sample:
    """One image on disk, identified by the file it is: `source`, a folder, and `path`, relative to it.

    A frame of a video file has the path ``clip.mp4#12``, counted from 0, and names the file in `video`; pictures that
    were taken out of a video before may name it too. `attack_type` is the attack instrument species in ISO/IEC 30107-3
    terms, ``"none"`` for live, ``"unknown"`` where nobody said. `subject` is the unit that splits and bootstraps
    respect. `split` is ``None`` where the dataset defines none. `simulated` is true of what a simulated camera made;
    `origin` is then the domain whose capture was shown to it, empty for a portrait of no domain. `labels` are
    (name, text) pairs of whatever else a table says, to group results by.
    """

    path: str
    label: Label
    attack_type: str = "none"
    subject: str = ""
    domain: str = ""
    split: Split | None = None
    simulated: bool = False
    origin: str = ""
    source: str = ""
    video: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.label is Label.LIVE and self.attack_type != "none":
            raise InputError(
                f"{self.path}: label live with attack_type {self.attack_type!r}; expected 'none'. "
                "Correct the row or its label."
            )
        if self.label is Label.ATTACK and self.attack_type in ("", "none"):
            object.__setattr__(self, "attack_type", "unknown")

    @property
    def person(self) -> Person:
        """Who is in the picture: the domain that the subject was captured in, and the subject."""
        return (self.origin or self.domain, self.subject)

    @property
    def file(self) -> str:
        """Where the image lies; however a path is written, one file has one name here."""
        return os.path.normpath(os.path.join(self.source, self.path))  # noqa: PTH118  # pathlib keeps ".."

    @property
    def key(self) -> str:
        """Twenty hex digits that name the sample by its file."""
        return hashlib.blake2b(os.fsencode(self.file), digest_size=10).hexdigest()

    @property
    def presentation(self) -> "Sample":
        """What was presented as a whole: the image, or the video that this frame is from."""
        return replace(self, path=self.video, video="") if self.video else self

    def as_row(self) -> dict:
        """Return the sample as plain JSON values."""
        row = asdict(self)
        row["split"] = None if self.split is None else self.split.value
        row["label"] = self.label.value
        row["labels"] = dict(self.labels)
        return row

    @classmethod
    def from_row(cls, row: dict) -> "Sample":
        """Read what `as_row` wrote."""
        split = row.get("split") or None
        return cls(
            path=row["path"],
            label=parse_label(row["label"]),
            attack_type=row.get("attack_type") or "none",
            subject=row.get("subject") or "",
            domain=row.get("domain") or "",
            split=None if split is None else Split(split),
            simulated=bool(row.get("simulated")),
            origin=row.get("origin") or "",
            source=row.get("source") or "",
            video=row.get("video") or "",
            labels=tuple((row.get("labels") or {}).items()),
        )


def parse_label(text: str) -> Label:
    """Read a label; only the words ``live`` and ``attack`` are accepted, never a number."""
    try:
        return Label(text.strip().lower())
    except (ValueError, AttributeError):
        raise InputError(
            f"label {text!r} is not 'live' or 'attack'. Numbers are refused because datasets disagree on "
            "their meaning; write the word."
        ) from None
