"""`despoof evaluate`: run a protocol; scores are files, the table is made from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from despoof.detector.config import DetectorRecipe
    from despoof.evaluation.runner import Model
    from despoof.faces.store import Store

MODELS = ("attention", "none", "dual", "saturation", "sharpness", "statistics", "minifasnet", "celeba-minifasnet")
MIXED = 0.5  # chance of MixStyle, as published

SELECTION = {"last step": "last", "source-validation": "validation"}  # word of protocols -> of the training config


def evaluate(
    store: Path, out: Path, *, protocol: str = "leave-one-domain-out", cells: list[str] | None = None,
    models: list[str] | None = None, seeds: list[int] | None = None, counterparts: Path | None = None,
    preset: Literal["mobilenet", "field", "probe", "texture"] = "texture", steps: int | None = None,
    backbone: str | None = None, start_from: Path | None = None, members: int = 1, real_members: int = 0,
    peers: Path | None = None, threads: int = 1, workers: int = 0,
) -> None:  # fmt: skip
    """Fit and score every model in every cell of a protocol; run again to go on. Prints the tables.

    Runs of other models, seeds or cells may go side by side into the same folder, or into folders of several
    machines whose files are then brought together.

    Args:
        store: captures with live, attack and domains, prepared.
        out: folder for score files, fits and curves.
        protocol: name of a protocol of the package (a wrong one lists them all), or a .toml file of one's own.
        cells: of the protocol; all if left out.
        models: of attention, none, dual, saturation, sharpness, statistics, minifasnet, celeba-minifasnet. The
            first three, and last, concat, cue, may name a technique, with mixed styles or not: none+dann,
            attention+erm+mixstyle.
        seeds: of the detectors; baselines have one.
        counterparts: folder made by `despoof reconstruct`, for attention and dual.
        preset: of the detectors; the rows of another than mobilenet, the first one, say so.
        steps: of a detector's training; the preset's if left out.
        backbone: of the detectors, if not the preset's; the rows say so.
        start_from: its pretrained weights, where no wheel carries them.
        members: runs that start alike and whose weights are averaged into each detector; the rows say so.
        real_members: further such runs, which learn from real captures alone.
        peers: folder with the ONNX files of the MiniFASNet models.
        threads: of the processor.
        workers: processes that make batches ahead, for an accelerator.
    """
    import torch

    from despoof.evaluation.protocols import read_protocol
    from despoof.evaluation.runner import run_protocol
    from despoof.faces.store import Store

    torch.set_num_threads(threads)
    opened = Store(store)
    declared = read_protocol(protocol, [row.sample for row in opened.rows])
    declared.require_frames(opened.about.get("frames"))
    training = {"steps": steps, "start": start_from and str(start_from), "selection": SELECTION[declared.selection]}
    flags = {"training": training, "members": members, "real_members": real_members}
    flags["network"] = {"backbone": backbone} if backbone else {}
    suffix = "" if preset == "mobilenet" else f"-{preset}"
    suffix += f"-{backbone}" if backbone else ""
    suffix += f"-x{members}" if members > 1 or real_members else ""
    suffix += f"+{real_members}" if real_members else ""
    made = []
    for name in models or list(MODELS):
        recipe = _recipe(name, preset, flags)
        made.append(_model(name, opened, recipe, (suffix, counterparts, workers), peers))
    run_protocol(declared, opened.rows, made, out, seeds=seeds or [0, 1, 2], cells=cells)
    tables(out)


def _recipe(name: str, preset: str, flags: dict) -> "DetectorRecipe | None":
    """Return the recipe of a model named INSERTION[+TECHNIQUE][+mixstyle], or None of one that is no detector."""
    from despoof.cli.options import chosen
    from despoof.detector.config import INSERTIONS, PRESETS
    from despoof.detector.recipe import fitted

    insertion, _, technique = name.partition("+")
    if insertion not in INSERTIONS:
        return None
    technique, mixed = technique.removesuffix("mixstyle").strip("+"), technique.endswith("mixstyle")
    training = flags["training"] | {"technique": {"name": technique} if technique else None}
    training = training | {"style_mixing": MIXED if mixed else None}
    training = {key: value for key, value in training.items() if value is not None}
    part = "training"
    if PRESETS[preset].probe is not None:
        part, training = "probe", {key: value for key, value in training.items() if key != "selection"}
    network = flags["network"] | {"insertion": insertion}
    return chosen(PRESETS, preset, None, flags | {"training": None, part: training, "network": network}, fitted)


def _model(
    name: str, store: "Store", recipe: "DetectorRecipe | None", of_detector: tuple[str, Path | None, int],
    peers: Path | None,
) -> "Model":  # fmt: skip
    from despoof.errors import InputError
    from despoof.evaluation import baselines
    from despoof.evaluation.models import detector_model
    from despoof.evaluation.runner import Model, untrained

    if recipe is not None:
        suffix, counterparts, workers = of_detector
        if recipe.network.uses_cue and counterparts is None:
            raise InputError(f"model {name!r} needs --counterparts, made by `despoof reconstruct`. Give the folder.")
        return detector_model(name + suffix, store, recipe, counterparts, workers=workers)
    if name not in MODELS:
        raise InputError(f"model {name!r}; expected one of {', '.join(MODELS)}. Correct the name.")
    if name in baselines.NUMBERS:
        return untrained(name, baselines.number(store, name))
    if name == "statistics":
        return Model(name, baselines.statistics_baseline(store), {"ridge": baselines.RIDGE}, seeded=False)
    if peers is None:
        raise InputError(f"model {name!r} needs --peers, the folder of its ONNX files. Give it or leave it out.")
    return untrained(name, baselines.peer(name, peers), baselines.peer_hashes(name, peers))


def tables(out: Path) -> None:
    """Print the tables of all score files below `out` and write them and the curves there."""
    from despoof.evaluation.tables import read_tests, species_markdown, table_lines, table_markdown
    from despoof.runs.folder import write_text

    files = read_tests(out / "scores")
    honest = table_lines(files, "sources")
    parts = {
        "thresholds from source validation": table_markdown(honest),
        "per species": species_markdown(honest),
        "thresholds from the test set itself": table_markdown(table_lines(files, "target")),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in parts.items())
    print(text)
    write_text(out / "report.md", text + "\n")
