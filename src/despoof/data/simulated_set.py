"""A data set of simulated captures: portraits -> images and labels.csv. A domain to learn from, not to measure on."""

import csv
import io
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from despoof.data.image import read_image
from despoof.data.sample import Label, Sample
from despoof.data.simulation import MediumName, draw_medium, simulate
from despoof.data.source import COLUMNS
from despoof.runs.folder import atomic_path, write_text
from despoof.runs.progress import track

DOMAIN = "simulated"  # of every sample here, so that no study takes one for a real capture
MEDIA: tuple[MediumName, ...] = ("ideal", "ideal", "print", "replay")  # in turn: as many live as attacks
QUALITY = 92  # of JPEG, the same for live and attack


def write_captures(portraits: list[Sample], root: str | Path, out: str | Path, *, workers: int = 2) -> Path:
    """Write one capture of each portrait below `root` and labels.csv; return the latter's path.

    The portrait's number is its seed, so a run that was cut short goes on to the same bytes.
    """
    out = Path(out)
    jobs = [(Path(root) / portrait.path, out / f"images/{i:05}.jpg", i) for i, portrait in enumerate(portraits)]
    rest = [job for job in jobs if not job[1].exists()]
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for _ in track(pool.map(_write_one, rest, chunksize=16), "simulate captures", len(rest)):
            pass
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    for portrait, (_, path, i) in zip(portraits, jobs, strict=True):
        medium = MEDIA[i % len(MEDIA)]
        label, species = (Label.LIVE, "none") if medium == "ideal" else (Label.ATTACK, f"simulated_{medium}")
        name = path.relative_to(out).as_posix()
        table.writerow(replace(portrait, path=name, label=label, attack_type=species, domain=DOMAIN).as_row())
    write_text(out / "labels.csv", text.getvalue())
    return out / "labels.csv"


def _write_one(job: tuple[Path, Path, int]) -> None:
    source, path, seed = job
    image = simulate(read_image(source), draw_medium(MEDIA[seed % len(MEDIA)], seed), seed).image
    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
