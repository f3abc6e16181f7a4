"""Face to liveness after detection, and face to pictures: torch, ONNX Runtime, OpenVINO, in turn within one run.
Medians.

    python benchmarks/engines.py [--weights default] [--paper] [--threads 2] [--runs 40]

Also the share of each stage in torch, the arithmetic floor (operations over the speed of a large product or
convolution, see floor.py) and, with --paper, one call of the published U-Net on random weights; its 41 calls are
extrapolated, and said so.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from floor import giga_a_second, giga_operations, interleaved

NAMES = ("torch", "onnx", "openvino", "openvino/bfloat16")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=40)
    options = parser.parse_args()

    import torch

    from despoof.engine.by_onnx import JUDGE, folder_of
    from despoof.engine.choose import open_engine
    from despoof.engine.export import trial_inputs
    from despoof.engine.graph import JudgeGraph

    engines = {name: open_engine(options.weights, name, threads=options.threads) for name in NAMES}
    whole = JudgeGraph(engines["torch"].detector).eval()
    for batch in (1, 16):
        given, runs = trial_inputs(whole, batch), options.runs if batch == 1 else 10
        inputs = given["face"], given.get("surroundings")
        exact = engines["torch"].judge(*inputs, _no_lap).liveness
        works: dict[str, Callable] = {
            "judge": lambda e, given=inputs: e.judge(*given, _no_lap),
            "explain": lambda e, given=inputs: e.explain(given[0]),
        }
        for what, work in works.items():
            ways = {name: partial(work, e) for name, e in engines.items()}
            times = interleaved(ways, runs)
            print(f"\n{what}, batch {batch}, {options.threads} threads, median of {runs}")
            for name, value in times.items():
                off = float(np.abs(engines[name].judge(*inputs, _no_lap).liveness - exact).max())
                print(f"{name:20} {value:8.2f} ms  {value / batch:7.2f} a face  liveness differs by {off:.1e}")
            if batch == 1 and what == "judge":
                fastest = min(times.values())
                giga = giga_operations((folder_of(options.weights) / JUDGE).read_bytes(), given)
                peak = max(giga_a_second(options.threads).values())
                print(f"{giga:.2f} GFLOP a face; a large product or convolution runs at {peak:.0f} GFLOP/s in ONNX "
                      f"Runtime: floor {giga / peak * 1e3:.1f} ms, the fastest takes {fastest:.1f}")  # fmt: skip
    stages(engines["torch"], trial_inputs(whole, 1), options.runs)
    if options.paper:
        with torch.inference_mode():
            paper(fastest)


def stages(engine, given, runs: int) -> None:  # type: ignore[no-untyped-def]
    """Print the share of each stage in torch."""
    import torch

    from despoof.faces.align import scaled

    laps: dict[str, list[float]] = {}
    inputs = scaled(torch.from_numpy(given["face"])), given["face"], given.get("surroundings")
    for _ in range(runs):
        last = time.perf_counter()

        def lap(name: str) -> None:
            nonlocal last
            now = time.perf_counter()
            laps.setdefault(name, []).append((now - last) * 1e3)
            last = now

        if engine.generator is not None and not engine.config.uses_cue:
            engine.generator.counterpart(inputs[0], lap=lap)
        engine.judge(*inputs[1:], lap)
    print("\nstages in torch:", ", ".join(f"{name} {statistics.median(v):.1f} ms" for name, v in laps.items()))


def _no_lap(name: str) -> None:
    pass


def paper(fastest: float) -> None:
    """Print one call of the published U-Net, and 41 of them against the fastest way above."""
    import torch

    from despoof.generator.config import PAPER
    from despoof.generator.diffusion import build_denoiser

    unet = build_denoiser(PAPER).eval()
    x, tokens = torch.randn(1, 4, 32, 32), torch.randn(1, 49, 768)
    call = interleaved({"call": lambda: unet(x, 801, encoder_hidden_states=tokens)}, 3)["call"]
    print(f"\npublished U-Net: {call:.0f} ms a call; 41 calls, extrapolated: {call * 41 / 1e3:.0f} s, "
          f"{call * 41 / fastest:.0f} times the fastest way from face to liveness")  # fmt: skip


if __name__ == "__main__":
    main()
