"""One global batch gives one loss curve, whether it is one piece, accumulated from parts or spread over processes; a
share drawn twice or a gradient averaged wrongly still trains, only another model than the config says."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import despoof
from despoof.errors import ConfigError
from despoof.generator.autoencoders import Autoencoder
from despoof.generator.config import TINY, DenoiserTraining, GeneratorRecipe, StudentRecipe, StudentTraining
from despoof.generator.identity import IdentityEncoder
from despoof.generator.training import student as distil
from despoof.generator.training import train_generator
from despoof.runs.checkpoint import load_artefact, save_artefact
from despoof.runs.config import to_dict
from despoof.runs.processes import open_processes

FACES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
TRAINING = DenoiserTraining(6, save_every=3, log_every=1, batch=8, precision="no")
WORKER = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_processes import main
main(*sys.argv[2:])
"""


def write_parts(folder: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    models = {"autoencoder": Autoencoder(TINY.autoencoder), "identity": IdentityEncoder(TINY.identity)}
    for kind, model in models.items():
        save_artefact(folder / f"{kind}.safetensors", kind, to_dict(TINY), model.state_dict())
    return folder / "autoencoder.safetensors", folder / "identity.safetensors"


def train(folder: Path, run: str, **changes) -> Path:
    recipe = GeneratorRecipe(TINY, replace(TRAINING, **changes))
    parts = {role: folder / f"{role}.safetensors" for role in ("autoencoder", "identity")}
    return train_generator(recipe, FACES, folder / run, **parts)


def train_parts(folder: Path, run: str) -> None:
    """Train both other parts, without what depends on the share of a process: noise in units of its latents."""
    sys.path.insert(0, str(Path(__file__).parent))
    import test_training

    short = {"steps": 3, "batch": 8, "precision": "no"}
    test_training.train_ae(folder / f"{run}-autoencoder", latent_noise=0.0, **short)
    test_training.train_id(folder / f"{run}-identity", folder / "identity.safetensors", **short)


def train_student(folder: Path, run: str, **changes) -> None:
    training = StudentTraining(4, save_every=2, log_every=1, batch=8, precision="no", pixel_weight=0.5)
    teacher = folder / "whole/generator.safetensors"
    distil.train_student(StudentRecipe(replace(training, **changes)), FACES, folder / run, teacher=teacher)


def spread(changes: dict) -> None:
    """Train by FSDP in one go, in 16 bits and of the last weights, and again with deaths in between."""
    changes = changes | {"fsdp": True, "recompute": True}
    train(run="spread", **changes)
    train(run="spread-fp16", **changes | {"precision": "fp16"})
    train(run="spread-last", **changes | {"average": 0.0})
    train(run="spread-taken-over", **changes)  # begun by one process
    for run in ("spread-resumed", "spread-handed-over"):
        with pytest.raises(KeyboardInterrupt):
            interrupted(run=run, **changes)
    train(run="spread-resumed", **changes)


def main(folder: str, killed: str = "", *how: str) -> None:
    """What each process of the launcher does: train in one go, and again with a death in between; or be killed."""
    from accelerate.state import PartialState

    changes = {"folder": Path(folder), "accumulation": 2}
    if killed:
        if open_processes().process_index == 1:
            killed_at_step_4()
        train(run=killed, fsdp="fsdp" in how, **changes)
    train(run="taken-over", **changes)  # begun by one process
    with pytest.raises(KeyboardInterrupt):
        interrupted(run="handed-over", **changes)  # to one process
    train_student(Path(folder), "two-student")
    train(run="two", **changes)
    with pytest.raises(KeyboardInterrupt):
        interrupted(run="two-resumed", **changes)
    train(run="two-resumed", **changes)
    train_parts(Path(folder), "two")
    spread(changes)
    train_student(Path(folder), "spread-student", fsdp=True)
    state = PartialState()
    (Path(folder) / f"process-{state.process_index}").write_text(str(state.num_processes))


def killed_at_step_4() -> None:
    import despoof.generator.training.diffusion as trainer

    draw = trainer.step_rng

    def dies(seed: int, number: int) -> torch.Generator:
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(seed, number)

    trainer.step_rng = dies


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess:
    script = folder / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": str(Path(despoof.__file__).parents[1]),
    }  # fmt: skip
    arguments = [str(Path(__file__).parent), str(folder), *words]
    return subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=900)


def curve(folder: Path, run: str, *names: str) -> np.ndarray:
    lines = [json.loads(line) for line in (folder / run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return np.array([[line[name] for name in names or ("loss", "gradient")] for line in lines])


def weights(folder: Path, run: str) -> torch.Tensor:
    tensors = load_artefact(folder / run / "generator.safetensors", "generator").tensors
    return torch.cat([tensor.float().flatten() for name, tensor in sorted(tensors.items()) if "denoiser" in name])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("processes")
    write_parts(made)
    train(made, "whole")
    return made


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulated_parts_are_the_whole_batch(folder: Path, accumulation: int) -> None:
    train(folder, f"parts{accumulation}", accumulation=accumulation)
    np.testing.assert_allclose(curve(folder, f"parts{accumulation}"), curve(folder, "whole"), rtol=1e-4)
    torch.testing.assert_close(weights(folder, f"parts{accumulation}"), weights(folder, "whole"), rtol=0, atol=1e-4)


def test_recomputed_activations_change_nothing(folder: Path) -> None:
    train(folder, "recomputed", recompute=True)
    np.testing.assert_allclose(curve(folder, "recomputed"), curve(folder, "whole"), rtol=1e-5)


def test_a_batch_that_does_not_divide_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="batch 8 does not divide into 1 processes x 3 parts"):
        train(folder, "odd", accumulation=3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bit_training_resumes_bit_for_bit(folder: Path, precision: str) -> None:
    train(folder, f"{precision}-straight", precision=precision)
    run = f"{precision}-resumed"
    with pytest.raises(KeyboardInterrupt):
        interrupted(folder, run, precision=precision)
    train(folder, run, precision=precision)
    assert torch.equal(weights(folder, run), weights(folder, f"{precision}-straight"))


def interrupted(folder: Path, run: str, **changes) -> None:
    import despoof.generator.training.diffusion as trainer

    draw = trainer.step_rng

    def dies(seed: int, number: int) -> torch.Generator:
        if number == 4:
            raise KeyboardInterrupt
        return draw(seed, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "step_rng", dies)
        train(folder, run, **changes)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one_and_resume(folder: Path) -> None:
    train(folder, "fp16", precision="fp16")
    train(folder, "last", average=0.0)
    for run, changes in {"taken-over": {}, "spread-taken-over": {"recompute": True}}.items():
        with pytest.raises(KeyboardInterrupt):
            interrupted(folder, run, accumulation=2, **changes)
    done = launch(folder)
    assert done.returncode == 0, done.stderr
    # some launchers start one process and say nothing
    assert [(folder / f"process-{index}").read_text() for index in (0, 1)] == ["2", "2"]
    np.testing.assert_allclose(curve(folder, "two"), curve(folder, "whole"), rtol=1e-4)
    torch.testing.assert_close(weights(folder, "two"), weights(folder, "whole"), rtol=0, atol=1e-4)
    assert torch.equal(weights(folder, "two-resumed"), weights(folder, "two"))
    train(folder, "handed-over", accumulation=2)
    train(folder, "spread-handed-over", accumulation=2, recompute=True)
    assert torch.equal(weights(folder, "spread-resumed"), weights(folder, "spread"))
    for run in ("taken-over", "handed-over", "spread", "spread-taken-over", "spread-handed-over"):
        np.testing.assert_allclose(curve(folder, run), curve(folder, "whole"), rtol=1e-4)
        torch.testing.assert_close(weights(folder, run), weights(folder, "whole"), rtol=0, atol=1e-4)
    for run, tolerance in {"fp16": 2e-3, "last": 1e-4}.items():
        np.testing.assert_allclose(curve(folder, f"spread-{run}"), curve(folder, run), rtol=tolerance)
        torch.testing.assert_close(weights(folder, f"spread-{run}"), weights(folder, run), rtol=0, atol=tolerance)
    train_student(folder, "one-student")
    for run in ("two", "spread"):
        np.testing.assert_allclose(curve(folder, f"{run}-student"), curve(folder, "one-student"), rtol=1e-4)
    train_parts(folder, "one")
    one, two = (curve(folder, f"{run}-autoencoder", "l1", "gradient") for run in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-4)
    one, two = (curve(folder, f"{run}-identity", "loss") for run in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=0.1)  # on a processor, batch norms see the share of their process


@pytest.mark.slow
@pytest.mark.parametrize("how", ["whole", "fsdp"])
def test_a_killed_process_ends_the_run_with_an_error_and_one_alone_goes_on(folder: Path, how: str) -> None:
    run = f"killed-{how}"
    done = launch(folder, run, how)
    assert done.returncode != 0
    assert "ChildFailedError" in done.stderr  # torchrun names the process that it heard of first
    assert "SIGKILL" in done.stderr or "onnection closed by peer" in done.stderr, done.stderr
    train(folder, run, accumulation=2)
    np.testing.assert_allclose(curve(folder, run), curve(folder, "whole"), rtol=1e-4)
    torch.testing.assert_close(weights(folder, run), weights(folder, "whole"), rtol=0, atol=1e-4)
