"""Toy sets that a tiny detector learns within seconds, and trainings that are long enough for them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from despoof.data.sample import Label, Sample
from despoof.detector.batches import Gathered
from despoof.detector.config import TINY_TRAINING, Augmentation, DetectorTraining, OptimiserConfig
from despoof.detector.network import Detector
from despoof.faces.align import face_hash
from despoof.faces.counterparts import CounterpartCache
from despoof.faces.store import Store, StoredSample
from despoof.faces.surroundings import surroundings


def toys(count: int, seed: int) -> Gathered:
    """Return smooth pictures of two domains; attacks carry fine stripes that their counterparts lack."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (count, 4, 4, 3))
    counterparts = np.kron(coarse, np.ones((1, 16, 16, 1))).astype(np.uint8)
    live, domain = np.arange(count) % 2 == 0, np.arange(count) // 2 % 2
    stripes = 40 * (np.arange(64) // 2 % 2)[None, None, :, None] * ~live[:, None, None, None]
    noise = rng.integers(0, 8, counterparts.shape)
    faces = (counterparts + stripes + noise).astype(np.uint8)
    return Gathered(faces, counterparts, live, domain, [f"{seed}-{i}" for i in range(count)])


def toy_store(root: Path) -> tuple[Store, Path]:
    """Return a store of toys, and the folder of their counterparts in two shards."""
    store, gathered = Store(root, about={"version": 3}), toys(48, 3)
    for i in range(48):
        label = Label.LIVE if gathered.live[i] else Label.ATTACK
        sample = Sample(f"{i}.png", label, subject=f"s{i // 4}", domain="ab"[gathered.domain[i]], source="/x")
        face = gathered.faces[i].repeat(4, 0).repeat(4, 1)
        store.add(StoredSample(sample, "face"), face, around(face))
    cache = CounterpartCache(root / "counterparts/toy-t1", {"generator": "toy", "start_step": 1, "salt": 0, "size": 64})
    named = [
        (face_hash(face), other) for face, other in zip(store.faces(store.rows, 64), gathered.counterparts, strict=True)
    ]
    for part in (named[:30], named[30:]):
        cache.add(dict(part))
    return store, cache.folder


def around(face: np.ndarray) -> np.ndarray:
    """Return surroundings (2, 160, 160, 3) for a face (S, S, 3) of a toy store: mirrored beyond it, near and far."""
    reach = len(face) * 3 // 4
    wide = cv2.copyMakeBorder(face, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    return surroundings(wide, (reach + len(face) / 4, reach + len(face) / 4, len(face) / 2, len(face) / 2))


def surrounded(gathered: Gathered) -> Gathered:
    """Return a set with surroundings, near and far; those of attacks carry stripes."""
    rng = np.random.default_rng(len(gathered.keys))
    pictures = rng.integers(90, 160, (len(gathered.keys), 2, 160, 160, 3), np.uint8)
    pictures[~gathered.live, :, ::8] = 255
    return gathered._replace(surroundings=pictures)


def content(detector: Detector) -> tuple[dict, dict[str, bytes]]:
    """Return what a detector is, to the bit."""
    return detector.facts, {name: tensor.numpy().tobytes() for name, tensor in detector.state_dict().items()}


def learning(**changes) -> DetectorTraining:
    """Return a training that is long enough for the toys; blur would take the stripes away."""
    training = replace(
        TINY_TRAINING, steps=40, evaluate_every=20, live_per_domain=6, attack_per_domain=6,
        optimiser=OptimiserConfig(warmup=5, new_learning_rate=4e-3), augmentation=Augmentation(degrade=0.0),
    )  # fmt: skip
    return replace(training, **changes)
