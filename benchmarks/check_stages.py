"""Time of one `check` by stage on two threads, as a ratio to the MiniFASNet pair in the same run.

    python benchmarks/check_stages.py [--peers FOLDER] [--runs 30]

Stages and peer are timed in turn, run by run, so that a machine whose speed drifts slows both alike. Medians.
"""

import argparse
import statistics
import time
from pathlib import Path


def main() -> None:
    """Print the median milliseconds of each stage and the ratio of the whole to the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="folder with the MiniFASNet ONNX files")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    import torch
    from skimage.data import astronaut

    import despoof

    torch.set_num_threads(options.threads)
    guard, image = despoof.load("small", engine="torch"), astronaut()
    peer = _peer(options.peers, image) if options.peers else None
    for _ in range(3):
        guard.check(image)
    laps: dict[str, list[float]] = {}
    peer_times: list[float] = []
    for _ in range(options.runs):
        for stage, value in guard.check(image).milliseconds.items():
            laps.setdefault(stage, []).append(value)
        if peer is not None:
            begun = time.perf_counter()
            peer()
            peer_times.append((time.perf_counter() - begun) * 1e3)
    medians = {stage: statistics.median(values) for stage, values in laps.items()}
    whole = sum(medians.values())
    print(f"{image.shape[1]}x{image.shape[0]} image, {options.threads} threads, median of {options.runs} runs")
    for stage, value in medians.items():
        print(f"{stage:16} {value:8.2f} ms  {value / whole:5.1%}")
    print(f"{'whole':16} {whole:8.2f} ms")
    if peer_times:
        middle = statistics.median(peer_times)
        after = whole - medians["decode image"] - medians["detect"]
        print(f"after detection: MiniFASNet pair {middle:.2f} ms, despoof {after:.2f} ms")
        print(f"ratio {after / middle:.1f}")


def _peer(folder: Path, image):  # type: ignore[no-untyped-def]
    import tempfile

    from PIL import Image

    from despoof.data.sample import Label, Sample
    from despoof.evaluation.baselines import minifasnet_pair
    from despoof.faces.detect import find_faces
    from despoof.faces.store import StoredSample

    found = find_faces(image)
    path = Path(tempfile.mkdtemp()) / "image.png"
    Image.fromarray(image).save(path)
    score = minifasnet_pair(folder / "MiniFASNetV2_27.onnx", folder / "MiniFASNetV1SE_40.onnx", find=lambda _: found)
    row = StoredSample(Sample("image.png", Label.LIVE), "face", str(path))
    return lambda: score([row])


if __name__ == "__main__":
    main()
