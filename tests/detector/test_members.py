"""Members that a pool trains are those trained in turn: one begun anew after a kill, or with another's seed, would
change the mean of their weights unseen."""

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from despoof.cli.app import build_app
from despoof.detector.config import TINY, TINY_TRAINING, DetectorRecipe
from despoof.detector.recipe import FILE, train_on_store
from despoof.errors import ArtefactError, ConfigError
from despoof.faces.store import Store
from despoof.runs.pool import Pool
from toys import toy_store

STEPS = 40
RECIPE = DetectorRecipe(
    replace(TINY, insertion="none"), replace(TINY_TRAINING, steps=STEPS, checkpoint_every=5), members=2, real_members=1
)


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, bytes]:
    """A store, and the file of a detector whose members were trained one after the other."""
    folder = tmp_path_factory.mktemp("members")
    store, _ = toy_store(folder / "store")
    train_on_store(RECIPE, store, None, folder / "run", seed=3)
    return store, (folder / "run" / FILE).read_bytes()


def test_side_by_side_they_are_the_same_to_the_byte(in_turn: tuple[Store, bytes], tmp_path: Path) -> None:
    store, expected = in_turn
    train_on_store(RECIPE, store, None, tmp_path, seed=3, scratch=tmp_path / "scratch", pool=Pool(workers=2))
    assert (tmp_path / FILE).read_bytes() == expected
    with pytest.raises(ArtefactError, match="seed was 3, now 4"):
        train_on_store(RECIPE, store, None, tmp_path, seed=4, pool=Pool(workers=2))


@pytest.mark.slow
def test_a_killed_process_costs_nothing_but_time(in_turn: tuple[Store, bytes], tmp_path: Path) -> None:
    store, expected = in_turn
    killed = []

    def kill() -> None:
        while not (tmp_path / "member-1" / "state.pt").exists():
            time.sleep(0.05)
        killed.extend(child.pid for child in multiprocessing.active_children())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    train_on_store(RECIPE, store, None, tmp_path, seed=3, pool=Pool(workers=2))
    assert killed
    assert (tmp_path / FILE).read_bytes() == expected


def typed(store: Store, run: Path, *tokens: str) -> None:
    """Call `despoof train detector`."""
    command = ["train", "detector", str(store.root), "none", str(run), "--preset", "tiny"]
    options = ["--network.insertion", "none", "--training.steps", "2", "--threads", "1"]
    build_app()([*command, *options, *tokens], exit_on_error=False, result_action="return_value")


def test_a_pool_without_members_is_refused(in_turn: tuple[Store, bytes], tmp_path: Path) -> None:
    for tokens, said in (
        (["--pool", "local", "--processes", "2"], "pool local for one training"),
        (["--members", "2", "--processes", "2"], "processes 2, address None or gpus False without a launcher"),
        (["--members", "2", "--pool", "local", "--launcher", "ray"], "launcher ray with pool local"),
        (["--members", "2", "--pool", "dask"], "pool 'dask'; expected one of local, ray"),
    ):
        with pytest.raises(ConfigError, match=said):
            typed(in_turn[0], tmp_path / "run", *tokens)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_shares_them_out(in_turn: tuple[Store, bytes], tmp_path: Path) -> None:
    typed(in_turn[0], tmp_path / "a", "--members", "2")
    typed(in_turn[0], tmp_path / "b", "--members", "2", "--pool", "local", "--processes", "2")
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
