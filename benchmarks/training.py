"""Faces a second of the two trainers in one and two processes, and the memory that reading a set takes.

    python benchmarks/training.py --steps 20 --sizes 500 2000

Each process has one thread. A rate is the global batch times the steps after the third, over their seconds by the run's
own log. Efficiency is the rate of two over twice that of one, on whatever else the machine does meanwhile. Memory is
the peak of what a process has beyond mapped files (RssAnon), less what it had before: of sets of two sizes, held in
memory or mapped from a scratch folder, read from a store or from its shards. Faces are plain colours, networks random.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

GATHER = """
import sys, threading, time
from pathlib import Path
from dataclasses import replace
from despoof.detector.batches import gather, gathered_hash
from despoof.detector.config import TEXTURE
from despoof.faces.store import Store
from despoof.runs.processes import open_processes

def anonymous():
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

store, scratch = Store(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
open_processes()
config, seen, ended = replace(TEXTURE, insertion="none", branches=("near",)), [anonymous()], threading.Event()
def watch():
    while not ended.wait(0.02):
        seen.append(anonymous())
thread = threading.Thread(target=watch)
thread.start()
gathered = gather(store, store.rows, config, None, scratch)
gathered_hash(gathered)
ended.set()
thread.join()
print(max(seen) - seen[0], len(store.rows))
"""


def make_store(root: Path, count: int) -> Path:
    """Write a store of plain faces: live and attack, two domains."""
    import numpy as np

    from despoof.data.sample import Label, Sample
    from despoof.faces.store import Store, StoredSample

    store = Store(root, about={"version": 3})
    for number in range(count):
        colour = np.random.default_rng(number).integers(0, 256, 3, np.uint8)
        sample = Sample(
            f"{number}.png", Label.LIVE if number % 2 else Label.ATTACK, domain="ab"[number // 2 % 2],
            subject=f"s{number // 4}",
        )  # fmt: skip
        face, around = np.full((256, 256, 3), colour), np.full((2, 160, 160, 3), colour)
        store.add(StoredSample(sample, "face"), face, around)
    return root


def make_parts(folder: Path) -> list[Path]:
    """Write an autoencoder and an identity encoder of the preset small, of random weights."""
    import torch

    from despoof.generator.autoencoders import Autoencoder
    from despoof.generator.config import SMALL
    from despoof.generator.identity import IdentityEncoder
    from despoof.runs.checkpoint import save_artefact
    from despoof.runs.config import to_dict

    torch.manual_seed(0)
    made = {"autoencoder": Autoencoder(SMALL.autoencoder), "identity": IdentityEncoder(SMALL.identity)}
    for kind, network in made.items():
        save_artefact(folder / f"{kind}.safetensors", kind, to_dict(SMALL), network.state_dict())
    return [folder / f"{kind}.safetensors" for kind in made]


def rate(words: list[object], run: Path, processes: int, batch: int) -> float:
    """Return the faces a second of a training in so many processes, by the log of its run."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "despoof", *map(str, words)]
    done = subprocess.run(
        command, env={**os.environ, "ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    first, last = lines[2], lines[-1]
    return batch * (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])


def memory(store: Path, *scratch: Path) -> float:
    """Return the MB that reading a whole set takes at its peak, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", GATHER, str(store), *map(str, scratch)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[0])


def main(steps: int, sizes: list[int], root: Path) -> None:
    """Print both tables."""
    store, parts = make_store(root / "few", 128), make_parts(root)
    common = ("--threads", 1, "--training.steps", steps)
    trainers = {
        "detector, preset texture": ("detector", store, "none"),
        "generator, preset small": ("generator", store),
    }
    print("| trainer | batch | 1 process | 2 processes | efficiency |\n| --- | --- | --- | --- | --- |")
    for name, (kind, *given) in trainers.items():
        found = []
        for processes in (1, 2):
            run = root / f"{kind}-{processes}"
            more = parts if kind == "generator" else []
            own = ["--training.log-every", 1] if kind == "generator" else ["--network.insertion", "none"]
            found.append(rate(["train", kind, *given, run, *more, *common, *own], run, processes, 32))
        one, two = found
        print(f"| {name} | 32 | {one:.1f} faces/s | {two:.1f} faces/s | {two / one / 2:.2f} |", flush=True)
    from despoof.faces.shards import write_shards
    from despoof.faces.store import Store

    print(f"\n| MB for a set of | {' | '.join(map(str, sizes))} |\n| --- |{' --- |' * len(sizes)}")
    stores = [make_store(root / f"store-{size}", size) for size in sizes]
    shards = [write_shards(Store(each), root / f"shards-{each.name}") for each in stores]
    for name, kept, scratch in (("store, in memory", stores, []), ("store, mapped", stores, [root / "scratch"]),
                                ("shards, mapped", shards, [root / "scratch-of-shards"])):  # fmt: skip
        print(f"| {name} | {' | '.join(f'{memory(each, *scratch):.0f}' for each in kept)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        main(given.steps, given.sizes, Path(folder))
