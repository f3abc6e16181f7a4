"""Arrays made chunk by chunk are those made at once, whoever was killed; a disk without room says so, for a map that
finds none takes its process down without a word."""

from pathlib import Path

import numpy as np
import pytest

from despoof.errors import ArtefactError
from despoof.faces.mapped import mapped
from full_disk import files_up_to

NUMBERS = np.random.default_rng(0).integers(0, 255, (10, 3, 5), np.uint8)


def make(span: slice) -> dict[str, np.ndarray]:
    part = NUMBERS[span]
    return {"one": part, "two": np.concatenate([part, 255 - part]).astype(np.float32)}


@pytest.mark.parametrize("dies_at", [None, 0, 4, 8])
def test_what_is_made_in_chunks_is_the_whole(tmp_path: Path, dies_at: int | None) -> None:
    asked = []

    def dies(span: slice) -> dict[str, np.ndarray]:
        asked.append(span.start)
        if span.start == dies_at and asked.count(dies_at) == 1:
            raise KeyboardInterrupt
        return make(span)

    if dies_at is not None:
        with pytest.raises(KeyboardInterrupt):
            mapped(tmp_path, "a", 10, dies, title="", chunk=4)
    made = mapped(tmp_path, "a", 10, dies, title="", chunk=4)
    assert sorted(set(asked)) == [0, 4, 8]
    assert len(asked) == 3 + (dies_at is not None)  # nothing twice but what died
    assert np.array_equal(made["one"], NUMBERS)
    assert np.array_equal(made["two"][:4], NUMBERS[:4])
    assert np.array_equal(made["two"][-2:], 255.0 - NUMBERS[8:])
    other = mapped(tmp_path, "b", 10, lambda span: {name: part + 1 for name, part in make(span).items()}, title="")
    assert np.array_equal(other["one"], NUMBERS + 1)
    assert np.array_equal(made["one"], NUMBERS)  # whoever reads the first still does


def test_a_disk_without_room_says_so_before_any_is_written(tmp_path: Path) -> None:
    with files_up_to(100), pytest.raises(ArtefactError, match=r"could not make .*one.npy of .* GB.*free some"):
        mapped(tmp_path, "a", 10, make, title="", chunk=4)
    assert not (tmp_path / "done.json").exists()
