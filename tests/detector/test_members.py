"""Several runs as one detector: the mean of weights only means something if the runs began alike and none saw the
validation set's labels in training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_train_detector import toys

from despoof.detector.config import TINY, TINY_TRAINING, Augmentation
from despoof.detector.members import merge
from despoof.detector.network import load_detector
from despoof.detector.scoring import logits
from despoof.detector.train import train
from despoof.errors import InputError

TRAINING = replace(
    TINY_TRAINING, steps=30, warmup=5, evaluate_every=15, new_learning_rate=4e-3, live_per_domain=6,
    attack_per_domain=6, start_seed=7, augmentation=Augmentation(degrade=0.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list:
    folder = tmp_path_factory.mktemp("members")
    sets = toys(40, 1), toys(24, 2)
    return [train(TINY, replace(TRAINING, seed=seed), *sets, folder / str(seed)) for seed in (0, 1)]


def test_runs_of_one_start_seed_differ_in_their_batches_alone(tmp_path):
    starts = []
    for seed, start in ((0, 7), (1, 7), (1, None)):
        brief = replace(TINY_TRAINING, steps=1, seed=seed, start_seed=start, new_learning_rate=0.0)
        detector = load_detector(train(TINY, brief, toys(40, 1), toys(24, 2), tmp_path / f"{seed}-{start}"))
        starts.append(detector.embed.weight)
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_the_mean_of_weights_judges_well_and_is_calibrated_anew(files, tmp_path):
    validation, unseen = toys(24, 2), toys(40, 3)
    merged = load_detector(merge(files, validation, tmp_path / "merged.safetensors"))
    members = [load_detector(file) for file in files]
    for name, tensor in merged.state_dict().items():
        own = [member.state_dict()[name].double() for member in members]
        torch.testing.assert_close(tensor.double(), sum(own) / 2 if tensor.is_floating_point() else own[0])
    assert roc_auc_score(unseen.live, logits(merged, unseen)) > 0.9
    assert merged.facts["members"] == [0, 1]
    logit = logits(merged, validation)
    assert merged.facts["validation_auc"] == pytest.approx(roc_auc_score(validation.live, logit))
    middle = np.median(logit[validation.live]), np.median(logit[~validation.live])
    assert middle[1] < merged.offset < middle[0]


def test_what_did_not_begin_alike_is_refused(files, tmp_path):
    other = train(TINY, replace(TRAINING, steps=1, start_seed=8), toys(40, 1), toys(24, 2), tmp_path / "other")
    with pytest.raises(InputError, match="expected one start_seed"):
        merge([files[0], other], toys(24, 2), tmp_path / "m.safetensors")
    plain = train(
        replace(TINY, insertion="none"), replace(TRAINING, steps=1), toys(40, 1), toys(24, 2), tmp_path / "plain"
    )
    with pytest.raises(InputError, match="different configs"):
        merge([files[0], plain], toys(24, 2), tmp_path / "m.safetensors")
