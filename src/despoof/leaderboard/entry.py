"""Weights or a public model -> its liveness of every picture of a store, and what else its row says.

    OUT/ours.jsonl            liveness of faces by the weights that ship, and whether they learned one like it
    OUT/peers/NAME.jsonl      liveness of each picture by a public model

Both go on where they were killed. What `despoof evaluate` scored before is taken from there and not judged again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from despoof.engine.by_onnx import EXPLAIN, JUDGE, folder_of
from despoof.errors import ConfigError, InputError
from despoof.evaluation.baselines import original
from despoof.evaluation.crossfit import complete, is_cross_fitted
from despoof.evaluation.peers.peer import Liveness, PlacedPeer, packaged, packaged_names
from despoof.evaluation.scores import ScoreFile
from despoof.faces.detect import FindFaces
from despoof.faces.scene import Scene, look
from despoof.faces.store import Store, StoredSample
from despoof.faces.surroundings import SCALES
from despoof.pair import files_of
from despoof.pipeline import BATCH, Guard
from despoof.runs.checkpoint import file_hash, load_artefact
from despoof.runs.config import to_dict
from despoof.runs.identity import Identity
from despoof.runs.lines import add_lines, kept_lines
from despoof.runs.progress import track

OURS = "despoof"
# Squared distance of an embedding to what a kernel learned from, below which the face is taken for one of those. Faces
# that were learned lie at 4e-6 at most, the same pictures cut by another search at .0005 (median of 32), encoded anew
# by JPEG 75 at .017; of 14 cameras that were left out, 48 faces each, the nearest lies at .155.
NEAR = 0.02
Rows = Sequence[StoredSample]
Answers = dict[str, float]  # key of a row -> liveness, NaN for no answer


@dataclass(frozen=True)
class Entry:
    """What is compared: answers by key of a picture, the threshold that it comes with, and how it judges a found face.

    `learned` are cameras that it learned from and is judged on all the same, `unknown` those of which that cannot be
    told, `left_out` those judged by detectors made alike that learned nothing of them. `lacking` are pictures, of the
    faces in `rows`, that hold less around the face than it asks for.
    """

    name: str
    licence: str
    files: tuple[Path, ...]
    answers: Answers
    threshold: float
    judge: Callable[[Scene], object]
    learned: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    lacking: int = 0


def require_apart(names: Sequence[str]) -> None:
    """Raise ConfigError where two entries have one name: their files would lie in one place."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{twice[0]!r} stands twice on the board; expected each name once. Correct `name` in a TOML.")


def our_entry(
    guard: Guard, weights: str | Path, store: Store, rows: Rows, out: Path, *, scored: Sequence[ScoreFile] = ()
) -> Entry:
    """Return ours on rows of a store; `guard` judges by the ONNX files of `weights`.

    On cameras that the weights learned from, and where that cannot be told, the answers are those of `scored`: test
    files of detectors made alike that never saw the camera. Without any the weights' own stand, and the entry says so.
    """
    faces = [row for row in rows if row.outcome == "face"]
    judged = _judged(guard, weights, store, faces, out / "ours.jsonl", scored=bool(scored))
    told: dict[str, list[bool | None]] = {}
    for row in faces:
        if row.key in judged:
            told.setdefault(row.sample.domain, []).append(judged[row.key][1])
    learned = {name for name, each in told.items() if any(each)}
    unknown = {name for name, each in told.items() if None in each} - learned
    answers = {key: liveness for key, (liveness, _) in judged.items()}
    left_out = learned | unknown if scored else set()
    if scored:
        answers |= _of_alike(guard, [row for row in faces if row.sample.domain in left_out], scored)
    names = (JUDGE, EXPLAIN) if guard.engine.config.uses_cue else (JUDGE,)
    return Entry(
        OURS,
        guard.engine.facts.get("licence", "not stated"),
        tuple(folder_of(weights) / name for name in names),
        answers,
        guard.thresholds[1],
        guard.check_faces,
        *(tuple(sorted(each)) for each in (learned - left_out, unknown - left_out, left_out)),
    )


def peer_entries(
    placed: Sequence[PlacedPeer], rows: Rows, out: Path, scored: Sequence[ScoreFile], find: FindFaces | None = None
) -> list[Entry]:
    """Return public models on the pictures that rows of a store were made from, which must still lie where they lay."""
    faces = [row for row in rows if row.outcome == "face"]
    data = Store.data_hash(list(rows))
    answers, missing = {}, {}
    opened = {each.name: cache(each.open) for each in placed}  # once, and only where it is asked
    for each in placed:
        answers[each.name] = _scored_before(each, faces, scored)
        if answers[each.name] is None:
            path = out / "peers" / f"{each.name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = kept_lines(path, Identity("leaderboard", to_dict(each.peer), data, each.hashes))
            answers[each.name] = {key: np.nan if value is None else value for key, value in kept}
            missing[each.name] = path
    rest = [row for row in faces if any(row.key not in answers[name] for name in missing)]
    for row in track(rest, "peers", len(rest)):
        scene = look(original(row), find)
        for name, path in missing.items():
            if row.key not in answers[name]:
                value = opened[name]()(scene.image, scene.faces[0]) if scene.faces else None
                add_lines(path, [[row.key, value]])
                answers[name][row.key] = np.nan if value is None else value
    return [_peer_entry(each, faces, answers[each.name], opened[each.name]) for each in placed]


def _peer_entry(placed: PlacedPeer, faces: Rows, answers: Answers, opened: Callable[[], Liveness]) -> Entry:
    needed = min(placed.peer.room, SCALES[0])  # rooms in a store are told up to SCALES[0]
    return Entry(
        placed.name,
        placed.peer.licence,
        tuple(placed.files),
        answers,
        placed.peer.threshold,
        lambda scene: opened()(scene.image, scene.faces[0]),
        lacking=sum(row.quality.get("room", 0.0) < needed for row in faces),
    )


def _judged(
    guard: Guard, weights: str | Path, store: Store, faces: Rows, path: Path, *, scored: bool
) -> dict[str, tuple[float, bool | None]]:
    """Return liveness of each face by its key, NaN for none, and whether it was learned; None where nobody can tell.

    Where there are scores in place of its own, a camera is left as soon as one of its faces is known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    config, data = {"engine": guard.engine_name, "near": NEAR}, Store.data_hash(list(faces))
    kept = {key: told for key, *told in kept_lines(path, Identity("leaderboard", config, data, guard.weights))}
    centres, by_camera = _centres(guard, weights), {}
    for row in faces:
        by_camera.setdefault(row.sample.domain, []).append(row)
    for inside in track(by_camera.values(), OURS, len(by_camera)):
        rest = [row for row in inside if row.key not in kept]
        for start in range(0, len(rest), BATCH):
            if scored and any(kept[row.key][1] is not False for row in inside if row.key in kept):
                break
            lines = _judged_batch(guard, store, rest[start : start + BATCH], centres)
            add_lines(path, lines)
            kept |= {key: told for key, *told in lines}
    return {key: (np.nan if value is None else value, same) for key, (value, same) in kept.items()}


def _judged_batch(guard: Guard, store: Store, chunk: list[StoredSample], centres: np.ndarray | None) -> list[list]:
    pictures = store.faces(chunk, guard.engine.config.face_size)
    around = store.surroundings(chunk) if guard.engine.config.uses_surroundings else None
    liveness, _, embedding = guard.engine.judge(pictures, around, lambda name: None)
    known = [None] * len(chunk) if centres is None or embedding is None else _among(embedding, centres)
    values = (float(value) if np.isfinite(value) else None for value in liveness)
    return [[row.key, value, same] for row, value, same in zip(chunk, values, known, strict=True)]


def _centres(guard: Guard, weights: str | Path) -> np.ndarray | None:
    """Return the embeddings (M, E) of what a kernel learned from, which its weights hold; None of other weights."""
    file = files_of(weights)[1]
    if not file.is_file() or file_hash(file) != guard.weights.get("detector"):
        return None
    centres = load_artefact(file, "detector").tensors.get("nearness.centres")
    return None if centres is None else centres.double().numpy()


def _among(embedding: np.ndarray, centres: np.ndarray) -> list[bool]:
    points = embedding.astype(np.float64)
    squares = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T
    return (squares.min(1) < NEAR).tolist()


def _of_alike(guard: Guard, faces: Rows, scored: Sequence[ScoreFile]) -> Answers:
    """Return answers of detectors made as the weights were, each on cameras that it never saw, calibrated as these."""
    facts = guard.engine.facts
    own = facts.get("identity", {})
    recipe = {name: value for name, value in own.get("config", {}).items() if name != "seed"}
    alike = [
        file
        for file in scored
        if is_cross_fitted(file) and file.facts.get("simulated") == "none"
        and (told := file.facts.get("identity", {})).get("parents") == own.get("parents")
        and told["config"].get("recipe") == recipe and file.facts["seed"] == own["config"].get("seed")
    ]  # fmt: skip
    kept, lacking = complete(alike)
    found = sorted({f"{file.facts['protocol']} / {file.facts['model']}" for file in kept})
    if len(found) != 1:
        models = ", ".join(sorted({str(file.facts["model"]) for file in scored}))
        raise InputError(
            f"the scores hold {len(found)} models ({'; '.join([*found, *lacking]) or models}) that were made as the "
            "weights were, with all their folds; expected one. Evaluate the weights' recipe: despoof evaluate STORE "
            "OUT --protocol leave-cameras-out, with the options that `despoof info` shows of them."
        )
    given = _by_key(kept)
    if missing := [row for row in faces if row.key not in given]:
        raise InputError(
            f"{found[0]}: no score of {len(missing)} pictures, such as {missing[0].sample.path} of a camera that the "
            "weights learned from. Evaluate this very store, or leave its scores out."
        )
    temperature, offset = float(facts.get("temperature", 1.0)), float(facts.get("offset", 0.0))
    with np.errstate(divide="ignore"):  # liveness of exactly 0 and 1 stays
        return {row.key: float(expit((logit(given[row.key]) - offset) / temperature)) for row in faces}


def _scored_before(placed: PlacedPeer, faces: Rows, scored: Sequence[ScoreFile]) -> Answers | None:
    """Return what `despoof evaluate` scored by the same files of a packaged model, if that is of all these faces."""
    if placed.name not in packaged_names() or placed.peer != packaged(placed.name, placed.folder).peer:
        return None  # scores name the files, and not how a user says that they are used
    same = [
        file
        for file in scored
        if file.facts["model"] == placed.name and file.facts.get("identity", {}).get("parents") == placed.hashes
    ]
    given = _by_key(same)
    return {row.key: given[row.key] for row in faces} if all(row.key in given for row in faces) else None


def _by_key(files: Sequence[ScoreFile]) -> Answers:
    rows: Iterator = (row for file in files for row in file.rows)
    return {row.key: np.nan if row.liveness is None else row.liveness for row in rows}
