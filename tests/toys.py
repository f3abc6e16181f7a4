"""Toy sets that a tiny detector learns within seconds, and trainings that are long enough for them."""

from dataclasses import replace

import cv2
import numpy as np

from despoof.detector.batches import Gathered
from despoof.detector.config import TINY_TRAINING, Augmentation, DetectorTraining, OptimiserConfig
from despoof.detector.network import Detector
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
