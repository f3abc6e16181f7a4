"""`despoof evaluate`: run a protocol; scores are files, the table is made from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from despoof.cli.options import configured
from despoof.detector.config import PRESETS, DetectorRecipe
from despoof.detector.recipe import fitted

if TYPE_CHECKING:
    from despoof.evaluation.scores import ScoreFile
    from despoof.faces.store import StoredSample


@configured(PRESETS, "texture", fitted)
def evaluate(
    store: Path, out: Path, *, recipe: DetectorRecipe, protocol: str = "leave-one-domain-out",
    cells: list[str] | None = None, models: list[str] | None = None, seeds: list[int] | None = None,
    counterparts: Path | None = None, peers: Path | None = None, threads: int = 1, workers: int = 0,
    scratch: Path | None = None,
) -> None:  # fmt: skip
    """Fit and score every model in every cell of a protocol; run again to go on. Prints the tables.

    What cannot run is refused before anything does. Runs of other models, seeds or cells may go side by side into the
    same folder, or into folders of several machines whose files are then brought together.

    Args:
        store: captures with live, attack and domains, prepared.
        out: folder for score files, fits and curves.
        protocol: name of a protocol of the package (a wrong one lists them all), or a .toml file of one's own.
        cells: of the protocol; all if left out.
        models: baselines saturation, darkness, sharpness, statistics; public models minifasnet, celeba-minifasnet;
            and detectors by where the cue enters, attention, none, dual, last, concat, cue, with a technique or not,
            with mixed styles or not: none+dann, attention+erm+mixstyle. All that the options allow if left out.
        seeds: of the detectors, 0, 1 and 2 if left out; baselines have one.
        counterparts: folder made by `despoof reconstruct`, for every detector but none.
        peers: folder with the ONNX files of the public models.
        threads: of the processor.
        workers: processes that make batches ahead, for an accelerator.
        scratch: folder on a quick disk of this machine for the pixels of a set that does not fit into memory.
    """
    import torch

    from despoof.evaluation.models import Material, named_models
    from despoof.evaluation.protocols import read_protocol
    from despoof.evaluation.runner import run_protocol
    from despoof.faces.store import Store

    torch.set_num_threads(threads)
    opened = Store(store)
    declared = read_protocol(protocol, [row.sample for row in opened.rows])
    declared.require_frames(opened.about.get("frames"))
    made = named_models(models, recipe, Material(opened, counterparts, peers, workers, scratch), declared.selection)
    run_protocol(declared, opened.rows, made, out, seeds=seeds or [0, 1, 2], cells=cells)
    tables(out, opened.rows)


def tables(out: Path, rows: "Sequence[StoredSample]" = ()) -> None:
    """Write the tables of all score files below `out` there, and print all but the one of each camera.

    `rows` of the store tell groups of people apart.
    """
    from despoof.evaluation.cameras import EACH
    from despoof.evaluation.crossfit import is_cross_fitted
    from despoof.evaluation.tables import read_tests
    from despoof.runs.folder import write_text

    files = read_tests(out / "scores")
    parts = _by_domain([file for file in files if not is_cross_fitted(file)])
    parts |= _by_camera([file for file in files if is_cross_fitted(file)], rows)
    texts = {title: f"## {title}\n\n{body}" for title, body in parts.items()}
    print("\n\n".join(text for title, text in texts.items() if title != EACH))
    write_text(out / "report.md", "\n\n".join(texts.values()) + "\n")


def _by_domain(files: "Sequence[ScoreFile]") -> dict[str, str]:
    from despoof.evaluation.tables import species_markdown, table_lines, table_markdown

    if not files:
        return {}
    lines = table_lines(files, "sources")
    return {
        "thresholds from source validation": table_markdown(lines),
        "per species": species_markdown(lines),
        "thresholds from the test set itself": table_markdown(table_lines(files, "target")),
    }


def _by_camera(files: "Sequence[ScoreFile]", rows: "Sequence[StoredSample]") -> dict[str, str]:
    from despoof.evaluation import cameras, groups
    from despoof.evaluation.crossfit import complete, cross_fitted
    from despoof.evaluation.tables import markdown

    kept, left_out = complete(files)
    models = [cameras.on_cameras(each) for each in cross_fitted(kept)]
    parts = {}
    if models:
        found = cameras.all_tables(models) | {"Groups of live presentations": groups.group_table(models, rows)}
        parts = {title: markdown(table[0], table[1:]) for title, table in found.items() if len(table) > 1}
        parts["What the tables over cameras say"] = cameras.NOTES
    return parts | ({"Not whole yet, and in no table": "\n".join(left_out) + "\n"} if left_out else {})
