"""Sets of simulated captures: real faces -> images and labels.csv. To learn from, never to measure on."""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.manifest import COLUMNS
from despoof.data.sample import Label, Sample
from despoof.data.simulation.recapture import DEFAULT, Box, RecaptureOptions, Species, recapture, room_of
from despoof.errors import ArtefactError, InputError
from despoof.runs.folder import atomic_path, read_json, write_json, write_text
from despoof.runs.identity import Identity
from despoof.runs.pool import in_processes
from despoof.runs.progress import track

DOMAIN = "simulated"  # of captures of portraits, whose own domain says nothing of the camera
PORTRAITS: tuple[Species, ...] = ("live", "display", "live", "print")  # in turn: as many live as attacks
EVERY: tuple[Species, ...] = ("live", "display", "print", "paper_mask")
QUALITY = 95  # of JPEG, the same for live and attack; the camera's own comes before it
FindBox = Callable[[np.ndarray], Box | None]  # (H, W, 3) uint8 RGB -> the face in it


@dataclass(frozen=True)
class _How:
    find: FindBox | None
    least_room: float
    options: RecaptureOptions
    workers: int


@dataclass(frozen=True)
class _Job:
    sample: Sample
    name: str  # below the folder of the set
    seed: int
    species: Species


def write_captures(
    portraits: list[Sample], out: str | Path, *, find: FindBox | None = None, options: RecaptureOptions = DEFAULT,
    workers: int = 2,
) -> Path:  # fmt: skip
    """Write one capture of each portrait and labels.csv; return the latter's path.

    The portrait's number is its seed, so a run that was cut short goes on to the same bytes. `find` says where the face
    is, in the middle where it does not. A folder that holds another set, or one of other pictures, is refused.
    """
    jobs = [
        _Job(portrait, f"images/{i:05}.jpg", i, PORTRAITS[i % len(PORTRAITS)]) for i, portrait in enumerate(portraits)
    ]
    return _write(
        jobs, _identity("simulate captures", PORTRAITS, options), Path(out), _How(find, 0.0, options, workers)
    )


def write_recaptures(
    live: list[Sample], out: str | Path, *, species: Sequence[Species] = EVERY, find: FindBox | None = None,
    options: RecaptureOptions = DEFAULT, workers: int = 2,
) -> Path:  # fmt: skip
    """Write a capture of each live capture for each of the species, and labels.csv; return its path.

    Each says in `origin` which domain it was shown from, and keeps its subject: an attack of the same person from the
    same camera, then shown to another one, as is the live one beside it. Captures too small to be shown (below 32 px)
    are left out, as are those that `find` sees no face in, or less room around it than `options.room`: in a crop of
    nothing but the face most of what gives a medium away is cut off, and what is left teaches chance. A folder that
    holds another set, or one of other pictures, is refused. A seed is of a capture and a species, so a set of fewer
    species has the same pictures of them.
    """
    jobs = []
    for i, sample in enumerate(live):
        if not sample.domain:
            raise InputError(f"{sample.path} has no domain; expected one, which its recaptures name. Give --domain.")
        for each in species:
            seed = -1 - (len(EVERY) * i + EVERY.index(each))  # portraits count upwards from 0: no camera serves both
            jobs.append(_Job(sample, f"images/{i:05}-{each}.jpg", seed, each))
    return _write(
        jobs, _identity("simulate recaptures", species, options), Path(out), _How(find, options.room, options, workers)
    )


def _identity(task: str, species: Sequence[Species], options: RecaptureOptions) -> Identity:
    return Identity(task, {"species": list(species), "quality": QUALITY, "options": asdict(options)})


def _row(job: _Job, task: str) -> Sample:
    label, attack_type = (Label.LIVE, "none") if job.species == "live" else (Label.ATTACK, job.species)
    origin = job.sample.domain
    domain = DOMAIN if task == "simulate captures" else f"{origin}-{DOMAIN}"
    told = {"label": label, "attack_type": attack_type, "domain": domain, "simulated": True, "origin": origin}
    return replace(job.sample, path=job.name, **told, video="")


def _write(jobs: list[_Job], identity: Identity, out: Path, how: _How) -> Path:
    _claim(out, replace(identity, data=_data_hash(jobs)))
    rest = [(job, out / job.name) for job in jobs if not (out / job.name).exists()]
    write_one = partial(_write_one, how=how)
    for _ in track(in_processes(write_one, rest, how.workers), identity.task, len(rest)):
        pass
    made = [job for job in jobs if (out / job.name).exists()]
    if jobs and not made and how.find:
        raise InputError(
            f"none of {len(jobs)} captures was made: no face was found, or less than {how.least_room} face widths of "
            "picture. Expected captures with their surroundings; --room 0 takes tight crops too."
        )
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    table.writeheader()
    table.writerows(_row(job, identity.task).as_row() for job in made)
    write_text(out / "labels.csv", text.getvalue())
    return out / "labels.csv"


def _claim(out: Path, identity: Identity) -> None:
    about = out / "about.json"
    if about.exists():
        identity.require(read_json(about), out)
    elif (out / "images").exists():
        raise ArtefactError(f"{out} holds pictures and no about.json; expected a new folder. Give another one.")
    else:
        write_json(about, identity.as_dict())


def _data_hash(jobs: list[_Job]) -> str:
    """Return the hash of what is shown: rows and bytes of the files, in order."""
    digest = hashlib.blake2b(digest_size=10)
    for sample in {job.sample.file: job.sample for job in jobs}.values():
        data = Path(sample.file).read_bytes() if Path(sample.file).is_file() else b""
        digest.update(f"{replace(sample, source='')}{len(data)};".encode())
        digest.update(data)
    return digest.hexdigest()


def _write_one(job: tuple[_Job, Path], *, how: _How) -> None:
    told, path = job
    try:
        picture = read_image(told.sample.file)
    except InputError:
        return  # too small or unreadable; preparing the originals says so of each
    box = how.find(picture) if how.find else None
    if how.find and how.least_room and (box is None or room_of(picture, box) < how.least_room):
        return
    image = recapture(picture, told.species, told.seed, box=box, options=how.options)
    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
