"""`despoof measure`: error rates of weights on one's own labelled photos and clips, without training."""

from pathlib import Path


def measure(
    source: Path, out: Path = Path("measured"), *, weights: str = "default", engine: str = "auto",
    point: str | None = None, profile: Path | None = None, domain: str = "",
) -> None:  # fmt: skip
    """Measure weights as they are on one's own labelled photos and clips; run again to go on.

    Each is judged as `despoof check` judges it. Prints and writes APCER of each attack species, BPCER and non-response
    with exact intervals, AUC and HTER at the thresholds that decide, and what was decided of what.

    Args:
        source: a folder with live/ and attack/SPECIES/, or a CSV or Parquet file with path and label.
        out: folder for scores.csv, measure.md, measure.json and the verdicts so far.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch; auto is onnx where the weights have an export beside
            them (the default ones have), else torch.
        point: strict, balanced or lenient, an operating point of the weights; `despoof info` shows what to expect of
            each. Left out, balanced.
        profile: made by `despoof calibrate` or `despoof adapt` with these weights; they decide, and no point.
        domain: name of the capture domain of a folder, which says none.
    """
    from despoof.data.manifest import read_source
    from despoof.evaluation.measure import as_markdown
    from despoof.evaluation.measure import measure as run
    from despoof.pipeline import load

    samples = read_source(source, domain=domain)
    print(as_markdown(run(load(weights, engine=engine, profile=profile, point=point), samples, out)))
    print(f"  {out}")
