"""What is read around the face: numbers stand beside the face's, are absent without harm, and go into one graph."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from despoof.detector.backbones.backbone import layer_statistics
from despoof.detector.batches import check_gathered, gathered_hash, input_batches
from despoof.detector.branches import BRANCHES, Shrink
from despoof.detector.config import PROBE, DetectorConfig, DetectorRecipe, ProbeTraining
from despoof.detector.network import Detector, load_detector, save_detector
from despoof.detector.recipe import identity, train_recipe
from despoof.detector.scoring import logits, scores
from despoof.detector.train import start_hash, started
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.runs.onnx import open_onnx
from toys import surrounded, toys

SMALL = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=8, rectified=True,
    dropout=0.0, branches=("near", "near_minifasnet", "far_minifasnet"), clamp=6.0,
)  # fmt: skip


def made(config: DetectorConfig = SMALL) -> Detector:
    torch.manual_seed(0)
    detector = Detector(config).eval()
    rng = torch.Generator().manual_seed(1)
    detector.standardise.running_mean.normal_(generator=rng)
    return detector


@pytest.fixture
def given() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    return torch.rand((3, 3, 64, 64), generator=rng) * 2 - 1, torch.rand((3, 2, 3, 160, 160), generator=rng) * 2 - 1


def test_shrinks_as_faces_are_shrunk():
    picture = np.random.default_rng(0).random((160, 160, 3)).astype(np.float32)
    for side in (128, 80, 64):
        expected = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        found = Shrink(160, side)(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_numbers_stand_in_blocks_each_of_its_own_picture(given):
    detector = made()
    numbers = detector.statistics(given[0], None, given[1])
    assert list(detector.blocks) == ["face", *SMALL.branches]
    assert numbers.shape == (3, detector.embed.in_features)
    seen = {name: numbers[:, block] for name, block in detector.blocks.items()}
    face = detector.backbone.normalise(given[0])
    torch.testing.assert_close(seen["face"], layer_statistics(detector.backbone, face, (4, 8), True))
    assert [each.shape[1] for each in seen.values()] == [32, 32, 128, 128]
    for view, changed in ((0, {"near", "near_minifasnet"}), (1, {"far_minifasnet"})):
        other = given[1].clone()
        other[:, view] = other[:, view].flip(-1) * 0.5
        again = detector.statistics(given[0], None, other)
        assert {
            name for name, block in detector.blocks.items() if not torch.equal(again[:, block], seen[name])
        } == changed


@torch.no_grad()
def test_without_surroundings_the_mean_ones_stand_in(given):
    detector = made()
    numbers = detector.statistics(given[0])
    start = detector.blocks["near"].start
    assert torch.equal(numbers[:, start:], detector.standardise.running_mean[start:].expand(3, -1))
    assert torch.equal(numbers[:, :start], detector.statistics(given[0], None, given[1])[:, :start])
    assert detector.liveness(given[0][0], None, given[1][0]).shape == ()
    torch.testing.assert_close(
        detector.liveness(given[0][0], None, given[1][0]), detector.liveness(given[0], None, given[1])[0]
    )


@torch.no_grad()
def test_one_number_that_is_far_off_counts_as_the_limit():
    detector = made()
    numbers = detector.standardise.running_mean.clone()[None].repeat(3, 1)
    deviation = (detector.standardise.running_var[0] + detector.standardise.eps).sqrt()
    numbers[:, 0] += torch.tensor([5.0, 6.0, 1e6]) * deviation
    logit = detector.answer(numbers).logit
    torch.testing.assert_close(logit[1], logit[2])
    assert abs(logit[0] - logit[1]) > 1e-4
    free = made(replace(SMALL, clamp=None))
    assert abs(free.answer(numbers).logit[2] - logit[2]) > 1


@torch.no_grad()
def test_features_are_the_face_less_its_counterpart(given):
    config = replace(SMALL, insertion="features", cue_form="signed", branches=())
    detector = made(config)
    counterpart = given[0] * 0.5
    numbers = detector.statistics(given[0], given[0] - counterpart)
    face, other = (detector.statistics(x)[:, :32] for x in (given[0], counterpart))
    torch.testing.assert_close(numbers, torch.cat([face, face - other], 1), atol=1e-5, rtol=1e-4)
    assert torch.equal(detector.statistics(given[0])[:, 32:], detector.standardise.running_mean[32:].expand(3, -1))


def test_a_file_gives_the_same_detector(tmp_path, given):
    detector = made()
    save_detector(tmp_path / "d.safetensors", detector)
    read = load_detector(tmp_path / "d.safetensors")
    assert read.config == detector.config
    assert torch.equal(read(given[0], None, given[1]).logit, detector(given[0], None, given[1]).logit)


class Judge(torch.nn.Module):
    """Without a cue, as a graph takes it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, face: torch.Tensor, surroundings: torch.Tensor) -> torch.Tensor:
        return self.detector(face, None, surroundings).logit


def test_a_graph_of_any_batch_answers_alike(tmp_path, given):
    detector = made()
    count = torch.export.Dim("count", min=1, max=64)
    torch.onnx.export(
        Judge(detector).eval(), given, str(tmp_path / "d.onnx"), dynamic_shapes=({0: count}, {0: count}),
        dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    session = open_onnx(tmp_path / "d.onnx")
    names = [each.name for each in session.get_inputs()]
    for size in (1, 3):
        arrays = [x[:size].numpy() for x in given]
        found = session.run(None, dict(zip(names, arrays, strict=True)))[0]
        with torch.no_grad():
            expected = detector(given[0][:size], None, given[1][:size]).logit.numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"statistics": ()}, "without statistics"),
        ({"insertion": "features", "cue_form": "standardised"}, '"signed"'),
        ({"clamp": 0.0}, "clamp is 0.0"),
        ({"branches": ("nera",)}, "branch 'nera' is unknown; expected some of near"),
    ],
)
def test_impossible_configs_are_refused(changes, match):
    with pytest.raises(ConfigError, match=match):
        Detector(replace(SMALL, **changes))


def test_wrong_surroundings_are_refused(given):
    face, surroundings = given
    for wrong in (surroundings[:2], surroundings[:, :1], (surroundings * 9).byte()):
        with pytest.raises(InputError, match="near and far"):
            made()(face, None, wrong)
    with pytest.raises(InputError, match="without branches"):
        made(replace(SMALL, branches=()))(face, None, surroundings)
    with pytest.raises(InputError, match="has no surroundings"):
        check_gathered(toys(4, 0), SMALL, "the set")
    gathered = surrounded(toys(4, 0))
    with pytest.raises(InputError, match="surroundings of the set are"):
        check_gathered(gathered._replace(surroundings=gathered.surroundings[:, :, :80]), SMALL, "the set")
    assert gathered_hash(gathered) != gathered_hash(gathered._replace(surroundings=gathered.surroundings + 1))


def test_a_set_is_read_in_the_range_of_faces():
    gathered = surrounded(toys(5, 0))
    parts = list(input_batches(gathered, SMALL, 2))
    read = torch.cat([part[2] for part in parts])
    np.testing.assert_allclose((read.permute(0, 1, 3, 4, 2) + 1) * 127.5, gathered.surroundings, atol=1e-3)
    assert all(part[2] is None for part in input_batches(gathered, replace(SMALL, branches=()), 2))


def test_a_probe_learns_what_only_the_surroundings_show(tmp_path):
    """Faces say nothing here; the pictures around them do."""
    sets = []
    for seed in (1, 2):
        gathered = surrounded(toys(24, seed))
        sets.append(gathered._replace(faces=np.full_like(gathered.faces, 128)))
    config = replace(SMALL, embedding=1, rectified=False, branches=("near",))
    detector = train_recipe(DetectorRecipe(config, probe=ProbeTraining(start="random")), *sets, tmp_path)
    logit = logits(detector, sets[1])
    assert logit[sets[1].live].min() > logit[~sets[1].live].max()
    blind = sets[1]._replace(surroundings=np.full_like(sets[1].surroundings, 120))
    assert np.ptp(scores(detector, blind)) < 1e-6


# The released weights


def test_released_weights_are_read_and_named_by_their_content(shared, tmp_path):
    folder = shared / "weights"
    two = replace(SMALL, branches=("near_minifasnet", "far_minifasnet"))
    parents = start_hash(two, "random", str(folder))
    assert set(parents) == set(two.branches)
    assert len(set(parents.values())) == 2
    state = started(two, "random", str(folder)).branches["far_minifasnet"].state_dict()
    assert (state["network.norm.running_var"] < 1).all()  # not what a new network has
    for file in ("MiniFASNetV2_27.onnx", "MiniFASNetV1SE_40.onnx"):
        shutil.copy(folder / file, tmp_path / file)
    recipe = DetectorRecipe(
        replace(two, embedding=1, rectified=False), probe=ProbeTraining(start="random", released=str(folder))
    )
    moved = replace(recipe, probe=replace(recipe.probe, released=str(tmp_path)))
    assert identity(recipe, 0, None) == identity(moved, 0, None)  # content counts, not where it lies
    assert identity(recipe, 0, None).parents == parents
    (tmp_path / "MiniFASNetV2_27.onnx").unlink()
    with pytest.raises(ArtefactError, match="MiniFASNetV2_27"):
        identity(moved, 0, None)


@torch.no_grad()
@pytest.mark.parametrize(("name", "view"), [("minifasnet_v2", 0), ("minifasnet_v1se", 1)])
def test_maps_are_read_where_the_network_has_them(given, name, view):
    assert set(BRANCHES) == {*SMALL.branches, "minifasnet_v2", "minifasnet_v1se"}
    detector = made(replace(SMALL, branches=(name,)))
    network = detector.branches[name].network
    numbers = detector.statistics(given[0], None, given[1])
    around = ("near", "far")[view]
    pictures = {around: given[1][:, view], "face": given[0]}
    parts = detector.parts
    assert list(parts) == ["face", *(f"{name}_{each}_{part}" for each in pictures for part in ("maps", "last"))]
    assert parts[f"{name}_face_last"].stop == numbers.shape[1] == 32 + 2 * (1728 + 128)
    for each, picture in pictures.items():
        caught: list[torch.Tensor] = []
        hooks = [
            network.layers[number].register_forward_hook(
                lambda module, inputs, output, held=caught: held.append(output)
            )
            for number in (1, 6, 13, 16, 17)
        ]
        last = network(Shrink(picture.shape[-1], 80)(picture))
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(numbers[:, parts[f"{name}_{each}_last"]], last)
        expected = [part for maps in caught for part in (maps.mean((2, 3)), maps.std((2, 3), correction=0))]
        found = numbers[:, parts[f"{name}_{each}_maps"]]
        torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-2, atol=2e-3)


def test_random_ones_have_no_parents():
    assert start_hash(SMALL, "random") == {}
