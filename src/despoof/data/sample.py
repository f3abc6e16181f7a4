"""A sample: one image of a dataset with what is known of it, and no pixels."""

from dataclasses import asdict, dataclass
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
    """One image on disk.

    `path` is relative to the dataset's root and identifies the sample there; a frame of a video is
    ``clip.mp4#12``, counted from 0. `attack_type` is the attack
    instrument species in ISO/IEC 30107-3 terms (``"none"`` for live). `subject` is the unit that splits and
    bootstraps respect. `split` is ``None`` where the dataset defines none. `simulated` is true of what a simulated
    camera made; `origin` is then the domain whose capture was shown to it, empty for a portrait of no domain.
    """

    path: str
    label: Label
    attack_type: str = "none"
    subject: str = ""
    domain: str = ""
    split: Split | None = None
    simulated: bool = False
    origin: str = ""

    def __post_init__(self) -> None:
        if self.label is Label.LIVE and self.attack_type != "none":
            raise InputError(
                f"{self.path}: label live with attack_type {self.attack_type!r}; expected 'none'. "
                "Correct the row or its label."
            )

    @property
    def person(self) -> Person:
        """Who is in the picture: the domain that the subject was captured in, and the subject."""
        return (self.origin or self.domain, self.subject)

    @property
    def presentation(self) -> str:
        """What was presented as a whole: the image, or the video that this frame is from."""
        return self.path.rpartition("#")[0] or self.path

    def as_row(self) -> dict:
        """Return the sample as plain JSON values."""
        row = asdict(self)
        row["split"] = None if self.split is None else self.split.value
        row["label"] = self.label.value
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
            simulated=row.get("simulated") in (True, "true", "True", "1"),
            origin=row.get("origin") or "",
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
