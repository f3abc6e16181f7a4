"""Two periods of one camera or service -> what changed between them: liveness, decisions, refusals.

Compared are presentations, whatever they were: no label is needed. The periods are exchanged at random for what chance
alone gives, and redrawn for intervals; both take presentations as independent, so frames of one person say more than
they know.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from despoof.data.place import arrow
from despoof.data.video import is_video
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.evaluation.scores import ScoreFile, read_scores
from despoof.evaluation.tables import FIXED, SOURCE, markdown
from despoof.metrics import Interval, proportion_interval
from despoof.verdict import Decision, decide

FORMAT = "despoof-drift/1"
CELLS = 1000  # in which liveness is counted, where it has more different values
BINS = 10  # of the population stability index: tenths of the earlier period
PSI, SHARE = 0.1, 0.05  # from which a change counts: the index's customary limit, and a share of presentations
ROUNDS = 2000
JUDGES = ("weights", "profile", "point", "job")  # columns that say who judged; a job of `despoof score` names it
UNCHANGED, CHANGED, TOO_LITTLE = "unchanged", "changed", "too little data"


@dataclass(frozen=True)
class Period:
    """Presentations in the order in which they stand: decisions (N,), and liveness (M,) of the answered ones."""

    name: str
    decisions: tuple[Decision, ...]
    liveness: np.ndarray
    reasons: Mapping[str, int] = field(default_factory=dict)  # presentations of each
    judged_by: str = ""  # weights and thresholds, where the file says them


def read_period(path: str | Path) -> Period:
    """Read a score file, a folder of `despoof measure`, or rows with `decision` and `liveness`, perhaps `reasons`.

    Rows are CSV, Parquet (one file or a folder of them, such as of `despoof score`), or JSON lines as `despoof check
    --as-json` prints them. What is unknown, out of range or says LIVE without liveness is an ArtefactError.
    """
    path = Path(path)
    if path.is_dir():
        path = next((part for part in (path / "scores.csv", path / "shards") if part.exists()), path)
    try:
        if path.suffix == ".csv" and _first(path).startswith("# "):
            return _of_scores(str(path), read_scores(path))
        return _of_rows(str(path), _rows(path))
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist; expected scores of a period. Check the path.") from None
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:  # InputError is a ValueError
        raise ArtefactError(
            f"{path} is no scores of a period ({error}); expected a score file, a folder of despoof measure, or rows "
            "with decision and liveness as CSV, Parquet or JSON lines."
        ) from None


def compare_periods(
    before: Period, after: Period, *, psi: float = PSI, share: float = SHARE, rounds: int = ROUNDS, seed: int = 0
) -> dict:
    """Return every figure as JSON values, with `outcome` and, as `sentence`, what it means.

    It changed where the index is at least `psi` and above what chance gives in 95 of 100, or where a decision's share
    moved by at least `share`, its interval without 0. It is too little data where neither is so, and chance alone
    reaches `psi`.
    """
    for name, value in (("psi", psi), ("share", share)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"limit {name} {value}; expected above 0, such as {PSI if name == 'psi' else SHARE}.")
    for each in (before, after):
        if not each.decisions:
            raise InputError(f"{each.name} holds no presentation; expected some. Take a longer period.")
    periods = [_told(each) for each in (before, after)]
    shares = [_share(name.value, *(each.decisions.count(name) for each in (before, after)), before, after)
              for name in Decision]  # fmt: skip
    reasons = [_share(name, before.reasons.get(name, 0), after.reasons.get(name, 0), before, after)
               for name in sorted({*before.reasons, *after.reasons})]  # fmt: skip
    moved = [each for each in shares if abs(each["difference"]) >= share and not each["low"] <= 0 <= each["high"]]
    values = {
        "format": FORMAT, "periods": periods, "decisions": shares, "reasons": reasons,
        "limits": {"psi": psi, "share": share}, "same_judge": before.judged_by == after.judged_by,
    }  # fmt: skip
    liveness = _liveness(before, after, rounds, seed)
    shifted = liveness is not None and liveness["PSI"]["value"] >= psi and liveness["PSI"]["p"] < 0.05
    outcome = CHANGED if shifted or moved else UNCHANGED
    if outcome == UNCHANGED and (liveness is None or liveness["PSI"]["chance"] >= psi):
        outcome = TOO_LITTLE
    values |= {"liveness": liveness, "outcome": outcome}
    return values | {"sentence": _sentence(values, shifted, moved)}


def as_markdown(values: dict) -> str:
    """Return the figures as tables under the sentence."""
    first, second = values["periods"]
    parts = [values["sentence"]]
    if values["liveness"] is not None:
        rows = [
            (name, f"{each['value']:.3f}", f"{each['low']:.3f} to {each['high']:.3f}", f"{each['chance']:.3f}",
             f"{each['p']:.4f}")
            for name, each in ((name, values["liveness"][name]) for name in ("PSI", "KS"))
        ]  # fmt: skip
        parts.append(markdown(("of liveness", "value", "95 % interval", "chance reaches", "p"), rows))
    rows = [("presentations", first["presentations"], second["presentations"], "")]
    rows += [
        (name, _number(first[key]), _number(second[key]), "")
        for name, key in (("median of liveness", "median"), ("lower quartile", "quartile"))
    ]
    for each in values["decisions"] + [each | {"name": f"reason {each['name']}"} for each in values["reasons"]]:
        shown = (f"{100 * part['value']:.1f} % ({100 * part['low']:.1f}–{100 * part['high']:.1f})"
                 for part in (each["before"], each["after"]))  # fmt: skip
        ends = f"{100 * each['low']:+.1f} to {100 * each['high']:+.1f}"
        rows.append((each["name"], *shown, f"{100 * each['difference']:+.1f} ({ends})"))
    parts.append(markdown(("", first["name"], second["name"], "difference, points"), rows))
    return "\n".join(f"{part.strip()}\n" for part in parts)


def ks(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the Kolmogorov-Smirnov distance (...,) of counts (..., K) in the same cells, in rising order."""
    shares = [each.cumsum(-1) / each.sum(-1, keepdims=True) for each in (one, other)]
    return np.abs(shares[0] - shares[1]).max(-1)


def stability_index(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return sum_i (p_i - q_i) ln(p_i / q_i) (...,) of counts (..., K); half a presentation is added to each bin."""
    p, q = ((each + 0.5) / (each.sum(-1, keepdims=True) + 0.5 * each.shape[-1]) for each in (one, other))
    return ((p - q) * np.log(p / q)).sum(-1)


def difference_interval(first: int, of: int, second: int, of_second: int) -> Interval:
    """Return the 95 % interval of the second share less the first: exact ones, by Newcombe's square and add (1998)."""
    p, q = first / of, second / of_second
    one, other = proportion_interval(first, of), proportion_interval(second, of_second)
    return Interval(
        q - p - math.hypot(q - other.low, one.high - p), q - p + math.hypot(other.high - q, p - one.low)
    )  # fmt: skip


def _liveness(before: Period, after: Period, rounds: int, seed: int) -> dict | None:
    if not len(before.liveness) or not len(after.liveness):
        return None
    cells, bins = _counts(before.liveness, after.liveness), _tenths(before.liveness, after.liveness)
    rng = np.random.default_rng(seed)
    return {
        name: _tested(of, *counts, rounds, rng)
        for name, of, counts in (("PSI", stability_index, bins), ("KS", ks, cells))
    }


def _tested(of, one: np.ndarray, other: np.ndarray, rounds: int, rng: np.random.Generator) -> dict[str, float]:
    """Return a statistic of two rows of counts (K,), its interval, its 95 % quantile by chance, and p."""
    value, pooled = float(of(one, other)), one + other
    drawn = of(*(rng.multinomial(each.sum(), each / each.sum(), rounds) for each in (one, other)))
    mixed = rng.multivariate_hypergeometric(pooled, int(one.sum()), rounds, method="marginals")
    chance = of(mixed, pooled - mixed)
    low, high = np.quantile(drawn, (0.025, 0.975))
    p = (1 + (chance >= value - 1e-12).sum()) / (1 + rounds)
    return {"value": value, "low": float(low), "high": float(high), "chance": float(np.quantile(chance, 0.95)),
            "p": float(p)}  # fmt: skip


def _counts(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of both in the same cells: one for each value, or quantiles of all where they are many."""
    values = np.unique(np.concatenate([one, other]))
    if len(values) > CELLS:
        values = np.unique(np.quantile(np.concatenate([one, other]), np.linspace(0, 1, CELLS + 1)[1:]))
    return tuple(np.bincount(np.searchsorted(values, each), minlength=len(values)) for each in (one, other))


def _tenths(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.unique(np.quantile(one, np.linspace(0, 1, BINS + 1)[1:-1]))
    return tuple(np.bincount(np.searchsorted(edges, each), minlength=len(edges) + 1) for each in (one, other))


def _share(name: str, first: int, second: int, before: Period, after: Period) -> dict:
    counts = (len(before.decisions), len(after.decisions))
    parts = []
    for errors, of in zip((first, second), counts, strict=True):
        interval = proportion_interval(errors, of)
        parts.append({"count": errors, "of": of, "value": errors / of, "low": interval.low, "high": interval.high})
    ends = difference_interval(first, counts[0], second, counts[1])
    difference = second / counts[1] - first / counts[0]
    return {"name": name, "before": parts[0], "after": parts[1], "difference": difference, "low": ends.low,
            "high": ends.high}  # fmt: skip


def _told(period: Period) -> dict:
    known = len(period.liveness) > 0
    return {
        "name": period.name, "presentations": len(period.decisions), "judged_by": period.judged_by,
        "median": float(np.median(period.liveness)) if known else None,
        "quartile": float(np.quantile(period.liveness, 0.25)) if known else None,
    }  # fmt: skip


def _sentence(values: dict, shifted: bool, moved: list[dict]) -> str:
    first, second = values["periods"]
    if values["outcome"] == TOO_LITTLE:
        return (
            f"Too little data: {first['presentations']} and {second['presentations']} presentations, of which chance "
            "alone would make as large a change as is asked about. Take longer periods."
        )
    if values["outcome"] == UNCHANGED:
        return "Nothing changed beyond the limits."
    said = []
    if shifted:
        index = values["liveness"]["PSI"]
        said.append(
            f"liveness is distributed otherwise (PSI {index['value']:.2f}, chance reaches {index['chance']:.2f}; "
            f"median {first['median']:.2f} to {second['median']:.2f})"
        )
    said += [
        f"{each['name']} {'rose' if each['difference'] > 0 else 'fell'} from {each['before']['value']:.1%} to "
        f"{each['after']['value']:.1%}"
        for each in moved
    ]
    judge = (
        "Look at the camera, its light and who came; then measure, and calibrate again."
        if values["same_judge"]
        else "The periods were judged by other weights or thresholds, which may be all of it."
    )
    return f"It changed: {'; '.join(said)}. {judge}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _first(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline()


def _of_scores(name: str, scores: ScoreFile) -> Period:
    """Return a score file as a period: by the thresholds of `despoof measure`, else at `SOURCE`, else at `FIXED`."""
    limits = {key: float(each["value"]) for key, each in scores.facts["thresholds"].items()}
    decisions, reasons = [], Counter()
    for row in scores.rows:
        kind = "clips" if is_video(row.path) else "photos"
        one = limits.get(SOURCE, FIXED)
        pair = (limits.get(f"attack_below of {kind}", one), limits.get(f"live_from of {kind}", one))
        decisions.append(Decision.NO_DECISION if row.liveness is None else decide(row.liveness, pair))
        reasons.update(filter(None, row.reason.split(", ")))
    judge = json.dumps([scores.facts["model"], sorted(limits.items())])
    return Period(name, tuple(decisions), _finite(row.liveness for row in scores.rows), dict(reasons), judge)


def _of_rows(name: str, rows: Iterable[Mapping]) -> Period:
    decisions, liveness, reasons, judges = [], [], Counter(), set()
    for row in rows:
        decisions.append(Decision(row["decision"]))
        faces = row.get("faces")
        value = row.get("liveness", faces[0]["liveness"] if isinstance(faces, list) and len(faces) == 1 else None)
        liveness.append(None if value in (None, "") else float(value))
        if (liveness[-1] is None) and decisions[-1] is not Decision.NO_DECISION:
            raise InputError(f"{decisions[-1]} without liveness")
        told = row.get("reasons") or ()
        told = told.split(",") if isinstance(told, str) else [e["name"] if isinstance(e, Mapping) else e for e in told]
        reasons.update({each.strip() for each in told} - {""})
        judges.add(json.dumps([row.get(key) for key in JUDGES], sort_keys=True, default=str))
    answered = (v for v, d in zip(liveness, decisions, strict=True) if d is not Decision.NO_DECISION)
    return Period(name, tuple(decisions), _finite(answered), dict(reasons), "; ".join(sorted(judges)))


def _finite(liveness: Iterable[float | None]) -> np.ndarray:
    found = np.array([each for each in liveness if each is not None], np.float64)
    if wrong := [each for each in found if not 0 <= each <= 1]:
        raise InputError(f"liveness {wrong[0]}; expected 0..1")
    return found


def _rows(path: Path) -> Iterator[Mapping]:
    if path.is_dir() or path.suffix == ".parquet":
        yield from _parquet(path)
        return
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file, strict=True)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def _parquet(path: Path) -> Iterator[Mapping]:
    parquet = arrow().parquet
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError("the folder holds neither scores.csv nor Parquet files")
    for each in files:
        held = parquet.ParquetFile(each)
        wanted = [name for name in ("decision", "liveness", "reasons", *JUDGES) if name in held.schema_arrow.names]
        for batch in held.iter_batches(columns=wanted):
            yield from batch.to_pylist()
