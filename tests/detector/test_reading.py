"""What was read is kept by content: nothing is read twice, nothing stale is taken, copies are the same everywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import despoof.detector.frozen.reading as module
from despoof.detector.batches import Gathered, chosen
from despoof.detector.config import HEAD_AUGMENTATION, PROBE
from despoof.detector.frozen.reading import Copy, Numbers, copied, copies
from despoof.detector.network import Detector
from toys import surrounded, toys

CONFIG = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), branches=("near", "far_minifasnet")
)


def made(config=CONFIG, seed=0) -> Detector:
    torch.manual_seed(seed)
    return Detector(config).eval()


@pytest.fixture
def gathered() -> Gathered:
    return surrounded(toys(7, 1))


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, list[str]]]:
    """How many samples were read, in which blocks, call by call."""
    calls, real = [], module._fresh

    def fresh(detector, gathered, copy, blocks):
        calls.append((len(gathered.keys), sorted(blocks)))
        return real(detector, gathered, copy, blocks)

    monkeypatch.setattr(module, "_fresh", fresh)
    return calls


@torch.no_grad()
def test_numbers_are_those_of_the_detector(gathered):
    detector = made()
    faces = torch.from_numpy(gathered.faces).permute(0, 3, 1, 2) / 127.5 - 1
    around = torch.from_numpy(gathered.surroundings).permute(0, 1, 4, 2, 3) / 127.5 - 1
    torch.testing.assert_close(
        Numbers().read(detector, gathered), detector.statistics(faces, None, around), rtol=1e-4, atol=1e-4
    )
    mirrored = detector.statistics(faces.flip(-1), None, around.flip(-1))
    torch.testing.assert_close(Numbers().read(detector, gathered, Copy(1)), mirrored, rtol=1e-4, atol=1e-4)


def test_nothing_is_read_twice_in_memory_or_from_disk_and_rows_share_blocks(gathered, counted, tmp_path):
    numbers = Numbers(tmp_path / "numbers")
    first = numbers.read(made(), gathered)
    assert torch.equal(numbers.read(made(), gathered), first)
    assert torch.equal(numbers.read(made(), chosen(gathered, np.array([4, 2]))), first[[4, 2]])
    again = Numbers(tmp_path / "numbers")
    assert torch.equal(again.read(made(), gathered), first)
    assert counted == [(7, ["face", "far_minifasnet", "near"])]
    face_only = made(replace(CONFIG, branches=()))
    face_only.backbone.load_state_dict(made().backbone.state_dict())
    assert torch.equal(again.read(face_only, gathered), first[:, made().blocks["face"]])
    assert len(counted) == 1
    more = surrounded(toys(9, 1))._replace(keys=[*gathered.keys, "new", "other"])
    again.read(made(), more._replace(faces=np.concatenate([gathered.faces, more.faces[7:]])))
    assert counted[1] == (9, ["face", "far_minifasnet", "near"])  # other surroundings; the faces of seven were known


def test_other_weights_pixels_names_or_copies_are_read_anew(gathered, counted):
    numbers = Numbers()
    numbers.read(made(), gathered)
    ranges = HEAD_AUGMENTATION
    others = [
        (made(seed=1), gathered, Copy()),
        (made(), gathered._replace(faces=gathered.faces + 1), Copy()),
        (made(), gathered._replace(keys=[f"{key}x" for key in gathered.keys]), Copy()),
        (made(), gathered, Copy(1)),
        (made(), gathered, Copy(2, ranges)),
        (made(), gathered, Copy(3, ranges)),
        (made(), gathered, Copy(2, replace(ranges, gamma=0.5))),
    ]
    for count, (detector, each, copy) in enumerate(others, 2):
        numbers.read(detector, each, copy)
        assert len(counted) == count
    numbers.read(made(), gathered, Copy(1, ranges))  # nothing is changed in a mirror image
    assert len(counted) == len(others) + 1


def test_a_damaged_file_counts_as_absent(gathered, counted, tmp_path):
    first = Numbers(tmp_path).read(made(), gathered)
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 3
    files[0].write_bytes(files[0].read_bytes()[:90])
    assert torch.equal(Numbers(tmp_path).read(made(), gathered), first)
    assert [len(blocks) for _, blocks in counted] == [3, 1]
    assert sorted(tmp_path.rglob("*")) == sorted({*files, *(path.parent for path in files)})  # nothing half is left


def test_a_copy_depends_on_its_sample_and_number_alone(gathered):
    whole = copied(gathered, Copy(2, HEAD_AUGMENTATION))
    part = copied(chosen(gathered, np.array([5])), Copy(2, HEAD_AUGMENTATION))
    assert np.array_equal(whole.faces[5], part.faces[0])
    assert np.array_equal(whole.surroundings[5], part.surroundings[0])
    other = copied(gathered, Copy(3, HEAD_AUGMENTATION))
    assert not np.array_equal(whole.faces, other.faces)
    assert [copy.number for copy in copies(2, HEAD_AUGMENTATION)] == [0, 1, 2, 3]
    assert copied(gathered, Copy()) is gathered


def test_face_and_surroundings_are_mirrored_toned_and_framed_together():
    """A picture that is dark on the left: all of one sample's pictures have their dark side where the face has it."""
    count = 40
    face = np.full((count, 64, 64, 3), 150, np.uint8)
    face[:, :, :32] = 50
    around = np.full((count, 2, 160, 160, 3), 150, np.uint8)
    around[..., :80, :] = 50
    gathered = Gathered(face, None, np.ones(count, bool), np.zeros(count, int), list(map(str, range(count))))
    gathered = gathered._replace(surroundings=around)
    plain = replace(HEAD_AUGMENTATION, framed=0.0, degrade=0.0)
    made_copies = copied(gathered, Copy(2, plain))
    faces = made_copies.faces
    sides = [faces[:, 20:44, 5:20].mean((1, 2, 3)) > faces[:, 20:44, 44:59].mean((1, 2, 3))]
    for view in (0, 1):
        picture = made_copies.surroundings[:, view]
        sides.append(picture[:, 50:110, 12:50].mean((1, 2, 3)) > picture[:, 50:110, 110:148].mean((1, 2, 3)))
        bright = np.quantile(picture.reshape(count, -1), 0.9, axis=1)
        np.testing.assert_allclose(bright, np.quantile(faces.reshape(count, -1), 0.9, axis=1), atol=2)
    assert 5 < sides[0].sum() < 35
    assert np.array_equal(sides[0], sides[1])
    assert np.array_equal(sides[0], sides[2])
    framed = copied(gathered, Copy(2, replace(plain, framed=1.0, flip=0.0, scale=0.0, shift=0.0, turn=0.0)))
    flat = np.ptp(framed.faces[:, 0].reshape(count, -1), axis=1) == 0  # the topmost row
    assert 15 < flat.sum() < 40
    assert (framed.faces[:, 32, 16] == framed.faces[:, 32, 17]).all()  # a border reaches no further than a fifth
