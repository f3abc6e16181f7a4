"""Kill commands at random moments, run them again until they are done, and compare what is left with an unbroken run.

    python benchmarks/kills.py --kills 100            # of all commands, in turn
    python benchmarks/kills.py --kills 20 --only "train detector"

Of two kills one comes at a random time of the run, and one right before a random call that opens for writing, renames,
makes or removes a file of the run, which hits the narrow places that a clock seldom does. Each command runs in a fork
of this process, which has imported everything and computed nothing. Files are compared byte for byte, but for what
tells times (`seconds`, `faces_per_second` and `of_floor` in logs, TensorBoard's files) and half-written files where
several may write at once, which are removed when they are an hour old. Exit status 1 if anything differs.

Faces are of one portrait of the public domain; networks are tiny.
"""

import argparse
import json
import multiprocessing
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

TIMES = {"seconds", "faces_per_second", "of_floor"}
WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link"}
MOST = 3  # kills of one run, which is then let end
PATIENCE = 300  # seconds until a run counts as hanging
ENDED, FAILED = "ended", "failed"


class Command(NamedTuple):
    """What is killed: its name, what it needs in its folder, and its arguments there."""

    name: str
    given: tuple[str, ...]  # folders of an unbroken way that are copied before it runs
    arguments: tuple[str, ...]


TRAIN = ("--preset", "tiny", "--threads", "1")
SAVES = ("--training.save-every", "2", "--training.log-every", "3", "--training.batch", "4")
COMMANDS = (
    Command("prepare", ("captures",), ("captures/labels.csv", "store", "--workers", "1")),
    Command("reconstruct", ("captures", "store", "parts"), ("store", "parts/generator.safetensors", "--threads", "1")),
    Command(
        "train autoencoder", ("captures", "store"),
        ("store", "ae", *TRAIN, "--training.steps", "12", *SAVES),
    ),
    Command(
        "train generator", ("captures", "store", "parts"),
        ("store", "dfg", "parts/autoencoder.safetensors", "parts/identity.safetensors", *TRAIN,
         "--training.steps", "12", *SAVES),
    ),
    Command(
        "train detector", ("captures", "store"),
        ("store", "none", "det", *TRAIN, "--network.insertion", "none", "--training.steps", "12",
         "--training.checkpoint-every", "2", "--training.evaluate-every", "4", "--members", "2",
         "--scratch", "scratch"),
    ),
    Command("data shards", ("captures", "store"), ("store", "shards", "--rows", "32")),
    Command("score", ("captures",), ("captures/labels.csv", "scored", "--workers", "1")),
    Command(
        "evaluate", ("captures", "store"),
        ("store", "scores", "--preset", "tiny", "--models", "none", "--models", "statistics", "--seeds", "0",
         "--cells", "to-c", "--training.steps", "4", "--training.checkpoint-every", "2"),
    ),
)  # fmt: skip


def make_captures(folder: Path, people: int = 4) -> None:
    """Write portraits of three domains, live and attack, and their labels."""
    import numpy as np
    from PIL import Image
    from skimage.data import astronaut

    folder.mkdir(parents=True)
    portrait, lines = astronaut()[:300, 80:380].astype(np.float32), ["path,label,attack_type,subject,domain"]
    for number in range(6 * people):
        attack, domain, rng = number % 2, "abc"[number // 2 % 3], np.random.default_rng(number)
        image = portrait * rng.uniform(0.8, 1.1, 3) * (0.8 if attack else 1) + rng.normal(0, 2, portrait.shape)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{'attack,print' if attack else 'live,none'},s{number // 6},{domain}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def make_parts(folder: Path) -> None:
    """Write an autoencoder, an identity encoder and a generator of random weights."""
    import torch

    from despoof.generator.autoencoders import Autoencoder
    from despoof.generator.config import TINY
    from despoof.generator.identity import IdentityEncoder
    from despoof.generator.registry import build_generator, save_generator
    from despoof.runs.checkpoint import save_artefact
    from despoof.runs.config import to_dict

    torch.manual_seed(0)
    for kind, network in (("autoencoder", Autoencoder(TINY.autoencoder)), ("identity", IdentityEncoder(TINY.identity))):
        save_artefact(folder / f"{kind}.safetensors", kind, to_dict(TINY), network.state_dict())
    save_generator(folder / "generator.safetensors", build_generator(TINY))


def make_inputs(whole: Path) -> None:
    """Write what commands are given: captures, their store, and a generator's parts; by forks, as all that works."""
    steps = (lambda: make_captures(whole / "captures"), lambda: make_parts(whole / "parts"))
    for step in steps:
        child = os.fork()
        if child == 0:
            step()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("the inputs could not be made")
    done = run(COMMANDS[0], whole)
    if done.end != ENDED:
        raise SystemExit(f"prepare {done.end}: {done.said}")


class Run(NamedTuple):
    """One process of a command: how it ended, after how long, how many calls wrote, and the end of what it said."""

    end: str
    seconds: float
    writes: int
    said: str


def run(command: Command, folder: Path, *, after: float | None = None, before: int | None = None) -> Run:
    """Run a command in a folder in a fork of this process, killed `after` seconds or `before` its n-th write."""
    counted = multiprocessing.get_context("fork").Value("l", 0, lock=False)
    said = folder.parent / "said.txt"
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        _be(command, folder, said, counted, before)
    waited = _ended(child, PATIENCE if after is None else after)
    if waited is None:
        os.kill(child, signal.SIGKILL)
        waited = os.waitpid(child, 0)[1]
        if after is None:
            return Run("hung", time.monotonic() - begun, counted.value, said.read_text()[-2000:])
    code = os.waitstatus_to_exitcode(waited)
    end = ENDED if code == 0 else "killed" if code == -signal.SIGKILL else f"{FAILED} ({code})"
    return Run(end, time.monotonic() - begun, counted.value, said.read_text()[-2000:])


def _ended(child: int, seconds: float) -> int | None:
    """Return the status of a child that ends within that time."""
    descriptor = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return os.waitpid(child, 0)[1] if ready else None
    finally:
        os.close(descriptor)


def _be(command: Command, folder: Path, said: Path, counted: "multiprocessing.Value", before: int | None) -> None:
    """Be the command; never return."""
    os.chdir(folder)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = ["despoof", *command.name.split(), *command.arguments]

    def count(event: str, given: tuple) -> None:
        opened = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event in WRITES) and not str(given[0]).startswith(("/dev", "/proc")):
            counted.value += 1
            if counted.value == before:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    code = 1
    try:
        from despoof.cli import main

        main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def scored(folder: Path) -> list[dict]:
    """Return the rows of a job of `despoof score`, however they lie in shards, and how many the summary counts."""
    from pyarrow import parquet

    rows: list[dict] = []
    for path in folder.rglob("*.parquet"):
        table = parquet.ParquetFile(path).read(use_threads=False).drop_columns(["milliseconds"])
        rows += table.to_pylist()
    counted = json.loads((folder / "summary.json").read_text())["rows"]
    return [*sorted(rows, key=lambda row: row["id"]), {"rows": counted}]


def contents(folder: Path) -> dict[str, object]:
    """Return what lies below a folder, by name: bytes; but of logs and scored rows what tells no time."""
    found: dict[str, object] = {}
    if (folder / "scored").exists():
        found["scored"] = scored(folder / "scored")
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if "/tensorboard/" in name or path.suffix == ".lock" or name.startswith("scored/"):
            continue
        if path.name == "log.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
        else:
            found[name] = path.read_bytes()
    return found


def is_shared(name: str) -> bool:
    """Say whether a file is a half-written one in a folder that several may write to at once."""
    return name.endswith(".tmp") and name.startswith(("store/counterparts/", "scores/."))


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Return what differs between the unbroken run's files and another's."""
    found = [f"{name} is missing" for name in sorted(set(one) - set(other))]
    found += [f"{name} is left over" for name in sorted(set(other) - set(one)) if not is_shared(name)]
    return found + [f"{name} differs" for name in sorted(set(one) & set(other)) if one[name] != other[name]]


def prepared(command: Command, whole: Path, root: Path) -> Path:
    """Return a new folder with copies of what a command needs."""
    folder = root / "work"
    shutil.rmtree(folder, ignore_errors=True)
    for name in command.given:
        shutil.copytree(whole / name, folder / name)
    return folder


class Killed(NamedTuple):
    """What was seen of one command."""

    kills: int
    runs: int  # that were gone on with after kills, and ended
    seconds: float  # of the unbroken run
    faults: list[str]


def kill(command: Command, whole: Path, root: Path, kills: int, rng: random.Random) -> Killed:
    """Kill a command so often, in as many runs as it takes, and compare the end of each with an unbroken one."""
    folder = prepared(command, whole, root)
    straight = run(command, folder)
    if straight.end != ENDED:
        raise SystemExit(f"{command.name} {straight.end} unkilled: {straight.said}")
    expected = contents(folder)
    made = 0
    runs, faults = 0, []
    while made < kills:
        folder, told, here = prepared(command, whole, root), [], 0
        while True:
            moment: dict = {}
            if made < kills and here < MOST:
                if made % 2:
                    moment = {"before": rng.randint(1, straight.writes)}
                else:
                    moment = {"after": rng.uniform(0, straight.seconds)}
            done = run(command, folder, **moment)
            if done.end != "killed":
                break
            told.append(", ".join(f"{name} {value:.3g}" for name, value in moment.items()))
            made, here = made + 1, here + 1
        runs += here > 0
        wrong = differences(expected, contents(folder)) if done.end == ENDED else [f"{done.end}: {done.said.strip()}"]
        faults += [f"after kills ({'; '.join(told)}): {each}" for each in wrong]
    return Killed(made, runs, straight.seconds, faults)


def main(kills: int, seed: int, only: list[str] | None = None, keep: Path | None = None) -> int:
    """Print a table of all commands; return 1 if an end differs from the unbroken one."""
    import despoof.detector.recipe
    import despoof.evaluation.models
    import despoof.faces.prepare
    import despoof.generator.reconstruct
    import despoof.generator.training.student  # noqa: F401 (what a fork would import anew each time)

    root = keep or Path(tempfile.mkdtemp(prefix="despoof-kills-"))
    whole = root / "whole"
    make_inputs(whole)
    chosen = [command for command in COMMANDS if not only or command.name in only]
    total = Killed(0, 0, 0.0, [])
    print(f"{'command':20}{'kills':>6}{'ends':>6}{'faults':>8}   seconds unbroken")
    try:
        for number, command in enumerate(chosen):
            share = kills // len(chosen) + (number < kills % len(chosen))
            found = kill(command, whole, root, share, random.Random(f"{seed} {command.name}"))
            print(
                f"{command.name:20}{found.kills:6}{found.runs:6}{len(found.faults):8}{found.seconds:10.2f}", flush=True
            )
            for fault in found.faults:
                print(f"    {fault}", flush=True)
            total = Killed(*(one + other for one, other in zip(total, found, strict=True)))
    finally:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)
    print(f"{'all':20}{total.kills:6}{total.runs:6}{len(total.faults):8}")
    return int(bool(total.faults))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=[command.name for command in COMMANDS])
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it")
    given = parser.parse_args()
    sys.exit(main(given.kills, given.seed, given.only, given.keep))
