"""`despoof qualify`: is the guard good enough on one camera, and if not, what is missing."""

import sys
from pathlib import Path

NOT_MET = 1


def qualify(
    source: Path | None = None, out: Path = Path("qualified"), *, target: list[str] | None = None,
    apcer: float | None = None, bpcer: float | None = None, weights: str = "default", engine: str = "auto",
    point: str | None = None, profile: Path | None = None, pictures: bool = False, sheet: bool = False,
) -> None:  # fmt: skip
    """Hold recordings of one camera against named targets; the exit status is 0 only if every one is met, else 1.

    Says of each target: met, not met, too little data (and how many more of what), or no threshold separates this
    camera. Writes a page, Markdown and JSON; run again to go on. No certification.

    Args:
        source: a folder with live/PERSON/ and attacks/SPECIES/PERSON/, or a CSV or Parquet file with path and label.
        out: folder for report.html, report.md, qualify.json and what `despoof measure` writes.
        target: nist-800-63, fido or fido-frr-5, several times for several; the first two if
            left out and no limit is given.
        apcer: a limit of one's own on APCER of each species, as 0.1 for 10 %.
        bpcer: a limit of one's own on BPCER.
        weights: a preset's name, a folder of weights or of an export, or owner/name of the hub.
        engine: auto, onnx, openvino, openvino/bfloat16 or torch; auto is onnx where the weights have an export beside
            them (the default ones have), else torch.
        point: strict, balanced or lenient, an operating point of the weights; `despoof info` shows what to expect of
            each. Left out, balanced.
        profile: made by `despoof calibrate` with these weights; its thresholds decide in place of a point's.
        pictures: says that the people agreed to be shown: the page has the faces that were misjudged.
        sheet: write OUT/sheet.html, a page to print for whoever records, and judge nothing.
    """
    from despoof.data.manifest import read_source
    from despoof.errors import InputError
    from despoof.pipeline import load
    from despoof.qualification.page import qualify as run
    from despoof.qualification.page import verdict_lines
    from despoof.qualification.sheet import write_sheet
    from despoof.qualification.targets import chosen

    targets = chosen(target, apcer=apcer, bpcer=bpcer)
    if sheet:
        print(write_sheet(out / "sheet.html", targets))
        return
    if source is None:
        raise InputError("no recordings given; expected a folder with live/ and attacks/, or a table. See --sheet.")
    samples = read_source(source, people=True)
    values = run(load(weights, engine=engine, profile=profile, point=point), samples, out, targets, pictures=pictures)
    print(*verdict_lines(values), sep="\n")
    print(f"  {out / 'report.html'}")
    if any(each["outcome"] != "met" for each in values["targets"]):
        sys.exit(NOT_MET)
