"""`despoof simulate`: real faces -> a CSV data set of simulated captures, live and attack."""

from pathlib import Path
from typing import TYPE_CHECKING

from despoof.cli.options import configured
from despoof.data.simulation.recapture import DEFAULT, RecaptureOptions

if TYPE_CHECKING:
    import numpy as np

    from despoof.data.simulation.recapture import Box


@configured({"default": DEFAULT}, "default")
def simulate(
    source: Path, out: Path, *, recipe: RecaptureOptions, count: int | None = None, recapture: bool = False,
    species: list[str] | None = None, domain: str = "", workers: int = 2,
) -> None:  # fmt: skip
    """Show portraits on simulated media to simulated cameras; write images and labels.csv.

    Further domains to learn from, never ones to measure on. Of four portraits two are live (nothing between face and
    camera), one is on a display, one printed; each portrait is used once. Run again to go on after an interruption.

    Args:
        source: a CSV or Parquet file or folder of real faces; held-out ones (split test) are left out.
        out: folder to write.
        count: most portraits taken, from the first; 1,500 if left out, all with --recapture.
        recapture: show each live capture in its own surroundings on every medium, in domains named after theirs.
        species: of recaptures, live, display, print, paper_mask; all if left out.
        domain: name of the capture domain of a folder, which says none; recaptures need one.
        workers: processes.
    """
    from despoof.data.manifest import read_source
    from despoof.data.sample import Label, Split
    from despoof.data.simulation.dataset import EVERY, write_captures, write_recaptures
    from despoof.errors import ConfigError

    if wrong := set(species or ()) - set(EVERY):
        raise ConfigError(f"species {', '.join(sorted(wrong))}; expected of {', '.join(EVERY)}. Correct --species.")
    samples = read_source(source, domain=domain)
    chosen = [s for s in samples if s.label is Label.LIVE and s.split is not Split.TEST]
    told = {"find": main_face, "options": recipe, "workers": workers}
    if recapture:
        kinds = [each for each in EVERY if species is None or each in species]
        print(write_recaptures(chosen[:count], out, species=kinds, **told))
    else:
        print(write_captures(chosen[: count or 1500], out, **told))


def main_face(image: "np.ndarray") -> "Box | None":
    """Return the box of the main face of a picture (H, W, 3) uint8 RGB; None where there is none."""
    from despoof.faces.detect import find_faces
    from despoof.faces.scene import main_first

    found = main_first(find_faces(image), image.shape)
    return found[0].box if found else None
