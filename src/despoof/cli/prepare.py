"""`despoof prepare`: a folder or CSV of images -> a store of aligned faces."""

from collections import Counter
from pathlib import Path


def prepare(source: Path, store: Path, *, domain: str = "", workers: int = 2) -> None:
    """Find and align the face of every sample; run again to go on after an interruption.

    Args:
        source: a CSV (path, label, attack_type, subject, domain, split) or a folder with live/ and attack/TYPE/.
        store: folder to write.
        domain: name of the capture domain, for a folder.
        workers: processes.
    """
    from despoof.data.source import from_csv, from_folder
    from despoof.faces.prepare import prepare as run

    is_file = source.suffix.lower() == ".csv"
    samples = from_csv(source) if is_file else from_folder(source, domain=domain)
    done = run(samples, source.parent if is_file else source, store, workers=workers)
    found = Counter((row.sample.domain or "-", row.sample.label.value, row.outcome[:40]) for row in done.rows)
    for (name, label, outcome), count in sorted(found.items()):
        print(f"{name:12} {label:8} {outcome:42} {count}")
