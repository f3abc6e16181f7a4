"""`despoof study`: generators, or steps of one, side by side."""

from pathlib import Path


def study(
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

    from despoof.data.store import Store
    from despoof.evaluation.study import Candidate, Material, markdown, picture
    from despoof.evaluation.study import study as run
    from despoof.runs.folder import write_text

    torch.set_num_threads(threads)
    material = Material(Store(faces), Store(captures), teacher, count, per_group, seed)
    rows = run([Candidate.parse(text) for text in row], material, out)
    write_text(out.with_suffix(".md"), markdown(rows))
    picture(rows, out.with_suffix(".png"))
    print(markdown(rows), end="")
