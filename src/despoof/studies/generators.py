"""What de-spoofing knows: generators or steps t, side by side, on the same held-out faces and captures.

Nothing here trains a detector. A row says how far counterparts leave a real face, and how well simple readings of
the cue separate live from attack on domains that they were not fitted on.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from despoof.errors import ArtefactError, InputError
from despoof.evaluation.baselines import residual
from despoof.evaluation.intervals import Scores, bootstrap_interval
from despoof.evaluation.protocols import is_live
from despoof.faces.align import as_image, as_tensor
from despoof.faces.store import Store, StoredSample
from despoof.generator.generator import Generator
from despoof.generator.registry import load_generator
from despoof.generator.training.identity import teacher_encoder
from despoof.metrics import auc
from despoof.runs.folder import atomic_path, write_text
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.studies.cue import cue_statistics, leave_one_out, per_face
from despoof.studies.fidelity import arcface_crops


@dataclass(frozen=True)
class Candidate:
    """A generator's file under a name; `start_step` is its own if None."""

    name: str
    file: Path
    start_step: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Read ``NAME=FILE`` or ``NAME=FILE@T``."""
        name, equals, rest = text.partition("=")
        file, at, step = rest.rpartition("@")
        if not (name and equals and rest) or (at and not step.isdigit()):
            raise InputError(
                f"row {text!r}; expected NAME=FILE or NAME=FILE@T. Example: t=401=generator.safetensors@401"
            )
        return cls(name, Path(file if at else rest), int(step) if at else None)


@dataclass(frozen=True)
class Material:
    """What every candidate is measured on."""

    faces: Store  # real faces with a test split
    captures: Store
    teacher: Path  # ArcFace ONNX file that judges identity
    count: int = 300  # held-out faces
    per_group: int = 120  # captures of each domain and label
    seed: int = 0


def study(candidates: Sequence[Candidate], material: Material, out: Path) -> list[dict[str, str]]:
    """Measure the candidates that `out` (CSV) does not hold yet, in order; return all its rows.

    Columns: cosine of counterpart and face by the teacher; mean absolute residual of real faces, of a range of 2;
    per domain, AUC (live above attack) of statistics of the signed cue fitted on the other domains, and of the
    cue's size (smaller is more live). Intervals are 95 %: of the mean for faces, by subject for captures.
    """
    rows = _read(out)
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        raise InputError(f"rows are named {names}; expected different names.")
    for candidate in candidates:
        if candidate.name not in {row["name"] for row in rows}:
            rows.append({"name": candidate.name} | measure(candidate, material))
            write_text(out, _text(rows))
    return rows


def measure(candidate: Candidate, material: Material) -> dict[str, str]:
    """Return the figures of one candidate, as text."""
    generator, step = load_generator(candidate.file), candidate.start_step
    size = generator.config.face_size
    figures: dict[str, str] = {"t": str(generator.start_of(step))}
    held = faces_of(material)
    faces = material.faces.faces(held, size)
    made = _counterparts(generator, faces, step, f"{candidate.name}: faces")
    encode = teacher_encoder(str(material.teacher))
    cosine = (encode(arcface_crops(faces)) * encode(arcface_crops(made))).sum(1)
    size_of = np.abs(faces.astype(np.float32) - made).reshape(len(faces), -1).mean(1) / 127.5
    figures |= {"faces": str(len(held))} | _mean("cosine", cosine) | _mean("residual", size_of)
    rows = captures_of(material)
    shown = material.captures.faces(rows, size)
    made = _counterparts(generator, shown, step, f"{candidate.name}: captures")
    signed = (shown.astype(np.float32) - made) / 127.5
    readings = {
        "statistics": leave_one_out(rows, per_face(signed, cue_statistics)),
        "size": residual(shown / 127.5, made / 127.5),
    }
    figures["captures"] = str(len(rows))
    for reading, scores in readings.items():
        figures |= _aucs(reading, rows, scores)
    return figures


def picture(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Draw a study: identity and residual of real faces above, AUC of the cue's statistics per domain below."""
    from despoof.report.figures import COLOURS

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ArtefactError("pictures need matplotlib. Run `pip install 'despoof[report]'`.") from None
    figure = Figure(figsize=(7, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(rows))
    for i, name in enumerate(("cosine", "residual")):
        above.errorbar(places + 0.05 * i, *_spread(rows, name), marker="os"[i], label=name, color=COLOURS[i], ls="")
    above.set_ylabel("real faces: identity cosine, residual")
    prefix = "statistics "
    domains = [key.removeprefix(prefix) for key in rows[0] if key.startswith(prefix) and key.count(" ") == 1]
    for i, domain in enumerate(domains):
        values = _spread(rows, prefix + domain)
        below.errorbar(places + 0.05 * i, *values, marker="os^Dv"[i % 5], label=domain, color=COLOURS[i % 7], ls="")
    below.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    below.set_ylabel("AUC of the cue's statistics")
    below.set_xticks(places, [row["name"] for row in rows], rotation=20)
    for axes in (above, below):
        axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Return a study as a table."""
    names = [key for key in rows[0] if not key.endswith((" low", " high"))]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{row[n]} ({row[f'{n} low']}–{row[f'{n} high']})" if f"{n} low" in row else row[n] for n in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def faces_of(material: Material) -> list[StoredSample]:
    """Return the held-out faces that a material stands for."""
    held = [row for row in material.faces.with_face() if row.sample.split == "test"]
    return _pick(held, material.count, material.seed)


def captures_of(material: Material) -> list[StoredSample]:
    """Return the captures that a material stands for."""
    groups: dict[tuple[str | None, str], list[StoredSample]] = {}
    for row in material.captures.with_face():
        groups.setdefault((row.sample.domain, row.sample.label.value), []).append(row)
    return [row for key in sorted(groups, key=str) for row in _pick(groups[key], material.per_group, material.seed)]


def _pick(rows: list[StoredSample], count: int, seed: int) -> list[StoredSample]:
    """Return `count` of the rows, or all, the same in any run."""
    order = item_rng(seed, "study").permutation(len(rows))[:count]
    return [rows[i] for i in sorted(order)]


def _counterparts(generator: Generator, faces: np.ndarray, step: int | None, title: str) -> np.ndarray:
    made = []
    for start in track(range(0, len(faces), 32), title, -(-len(faces) // 32)):
        face = as_tensor(faces[start : start + 32], generator.config.face_size)
        made += [as_image(one) for one in generator.counterpart(face, start_step=step)]
    return np.stack(made)


def _mean(name: str, values: np.ndarray) -> dict[str, str]:
    mean, half = values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return {name: f"{mean:.4f}", f"{name} low": f"{mean - half:.4f}", f"{name} high": f"{mean + half:.4f}"}


def _aucs(reading: str, rows: list[StoredSample], scores: np.ndarray) -> dict[str, str]:
    domain, live = np.array([str(row.sample.domain) for row in rows]), is_live(rows)
    subject = np.array([str(row.sample.subject) for row in rows])
    found = {}
    for name in np.unique(domain):
        own, other = live & (domain == name), ~live & (domain == name)
        interval = bootstrap_interval(
            [(auc, Scores(scores[own], scores[other], list(subject[own]), list(subject[other])))]
        )
        key = f"{reading} {name}"
        found[key] = f"{auc(scores[own], scores[other]):.3f}"
        found |= {f"{key} low": f"{interval.low:.3f}", f"{key} high": f"{interval.high:.3f}"}
    return found


def _spread(rows: Sequence[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    value, low, high = (np.array([float(row[name + end]) for row in rows]) for end in ("", " low", " high"))
    return value, np.maximum(0, [value - low, high - value])


def _read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))) if path.is_file() else []


def _text(rows: list[dict[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
