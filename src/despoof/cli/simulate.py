"""`despoof simulate`: real faces -> a CSV data set of simulated captures, live and attack."""

from pathlib import Path


def simulate(source: Path, out: Path, *, count: int | None = None, recapture: bool = False, workers: int = 2) -> None:
    """Show portraits on simulated media to simulated cameras; write images and labels.csv with domain "simulated".

    Further domains to learn from, never ones to measure on. Of four portraits two are live (an ideal medium, the same
    camera path), one is printed, one replayed; each portrait is used once. Images that exist are kept.

    Args:
        source: a CSV or folder of real faces; held-out ones (split test) are left out.
        out: folder to write.
        count: most portraits taken, from the first; 1,500 if left out, all with --recapture.
        recapture: the source's live captures are each shown on every medium, in domains named after theirs.
        workers: processes.
    """
    from despoof.data.manifest import from_csv, from_folder
    from despoof.data.sample import Label, Split
    from despoof.data.simulation.dataset import write_captures, write_recaptures

    is_file = source.suffix.lower() == ".csv"
    root = source.parent if is_file else source
    samples = from_csv(source) if is_file else from_folder(source)
    chosen = [s for s in samples if s.label is Label.LIVE and s.split is not Split.TEST]
    if recapture:
        print(write_recaptures(chosen[:count], root, out, workers=workers))
    else:
        print(write_captures(chosen[: count or 1500], root, out, workers=workers))
