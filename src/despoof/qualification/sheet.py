"""What to record of a camera, as a page to print: counts that the targets need, how, with boxes to fill in."""

from collections.abc import Sequence
from pathlib import Path

from despoof.qualification.targets import Target, more_needed
from despoof.report.content import words
from despoof.report.page import Section, Table, page_html
from despoof.runs.folder import write_text

SPECIES = (  # name of the folder, what it is
    ("print", "a photo of the face on matt and on glossy paper, as large as the face or larger, flat and bent"),
    ("display-phone", "a phone that shows a photo or video of the face, bright and dimmed"),
    ("display-large", "a tablet, laptop or monitor that shows it"),
    ("cut-out", "a print cut along the head, with and without holes for the eyes, worn or held"),
)
PLACES = tuple(
    (distance, light)
    for distance in ("as near as people come", "as usual", "as far as people stand")
    for light in ("as bright as it gets", "as usual", "as dark as it gets", "light from behind")
)
RULES = (
    "Ask first. Everyone who is recorded, or whose picture is shown to the camera, has agreed in writing, knows what "
    "the recordings are for and when they are deleted, and can withdraw.",
    "One camera, as it will be used: its place, its settings, its program. Change one of these and record again.",
    "Whole pictures or clips as the camera gives them: not cropped, not turned, not sent through a messenger.",
    "At least ten people, better one presentation or two of each in each place than many of one: presentations of one "
    "person are not independent. Skin tones, ages, glasses, beards and head covers as among those who will use it.",
    "Make attacks from pictures of the same people, in the same places. Try to pass: tilt, hide edges.",
    "Keep every try, also those that went wrong. What cannot be judged is counted apart and must not be sorted out.",
    "People who are recorded here set no threshold and no correction before. Keep others for despoof calibrate.",
)
FOLDERS = (
    "live/PERSON/ holds photos and clips of one person; any name that is not the real one will do.",
    "attacks/SPECIES/PERSON/ holds those of attacks with that person's face, a folder for each species.",
    "Then: despoof qualify FOLDER",
)


def write_sheet(path: str | Path, targets: Sequence[Target]) -> Path:
    """Write the protocol sheet for these targets as one HTML page, and return its path."""
    write_text(path, page_html("What to record of a camera", sheet_sections(targets)))
    return Path(path)


def sheet_sections(targets: Sequence[Target]) -> list[Section]:
    """Return the parts of the protocol sheet for these targets."""
    kinds = [("live", "real people, as they will use it"), *SPECIES]
    plan = [(place[0], place[1], *("" for _ in kinds)) for place in PLACES]
    head = ("distance", "light", *(name for name, _ in kinds))
    return [
        Section("What this is", (words()["about"]["no_certification"],)),
        Section("How many", (_how(targets),), tables=(_counts(targets),)),
        Section("What to show", tables=(Table((("folder", "what"), *kinds), "Live and attack species; add your own"),)),
        Section("How", points=RULES),
        Section("Where: write in how many were recorded", tables=(Table((head, *plan), "Presentations", heads=2),)),
        Section("Who and with what", tables=(_blanks(),)),
        Section("Where the files go", points=FOLDERS),
    ]


def _counts(targets: Sequence[Target]) -> Table:
    rows = [
        (
            target.name,
            rate,
            f"{100 * limit:g} %",
            *(str(more_needed(errors, errors, limit) + errors) for errors in range(4)),
        )
        for target in targets
        for rate in ("APCER", "BPCER")
        if (limit := target.limit(rate)) is not None
    ]
    head = ("target", "rate", "below", "no error", "1 error", "2 errors", "3 errors")
    return Table((head, *rows), "Presentations that show a rate: of each attack species, and of live", heads=2)


def _how(targets: Sequence[Target]) -> str:
    return (
        f"A target ({', '.join(each.name for each in targets)}) is met where the upper end of the exact 95 % interval "
        "is below its limit. So many presentations are needed if so many of them are misjudged; decide before, and "
        "record all of them."
    )


def _blanks() -> Table:
    names = ("camera and its settings", "program and its version", "place", "dates", "recorded by", "people (how many)")
    return Table((("", "write in"), *((name, "_" * 40) for name in names)), "Recordings")
