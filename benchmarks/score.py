"""Batch scoring against a plain loop of `guard.check` and against ProcessPoolExecutor around it; memory and overhead of
a job of many rows.

    python benchmarks/score.py [--images 320] [--rounds 3] [--workers 2] [--rows 100000] [--pools local ray]

Rates begin when every worker has judged once and end with the last row on disk, ways in turn, medians over rounds.
Efficiency is the rate of N workers over N times that of one in the same way; beside it what this machine gives N plain
processes at once, the most that any pool could reach. Pictures are the portrait of the package in seeded poses.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

SIDE = 480  # px of a picture


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pools", nargs="*", default=["local", "ray"])
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)  # what a process of its own runs, see `memory`
    options = parser.parse_args()
    if options.images < 16 * options.workers:
        parser.error("--images: expected at least 16 for each worker, so that each gets some")
    if options.job:
        synthetic(Path(options.job[0]), int(options.job[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        memory(Path(folder), options.rows)  # first, for a process inherits the peak of the one that started it
        rates(Path(folder), options)
        sizes(Path(folder))


def rates(folder: Path, options: argparse.Namespace) -> None:
    """Print images a second of each way."""
    os.environ["PYTHONPATH"] = os.pathsep.join(each for each in (str(Path(__file__).parent), *sys.path) if each)
    (folder / "in").mkdir()
    pictures(folder / "in", options.images)
    ways: dict[tuple[str, int], Callable[[Path], float]] = {("loop of check", 1): loop}
    for workers in sorted({1, options.workers}):
        ways["plain processes", workers] = partial(executor, workers=workers)
        for pool in options.pools:
            ways[f"score --pool {pool}", workers] = partial(job, pool=pool, workers=workers)
    ray = start_ray(options.workers) if "ray" in options.pools else None
    found: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, rate in ways.items():
            found[way].append(rate(folder))
    if ray:
        ray.shutdown()
    print(f"\n{options.images} pictures of {SIDE} px, median of {options.rounds}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'':24} workers  images/s  (lowest, highest)  of a loop  efficiency")
    for (name, workers), values in found.items():
        rate, alone = statistics.median(values), statistics.median(found[name, 1])
        of_loop = rate / statistics.median(found["loop of check", 1])
        print(f"{name:24} {workers:7d}  {rate:8.2f}  ({min(values):.2f}, {max(values):.2f})  {of_loop:9.2f}  "
              f"{rate / alone / workers:10.2f}")  # fmt: skip


def pictures(folder: Path, count: int) -> None:
    """Write the portrait in seeded poses and light."""
    import cv2
    import numpy as np
    from PIL import Image

    from despoof.data.portrait import portrait

    whole = portrait()
    for number in range(count):
        rng = np.random.default_rng(number)
        turn = cv2.getRotationMatrix2D((whole.shape[1] / 2, whole.shape[0] / 2), rng.uniform(-8, 8), 1.0)
        moved = cv2.warpAffine(whole, turn, whole.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
        lit = 255 * (moved / 255.0) ** rng.uniform(0.8, 1.3)
        picture = Image.fromarray(lit.clip(0, 255).astype(np.uint8))
        picture.resize((SIDE, SIDE * picture.height // picture.width)).save(folder / f"{number:04d}.jpg", quality=92)


def start_ray(workers: int):  # type: ignore[no-untyped-def]
    """Return ray, started once, so that no job waits for it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(address="local", num_cpus=workers, include_dashboard=False, object_store_memory=100 * 2**20,
             log_to_driver=False, logging_level="error")  # fmt: skip
    return ray


def loop(folder: Path) -> float:
    """Images a second of `check`, one after the other, in this process."""
    from despoof.batch.judging import How

    guard = How().guard()
    files = sorted((folder / "in").iterdir())
    guard.check(files[0])
    begun = time.perf_counter()
    for file in files:
        guard.check(file)
    return len(files) / (time.perf_counter() - begun)


def executor(folder: Path, workers: int) -> float:
    """Images a second of `check` in processes of the standard library."""
    files = sorted((folder / "in").iterdir())
    marks = Path(tempfile.mkdtemp(dir=folder))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(checked, marks, workers), files, chunksize=4))
        return len(files) / (time.time() - ready(marks))


def checked(marks: Path, workers: int, file: Path) -> str:
    """Judge one file in a worker that waits for the others to be ready."""
    import cv2

    from despoof.batch.judging import How

    cv2.setNumThreads(1)
    wait_for_all(marks, workers, How())
    return How().guard().check(file).decision.value


def job(folder: Path, pool: str, workers: int) -> float:
    """Images a second of `despoof score`."""
    from despoof.batch.job import score
    from despoof.batch.manifest import Listing
    from despoof.runs.pool import Pool

    out = Path(tempfile.mkdtemp(dir=folder))
    marks = out / "marks"
    marks.mkdir()
    judging = partial(judged, marks, workers)
    found = score(Listing(str(folder / "in")), out, pool=Pool(pool, workers=workers), judging=judging)
    assert not found["errors"]["rows"], found
    last = max(path.stat().st_mtime for path in (out / "shards").iterdir())
    return found["rows"] / (last - ready(marks))


def judged(marks: Path, workers: int, how, wanted, rows):  # type: ignore[no-untyped-def]
    """Judge rows in a worker that waits for the others to be ready."""
    from despoof.batch.judging import judge

    wait_for_all(marks, workers, how)
    return judge(how, wanted, rows)


def wait_for_all(marks: Path, workers: int, how) -> None:  # type: ignore[no-untyped-def]
    """Judge something, say so, and wait until all workers have; one that comes later does not wait."""
    from despoof.data.portrait import portrait

    mark = marks / str(os.getpid())
    if not mark.exists():
        how.guard().check(portrait())
        mark.touch()
        while len(list(marks.iterdir())) < workers:
            time.sleep(0.005)


def ready(marks: Path) -> float:
    """Return when the last worker was ready."""
    return max(path.stat().st_mtime for path in marks.iterdir())


def sizes(folder: Path, count: int = 8, rounds: int = 5) -> None:
    """Print what a worker takes for a photo as JPEG of each size, in processor time, which others do not change."""
    from PIL import Image

    from despoof.batch.judging import How, identity_of, judge
    from despoof.batch.shards import Row
    from despoof.data.portrait import portrait

    wanted = json.dumps(identity_of(How().guard(), "cpu").as_dict())
    print(f"\nprocessor time of a photo, median of {rounds} times {count}")
    for side in (480, 1440, 3000):
        path = folder / f"{side}.jpg"
        Image.fromarray(portrait()).resize((side, side * 4 // 3), Image.Resampling.LANCZOS).save(path, quality=92)
        rows, times = tuple(Row(f"{number}", str(path)) for number in range(count)), []
        for _ in range(rounds):
            begun = time.process_time()
            judge(How(), wanted, rows)
            times.append((time.process_time() - begun) / count * 1e3)
        print(f"{side} x {side * 4 // 3}, {path.stat().st_size / 1e3:.0f} kB: {statistics.median(times):.1f} ms "
              f"({min(times):.1f}, {max(times):.1f})")  # fmt: skip


def memory(folder: Path, rows: int) -> None:
    """Print peak memory, time and bytes a row of jobs in which nothing is judged, of few rows and of many."""
    print("of the process that shares out the work, in processor time")
    print(f"{'rows':>9}  peak memory, MB  us a row  of these its plan  shards, bytes a row")
    for count in (rows // 10, rows, 4 * rows):
        done = subprocess.run(
            [sys.executable, __file__, "--job", str(folder), str(count)], capture_output=True, text=True, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        print(f"{count:9d}  {told['peak']:15.0f}  {told['own']:8.1f}  {told['plan']:17.1f}  {told['bytes']:19.1f}")


def synthetic(folder: Path, count: int) -> None:
    """Run a job of `count` rows in which nothing is judged, in this process, and print what it took as JSON."""
    from despoof.batch.job import score
    from despoof.batch.judging import How
    from despoof.batch.manifest import Listing
    from despoof.batch.plan import Plan
    from despoof.runs.pool import Pool

    work = 0.0  # seconds that are a worker's

    class Here(Pool):
        def outcomes(self, function, items):  # type: ignore[no-untyped-def]
            nonlocal work
            for item in items:
                begun = time.process_time()
                found = function(item)
                work += time.process_time() - begun
                yield item, found

    with (folder / f"{count}.csv").open("w") as file:
        file.write("path\n")
        file.writelines(f"faces/of/some/day/{i:08d}.jpg\n" for i in range(count))
    listing, out = Listing(str(folder / f"{count}.csv")), folder / f"out-{count}"
    How().guard()
    begun = time.process_time()
    score(listing, out, pool=Here(), judging=stub)
    own = time.process_time() - begun - work
    begun = time.process_time()
    Plan(listing, [], folder).close()
    plan = time.process_time() - begun
    size = sum(path.stat().st_size for path in (out / "shards").iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"peak": peak, "own": own / count * 1e6, "plan": plan / count * 1e6, "bytes": size / count}
    print(json.dumps(told))


def stub(how, wanted, rows):  # type: ignore[no-untyped-def]
    """Say something of each row that compresses as little as what is judged."""
    from despoof.batch.shards import QUALITY, table
    from despoof.runs.seed import item_rng

    stages = ("read", "decode image", "detect", "align and gate", "detector")
    found = []
    for row, numbers in zip(rows, item_rng(rows[0].id).random((len(rows), 11)).tolist(), strict=True):
        found.append((row, {
            "decision": ("LIVE", "ATTACK", "UNCERTAIN")[int(3 * numbers[0])], "liveness": numbers[0], "reasons": [],
            "quality": dict(zip(QUALITY, (round(100 * each, 4) for each in numbers[1:6]), strict=True)),
            "milliseconds": dict(zip(stages, (50 * each for each in numbers[6:]), strict=True)),
        }))  # fmt: skip
    return table(found)


if __name__ == "__main__":
    main()
