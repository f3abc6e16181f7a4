"""`despoof report`: score files -> one page, its Markdown and its pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

from despoof.cli.options import Place

if TYPE_CHECKING:
    from despoof.report.cases import Departs, Sheet


def report(
    scores: Path, out: Path, *, title: str = "Presentation attack detection: test report", model: str | None = None,
    store: Place | None = None, counterparts: Path | None = None, show_faces: bool = False, rounds: int = 1000,
) -> None:  # fmt: skip
    """Write report.html (one file, nothing from elsewhere), report.md and pictures/ from score files.

    Rates at thresholds fixed on the sources, and at thresholds chosen on the test scores as most papers do, come from
    the same files. The report is no certification, and says so.

    Args:
        scores: folder that `despoof evaluate` wrote; every *-test.csv below it is read.
        out: folder for the report; written files of the same names are replaced.
        title: of the page.
        model: is compared with all others, and its best and worst cases are listed; the first if left out.
        store: of the samples, for pictures of cases, and for groups of people where folds of cameras were tested.
        counterparts: folder made by `despoof reconstruct`, for pictures of cases.
        show_faces: says that the licence of the data allows to show the people in it; needs the two above.
        rounds: of the bootstrap; 0 leaves its intervals and the difference between models out.
    """
    from despoof.evaluation.tables import read_tests
    from despoof.faces.store import Store
    from despoof.report.content import report_sections
    from despoof.report.page import write_report

    sheet = _sheet(store, counterparts) if show_faces else None
    stored = Store(store).rows if store is not None else ()
    sections = report_sections(read_tests(scores), rounds=rounds, model=model, sheet=sheet, stored=stored)
    print(write_report(out, title, sections))


def _sheet(store: Place | None, counterparts: Path | None) -> "Sheet":
    from despoof.errors import InputError
    from despoof.faces.store import Store
    from despoof.report.cases import case_sheet

    if store is None or counterparts is None:
        raise InputError("--show-faces needs --store and --counterparts, where the pictures lie. Give both folders.")
    return case_sheet(Store(store), counterparts, _departs(counterparts))


def _departs(counterparts: Path) -> "Departs | None":
    """Return what maps the counterparts of the default generator; None where they are another's, which show a cue."""
    import numpy as np
    import torch

    from despoof.departure.departure import departure_of, load_departure
    from despoof.detector.network import load_detector
    from despoof.faces.align import as_tensor
    from despoof.faces.counterparts import made_by
    from despoof.pair import files_of

    detector_file = files_of("default")[1]
    departure = load_departure(departure_of(detector_file), load_detector(detector_file).backbone)
    if made_by(counterparts) != departure.made_by:
        return None

    @torch.inference_mode()
    def departs(face: np.ndarray, counterpart: np.ndarray) -> np.ndarray:
        size = departure.face_size
        return departure(as_tensor(face[None], size), as_tensor(counterpart[None], size))[0].numpy()

    return departs
