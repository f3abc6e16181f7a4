"""`despoof simulate`: real faces -> a CSV data set of simulated captures, live and attack."""

from pathlib import Path


def simulate(
    source: Path, out: Path, *, count: int | None = None, recapture: bool = False, domain: str = "", workers: int = 2
) -> None:
    """Show portraits on simulated media to simulated cameras; write images and labels.csv.

    Further domains to learn from, never ones to measure on. Of four portraits two are live (an ideal medium, the same
    camera path), one is printed, one replayed; each portrait is used once. Run again to go on after an interruption.

    Args:
        source: a CSV or Parquet file or folder of real faces; held-out ones (split test) are left out.
        out: folder to write.
        count: most portraits taken, from the first; 1,500 if left out, all with --recapture.
        recapture: show each live capture on every medium, in domains named after theirs.
        domain: name of the capture domain of a folder, which says none; recaptures need one.
        workers: processes.
    """
    from despoof.data.manifest import read_source
    from despoof.data.sample import Label, Split
    from despoof.data.simulation.dataset import write_captures, write_recaptures

    samples = read_source(source, domain=domain)
    chosen = [s for s in samples if s.label is Label.LIVE and s.split is not Split.TEST]
    if recapture:
        print(write_recaptures(chosen[:count], out, workers=workers))
    else:
        print(write_captures(chosen[: count or 1500], out, workers=workers))
