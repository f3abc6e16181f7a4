"""What may not be in the repository: pictures of private persons, names of the machine it was made on."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
WEIGHTS = {".safetensors": 40, ".onnx": 27}  # suffix -> most MiB of all together: for training, for judging
# Absolute paths of a workplace, put together here so that this file does not hold them itself.
PRIVATE = re.compile(r"(?<![\w.~-])/(?:wor" + r"k|home|root|Users|mnt)/\w")


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: there is no list of tracked files")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_path_of_a_machine_in_tracked_files(tracked):
    found = []
    for path in tracked:
        if path.suffix in PICTURES | set(WEIGHTS):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if PRIVATE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found


def test_the_pattern_finds_such_a_path_and_leaves_others():
    assert PRIVATE.search('"/wor' + 'k/main"')
    assert PRIVATE.search("see /ho" + "me/anna")
    assert not PRIVATE.search("a/home/b, https://x.org/work/y, ./root/x, runs/work")


def test_no_training_state_or_raw_data_is_tracked(tracked):
    forbidden = {".pt", ".pth", ".pkl", ".ckpt", ".npz", ".npy", ".zip", ".jsonl"}
    assert not [path for path in tracked if path.suffix in forbidden]


def test_shipped_weights_stay_small(tracked):
    weights = [path for path in tracked if path.suffix in WEIGHTS]
    for suffix, most in WEIGHTS.items():
        assert sum(path.stat().st_size for path in weights if path.suffix == suffix) <= most * 2**20
    assert all(path.parent == ROOT / "src/despoof/weights" for path in weights)


def test_no_picture_is_a_copy_of_a_private_one(tracked, shared):
    """Bytes are compared, of equal sizes only; that none was derived from one is for the eye of a reviewer."""
    ours = {path.stat().st_size: path for path in tracked if path.suffix.lower() in PICTURES}
    for path in shared.rglob("*"):
        if path.suffix.lower() in PICTURES and path.stat().st_size in ours:
            mine = ours[path.stat().st_size].read_bytes()
            assert hashlib.sha256(mine).digest() != hashlib.sha256(path.read_bytes()).digest(), path.name
