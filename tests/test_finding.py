"""Cases of local changes: which map found its change, and how much of it a generator of known behaviour leaves in."""

import numpy as np
import pytest
import torch

from despoof.data.simulation.local import KINDS
from despoof.departure.finding import Cases, cases


class Copying(torch.nn.Module):
    """Stands for a generator: gives back a share of each face and grey for the rest."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.config = type("Config", (), {"face_size": 64})

    def counterpart(self, face: torch.Tensor) -> torch.Tensor:
        return self.share * face


@pytest.fixture(scope="module")
def live() -> np.ndarray:
    return np.full((2, 256, 256, 3), 120, np.uint8) + np.arange(2, dtype=np.uint8)[:, None, None, None]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_what_a_copy_leaves_in_comes_back(live: np.ndarray, share: float) -> None:
    found = cases(live, Copying(share), 12)
    assert found.kept() == pytest.approx(dict.fromkeys(KINDS, share))
    assert list(found.kinds[:3]) == list(KINDS)


def test_a_map_finds_a_change_where_its_highest_place_lies(live: np.ndarray) -> None:
    found = cases(live, Copying(0.0), 6)
    assert found.found(found.regions.astype(float)).all()
    assert not found.found(1.0 - found.regions).any()
    assert 0 < found.regions.mean() < 0.5
    # grey before and a counterpart that holds nothing: the residual is the face itself, less nothing
    np.testing.assert_allclose(found.residuals(), found.faces.abs().sum(1).numpy())


def test_faces_take_turns(live: np.ndarray) -> None:
    found = cases(live, Copying(0.5), 4)
    assert isinstance(found, Cases)
    assert torch.equal(found.before[0], found.before[2])
    assert not torch.equal(found.before[0], found.before[1])
