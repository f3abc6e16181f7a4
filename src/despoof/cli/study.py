"""`despoof study …`: what generator, cue and detector know, each study measured and written as a Markdown table."""

from pathlib import Path

DEFAULT = "default"  # preset of weights
LOSES_TOO_MUCH = 5  # exit status of a student that may not replace its teacher


def reliance(
    out: Path, captures: Path, *, weights: str = DEFAULT, per_group: int = 120, seed: int = 0, threads: int = 2
) -> None:
    """Measure whether the verdict depends on the cue: decisions changed by another cue, and by another face.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures.
        weights: a preset's name, or a folder of weights.
        per_group: captures of each domain and label.
        seed: of the choice of captures and of what each is given.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.pipeline import load
    from despoof.studies import readings, reliance

    _use(threads)
    store, guard = Store(captures), load(weights)
    rows = readings.real_captures(store, per_group, seed)
    faces = store.faces(rows, guard.detector.config.face_size)
    _tell(reliance.table(reliance.reliance(guard, rows, faces, seed=seed)), out)


def cue(
    store: Path, generator: Path, *, start_step: int | None = None, out: Path | None = None, threads: int = 2
) -> None:
    """Measure what the cue alone knows: AUC (live above attack) per domain of its own scores and of trivial ones.

    Args:
        store: captures with live and attack, prepared; missing counterparts are made.
        generator: generator.safetensors.
        start_step: t; the generator's own if left out.
        out: Markdown file for the table.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.reconstruct import reconstruct
    from despoof.generator.registry import load_generator
    from despoof.studies import cue, readings

    _use(threads)
    opened, loaded = Store(store), load_generator(generator)
    rows = readings.real_captures(opened)
    found = cue.cue_table(opened, rows, loaded, reconstruct(opened, loaded, start_step=start_step))
    _tell(cue.table(found, f"of {len(rows)} captures"), out)


def fidelity(
    faces: Path, generator: Path, teacher: Path, *, start_step: int | None = None, count: int | None = None,
    seed: int = 0, out: Path | None = None, threads: int = 2,
) -> None:  # fmt: skip
    """Measure how near counterparts stay to held-out real faces: identity cosine, PSNR and SSIM.

    Args:
        faces: store of real faces with a test split.
        generator: generator.safetensors.
        teacher: ArcFace ONNX file that judges identity.
        start_step: t; the generator's own if left out.
        count: held-out faces; all if left out.
        seed: of the choice of faces and of the stranger that each is compared with.
        out: Markdown file for the table.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.generator.training.identity import teacher_encoder
    from despoof.studies import fidelity, readings

    _use(threads)
    store = Store(faces)
    rows, encode = readings.held_out_faces(store, count, seed), teacher_encoder(str(teacher))
    found = fidelity.fidelity(store, rows, load_generator(generator), encode, start_step=start_step, seed=seed)
    _tell(fidelity.table(found), out)


def generators(
    out: Path, faces: Path, captures: Path, teacher: Path, *, row: list[str], count: int = 300,
    per_group: int = 120, seed: int = 0, threads: int = 2,
) -> None:  # fmt: skip
    """Measure generators on the same faces and captures; write OUT as CSV, and beside it a table and a picture.

    Rows that OUT already holds are kept, so the command goes on where it stopped.

    Args:
        out: CSV file.
        faces: store of real faces with a test split.
        captures: store of live and attack captures of several domains.
        teacher: ArcFace ONNX file that judges identity.
        row: NAME=FILE, or NAME=FILE@T for another start step; give one for each generator.
        count: held-out faces.
        per_group: captures of each domain and label.
        seed: of the choice of faces and captures.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.studies.generators import HeldOut, NamedGenerator, picture, study, table

    _use(threads)
    held_out = HeldOut(Store(faces), Store(captures), teacher, count, per_group, seed)
    rows = study([NamedGenerator.parse(text) for text in row], held_out, out)
    _tell(table(rows), out.with_suffix(".md"))
    picture(rows, out.with_suffix(".png"))


def robustness(
    out: Path, captures: Path, generator: Path, *, per_group: int = 120, seed: int = 0, threads: int = 2
) -> None:
    """Measure the cue of captures that were disturbed before the generator, and of other draws of its noise.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
        per_group: captures of each domain and label.
        seed: of the choice of captures.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import readings, robustness

    _use(threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = readings.real_captures(store, per_group, seed)
    found = robustness.robustness(loaded, rows, store.faces(rows, loaded.config.face_size))
    _tell(robustness.table(found, len(rows)), out)


def forms(out: Path, captures: Path, generator: Path, *, per_group: int = 120, seed: int = 0, threads: int = 2) -> None:
    """Compare the forms of the cue: AUC of each one's statistics on captures of domains that they were not fitted on.

    Args:
        out: Markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
        per_group: captures of each domain and label.
        seed: of the choice of captures.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import cue, readings

    _use(threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = readings.real_captures(store, per_group, seed)
    found = cue.read_forms(loaded, rows, store.faces(rows, loaded.config.face_size))
    _tell(cue.table(found, f"cue form, {len(rows)} captures"), out)


def hard_faces(
    out: Path, faces: Path, teacher: Path, *, weights: str = DEFAULT, count: int = 1000, seed: int = 0,
    threads: int = 2,
) -> None:  # fmt: skip
    """Audit false alarms on held-out real faces, group by group.

    Args:
        out: Markdown file for the table.
        faces: store of real faces with a test split.
        teacher: ArcFace ONNX file that judges identity.
        weights: a preset's name, or a folder of weights.
        count: held-out faces.
        seed: of the choice of faces.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.training.identity import teacher_encoder
    from despoof.pipeline import load
    from despoof.studies import hard_faces, readings

    _use(threads)
    store = Store(faces)
    rows, encode = readings.held_out_faces(store, count, seed), teacher_encoder(str(teacher))
    _tell(hard_faces.table(hard_faces.audit(load(weights), store, rows, encode)), out)


def shortcuts(out: Path, store: Path, evaluation: Path, *, model: list[str] | None = None) -> None:
    """Measure what scores depend on: AUC among faces alike in saturation, darkness, sharpness or size, and of all.

    Args:
        out: Markdown file for the table.
        store: the captures that were scored.
        evaluation: folder that `despoof evaluate` wrote.
        model: only these of its models.
    """
    from despoof.evaluation.tables import read_tests
    from despoof.faces.store import Store
    from despoof.studies import shortcuts

    files = [file for file in read_tests(evaluation / "scores") if not model or file.facts["model"] in model]
    _tell(shortcuts.table(shortcuts.dependences(files, Store(store))), out)


def student(
    teacher: Path, student: Path, faces: Path, captures: Path, evaluation: Path, *, model: str = "attention",
    count: int = 500, seed: int = 0, out: Path | None = None, threads: int = 2,
) -> None:  # fmt: skip
    """Compare a student with its teacher by four figures; exit with 5 unless all hold.

    Args:
        teacher: generator.safetensors of the slow generator.
        student: generator.safetensors of the fast one.
        faces: store of real faces with a test split.
        captures: store of live and attack captures.
        evaluation: folder that `despoof evaluate` wrote, with detectors that learned with the teacher's counterparts.
        model: name of these detectors in it.
        count: held-out faces.
        seed: of the choice of faces.
        out: Markdown file for the table.
        threads: of the processor.
    """
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies import readings
    from despoof.studies.student import check_student, scored_detectors, table

    _use(threads)
    slow, fast, store, shown = load_generator(teacher), load_generator(student), Store(faces), Store(captures)
    detectors = scored_detectors(evaluation, model, readings.real_captures(shown))
    rows = readings.held_out_faces(store, count, seed)
    checks = check_student(slow, fast, store.faces(rows, slow.config.face_size), shown, detectors)
    _tell(table(checks, len(rows)), out)
    if not all(check.passed for check in checks):
        raise SystemExit(LOSES_TOO_MUCH)


def _use(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _tell(text: str, out: Path | None) -> None:
    from despoof.runs.folder import write_text

    if out is not None:
        write_text(out, text)
    print(text, end="")
