"""`despoof drift`: did a camera or a service change between two periods."""

from pathlib import Path

EXIT = {"unchanged": 0, "changed": 1, "too little data": 3}


def drift(before: Path, after: Path, *, out: Path | None = None, psi: float = 0.1, share: float = 0.05) -> None:
    """Compare two periods of scores; the exit status is 0 if nothing changed, 1 if it did, 3 for too little data.

    Liveness by population stability index and Kolmogorov-Smirnov distance, the shares of decisions and of reasons,
    each with its interval. No labels are needed, so what changed (camera, light, people, attacks) is for you to see.

    Args:
        before: earlier scores: a score file, a folder of `despoof measure`, or rows with decision and liveness, perhaps
            reasons: CSV, Parquet, or what `despoof check --as-json` printed, as .jsonl.
        after: later ones.
        out: folder for drift.md and drift.json; none without it.
        psi: stability index from which liveness changed, where chance does not reach it.
        share: of presentations, by which a decision must move to have changed.
    """
    from despoof.qualification.drift import as_markdown, compare_periods, read_period
    from despoof.runs.folder import write_json, write_text

    values = compare_periods(read_period(before), read_period(after), psi=psi, share=share)
    text = as_markdown(values)
    print(text, end="")
    if out is not None:
        write_text(out / "drift.md", text)
        write_json(out / "drift.json", values)
    raise SystemExit(EXIT[values["outcome"]])
