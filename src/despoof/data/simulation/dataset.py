"""Sets of simulated captures: portraits or live captures -> images and labels.csv. To learn from, never to measure."""

import csv
import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.manifest import COLUMNS
from despoof.data.sample import Label, Sample
from despoof.data.simulation.media import MediumName, draw_medium, simulate
from despoof.errors import InputError
from despoof.runs.folder import atomic_path, write_text
from despoof.runs.progress import track

DOMAIN = "simulated"  # of every sample here, so that no study takes one for a real capture
MEDIA: tuple[MediumName, ...] = ("ideal", "ideal", "print", "replay")  # in turn: as many live as attacks
EVERY: tuple[MediumName, ...] = ("ideal", "print", "replay")
QUALITY = 92  # of JPEG, the same for live and attack
QUALITIES = (60, 96)  # of recaptures: lowest, and one above the highest
RECAPTURED = "-simulated"  # follows the name of the domain whose live captures were shown
FIRST = 10_000  # seed of the first recapture, beyond those of portraits


def is_simulated(domain: str) -> bool:
    """Say whether samples of a domain were made here."""
    return domain == DOMAIN or domain.endswith(RECAPTURED)


class _Job(NamedTuple):
    source: Path
    path: Path
    seed: int
    medium: MediumName
    quality: int


def write_captures(portraits: list[Sample], root: str | Path, out: str | Path, *, workers: int = 2) -> Path:
    """Write one capture of each portrait below `root` and labels.csv; return the latter's path.

    The portrait's number is its seed, so a run that was cut short goes on to the same bytes.
    """
    out, root = Path(out), Path(root)
    jobs, rows = [], []
    for i, portrait in enumerate(portraits):
        job = _Job(root / portrait.path, out / f"images/{i:05}.jpg", i, MEDIA[i % len(MEDIA)], QUALITY)
        jobs.append(job)
        rows.append(_row(portrait, job, out, DOMAIN))
    return _write(jobs, rows, out, workers)


def write_recaptures(live: list[Sample], root: str | Path, out: str | Path, *, workers: int = 2) -> Path:
    """Write three captures of each live capture, one per medium of `EVERY`, and labels.csv; return its path.

    Each stands in the domain of its origin with `RECAPTURED` behind its name, under the same subject: an attack of the
    same person from the same camera, then shown to another one, as is the live one beside it. Captures too small to
    be shown (below 32 px) are left out.
    """
    out, root = Path(out), Path(root)
    jobs, rows = [], []
    for i, sample in enumerate(live):
        for k, medium in enumerate(EVERY):
            seed = FIRST + len(EVERY) * i + k
            quality = int(np.random.default_rng(seed).integers(*QUALITIES))
            job = _Job(root / sample.path, out / f"images/{seed:06}.jpg", seed, medium, quality)
            jobs.append(job)
            rows.append(_row(sample, job, out, sample.domain + RECAPTURED))
    return _write(jobs, rows, out, workers)


def _row(origin: Sample, job: _Job, out: Path, domain: str) -> Sample:
    label, species = (Label.LIVE, "none") if job.medium == "ideal" else (Label.ATTACK, f"simulated_{job.medium}")
    return replace(origin, path=job.path.relative_to(out).as_posix(), label=label, attack_type=species, domain=domain)


def _write(jobs: list[_Job], rows: list[Sample], out: Path, workers: int) -> Path:
    rest = [job for job in jobs if not job.path.exists()]
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for _ in track(pool.map(_write_one, rest, chunksize=16), "simulate captures", len(rest)):
            pass
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    table.writerows(row.as_row() for row, job in zip(rows, jobs, strict=True) if job.path.exists())
    write_text(out / "labels.csv", text.getvalue())
    return out / "labels.csv"


def _write_one(job: _Job) -> None:
    try:
        portrait = read_image(job.source)
    except InputError:
        return  # too small or unreadable; preparing the originals says so of each
    image = simulate(portrait, draw_medium(job.medium, job.seed), job.seed).image
    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, job.quality])[1]
    with atomic_path(job.path) as temporary:
        temporary.write_bytes(data.tobytes())
