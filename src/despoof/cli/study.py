"""`despoof study …`: what the generator, its cue and the detector know, measured and written as a table."""

from pathlib import Path


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
    import torch

    from despoof.faces.store import Store
    from despoof.runs.folder import write_text
    from despoof.studies.generators import Candidate, Material, markdown, picture
    from despoof.studies.generators import study as run

    torch.set_num_threads(threads)
    material = Material(Store(faces), Store(captures), teacher, count, per_group, seed)
    rows = run([Candidate.parse(text) for text in row], material, out)
    write_text(out.with_suffix(".md"), markdown(rows))
    picture(rows, out.with_suffix(".png"))
    print(markdown(rows), end="")


def robustness(
    out: Path, captures: Path, generator: Path, *, per_group: int = 120, seed: int = 0, threads: int = 2
) -> None:
    """Measure the cue of captures that were disturbed before the generator, and of other draws of its noise.

    Args:
        out: markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
        per_group: captures of each domain and label.
        seed: of the choice of captures.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.runs.folder import write_text
    from despoof.studies.generators import Material, captures_of
    from despoof.studies.robustness import robustness as run

    torch.set_num_threads(threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = captures_of(Material(store, store, out, per_group=per_group, seed=seed))
    found = run(loaded, rows, store.faces(rows, loaded.config.face_size))
    domains = list(found[0].aucs)
    heads = (f"{len(rows)} captures", "cue correlation, mean", "5th percentile", *(f"AUC {name}" for name in domains))
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "---|" * (3 + len(domains)))
    for each in found:
        aucs = " | ".join(f"{each.aucs[name]:.3f}" for name in domains)
        lines.append(f"| {each.name} | {each.correlation:.3f} | {each.lowest:.3f} | {aucs} |")
    text = "\n".join(lines) + "\n"
    write_text(out, text)
    print(text, end="")


def forms(out: Path, captures: Path, generator: Path, *, per_group: int = 120, seed: int = 0, threads: int = 2) -> None:
    """Compare the forms of the cue: AUC of each one's statistics on captures of domains that they were not fitted on.

    Args:
        out: markdown file for the table.
        captures: store of live and attack captures of several domains.
        generator: generator.safetensors.
        per_group: captures of each domain and label.
        seed: of the choice of captures.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.runs.folder import write_text
    from despoof.studies.cue import markdown, read_forms
    from despoof.studies.generators import Material, captures_of

    torch.set_num_threads(threads)
    store, loaded = Store(captures), load_generator(generator)
    rows = captures_of(Material(store, store, out, per_group=per_group, seed=seed))
    text = markdown(read_forms(loaded, rows, store.faces(rows, loaded.config.face_size)))
    write_text(out, text)
    print(text, end="")


def hard_faces(
    out: Path, faces: Path, teacher: Path, *, weights: str = "default", count: int = 1000, seed: int = 0,
    threads: int = 2,
) -> None:  # fmt: skip
    """Audit false alarms on held-out real faces, group by group.

    Args:
        out: markdown file for the table.
        faces: store of real faces with a test split.
        teacher: ArcFace ONNX file that judges identity.
        weights: a preset's name, or a folder of weights.
        count: held-out faces.
        seed: of the choice of faces.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store
    from despoof.pipeline import load
    from despoof.runs.folder import write_text
    from despoof.studies.generators import Material, faces_of
    from despoof.studies.hard_faces import audit

    torch.set_num_threads(threads)
    store = Store(faces)
    held_out = faces_of(Material(store, store, teacher, count=count, seed=seed))
    found = audit(load(weights, engine="torch"), store, held_out, teacher)
    lines = ["| group | n | residual | identity cosine | not LIVE | of n (95 %) |", "|---|---|---|---|---|---|"]
    for group in found:
        (size, half), (cosine, beside) = group.residual, group.cosine
        low, high = 100 * group.interval.low, 100 * group.interval.high
        share = f"{100 * group.refused / group.n:.1f} % ({low:.1f}–{high:.1f})"
        lines.append(
            f"| {group.name} | {group.n} | {size:.4f} ± {half:.4f} | {cosine:.3f} ± {beside:.3f} | "
            f"{group.refused} | {share} |"
        )
    text = "\n".join(lines) + "\n"
    write_text(out, text)
    print(text, end="")


def shortcuts(out: Path, store: Path, evaluation: Path, *, model: list[str] | None = None) -> None:
    """Say what answers hang on: AUC among faces alike in saturation, darkness, sharpness or size, beside that of all.

    Args:
        out: markdown file for the table.
        store: the captures that were scored.
        evaluation: folder that `despoof evaluate` wrote.
        model: only these of its models.
    """
    from despoof.evaluation.tables import read_tests
    from despoof.faces.store import Store
    from despoof.runs.folder import write_text
    from despoof.studies.shortcuts import dependences, markdown

    files = [file for file in read_tests(evaluation / "scores") if not model or file.facts["model"] in model]
    text = markdown(dependences(files, Store(store)))
    write_text(out, text)
    print(text, end="")


def reliance(
    out: Path, captures: Path, *, weights: str = "default", per_group: int = 120, seed: int = 0, threads: int = 2
) -> None:
    """Measure whether the verdict depends on the cue: decisions changed by another cue, and by another face.

    Args:
        out: markdown file for the table.
        captures: store of live and attack captures.
        weights: a preset's name, or a folder of weights.
        per_group: captures of each domain and label.
        seed: of the choice of captures and of what each is given.
        threads: of the processor.
    """
    import torch

    from despoof.faces.store import Store
    from despoof.pipeline import load
    from despoof.runs.folder import write_text
    from despoof.studies.generators import Material, captures_of
    from despoof.studies.reliance import markdown
    from despoof.studies.reliance import reliance as run

    torch.set_num_threads(threads)
    store, guard = Store(captures), load(weights, engine="torch")
    rows = captures_of(Material(store, store, out, per_group=per_group, seed=seed))
    text = markdown(run(guard, rows, store.faces(rows, guard.detector.config.face_size), seed=seed))
    write_text(out, text)
    print(text, end="")
