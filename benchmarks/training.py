"""Faces a second of the two trainers in one and two processes, and the memory that a set and a denoiser take.

    python benchmarks/training.py --steps 20 --sizes 500 2000 --preset base

Each process has one thread. A rate is the global batch times the steps after the third, over their seconds by the run's
own log. Efficiency is the rate of two over twice that of one, on whatever else the machine does meanwhile. Memory is
the peak of what a process has beyond mapped files (RssAnon), less what it had before: of sets of two sizes, held in
memory or mapped from a scratch folder, read from a store or from its shards. Faces are plain colours, networks random.
Of a denoiser's training by AdamW: what each of two processes holds from step to step, with and without FSDP.
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

HELD = """
import sys, tempfile, torch
from despoof.generator.config import PRESETS, DenoiserTraining
from despoof.generator.diffusion import build_denoiser
from despoof.generator.training.trainer import Trainer
from despoof.runs.identity import Identity
from despoof.runs.processes import open_processes

def held(tensors):
    local = [each.to_local() if hasattr(each, "to_local") else each for each in tensors]
    return sum(each.numel() * each.element_size() for each in local) / 1e6

config = PRESETS[sys.argv[1]]
training = DenoiserTraining(steps=2, batch=2, precision="no", fsdp=sys.argv[2] == "fsdp")
trainer = Trainer(build_denoiser(config), training, sys.argv[3], Identity("benchmark"), fsdp=training.fsdp)
noised = torch.randn(2, config.autoencoder.latent_channels, config.face_size // 8, config.face_size // 8)
tokens = torch.randn(2, 49, trainer.network.config.cross_attention_dim)
def loss(network, part):
    return {"loss": network(noised[part], 5, encoder_hidden_states=tokens[part]).sample.square().mean()}
trainer.step(loss)
parameters, states = list(trainer.network.parameters()), trainer.optimiser.state.values()
sums = [held(parameters), held([each.grad for each in parameters])]
sums += [held(each[name] for each in states for name in ("exp_avg", "exp_avg_sq")), held(trainer.average.parameters())]
if trainer.processes.is_main_process:
    print(*sums)
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


def held(preset: str, how: str, processes: int, folder: Path) -> list[float]:
    """Return the MB of parameters, gradients, moments and running mean in the first of so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    script = folder / "held.py"
    script.write_text(HELD)
    done = subprocess.run(
        [sys.executable, *launcher, str(script), preset, how, str(folder / f"{how}-{processes}")],
        env={**os.environ, "ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return [float(each) for each in done.stdout.split()]


def main(steps: int, sizes: list[int], preset: str, root: Path) -> None:
    """Print the tables."""
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
    print(f"\n| MB a process, preset {preset} | parameters | gradients | moments | running mean | sum |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, how, processes in (("1", "whole", 1), ("2", "whole", 2), ("2, FSDP", "fsdp", 2)):
        found = held(preset, how, processes, root)
        print(f"| {name} | {' | '.join(f'{each:.1f}' for each in [*found, sum(found)])} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--preset", default="base", help="of the generator, whose denoiser's memory is measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        main(given.steps, given.sizes, given.preset, Path(folder))
