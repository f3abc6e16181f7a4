"""Ray Train starts the same loop: two processes of a cluster learn what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import despoof
from despoof.data.sample import Label, Sample
from despoof.errors import ConfigError
from despoof.faces.store import Store, StoredSample
from despoof.runs.checkpoint import load_artefact

OPTIONS = (
    "--preset", "tiny", "--threads", "1", "--training.steps", "3", "--training.batch", "4",
    "--training.precision", "no", "--training.latent-noise", "0", "--training.log-every", "1",
)  # fmt: skip


def command(*tokens: object) -> subprocess.CompletedProcess:
    """Run despoof in a process of its own: what Ray starts inherits its environment, and ends with it."""
    paths = [str(Path(despoof.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-m", "despoof", *map(str, tokens)]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=240)


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


def test_options_of_a_launcher_without_one_are_refused(store: Path, tmp_path: Path) -> None:
    from despoof.cli.train import autoencoder

    with pytest.raises(ConfigError, match="processes 2, address None or gpus False without a launcher"):
        autoencoder(store, tmp_path / "run", preset="tiny", processes=2)
    assert not (tmp_path / "run").exists()
