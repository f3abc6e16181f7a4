"""What de-spoofing knows: generators or steps t, side by side, on the same held-out faces and captures.

Nothing here trains a detector. A row says how far counterparts leave a real face, and how well simple readings of
the cue separate live from attack on domains that they were not fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from despoof.errors import InputError
from despoof.evaluation.intervals import bootstrap_interval
from despoof.faces.store import Store, StoredSample
from despoof.generator.reconstruct import counterparts_of
from despoof.generator.registry import load_generator
from despoof.generator.training.identity import teacher_encoder
from despoof.metrics import auc
from despoof.runs.checkpoint import file_hash
from despoof.runs.config import from_dict, to_dict
from despoof.runs.folder import atomic_path, read_json, write_json
from despoof.runs.identity import Identity
from despoof.studies import readings
from despoof.studies.tables import Estimate


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
        return readings.held_out_faces(self.face_store, self.count, self.seed)

    @cached_property
    def captures(self) -> list[StoredSample]:
        """The captures."""
        return readings.real_captures(self.capture_store, self.per_group, self.seed)

    def identity(self, generator: NamedGenerator) -> Identity:
        """Return what a row is a row of."""
        data = Store.data_hash(self.faces + self.captures)
        parents = {"generator": file_hash(generator.file), "teacher": file_hash(self.teacher)}
        return Identity("study generators", {"start_step": generator.start_step}, data, parents)


@dataclass(frozen=True)
class Row:
    """Figures of one generator.

    Of faces: cosine of counterpart and face by the teacher, mean absolute residual of a range of 2. Of captures: AUC
    (live above attack) per domain of statistics of the signed cue, fitted on the other domains, and of the cue's size
    (smaller is more live); their intervals redraw subjects.
    """

    generator: str
    t: int
    faces: int
    cosine: Estimate
    residual: Estimate
    captures: int
    statistics: dict[str, Estimate]
    size: dict[str, Estimate]


def study(generators: Sequence[NamedGenerator], held_out: HeldOut, out: Path) -> list[Row]:
    """Measure the generators that `out` (JSON) does not hold yet, in order; return all its rows.

    A row of the same name that was measured on something else is an ArtefactError.
    """
    held = read_json(out) if out.is_file() else {}
    if len({generator.name for generator in generators}) < len(generators):
        raise InputError(f"rows are named {[generator.name for generator in generators]}; expected different names.")
    for generator in generators:
        identity = held_out.identity(generator)
        if generator.name in held:
            identity.require(held[generator.name]["identity"], f"row {generator.name!r} of {out}")
        else:
            row = to_dict(measure(generator, held_out))
            held[generator.name] = {"identity": identity.as_dict(), "row": row}
            write_json(out, held)
    return [from_dict(Row, each["row"], str(out)) for each in held.values()]


def measure(generator: NamedGenerator, held_out: HeldOut) -> Row:
    """Return the figures of one generator."""
    loaded, step, rows = load_generator(generator.file), generator.start_step, held_out.captures
    start, encode = loaded.start_of(step), teacher_encoder(held_out.teacher)

    def drawn(store: Store, rows: list[StoredSample]) -> tuple[np.ndarray, np.ndarray]:
        faces = store.faces(rows, loaded.config.face_size)
        return faces, counterparts_of(loaded, faces, start_step=step)

    def estimates(scores: np.ndarray) -> dict[str, Estimate]:
        found = {}
        for domain, each in readings.by_domain(rows, scores).items():
            interval = bootstrap_interval([(auc, each)])
            found[domain] = Estimate(auc(each.live, each.attack), interval.low, interval.high)
        return found

    faces, made = drawn(held_out.face_store, held_out.faces)
    cosine = (readings.identities(encode, faces) * readings.identities(encode, made)).sum(1)
    shown, again = drawn(held_out.capture_store, rows)
    statistics = readings.scores_across(rows, readings.cue_statistics(readings.signed_cues(shown, again)))
    return Row(
        generator=generator.name,
        t=start,
        faces=len(faces),
        cosine=Estimate.of_mean(cosine),
        residual=Estimate.of_mean(readings.residuals(faces, made)),
        captures=len(rows),
        statistics=estimates(statistics),
        size=estimates(-readings.residuals(shown, again)),
    )


def picture(rows: Sequence[Row], path: Path) -> None:
    """Draw a study: identity and residual of real faces above, AUC of the cue's statistics per domain below."""
    from despoof.report.figures import COLOURS, new_figure, png

    figure, places = new_figure(7, 6), np.arange(len(rows))
    above, below = figure.subplots(2, 1, sharex=True)
    faces = {"cosine": [row.cosine for row in rows], "residual": [row.residual for row in rows]}
    captures = {domain: [row.statistics[domain] for row in rows] for domain in rows[0].statistics}
    for axes, series in ((above, faces), (below, captures)):
        for i, (name, found) in enumerate(series.items()):
            value, low, high = np.array([(each.value, each.low, each.high) for each in found]).T
            style = {"marker": "os^Dv"[i % 5], "color": COLOURS[i % len(COLOURS)], "ls": "", "label": name}
            axes.errorbar(places + 0.05 * i, value, np.maximum(0, [value - low, high - value]), **style)
        axes.legend(fontsize=8)
    above.set_ylabel("real faces: identity cosine, residual")
    below.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    below.set_ylabel("AUC of the cue's statistics")
    below.set_xticks(places, [row.generator for row in rows], rotation=20)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(figure))
