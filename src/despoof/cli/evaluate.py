"""`despoof evaluate`: run a protocol; scores are files, the table is made from them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from despoof.cli.options import Place, configured
from despoof.detector.config import PRESETS, DetectorRecipe
from despoof.detector.recipe import fitted

if TYPE_CHECKING:
    from despoof.evaluation.scores import ScoreFile
    from despoof.faces.store import StoredSample
    from despoof.runs.pool import Pool


@configured(PRESETS, "texture", fitted)
def evaluate(
    store: Place, out: Path, *, recipe: DetectorRecipe, protocol: str = "leave-one-domain-out",
    cells: list[str] | None = None, models: list[str] | None = None, seeds: list[int] | None = None,
    counterparts: Path | None = None, peers: Path | None = None, threads: int = 1, workers: int = 0,
    scratch: Path | None = None, processes: int = 1, pool: str = "local", address: str | None = None,
) -> None:  # fmt: skip
    """Fit and score every model in every cell of a protocol; run again to go on. Prints the tables.

    What cannot run is refused before anything does. Runs of other models, seeds or cells may go side by side into the
    same folder, or into folders of several machines whose files are then brought together.

    Args:
        store: captures with live, attack and domains, prepared; or a URI of shards of them.
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
        processes: that share out models, cells and seeds, each by itself and on as many threads.
        pool: local, processes of this machine, or ray, tasks of a cluster whose machines see store and out.
        address: of the Ray cluster, such as auto; without it Ray is started on this machine.
    """
    from despoof.evaluation.runner import run_protocol
    from despoof.runs.pool import Pool

    how = _How(store, out, recipe, protocol, models, counterparts, peers, workers, scratch, threads)
    shared = Pool(pool, processes, address, cpus=threads)
    elsewhere = partial(_share_out, how, shared) if processes > 1 or pool != "local" else None
    declared, rows, made = _setting(how)
    run_protocol(declared, rows, made, out, seeds=seeds or [0, 1, 2], cells=cells, elsewhere=elsewhere)
    tables(out, rows)


class _How(NamedTuple):
    """The options of the command that say what is fitted, and on what."""

    store: Place
    out: Path
    recipe: DetectorRecipe
    protocol: str
    models: list[str] | None
    counterparts: Path | None
    peers: Path | None
    workers: int
    scratch: Path | None
    threads: int


def _setting(how: _How) -> tuple[Any, list, list]:
    """Return protocol, rows and models."""
    import torch

    from despoof.evaluation.models import Material, named_models
    from despoof.evaluation.protocols import read_protocol
    from despoof.faces.store import Store

    torch.set_num_threads(how.threads)
    opened = Store(how.store)
    declared = read_protocol(how.protocol, [row.sample for row in opened.rows])
    declared.require_frames(opened.about.get("frames"))
    material = Material(opened, how.counterparts, how.peers, how.workers, how.scratch)
    return declared, opened.rows, named_models(how.models, how.recipe, material, declared.selection)


def _share_out(how: _How, pool: "Pool", runs: list[tuple[str, str, int]]) -> None:
    """Run each (model, cell, seed) in a process of a pool."""
    pool.run(partial(_one, how), runs, title="evaluate")


_settings: dict[str, tuple[Any, list, list]] = {}  # of a worker, by what asked for it


def _one(how: _How, run: tuple[str, str, int]) -> None:
    """Fit and score one model in one cell with one seed."""
    from despoof.evaluation.runner import run_protocol

    name, cell, seed = run
    key = repr(how)
    if key not in _settings:
        _settings[key] = _setting(how)
    declared, rows, models = _settings[key]
    one = [model for model in models if model.name == name]
    run_protocol(declared, rows, one, how.out, seeds=[seed], cells=[cell])


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
