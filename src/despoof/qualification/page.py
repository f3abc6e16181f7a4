"""Recordings of one camera -> a page with its figures, in words of ISO/IEC 30107-3.

    OUT/report.html, OUT/report.md, OUT/qualify.json, and what `evaluation.measure` writes

Pictures of faces show people; the page has some only where that is asked for.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from despoof.clip.frame import read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.data.sample import Sample
from despoof.data.video import is_video
from despoof.evaluation.measure import Judged, judged, measure
from despoof.evaluation.scores import ScoreFile, read_scores
from despoof.faces.align import as_image
from despoof.pipeline import Guard
from despoof.qualification.figures import QUALITY, Outcome, errs, qualification
from despoof.qualification.targets import Target
from despoof.report.content import words
from despoof.report.figures import histogram_figure, png
from despoof.report.page import Picture, Section, Table, write_report
from despoof.runs.folder import write_json

TITLE = "Presentation attack detection on one camera"
INTERVALS = (
    "Exact 95 % intervals (Clopper-Pearson). They take presentations as independent and are too narrow where one "
    "person gave many: count people, not files. Rates count decisions, an attack errs as LIVE and a bona fide "
    "presentation as anything else; non-responses (BPNRR, APNRR) are in no other rate."
)
SYSTEM = (
    "IAPAR and FRR are rates of a whole system with a comparison of identities, which is not measured here (nor is "
    "IAPMR). What passes there has passed here first, so IAPAR is at most APCER on the same presentations; FRR is at "
    "least BPCER, so a BPCER that is met leaves room for the comparison and for nothing else."
)
MARKS = {Outcome.MET: "upper bound below the limit", Outcome.NOT_MET: "estimate above the limit",
         Outcome.TOO_LITTLE: "estimate within the limit, upper bound not"}  # fmt: skip


def qualify(
    guard: Guard, samples: Sequence[Sample], out: str | Path, targets: Sequence[Target], *, pictures: bool = False
) -> dict:
    """Judge recordings, write page, Markdown and figures below `out`, and return the figures; run again to go on.

    `pictures` says that the people in them agreed to be shown: the page then has the faces that were misjudged.
    """
    out = Path(out)
    measure(guard, samples, out)
    found = judged(guard, samples, out)  # from the lines that `measure` left
    values = qualification(guard, found, targets)
    shown = misjudged(guard, found) if pictures else []
    write_json(out / "qualify.json", values)
    write_report(out, TITLE, sections(values, read_scores(out / "scores.csv"), shown))
    return values


def misjudged(guard: Guard, found: Sequence[Judged], *, most: int = 6) -> list[Picture]:
    """Return the faces of at most so many errors of live and of attacks, the worst first, read and judged again."""
    wrong = [each for each in found if each.answered and each.liveness is not None and errs(each)]
    live = sorted((each for each in wrong if each.group == "live"), key=lambda each: each.liveness)[:most]
    attacks = sorted((each for each in wrong if each.group != "live"), key=lambda each: -each.liveness)[:most]
    return [picture for each in (*live, *attacks) if (picture := _face(guard, each))]


def sections(values: dict, scores: ScoreFile, pictures: Sequence[Picture] = ()) -> list[Section]:
    """Return the whole page of what `qualification` gave; `scores` are the same presentations'."""
    return [
        Section("What this is", (words()["about"]["no_certification"], _made(values), SYSTEM)),
        Section("Verdict", tables=(_verdicts(values),), points=tuple(verdict_lines(values))),
        Section("Rates", (INTERVALS,), tables=(_rates(values), _parts(values))),
        _overlap(values, scores),
        Section("What the errors have in common", points=tuple(link_lines(values))),
        *([Section("Faces that were misjudged", pictures=tuple(pictures))] if pictures else []),
        Section(
            "Sources of the limits", points=tuple(f"{each['name']}: {each['source']}." for each in values["targets"])
        ),
        Section("Terms of ISO/IEC 30107-3", points=tuple(words()["iso_30107_3"]["terms"])),
        Section("What these figures do not show", points=tuple(words()["limits"]["not_shown"])),
    ]


def verdict_lines(values: dict) -> list[str]:
    """Return a sentence for each target, and for each of its rates that is not met, with what to do next."""
    lines = []
    for target in values["targets"]:
        lines.append(f"{target['name']}: {target['outcome']}.{_beside(values, target)}")
        lines += [_part(target["name"], each) for each in target["parts"] if each["outcome"] != Outcome.MET]
        if target["outcome"] == Outcome.NO_THRESHOLD:
            lines += [_hopeless(target["name"], each) for each in values["overlap"]]
        elif target["outcome"] == Outcome.NOT_MET:
            lines += [_other_threshold(target["name"], *each) for each in target["threshold_within"].items()]
    return lines


def link_lines(values: dict) -> list[str]:
    """Return a sentence for each quality value that tells errors from other presentations."""
    lines = []
    for each in values["links"]:
        word = QUALITY[each["quality"]][each["AUC"] < 0.5]
        which = "Bona fide presentations that were refused" if each["of"] == "live" else "Attacks that passed"
        lines.append(
            f"{which} are {word} than the others: {each['quality']} has AUC {each['AUC']:.2f} "
            f"({each['low']:.2f} to {each['high']:.2f}; {each['errors']} errors, {each['others']} others). A link, and "
            "no cause: try it before you rely on it."
        )
    return lines or [
        "No link of errors with size, light, sharpness, clipping or room was found whose interval excludes none; few "
        "errors, or few people, show none either."
    ]


def _face(guard: Guard, each: Judged) -> Picture | None:
    if is_video(each.sample.file):
        faces = judge_clip(guard, read_clip(each.sample.file, ClipRule())).faces
        verdict = faces[0].example if len(faces) == 1 else None
    else:
        verdict = guard.check(Path(each.sample.file))
    if verdict is None or verdict.face is None:
        return None
    data, what = io.BytesIO(), each.group if each.group == "live" else f"attack, {each.group}"
    Image.fromarray(as_image(verdict.face)).save(data, "PNG")
    title = f"{what}: {each.decision.value}, liveness {each.liveness:.3f} ({each.sample.key})"
    return Picture(data.getvalue(), title, f"The face that was judged: {title}")


def _made(values: dict) -> str:
    limits = values["thresholds"]
    weights = ", ".join(f"{part} {found[:12]}" for part, found in values["weights"].items())
    return (
        f"{values['presentations']} presentations ({values['clips']} clips), people: {values['subjects']}, judged by "
        f"{limits['source']}, live from {limits['photos'][1]:.3f} (clips {limits['clips'][1]:.3f}), engine "
        f"{values['engine']}; weights {weights}. It holds for this camera, these weights, thresholds and attack "
        "species, and for no others."
    )


def _verdicts(values: dict) -> Table:
    rows = [
        (each["name"], *(_limit(each["parts"], rate) for rate in ("APCER", "BPCER")), each["outcome"])
        for each in values["targets"]
    ]
    return Table((("target", "APCER of each species below", "BPCER below", "outcome"), *rows), "Targets")


def _limit(parts: Sequence[dict], rate: str) -> str:
    return next((f"{100 * each['limit']:g} %" for each in parts if each["rate"] == rate), "none")


def _rates(values: dict) -> Table:
    rows = [
        (each["rate"], each["of"], str(each["errors"]), str(each["presented"]), *_percent(each))
        for each in values["rates"]
        if each["threshold"] in (None, "live_from")
    ]
    return Table((("rate", "of", "errors", "presented", "%", "95 % interval"), *rows), "Rates at live from", heads=2)


def _parts(values: dict) -> Table:
    rows = [
        (target["name"], each["rate"], each["of"], f"{100 * each['limit']:g}", *_percent(each),
         f"{each['outcome']}: {MARKS[each['outcome']]}", str(each["more_without_error"] or ""))
        for target in values["targets"]
        for each in target["parts"]
    ]  # fmt: skip
    head = ("target", "rate", "of", "below, %", "%", "95 % interval", "outcome", "more, without error, to be met")
    return Table((head, *rows), "Rates against the limits", heads=3)


def _percent(rate: dict) -> tuple[str, str]:
    value = f"{100 * rate['value']:.1f}" if rate["presented"] else "–"
    return value, f"{100 * rate['low']:.1f}–{100 * rate['high']:.1f}"


def _part(name: str, each: dict) -> str:
    what = f"{name}, {each['rate']} of {each['of']}"
    said = f"{each['errors']} of {each['presented']} misjudged ({_percent(each)[1]} %), limit {100 * each['limit']:g} %"
    more = f"{each['more_without_error']} more presentations of {each['of']}, all without an error"
    if each["outcome"] == Outcome.TOO_LITTLE:
        return f"{what}: too little data, {more}, would show it. So far {said}."
    certain = "the whole interval is above it" if each["low"] > each["limit"] else f"only {more}, would turn it"
    return f"{what}: not met, {said}; {certain}."


def _beside(values: dict, target: dict) -> str:
    """Return the BPCER where a target sets no limit on it, since refusing everyone would meet such a one."""
    if any(each["rate"] == "BPCER" for each in target["parts"]):
        return ""
    (rate,) = (each for each in values["rates"] if each["rate"] == "BPCER" and each["threshold"] == "live_from")
    value, between = _percent(rate)
    return f" It sets no limit on BPCER, which is {value} % ({between}) here."


def _hopeless(name: str, each: dict) -> str:
    return (
        f"{name}, {each['kind']}: at no threshold are BPCER and APCER of every species within the limits on these "
        f"recordings. Live and attacks overlap: {_separation(each)}. A threshold does not mend this; learn a "
        "correction for this camera with: despoof adapt"
    )


def _separation(each: dict) -> str:
    interval = each["AUC_interval"]
    between = "one person, so no interval" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
    return (
        f"AUC {each['AUC']:.3f} ({between}), lowest HTER over all thresholds {100 * each['best_HTER']:.1f} % "
        f"({each['live']} live, {each['attacks']} attacks, species pooled)"
    )


def _other_threshold(name: str, kind: str, point: dict) -> str:
    return (
        f"{name}, {kind}: on these recordings the estimates are within the limits at live from "
        f"{point['live_from']:.3f} (BPCER {100 * point['BPCER']:.1f} %, largest APCER {100 * point['APCER']:.1f} %). "
        "Set one (despoof calibrate) and qualify again on people who did not set it."
    )


def _overlap(values: dict, scores: ScoreFile) -> Section:
    lines = tuple(f"{each['kind']}: {_separation(each)}." for each in values["overlap"])
    if not lines:
        return Section(
            "Live and attacks apart", ("Recordings of both classes are needed to see whether they overlap.",)
        )
    figure = histogram_figure(scores)
    for kind in (each["kind"] for each in values["overlap"]):
        from_ = values["thresholds"][kind][1]
        figure.axes[0].axvline(from_, color="black", linewidth=1, linestyle="--", label=f"live from, {kind}")
    figure.axes[0].legend(fontsize=8)
    words = f"Histogram of liveness of live and of each species; dashed, from where LIVE begins. {' '.join(lines)}"
    return Section(
        "Live and attacks apart", points=lines, pictures=(Picture(png(figure), "Liveness", words, "liveness"),)
    )
