"""Ray Train starts the same loop: two processes of a cluster learn what one does; and who outlives a process says so in
one line, whoever started it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import despoof
from despoof.cli import FAILED
from despoof.data.sample import Label, Sample
from despoof.errors import ConfigError
from despoof.faces.store import Store, StoredSample
from despoof.runs.checkpoint import load_artefact

OPTIONS = (
    "--preset", "tiny", "--threads", "1", "--training.steps", "3", "--training.batch", "4",
    "--training.precision", "no", "--training.latent-noise", "0", "--training.log-every", "1",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    own = [Path(despoof.__file__).parents[1], Path(__file__).parents[1]]
    paths = [*map(str, own), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), **more}


def command(*tokens: object) -> subprocess.CompletedProcess:
    """Run despoof in a process of its own: what Ray starts inherits its environment, and ends with it."""
    words = [sys.executable, "-m", "despoof", *map(str, tokens)]
    return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=240)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = Store(tmp_path / "store", about={"version": 3})
    for number in range(8):
        face = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8).repeat(32, 0).repeat(32, 1)
        store.add(StoredSample(Sample(f"{number}.png", Label.LIVE), "face"), face)
    return store.root


@pytest.mark.slow
def test_two_processes_of_ray_learn_what_one_does(store: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.train", exc_type=ImportError)
    one, two = tmp_path / "one", tmp_path / "two"
    done = command("train", "autoencoder", store, one, *OPTIONS)
    assert done.returncode == 0, done.stderr[-2000:]
    done = command("train", "autoencoder", store, two, *OPTIONS, "--launcher", "ray", "--processes", 2)
    assert done.returncode == 0, done.stderr[-3000:]
    curves = [[json.loads(line)["l1"] for line in (run / "log.jsonl").read_text().splitlines()] for run in (one, two)]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4)
    first, second = (load_artefact(run / "autoencoder.safetensors", "autoencoder").tensors for run in (one, two))
    for name, tensor in first.items():
        np.testing.assert_allclose(second[name], tensor, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_ray_says_in_one_line_which_process_died() -> None:
    pytest.importorskip("ray.train", exc_type=ImportError)
    script = "from despoof.runs.processes import *; from pool_work import *; launch_by_ray(second_dies, 2)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode
    told = done.stderr.strip().splitlines()[-1]
    assert "the training ended early" in told
    assert "process 1: The actor died" in told
    assert "Run the same command again" in told


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_who_outlives_a_killed_process_says_so_in_one_line(store: Path, tmp_path: Path, killed: int) -> None:
    """Started without a launcher, which would end the other one before it can say anything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    words = [sys.executable, "-m", "despoof", "train", "autoencoder", str(store), str(tmp_path / "run"), *OPTIONS]
    words[words.index("--training.steps") + 1] = "100000"
    both = [
        subprocess.Popen(
            words, env=environment(RANK=number, LOCAL_RANK=number, ACCELERATE_USE_CPU="true", **where),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in "01"
    ]  # fmt: skip
    log = tmp_path / "run/log.jsonl"
    while not (log.exists() and log.read_text()) and both[0].poll() is None:
        time.sleep(0.5)
    both[killed].send_signal(signal.SIGKILL)
    (_, told), _ = (each.communicate(timeout=120) for each in (both[1 - killed], both[killed]))
    assert both[1 - killed].returncode == FAILED
    assert told.startswith(f"despoof: process {1 - killed} lost process {killed} (")
    assert told.count("\n") == 1


def test_options_of_a_launcher_without_one_are_refused(store: Path, tmp_path: Path) -> None:
    from despoof.cli.train import autoencoder

    with pytest.raises(ConfigError, match="processes 2, address None or gpus False without a launcher"):
        autoencoder(store, tmp_path / "run", preset="tiny", processes=2)
    assert not (tmp_path / "run").exists()
