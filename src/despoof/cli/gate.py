"""`despoof gate`: may this student replace its teacher? Exits with 1 if not."""

from pathlib import Path


def gate(
    teacher: Path, student: Path, faces: Path, captures: Path, fits: Path, *, count: int = 500, threads: int = 2
) -> None:
    """Compare a student with its teacher by four figures; exit with 1 unless all hold.

    Args:
        teacher: generator.safetensors of the slow generator.
        student: generator.safetensors of the fast one.
        faces: store of real faces; its test split is used.
        captures: store of live and attack captures.
        fits: folder of detectors that learned with the teacher's counterparts, OUT/fits/PROTOCOL/MODEL of evaluate.
        count: most faces taken.
        threads: of the processor.
    """
    import torch

    from despoof.data.sample import Split
    from despoof.errors import InputError
    from despoof.faces.store import Store
    from despoof.generator.registry import load_generator
    from despoof.studies.student import run_gate

    torch.set_num_threads(threads)
    slow, fast = load_generator(teacher), load_generator(student)
    store = Store(faces)
    rows = [row for row in store.with_face() if row.sample.split is Split.TEST][:count]
    if not rows:
        raise InputError(f"store {faces} has no face in its test split; expected some. Prepare held-out faces.")
    held_out = store.faces(rows, slow.config.face_size)
    checks = run_gate(slow, fast, held_out, Store(captures), fits)
    print(f"{len(rows)} held-out faces\n{'':40}{'teacher':>9}{'student':>9}{'value':>9}{'limit':>9}")
    for check in checks:
        figures = "".join(f"{value:9.3f}" for value in (check.teacher, check.student, check.value, check.limit))
        print(f"{check.name:40}{figures}  {'passed' if check.passed else 'FAILED'}")
    if not all(check.passed for check in checks):
        raise SystemExit(1)
