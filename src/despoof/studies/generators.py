"""What de-spoofing knows: generators or steps t, side by side, on the same held-out faces and captures.

Nothing here trains a detector. A row says how far counterparts leave a real face, and how well simple readings of
the cue separate live from attack on domains that they were not fitted on.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from despoof.errors import ArtefactError, InputError
from despoof.evaluation.intervals import bootstrap_interval
from despoof.evaluation.tables import markdown
from despoof.faces.store import Store, StoredSample
from despoof.generator.registry import load_generator
from despoof.generator.training.identity import teacher_encoder
from despoof.metrics import auc
from despoof.runs.checkpoint import file_hash
from despoof.runs.folder import atomic_path, write_text
from despoof.runs.identity import Identity
from despoof.studies.readings import (
    by_domain,
    cue_statistics,
    half_width,
    held_out_faces,
    identities,
    images,
    real_captures,
    residuals,
    scores_across,
    signed_cues,
)


@dataclass(frozen=True)
class NamedGenerator:
    """A generator's file under a name; `start_step` is its own if None."""

    name: str
    file: Path
    start_step: int | None = None

    @classmethod
    def parse(cls, text: str) -> "NamedGenerator":
        """Read ``NAME=FILE`` or ``NAME=FILE@T``."""
        name, equals, rest = text.partition("=")
        file, at, step = rest.rpartition("@")
        if not (name and equals and rest) or (at and not step.isdigit()):
            raise InputError(
                f"row {text!r}; expected NAME=FILE or NAME=FILE@T. Example: t=401=generator.safetensors@401"
            )
        return cls(name, Path(file if at else rest), int(step) if at else None)


@dataclass(frozen=True)
class HeldOut:
    """What every generator is measured on: `count` held-out faces, `per_group` captures of each domain and label."""

    face_store: Store
    capture_store: Store
    teacher: Path  # ArcFace ONNX file that judges identity
    count: int = 300
    per_group: int = 120
    seed: int = 0

    @cached_property
    def faces(self) -> list[StoredSample]:
        """The held-out faces."""
        return held_out_faces(self.face_store, self.count, self.seed)

    @cached_property
    def captures(self) -> list[StoredSample]:
        """The captures."""
        return real_captures(self.capture_store, self.per_group, self.seed)

    def identity(self, generator: NamedGenerator) -> Identity:
        """Return what a row is a row of."""
        data = Store.data_hash(self.faces + self.captures)
        parents = {"generator": file_hash(generator.file), "teacher": file_hash(self.teacher)}
        return Identity("study generators", {"start_step": generator.start_step}, data, parents)


def study(generators: Sequence[NamedGenerator], held_out: HeldOut, out: Path) -> list[dict[str, str]]:
    """Measure the generators that `out` (CSV) does not hold yet, in order; return all its rows.

    A row of the same name that was measured on something else is an ArtefactError. Columns: what the row is a row of;
    cosine of counterpart and face by the teacher; mean absolute residual of real faces, of a range of 2; per domain,
    AUC (live above attack) of statistics of the signed cue fitted on the other domains, and of the cue's size (smaller
    is more live). Intervals are 95 %: of the mean for faces, by subject for captures.
    """
    rows = _read(out)
    if len({generator.name for generator in generators}) < len(generators):
        raise InputError(f"rows are named {[generator.name for generator in generators]}; expected different names.")
    for generator in generators:
        label, held = held_out.identity(generator).label, {row["name"]: row["run"] for row in rows}
        if held.get(generator.name, label) != label:
            raise ArtefactError(
                f"row {generator.name!r} of {out} was measured with other weights, faces or captures (run "
                f"{held[generator.name]}, now {label}). Name the row otherwise, or write to another file."
            )
        if generator.name not in held:
            rows.append({"name": generator.name, "run": label} | measure(generator, held_out))
            write_text(out, _text(rows))
    return rows


def measure(generator: NamedGenerator, held_out: HeldOut) -> dict[str, str]:
    """Return the figures of one generator, as text."""
    loaded, step = load_generator(generator.file), generator.start_step
    size, start = loaded.config.face_size, loaded.start_of(step)

    def drawn(store: Store, rows: list[StoredSample], title: str) -> tuple[np.ndarray, np.ndarray]:
        faces = store.faces(rows, size)
        title = f"{generator.name}: {title}"
        return faces, images(faces, size, lambda face: loaded.counterpart(face, start_step=step), title)

    faces, made = drawn(held_out.face_store, held_out.faces, "faces")
    encode = teacher_encoder(str(held_out.teacher))
    cosine = (identities(encode, faces) * identities(encode, made)).sum(1)
    figures = {"t": str(start), "faces": str(len(faces))}
    figures |= _mean("cosine", cosine) | _mean("residual", residuals(faces, made))
    rows = held_out.captures
    faces, made = drawn(held_out.capture_store, rows, "captures")
    figures["captures"] = str(len(rows))
    statistics = scores_across(rows, cue_statistics(signed_cues(faces, made)))
    for reading, scores in (("statistics", statistics), ("size", -residuals(faces, made))):
        for domain, found in by_domain(rows, scores).items():
            interval = bootstrap_interval([(auc, found)])
            value = auc(found.live, found.attack)
            figures |= _figure(f"{reading} {domain}", value, interval.low, interval.high, 3)
    return figures


def picture(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Draw a study: identity and residual of real faces above, AUC of the cue's statistics per domain below."""
    from despoof.report.figures import COLOURS, new_figure, png

    figure = new_figure(7, 6)
    above, below = figure.subplots(2, 1, sharex=True)
    places, prefix = np.arange(len(rows)), "statistics "
    domains = [key for key in rows[0] if key.startswith(prefix) and key.count(" ") == 1]
    for axes, names in ((above, ["cosine", "residual"]), (below, domains)):
        for i, name in enumerate(names):
            style = {"marker": "os^Dv"[i % 5], "color": COLOURS[i % 7], "ls": "", "label": name.removeprefix(prefix)}
            axes.errorbar(places + 0.05 * i, *_spread(rows, name), **style)
        axes.legend(fontsize=8)
    above.set_ylabel("real faces: identity cosine, residual")
    below.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    below.set_ylabel("AUC of the cue's statistics")
    below.set_xticks(places, [row["name"] for row in rows], rotation=20)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(figure))


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return a study as a Markdown table."""
    names = [key for key in rows[0] if key != "run" and not key.endswith((" low", " high"))]

    def cell(row: dict[str, str], name: str) -> str:
        return row[name] + (f" ({row[f'{name} low']}–{row[f'{name} high']})" if f"{name} low" in row else "")

    return markdown(names, [[cell(row, name) for name in names] for row in rows])


def _mean(name: str, values: np.ndarray) -> dict[str, str]:
    mean, half = float(values.mean()), half_width(values)
    return _figure(name, mean, mean - half, mean + half, 4)


def _figure(name: str, value: float, low: float, high: float, digits: int) -> dict[str, str]:
    return {key: f"{each:.{digits}f}" for key, each in ((name, value), (f"{name} low", low), (f"{name} high", high))}


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
