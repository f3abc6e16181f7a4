"""Captures judged as they are and disturbed: what of a verdict comes from the picture's way, not from the face.

    OUT/verdicts.jsonl   identity of the run, then one line for each capture and disturbance; a killed run goes on

The guard decides as `despoof check` does. Public models are given the same trimmed, upright picture and its main face.
They give a number and no decision: theirs is LIVE from the threshold of equal error on the captures as they are, ATTACK
below it, and none where no face is found.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from despoof.data.image import read_image
from despoof.data.sample import Label, Sample
from despoof.data.video import is_video
from despoof.errors import InputError
from despoof.evaluation.peers.peer import PlacedPeer
from despoof.faces.detect import FindFaces
from despoof.faces.scene import look
from despoof.metrics import eer
from despoof.pipeline import Guard
from despoof.runs.config import config_hash
from despoof.runs.identity import Identity
from despoof.runs.lines import add_lines, kept_lines
from despoof.runs.progress import track
from despoof.runs.seed import item_rng
from despoof.studies.readings import some
from despoof.studies.stability.disturbances import DISTURBANCES, Given
from despoof.studies.tables import Estimate, Share
from despoof.verdict import Decision, decide

FORMAT = "despoof-stability/1"  # another number where a disturbance of the same name does something else
PLAIN = "as captured"
OURS = "despoof"
Peers = Callable[[np.ndarray], dict[str, float | None]]  # image -> liveness by each public model, None without a face


@dataclass(frozen=True)
class Captures:
    """Photos of both labels, and the seed of what is drawn for them."""

    samples: tuple[Sample, ...]
    seed: int = 0

    @classmethod
    def taken(cls, samples: Sequence[Sample], per_group: int, seed: int = 0, *, limit: int | None = None) -> "Captures":
        """Take so many photos of each domain and label, the same in any run; videos are left out.

        Of all these `limit` are kept, half of each label.

        Photos of one label are an InputError, and so are missing files.
        """
        groups: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            if not is_video(sample.file):
                groups.setdefault((sample.domain, sample.label.value), []).append(sample)
        found = tuple(sample for key in sorted(groups) for sample in some(groups[key], per_group, seed))
        if limit is not None:
            by_label = ([sample for sample in found if sample.label is label] for label in Label)
            found = tuple(sample for group in by_label for sample in some(group, limit // 2, seed))
        if {sample.label for sample in found} != set(Label):
            raise InputError(f"{len(found)} photos, not of both labels; expected live and attack. Give both.")
        if missing := [sample.file for sample in found if not Path(sample.file).is_file()]:
            raise InputError(f"{len(missing)} of {len(found)} files are missing: {missing[:1]}. Correct the table.")
        return cls(found, seed)

    @property
    def live(self) -> np.ndarray:
        """Which are live, (N,) bool."""
        return np.array([sample.label is Label.LIVE for sample in self.samples])

    @property
    def data(self) -> str:
        """A hash of what was taken."""
        return config_hash([[sample.as_row(), Path(sample.file).stat().st_size] for sample in self.samples])

    def given(self, sample: Sample, image: np.ndarray, find: FindFaces | None = None) -> Given:
        """Return what disturbances of a sample's image may use.

        The other picture is a live one's of another domain, where there is any: the best that could be put around an
        attack.
        """
        others = [one for one in self.samples if one.label is Label.LIVE and one.domain != sample.domain]
        others = others or [one for one in self.samples if one.key != sample.key]
        other = others[item_rng(self.seed, "other", sample.path).integers(len(others))]
        scene = look(image, find)
        face = scene.in_source(scene.faces[0]) if scene.faces else None
        return Given(face, read_image(other.file), f"{self.seed}|{sample.path}")


@dataclass(frozen=True)
class Answers:
    """What one judge says of captures: decisions (N,) and liveness (N,), NaN where there is none."""

    decisions: np.ndarray
    liveness: np.ndarray

    @classmethod
    def at(cls, liveness: np.ndarray, threshold: float) -> "Answers":
        """Decide at one threshold; without a liveness there is no decision."""
        return cls(np.array([decide(each, (threshold, threshold)).value for each in liveness]), liveness)


@dataclass(frozen=True)
class Effect:
    """What one disturbance does to one judge's verdicts.

    Counts: decisions that change, of all captures; of those that were judged, which are no longer; of live ones that
    were LIVE, which are no longer; of attacks that were not LIVE, which are now. And the mean size of the change of
    liveness where there is one before and after.
    """

    disturbance: str
    decisions_changed: Share
    no_longer_judged: Share
    live_refused: Share
    attacks_passed: Share
    change_of_liveness: Estimate


Judged = dict[str, dict[str, Answers]]  # by judge, ours first, and by disturbance, `PLAIN` first


def judge(
    guard: Guard, captures: Captures, names: Sequence[str], out: Path, *, peers: Sequence[PlacedPeer] = ()
) -> Judged:
    """Judge every capture as it is and under each disturbance of `names`, by the guard and by public models.

    What `out` holds of this run is kept, under whatever names; of another run it is an ArtefactError.
    """
    every, path = (PLAIN, *names), out / "verdicts.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    kept = {(row[0], row[1]): row[2:] for row in kept_lines(path, _identity(guard, captures, peers))}
    missing = {one: [name for name in every if (one.key, name) not in kept] for one in captures.samples}
    rest = {sample: names for sample, names in missing.items() if names}
    by_peers = _peers(peers, guard.find)
    for sample, left in track(rest.items(), "captures", len(rest)):
        rows = list(_rows(guard, by_peers, captures, sample, left))
        add_lines(path, rows)
        kept |= {(row[0], row[1]): row[2:] for row in rows}
    return _answers(captures, {name: [kept[one.key, name] for one in captures.samples] for name in every})


def effects(captures: Captures, answers: Mapping[str, Answers]) -> list[Effect]:
    """Return what each disturbance does to the answers of one judge, those as captured first."""
    plain, live, found = answers[PLAIN], captures.live, []
    was_live, was_judged = plain.decisions == Decision.LIVE.value, plain.decisions != Decision.NO_DECISION.value
    for name, other in answers.items():
        if name == PLAIN:
            continue
        is_live, both = other.decisions == Decision.LIVE.value, np.abs(other.liveness - plain.liveness)
        silent = other.decisions == Decision.NO_DECISION.value
        counts = (
            (other.decisions != plain.decisions, live | True),
            (silent, was_judged),
            (~is_live, live & was_live),
            (is_live, ~live & ~was_live),
        )
        shares = (Share(int((happened & of).sum()), int(of.sum())) for happened, of in counts)
        found.append(Effect(name, *shares, Estimate.of_mean(both[~np.isnan(both)])))
    return found


def _identity(guard: Guard, captures: Captures, peers: Sequence[PlacedPeer]) -> Identity:
    config = {
        "format": FORMAT,
        "seed": captures.seed,
        "thresholds": guard.thresholds,
        "preprocessing": guard.preprocessing,
        "engine": guard.engine_name,
    }
    return Identity(
        "study stability",
        json.loads(json.dumps(config)),
        captures.data,
        guard.weights | {each.name: each.label for each in peers},
    )


def _peers(placed: Sequence[PlacedPeer], find: FindFaces | None) -> Peers:
    models = {each.name: each.open() for each in placed}

    def by_each(image: np.ndarray) -> dict[str, float | None]:
        if not models:
            return {}
        scene = look(image, find)
        return {name: one(scene.image, scene.faces[0]) if scene.faces else None for name, one in models.items()}

    return by_each


def _rows(guard: Guard, by_peers: Peers, captures: Captures, sample: Sample, names: Sequence[str]) -> Iterator[list]:
    """Yield a line for each disturbance of a capture: key, name, decision, liveness and reasons of ours, peers'."""
    image = read_image(sample.file)
    given = captures.given(sample, image, guard.find)
    images = [image if name == PLAIN else DISTURBANCES[name](image, given) for name in names]
    for name, other, verdict in zip(names, images, guard.check_many(images), strict=True):
        reasons = [reason.name for reason in verdict.reasons]
        yield [sample.key, name, verdict.decision.value, verdict.liveness, reasons, by_peers(other)]


def _answers(captures: Captures, rows: Mapping[str, Sequence[list]]) -> Judged:
    found: Judged = {OURS: {}}
    for name, each in rows.items():
        decisions, liveness, _, _ = zip(*each, strict=True)
        found[OURS][name] = Answers(np.array(decisions), np.array(liveness, np.float64))
    for peer in rows[PLAIN][0][3]:
        by_name = {name: np.array([row[3][peer] for row in each], np.float64) for name, each in rows.items()}
        threshold = equal_error(by_name[PLAIN], captures.live)
        found[peer] = {name: Answers.at(liveness, threshold) for name, liveness in by_name.items()}
    return found


def equal_error(liveness: np.ndarray, live: np.ndarray) -> float:
    """Return the threshold of equal error of liveness (N,), NaN left out, of which `live` (N,) bool are live."""
    seen = ~np.isnan(liveness)
    return eer(liveness[seen & live], liveness[seen & ~live])[1]
