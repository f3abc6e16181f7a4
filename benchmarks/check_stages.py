"""Time of one check by stage, and of the MiniFASNet pair doing the same work: image in memory -> score.

    python benchmarks/check_stages.py [--peers FOLDER] [--runs 30] [--threads 2] [--engine auto]

Both sides are given the same decoded image, once with the same found face and once with detection, in turn, run by
run, so that a machine whose speed drifts slows both alike. Medians. The peer always runs on one thread of ONNX Runtime
(more do not pay at its size); `--threads` are of despoof.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Print the median milliseconds of each stage and the ratios to the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="folder with the MiniFASNet ONNX files")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", default="auto", help="auto, onnx, openvino or torch")
    options = parser.parse_args()

    from skimage.data import astronaut

    import despoof
    from despoof.faces.detect import find_faces
    from despoof.faces.scene import look

    guard, image = despoof.load(engine=options.engine, threads=options.threads), astronaut()
    found, scene = find_faces(image), look(image)
    stages: dict[str, list[float]] = {}

    def check() -> None:
        for stage, value in guard.check(image).milliseconds.items():
            stages.setdefault(stage, []).append(value)

    works: dict[str, Callable[[], object]] = {
        "despoof, whole": check,
        "despoof, after detection": lambda: guard.check_faces(scene),
    }
    if options.peers:
        from despoof.evaluation.baselines import peer_liveness

        peer = peer_liveness("minifasnet", options.peers)
        works["MiniFASNet pair, whole"] = lambda: peer(image, find_faces(image)[0])
        works["MiniFASNet pair, after detection"] = lambda: peer(image, found[0])
    medians = _timed(works, options.runs, stages)
    print(f"{image.shape[1]}x{image.shape[0]} image, {options.threads} threads, median of {options.runs} runs")
    for stage, values in stages.items():
        print(f"  {stage:32} {statistics.median(values):8.2f} ms")
    for name, value in medians.items():
        print(f"{name:34} {value:8.2f} ms")
    for part in ("whole", "after detection"):
        if options.peers:
            print(f"ratio, {part}: {medians[f'despoof, {part}'] / medians[f'MiniFASNet pair, {part}']:.1f}")


def _timed(works: dict[str, Callable[[], object]], runs: int, stages: dict[str, list[float]]) -> dict[str, float]:
    """Return the median milliseconds of each work, all run in turn, after three rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 3):
        if run == 3:
            stages.clear()
            times = {name: [] for name in works}
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - begun) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
