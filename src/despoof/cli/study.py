"""`despoof study …`: what generator, cue and detector know, each study measured and written as a Markdown table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from despoof.cli.options import Place

DEFAULT = "default"  # preset of weights
LOSES_TOO_MUCH = 5  # exit status of a student that may not replace its teacher


@Parameter(name="*")
@dataclass(frozen=True)
class Captures:
    """Which captures of a store are taken.

    Attributes:
        per_group: of each domain and label.
        seed: of what is drawn.
        threads: of the processor.
    """

    per_group: int = 120
    seed: int = 0
    threads: int = 2


@Parameter(name="*")
@dataclass(frozen=True)
class Faces:
    """Which faces of a store are taken.

    Attributes:
        count: of the test split.
        seed: of what is drawn.
        threads: of the processor.
    """

    count: int = 1000
    seed: int = 0
    threads: int = 2


def reliance(out: Path, captures: Place, *, weights: str = DEFAULT, taken: Captures = Captures()) -> None:
    """Measure whether the verdict depends on the cue: decisions changed by another cue, and by another face.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures.
        weights: a preset's name, a folder of weights, or owner/name of the hub.
    """
    from despoof.faces.store import Store
    from despoof.pipeline import load
    from despoof.studies import readings, reliance

    _use(taken.threads)
    store, guard = Store(captures), load(weights, engine="torch")
    rows = readings.real_captures(store, taken.per_group, taken.seed)
    faces = store.faces(rows, guard.engine.config.face_size)
    found = reliance.reliance(guard, rows, faces, seed=taken.seed)
    _tell(found, f"{len(rows)} captures, weights {guard.weights}", out)


def stability(
    out: Path, *source: Path, peers: Path | None = None, weights: str = DEFAULT, engine: str = "auto",
    point: str | None = None, only: list[str] | None = None, per_group: int = 6, limit: int | None = None,
    seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Measure which verdicts change when a capture is resized, cut, encoded, lit, turned or framed otherwise.

    Writes report.md, report.html, stability.json and pictures; run again to go on. Each capture is judged some sixty
    times, by public models too where their files are given.

    Args:
        out: folder.
        source: folders with live/ and attack/, or CSV or Parquet files with path and label.
        peers: folder with the ONNX files of the public models.
        weights: a preset's name, a folder of weights, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch, as for `despoof check`.
        point: strict, balanced or lenient, an operating point of the weights.
        only: only this disturbance, such as "border black 20 %", or this family, such as "face"; give one for each.
        per_group: captures of each domain and label.
        limit: captures in all, half of each label, drawn from these; all if left out.
        seed: of what is drawn.
        threads: of the processor.
    """
    from despoof.data.manifest import read_source
    from despoof.evaluation.peers.peer import packaged, packaged_names
    from despoof.evaluation.tables import markdown
    from despoof.pipeline import load
    from despoof.studies.stability.disturbances import named
    from despoof.studies.stability.sheet import write_sheet
    from despoof.studies.stability.study import Captures, judge

    samples = [sample for each in source for sample in read_source(each)]
    guard = load(weights, engine=engine, point=point, threads=threads)
    captures = Captures.taken(samples, per_group, seed, limit=limit)
    placed = [packaged(name, peers) for name in packaged_names()] if peers else []
    judged = judge(guard, captures, named(only or ()), out, peers=placed)
    head, *rows = write_sheet(out, guard, captures, judged)
    print(markdown(head, rows))
    print(f"  {out / 'report.html'}")


def cue(out: Path, captures: Place, generator: Path, *, start_step: int | None = None, threads: int = 2) -> None:
    """Measure what the cue alone knows: AUC (live above attack) per domain of its own scores and of trivial ones.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures of several domains; missing counterparts are made.
        generator: generator.safetensors.
        start_step: t; the generator's own if left out.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.reconstruct import reconstruct
    from despoof.generator.registry import load_generator
    from despoof.studies import cue, readings

    _use(threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = readings.real_captures(store)
    found = cue.read_cue(store, rows, loaded, reconstruct(store, loaded, start_step=start_step))
    _tell(found, f"{len(rows)} captures", out)


def carriers(
    out: Path, captures: Place, generator: Path, detector: Path, *, step: list[int] | None = None,
    other: list[str] | None = None, features: bool = False, per_group: int = 12, seeds: int = 3, seed: int = 0,
    threads: int = 1,
) -> None:  # fmt: skip
    """Measure what of the cue carries information on liveness, by leaving cameras out.

    Every form of the cue is judged alone, beside the face and beside all that the detector reads; those of other
    generators also less the first's, in the same draws. Writes report.md and report.png; run again to go on.

    Args:
        out: folder.
        captures: store of live and attack captures in which every domain is a camera.
        generator: generator.safetensors, of latent diffusion.
        detector: detector.safetensors, whose frozen networks read.
        step: t, give one for each; 101, 301, 501, 701 and 901 if left out. The generator's own is always measured.
        other: NAME=FILE, or NAME=FILE@T for another step, of another generator, whose features alone are read.
        features: read nothing but the difference of features, of the generator's own step and of the controls.
        per_group: captures of each camera, class and species.
        seeds: draws of what is learned from, three of four of these.
        seed: of the draw of captures.
        threads: of the processor.
    """
    from despoof.detector.network import load_detector
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies.carriers import study
    from despoof.studies.carriers.making import ways_of_others
    from despoof.studies.carriers.reading import Sight
    from despoof.studies.carriers.sheet import write_sheet
    from despoof.studies.generators import NamedGenerator

    _use(threads)
    store, sight = Store(captures), Sight(load_detector(detector), load_generator(generator))
    named = [NamedGenerator.parse(text) for text in other or []]
    others = [(each.name, load_generator(each.file), each.start_step) for each in named]
    found = study.carriers(
        sight, store, study.captures(store, per_group, seed), out, steps=step or [101, 301, 501, 701, 901], seeds=seeds,
        others=ways_of_others(others, sight.generator.config.face_size), features=features,
    )  # fmt: skip
    print(write_sheet(out, found), end="")


def fidelity(
    out: Path, faces: Place, generator: Path, teacher: Path, *, start_step: int | None = None, reader: str = DEFAULT,
    taken: Faces = Faces(),
) -> None:  # fmt: skip
    """Measure how near counterparts stay to held-out real faces: identity cosine, PSNR and SSIM.

    And Fréchet's distance of a frozen backbone's features from those of other real faces.

    Args:
        out: Markdown file for the table.
        faces: store of real faces with a test split.
        generator: generator.safetensors.
        teacher: ArcFace ONNX file that judges identity.
        start_step: t; the generator's own if left out.
        reader: a preset's name or a folder of weights, whose detector's backbone finds the features.
    """
    from despoof.detector.network import load_detector
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.generator.training.identity import teacher_encoder
    from despoof.pair import files_of
    from despoof.studies import readings
    from despoof.studies.fidelity import distances, fidelity, pictures, summaries

    _use(taken.threads)
    store, detector = Store(faces), load_detector(files_of(reader)[1])
    rows, encode = readings.held_out_faces(store, taken.count, taken.seed), teacher_encoder(teacher)
    shown = pictures(store, rows, load_generator(generator), start_step=start_step)
    far = distances(shown, partial(readings.pooled, detector.backbone), seed=taken.seed)
    features = f"{detector.backbone.stages[-1].channels} features of {detector.config.backbone}"
    title = f"Fréchet's distance from other real faces, {features}"
    _tell(summaries(fidelity(rows, shown, encode, seed=taken.seed)), f"{len(rows)} held-out faces", out, (title, far))


def generators(
    out: Path, faces: Place, captures: Place, teacher: Path, *, row: list[str], count: int = 300,
    taken: Captures = Captures(),
) -> None:  # fmt: skip
    """Measure generators on the same faces and captures; write OUT as JSON, and beside it a table and a picture.

    Rows that OUT already holds are kept, so the command goes on where it stopped.

    Args:
        out: JSON file.
        faces: store of real faces with a test split.
        captures: store of live and attack captures of several domains.
        teacher: ArcFace ONNX file that judges identity.
        row: NAME=FILE, or NAME=FILE@T for another start step; give one for each generator.
        count: held-out faces.
    """
    from despoof.faces.store import Store
    from despoof.studies.generators import HeldOut, NamedGenerator, picture, study

    _use(taken.threads)
    held_out = HeldOut(Store(faces), Store(captures), teacher, count, taken.per_group, taken.seed)
    rows = study([NamedGenerator.parse(text) for text in row], held_out, out)
    _tell(rows, "The same faces and captures for all", out.with_suffix(".md"))
    picture(rows, out.with_suffix(".png"))


def robustness(out: Path, captures: Place, generator: Path, *, taken: Captures = Captures()) -> None:
    """Measure the cue of captures that were disturbed before the generator, and of other draws of its noise.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import readings, robustness

    _use(taken.threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = readings.real_captures(store, taken.per_group, taken.seed)
    found = robustness.robustness(loaded, rows, store.faces(rows, loaded.config.face_size))
    _tell(found, f"{len(rows)} captures", out)


def forms(out: Path, captures: Place, generator: Path, *, taken: Captures = Captures()) -> None:
    """Compare the forms of the cue: AUC of each one's statistics on captures of domains that they were not fitted on.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import cue, readings

    _use(taken.threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = readings.real_captures(store, taken.per_group, taken.seed)
    _tell(cue.read_forms(loaded, rows, store.faces(rows, loaded.config.face_size)), f"{len(rows)} captures", out)


def hard_faces(out: Path, faces: Place, teacher: Path, *, weights: str = DEFAULT, taken: Faces = Faces()) -> None:
    """Audit false alarms on held-out real faces, group by group.

    Args:
        out: Markdown file for the table.
        faces: store of real faces with a test split.
        teacher: ArcFace ONNX file that judges identity.
        weights: a preset's name, a folder of weights, or owner/name of the hub.
    """
    from despoof.faces.store import Store
    from despoof.generator.training.identity import teacher_encoder
    from despoof.pipeline import load
    from despoof.studies import hard_faces, readings

    _use(taken.threads)
    store, guard = Store(faces), load(weights, engine="torch")
    rows = readings.held_out_faces(store, taken.count, taken.seed)
    found = hard_faces.audit(guard, store, rows, teacher_encoder(teacher))
    _tell(found, f"{len(rows)} held-out faces, weights {guard.weights}", out)


def shortcuts(out: Path, captures: Place, evaluation: Path, *, model: list[str] | None = None) -> None:
    """Measure what scores depend on: AUC among faces alike in saturation, darkness, sharpness or size, and of all.

    Args:
        out: Markdown file for the table.
        captures: store of the captures that were scored.
        evaluation: folder that `despoof evaluate` wrote.
        model: only these of its models.
    """
    from despoof.evaluation.tables import read_tests
    from despoof.faces.store import Store
    from despoof.studies import shortcuts

    files = [file for file in read_tests(evaluation / "scores") if not model or file.facts["model"] in model]
    _tell(shortcuts.dependences(files, Store(captures)), f"{len(files)} score files", out)


def student(
    out: Path, faces: Place, captures: Place, teacher: Path, student: Path, *, evaluation: Path,
    model: str = "attention-texture", taken: Faces = Faces(),
) -> None:  # fmt: skip
    """Compare a student with its teacher by four figures; exit with 5 unless all hold.

    Args:
        out: Markdown file for the table.
        faces: store of real faces with a test split.
        captures: store of live and attack captures of several domains; missing counterparts are made.
        teacher: generator.safetensors of the slow generator.
        student: generator.safetensors of the fast one.
        evaluation: folder that `despoof evaluate` wrote, with detectors that learned with the teacher's counterparts.
        model: name of these detectors in it.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import readings
    from despoof.studies.student import check_student, scored_detectors

    _use(taken.threads)
    slow, fast, store, shown = load_generator(teacher), load_generator(student), Store(faces), Store(captures)
    detectors = scored_detectors(evaluation, model, slow.name, readings.real_captures(shown))
    rows = readings.held_out_faces(store, taken.count, taken.seed)
    checks = check_student(slow, fast, store.faces(rows, slow.config.face_size), shown, detectors)
    _tell(checks, f"{len(rows)} held-out faces, {len(detectors)} detectors", out)
    if not all(check.passed for check in checks):
        raise SystemExit(LOSES_TOO_MUCH)


def simulator(out: Path, captures: Place, *, threads: int = 2) -> None:
    """Compare what simulated captures teach with what real ones show, camera by camera; OUT, and as JSON beside it.

    Shifts of simple statistics from live to attack, in deviations of the camera's real captures. Where the simulator
    teaches the wrong sign, invents a shift or moves the live captures, the file says so.

    Args:
        out: Markdown file for the table.
        captures: store of real captures and of what `despoof simulate --recapture` made of some.
        threads: of the processor.
    """
    from dataclasses import asdict

    from despoof.faces.store import Store
    from despoof.runs.folder import write_json
    from despoof.studies.simulator import conclusion, shifts

    _use(threads)
    found = shifts(Store(captures))
    write_json(out.with_suffix(".json"), {"shifts": [asdict(each) for each in found]})
    _tell(found, conclusion(found), out)


def gate(out: Path, captures: Place, evaluation: Path, *, model: str) -> None:
    """Measure errors by what the gate measures of a face, to set its limits by, and count what it refuses.

    OUT gets the errors by value; the refusals of each camera go beside it, as OUT-cameras.

    Args:
        out: Markdown file for the table.
        captures: store of the captures that were scored.
        evaluation: folder that `despoof evaluate` wrote by protocol leave-cameras-out, all its folds.
        model: which of its models.
    """
    from despoof.errors import InputError
    from despoof.evaluation.crossfit import cross_fitted, is_cross_fitted
    from despoof.evaluation.tables import read_tests
    from despoof.faces.store import Store
    from despoof.studies import gate

    files = [file for file in read_tests(evaluation / "scores") if file.facts["model"] == model]
    judged = cross_fitted([file for file in files if is_cross_fitted(file)])
    if len(judged) != 1:
        raise InputError(
            f"{evaluation} holds cross-fitted scores of {model!r} by {len(judged)} protocols; expected one. Name a "
            "model that was evaluated with --protocol leave-cameras-out."
        )
    store = Store(captures)
    _tell(gate.parts(judged[0], store), f"{model}, {len(judged[0].rows)} captures", out)
    _tell(gate.refusals(store), "Refused by the limits of today", out.with_name(f"{out.stem}-cameras{out.suffix}"))


def adaptation(out: Path, captures: Place, run: Path, *, draws: int = 20, seed: int = 0, threads: int = 1) -> None:
    """Measure what 0 to 50 labelled faces of a camera never seen are worth, to `despoof adapt` and `despoof calibrate`.

    Live and attack, and live alone; and the errors that are left where the least sure are not answered. Writes
    report.md, report.png, live-alone.md and coverage.md.

    Args:
        out: folder.
        captures: store in which every domain is a camera.
        run: folder of `despoof train detector` on this store with folds, such as of preset kernel.
        draws: of the people shown, for each camera.
        seed: of what is drawn.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.runs.folder import write_text
    from despoof.studies.adaptation.coverage import coverage_table
    from despoof.studies.adaptation.level import ABOUT, level_table, measure_level, others_live
    from despoof.studies.adaptation.sheet import write_sheet
    from despoof.studies.adaptation.study import measure, unseen

    _use(threads)
    found = unseen(Store(captures), run)
    print(write_sheet(out, measure(found, draws=draws, seed=seed)), end="")
    about = f"{' '.join(ABOUT.split())} Over all cameras that median is {others_live(found):.2f}."
    alone = f"{about}\n\n{level_table(measure_level(found, draws=draws, seed=seed), seed)}"
    write_text(out / "live-alone.md", f"{alone.strip()}\n")
    table = coverage_table(found, seed)
    write_text(out / "coverage.md", table)
    print(f"\n{alone.strip()}\n\n{table}", end="")


def _use(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _tell(found: Sequence[Any], what: str, out: Path, *more: tuple[str, Sequence[Any]]) -> None:
    from despoof.runs.folder import write_text
    from despoof.studies.tables import table

    text = "\n".join(f"{title}\n\n{table(rows)}" for title, rows in ((what, found), *more))
    write_text(out, text)
    print(text, end="")
