"""Time of one check by stage and beside its arithmetic, of the MiniFASNet pair doing the same work, and memory.

    python benchmarks/check_stages.py [--peers FOLDER] [--runs 30] [--threads 2] [--engine onnx]

Image in memory (640 x 480) -> score, with detection and with the same found face, all ways in turn within one run.
Medians. The pair always runs on one thread of ONNX Runtime (more do not pay at its size); `--threads` are of despoof.
The floor is the operations of the exported graphs over those that one large product or convolution, whichever is
faster, does in a second, measured in the same process on as many threads (the search has one thread, and its floor
too). Memory is the most that processes of their own held, as Linux counts it. Needs the extra `export`.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from floor import giga_a_second, giga_operations, interleaved
from PIL import Image

WARM = 3  # rounds before those that count
MANY = 16
LARGE = (4000, 3000)
HELD = {  # what a process does that judges
    "one check": "guard.check(sys.argv[3])",
    f"{MANY} checked together": f"guard.check_many([sys.argv[3]] * {MANY})",
    "one check with its picture": "guard.with_counterpart(guard.check(sys.argv[3]))",
    "one check of a 12 MP JPEG": "guard.check(sys.argv[4])",
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with the MiniFASNet ONNX files")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", default="onnx", help="onnx, openvino or torch")
    options = parser.parse_args()

    import despoof
    from despoof.data.portrait import portrait

    guard = despoof.load(engine=options.engine, threads=options.threads)
    image = np.pad(cv2.resize(portrait(), (480, 480)), ((0, 0), (80, 80), (0, 0)), mode="reflect")
    print(f"{image.shape[1]}x{image.shape[0]} image, engine {guard.engine_name}, {options.threads} threads, median of "
          f"{options.runs} runs; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    times = stages(guard, image, options.runs, options.peers)
    floors(guard, image, options.threads, times)
    together(guard, image, options.runs)
    photos(guard, options.runs)
    memory(options.engine, options.threads, image)


def stages(guard, image: np.ndarray, runs: int, peers: Path | None) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Print the median milliseconds of each stage and the ratios to the peer; return those of each way."""
    from despoof.faces.detect import find_faces
    from despoof.faces.scene import look

    found, scene, verdict = find_faces(image), look(image), guard.check(image)
    laps: dict[str, list[float]] = {}

    def check() -> None:
        for stage, value in guard.check(image).milliseconds.items():
            laps.setdefault(stage, []).append(value)

    ways: dict[str, Callable[[], object]] = {
        "whole": check,
        "after detection": lambda: guard.check_faces(scene),
        "face to liveness": judge_of(guard, verdict),
        "picture on demand": lambda: guard.with_counterpart(replace(verdict, counterpart=None)),
    }
    if peers:
        from despoof.evaluation.baselines import peer_liveness

        peer = peer_liveness("minifasnet", peers)
        ways["MiniFASNet pair, whole"] = lambda: peer(image, find_faces(image)[0])
        ways["MiniFASNet pair, after detection"] = lambda: peer(image, found[0])
    times = interleaved(ways, runs, WARM)
    for stage, values in laps.items():
        print(f"  {stage:32} {statistics.median(values[WARM:]):8.2f} ms")
    for name, value in times.items():
        print(f"{name:34} {value:8.2f} ms")
    for part in ("whole", "after detection"):
        if peers:
            print(f"ratio to the pair, {part}: {times[part] / times[f'MiniFASNet pair, {part}']:.1f}")
    return times


def judge_of(guard, verdict) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    """Return the engine's work alone on the face of a verdict."""
    from despoof.faces.align import as_image

    face = as_image(verdict.face)[None]
    around = None if verdict.surroundings is None else verdict.surroundings[None]
    return lambda: guard.engine.judge(face, around, lambda name: None)


def floors(guard, image: np.ndarray, threads: int, times: dict[str, float]) -> None:  # type: ignore[no-untyped-def]
    """Print the operations of judging and searching, the time they take at the speed of large ones, and the ratios."""
    from despoof.engine.by_onnx import JUDGE, folder_of
    from despoof.faces.align import as_image
    from despoof.faces.detect import as_input, retinaface_onnx, searched_at

    verdict = guard.check(image)
    scale = searched_at(image) / max(image.shape[:2])
    searched = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    given = {"face": as_image(verdict.face)[None]}
    if guard.engine.config.uses_surroundings:
        given["surroundings"] = verdict.surroundings[None]
    if guard.engine.config.uses_cue:
        given["cue"] = verdict.cue[None]
    work = {
        "judge": (giga_operations((folder_of("default") / JUDGE).read_bytes(), given), threads),
        "search": (giga_operations(retinaface_onnx(), {"input": as_input(searched)}), 1),
    }
    speeds = {count: giga_a_second(count) for count in sorted({1, threads})}
    for count, speed in speeds.items():
        told = ", ".join(f"a large {name} runs at {value:.0f} GFLOP/s" for name, value in speed.items())
        print(f"{count} threads: {told}")
    lowest = {name: giga / max(speeds[count].values()) * 1e3 for name, (giga, count) in work.items()}
    for name, (giga, _) in work.items():
        print(f"floor of {name}: {giga:.2f} GFLOP, {lowest[name]:.2f} ms")
    print(f"face to liveness {times['face to liveness'] / lowest['judge']:.1f} times its floor, "
          f"whole {times['whole'] / sum(lowest.values()):.1f} times both")  # fmt: skip


def together(guard, image: np.ndarray, runs: int) -> None:  # type: ignore[no-untyped-def]
    """Print milliseconds a face of many faces judged at once."""
    from despoof.faces.scene import look

    scene = look(image)
    crowd = replace(scene, faces=scene.faces * MANY)
    ways = {
        f"{MANY} images": lambda: guard.check_many([image] * MANY),
        f"{MANY} found faces": lambda: guard.check_faces(crowd),
    }
    for name, value in interleaved(ways, max(3, runs // 5), 1).items():
        print(f"{name:34} {value / MANY:8.2f} ms a face")


def photos(guard, runs: int) -> None:  # type: ignore[no-untyped-def]
    """Print what a large JPEG takes from its bytes, as `check` reads it and read whole."""
    from despoof.data.image import read_image

    data = large_jpeg()
    ways = {
        "12 MP JPEG": lambda: guard.check(data),
        "12 MP JPEG, read whole": lambda: guard.check(read_image(data)),
    }
    for name, value in interleaved(ways, max(3, runs // 5), 1).items():
        print(f"{name:34} {value:8.2f} ms, liveness {ways[name]().liveness:.4f}")


def large_jpeg() -> bytes:
    """Return the portrait as a photo of 12 megapixels."""
    from despoof.data.portrait import portrait

    file, (width, height) = io.BytesIO(), LARGE
    spare = (width - height) // 2
    square = cv2.resize(portrait(), (height, height), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(np.pad(square, ((0, 0), (spare, spare), (0, 0)), mode="reflect")).save(file, "JPEG", quality=92)
    return file.getvalue()


def memory(engine: str, threads: int, image: np.ndarray) -> None:
    """Print the most memory that a process held which does one thing and ends."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.png", Path(folder) / "large.jpg"
        Image.fromarray(image).save(small)
        large.write_bytes(large_jpeg())
        for name, act in HELD.items():
            code = (
                "import sys, despoof\nguard = despoof.load(engine=sys.argv[1], threads=int(sys.argv[2]))\n"
                f"{act}\nprint(open('/proc/self/status').read())"
            )
            told = subprocess.run(
                [sys.executable, "-c", code, engine, str(threads), small, large],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            most = next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM"))
            print(f"memory, {name:26} {most / 1024:8.0f} MiB")


if __name__ == "__main__":
    main()
