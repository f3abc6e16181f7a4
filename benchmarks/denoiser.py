"""What each process of a denoiser's training holds and how long it computes: of one, of two, of two with FSDP.

    python benchmarks/denoiser.py --preset small --batch 32 --steps 12

MB are counted over the tensors that stay from step to step. Milliseconds are of the processor, so that other work on
the machine takes nothing away: the median of the steps after the third, one thread, faces and weights random. Share is
the time of one process over twice that of each of two: what two reach of twice the rate of one, as far as computing
goes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")


def work(preset: str, batch: int, steps: int, fsdp: bool, folder: Path) -> list[float]:
    """Train in this process, of as many as there are; return its MB of each kind and milliseconds a step."""
    import time
    from statistics import median

    import torch

    from despoof.generator.config import PRESETS, DenoiserTraining
    from despoof.generator.diffusion import build_denoiser
    from despoof.generator.training.trainer import Trainer
    from despoof.runs.identity import Identity

    torch.set_num_threads(1)
    config, training = PRESETS[preset], DenoiserTraining(steps, batch=batch, fsdp=fsdp)
    trainer = Trainer(build_denoiser(config), training, folder, Identity("benchmark"), fsdp=fsdp)
    side = config.face_size // 8
    noised = torch.randn(batch, config.autoencoder.latent_channels, side, side)
    tokens = torch.randn(batch, 49, trainer.network.config.cross_attention_dim)

    def loss(network: torch.nn.Module, part: torch.Tensor) -> dict[str, torch.Tensor]:
        with trainer.autocast():
            made = network(noised[part], 5, encoder_hidden_states=tokens[part]).sample
        return {"loss": made.float().square().mean()}

    took = []
    for _ in range(steps):
        begin = time.process_time()
        trainer.step(loss)
        took.append(1e3 * (time.process_time() - begin))
    parameters, states = list(trainer.network.parameters()), trainer.optimiser.state.values()
    moments = [each[name] for each in states for name in ("exp_avg", "exp_avg_sq")]
    kinds = parameters, [each.grad for each in parameters], moments, list(trainer.average.parameters())
    return [*map(megabytes, kinds), median(took[3:])]


def megabytes(tensors: list) -> float:
    """Return what of the tensors lies in this process."""
    here = [each.to_local() if hasattr(each, "to_local") else each for each in tensors]
    return sum(each.numel() * each.element_size() for each in here) / 1e6


def main(preset: str, batch: int, steps: int) -> None:
    """Print the table."""
    print(f"| preset {preset}, batch {batch} | parameters, MB | gradients | moments | mean | sum | ms a step | share |")
    print("| --- |" + " --- |" * 7)
    alone = 0.0
    for name, processes, more in (("1 process", 1, []), ("each of 2", 2, []), ("each of 2, FSDP", 2, ["--fsdp"])):
        with tempfile.TemporaryDirectory() as folder:
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
            given = ["--preset", preset, "--batch", str(batch), "--steps", str(steps), "--folder", folder, *more]
            done = subprocess.run(
                [sys.executable, *launcher, __file__, *given], env={**os.environ, "ACCELERATE_USE_CPU": "true"},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        *held, took = map(float, done.stdout.split())
        alone = alone or took
        cells = [f"{each:.1f}" for each in (*held, sum(held))] + [f"{took:.0f}", f"{alone / took / processes:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--fsdp", action="store_true", help="of one of the processes that this starts")
    parser.add_argument("--folder", type=Path, help="of one of the processes that this starts")
    given = parser.parse_args()
    if given.folder is None:
        main(given.preset, given.batch, given.steps)
    else:
        found = work(given.preset, given.batch, given.steps, given.fsdp, given.folder)
        if not int(os.environ["RANK"]):
            print(*found)
