"""Forms of the cue on captures whose attacks are known: every form must see a trace that is there, and chance where
there is none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from despoof.cue import CUE_FORMS
from despoof.data.sample import Label, Sample
from despoof.faces.store import StoredSample
from despoof.studies.cue import read_forms
from despoof.studies.tables import table


class Grey:
    """A generator whose counterpart is flat grey, so that the cue is what stands in the face."""

    config = SimpleNamespace(face_size=64)

    def counterpart(self, face: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(face)


@pytest.mark.parametrize("traced", [True, False])
def test_a_trace_is_seen_in_every_form_and_its_absence_in_none(traced):
    rng = np.random.default_rng(0)
    rows, faces = [], []
    for domain in "abc":
        for i in range(24):
            label, species = (Label.LIVE, "none") if i % 2 else (Label.ATTACK, "print")
            rows.append(StoredSample(Sample(f"{domain}{i}", label, species, f"s{i}", domain), "face"))
            face = rng.normal(128, 12, (64, 64, 3))
            face[:, ::4] += 40 if traced and label is Label.ATTACK else 0  # stripes of a screen
            faces.append(face.clip(0, 255).astype(np.uint8))
    readings = read_forms(Grey(), rows, np.stack(faces))
    assert [each.reading for each in readings] == list(CUE_FORMS)
    for each in readings:
        assert set(each.auc) == set("abc")
        assert all(value > 0.95 if traced else 0.15 < value < 0.85 for value in each.auc.values())
    assert table(readings).count("|\n") == 2 + len(CUE_FORMS)
