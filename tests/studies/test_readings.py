"""What studies share: nobody may be learned from and scored, and every study must see the same faces in every run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from despoof.data.sample import Label, Sample, Split
from despoof.errors import InputError
from despoof.faces.store import Store, StoredSample
from despoof.studies.readings import aucs, held_out_faces, images, pairs, real_captures, residuals, scores_across


def row(path: str, label: Label = Label.LIVE, **facts: object) -> StoredSample:
    return StoredSample(Sample(path, label, "none" if label is Label.LIVE else "print", **facts), "face")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Fifty faces, thirty held out; captures of two domains, and recaptures of one."""
    made = Store(tmp_path, about={"face_size": 256})
    made.rows = [row(f"{i}.png", split=Split.TEST if i < 30 else Split.TRAIN, domain="faces") for i in range(50)]
    for domain, facts in (("a", {}), ("b", {}), ("a again", {"simulated": True, "origin": "a"})):
        made.rows += [row(f"{domain}/{i}", (Label.LIVE, Label.ATTACK)[i % 2], domain=domain, **facts) for i in range(8)]
    return made


def test_held_out_faces_are_of_the_test_split_and_the_same_in_every_run(store: Store) -> None:
    first, again, other = (held_out_faces(store, 10, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({each.key for each in first}) == 10
    assert {each.sample.split for each in first} == {Split.TEST}
    assert first != held_out_faces(store)[:10]  # not the first that come
    assert len(held_out_faces(store)) == len(held_out_faces(store, 99)) == 30


def test_a_store_without_a_test_split_is_refused(store: Store) -> None:
    store.rows = store.rows[30:]
    with pytest.raises(InputError, match="no face in a test split"):
        held_out_faces(store)


def test_captures_are_balanced_and_none_is_simulated(store: Store) -> None:
    found = [
        (each.sample.domain, each.sample.label) for each in real_captures(store, 3) if each.sample.domain != "faces"
    ]
    assert {key: found.count(key) for key in found} == {(name, label): 3 for name in "ab" for label in Label}


def test_recaptures_of_a_domain_are_not_learned_from_for_it_and_never_scored() -> None:
    """The one value separates a live recapture from its person's attack only where somebody leaks."""
    rows = [row(f"{name}{i}", (Label.LIVE, Label.ATTACK)[i % 2], domain=name) for name in "ab" for i in range(8)]
    rows += [
        row(f"again{i}", (Label.LIVE, Label.ATTACK)[i % 2], domain="a again", simulated=True, origin="a")
        for i in range(8)
    ]
    live = np.array([each.sample.label is Label.LIVE for each in rows])
    values = np.where(live, 1.0, -1.0)[:, None] * np.repeat([1.0, -1.0, 1.0], 8)[:, None]  # b is the wrong way round
    scores = scores_across(rows, values)
    assert np.isnan(scores[16:]).all()
    assert aucs(rows, scores) == {"a": 0.0, "b": 0.0}  # with its recaptures, a would be learned from itself
    assert set(aucs(rows, values[:, 0])) == {"a", "b"}


def test_pairs_and_images_are_those_of_one_batch() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3)).astype(np.uint8)
    darker = lambda face: (face - 0.5).clamp(-1, 1)  # noqa: E731
    batches = list(pairs(faces, 8, darker, ""))
    assert [len(face) for face, _ in batches] == [32, 32, 6]
    assert torch.cat([made for _, made in batches]).amax() <= 0.5
    expected = np.clip(faces / 127.5 - 1 - 0.5, -1, 1)
    np.testing.assert_allclose(images(faces, 8, darker, ""), (expected + 1) * 127.5, atol=0.51)


def test_residual_is_the_mean_size_of_the_difference() -> None:
    face, made = np.full((1, 4, 4, 3), 100, np.uint8), np.full((1, 4, 4, 3), 151, np.uint8)
    assert residuals(face, made) == pytest.approx([0.4])  # 51 of 127.5
