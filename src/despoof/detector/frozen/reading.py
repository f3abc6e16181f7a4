"""What frozen networks read in samples and in changed copies of them: kept in memory, and on disk if asked.

    FOLDER/BLOCK-HEX/HEX.safetensors    names (N, 16) and numbers (N, K) of some samples, in one block of a detector

BLOCK-HEX says the block, its network's weights, and the copy; a name is the hash of a sample's key and pixels. So rows
of a table, cells, seeds and folds share what was read once. A file is written whole, under another name first, and
never changed; one that is damaged counts as absent.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from despoof.detector.augment import Augmentation, apply_change, draw_change, moved
from despoof.detector.batches import Gathered, check_gathered, chosen, in_memory, input_batches
from despoof.detector.branches import FACE
from despoof.detector.network import Detector
from despoof.faces.store import Store
from despoof.runs.config import config_hash, to_dict
from despoof.runs.folder import atomic_path
from despoof.runs.processes import choose_device
from despoof.runs.progress import track
from despoof.runs.seed import item_rng

FORMAT = "despoof-numbers/1"  # another one where what is read, or how a copy is changed, is another
SHELF = 512  # samples of a file
NUMBERS = "numbers"  # name of such a folder
BATCH = 32


class Copy(NamedTuple):
    """Which copy of a sample is read: 0 itself, 1 its mirror image, from 2 on changed within `ranges`."""

    number: int = 0
    ranges: Augmentation | None = None

    @property
    def about(self) -> list:
        """What makes it another copy, as JSON values."""
        return [self.number, to_dict(self.ranges) if self.number > 1 else None]


ORIGINAL = Copy()


def copies(augmented: int, ranges: Augmentation) -> list[Copy]:
    """Return the original, the mirror image and `augmented` changed copies."""
    return [Copy(number, ranges) for number in range(2 + augmented)]


def copied(gathered: Gathered, copy: Copy) -> Gathered:
    """Return the copies of samples; how one is changed depends on its key and the copy alone."""
    if copy.number == 0:
        return gathered
    pictures = ("faces", "counterparts", "surroundings")
    given = {name: each for name in pictures if (each := getattr(gathered, name)) is not None}
    if copy.number == 1:  # the axis before the colours
        return gathered._replace(**{name: np.ascontiguousarray(each[..., ::-1, :]) for name, each in given.items()})
    made = {name: np.empty_like(each) for name, each in given.items()}
    for place, key in enumerate(gathered.keys):
        rng = item_rng("copy", key, copy.number)
        change = draw_change(rng, copy.ranges, gathered.faces.shape[1])
        for name in set(made) & {"faces", "counterparts"}:
            made[name][place] = apply_change(given[name][place], change)
        for view, picture in enumerate(given["surroundings"][place]) if "surroundings" in given else ():
            other = moved(change, rng, copy.ranges, len(picture))
            made["surroundings"][place, view] = apply_change(picture, other)
    return gathered._replace(**made)


class Numbers:
    """Numbers that were read before; what is missing is read, and added."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._shelves: dict[str, dict[bytes, np.ndarray]] = {}

    @classmethod
    def of_store(cls, store: Store, scratch: Path | None = None) -> "Numbers":
        """Return what was read in a store, kept beside its rows; of one at a URI, in `scratch` if that is given."""
        folder = store.root if isinstance(store.root, Path) else scratch
        return cls(None if folder is None else folder / NUMBERS)

    def read(self, detector: Detector, gathered: Gathered, copy: Copy = ORIGINAL) -> torch.Tensor:
        """Return the numbers (N, K) float32, on the CPU, that a frozen detector judges in a copy of each sample."""
        check_gathered(gathered, detector.config, "the set to read")
        shelves = {block: f"{block}-{_about(detector, block, copy)}" for block in detector.blocks}
        names = {block: _names(detector, block, gathered) for block in detector.blocks}
        held = {block: self._shelf(shelf) for block, shelf in shelves.items()}
        lacks = {block: np.array([name not in held[block] for name in names[block]]) for block in names}
        missing = np.flatnonzero(np.any(list(lacks.values()), 0))
        parts = [missing[start : start + SHELF] for start in range(0, len(missing), SHELF)]
        for part in track(parts, f"read copy {copy.number}", len(parts)) if len(parts) > 1 else parts:
            wanted = [block for block in names if lacks[block][part].any()]
            for block, numbers in _fresh(detector, in_memory(chosen(gathered, part)), copy, wanted).items():
                self._add(shelves[block], [names[block][i] for i in part], numbers)
        whole = [np.stack([held[block][name] for name in names[block]]) for block in detector.blocks]
        return torch.from_numpy(np.concatenate(whole, 1))

    def _shelf(self, name: str) -> dict[bytes, np.ndarray]:
        """Return what is known of a block, name -> (K,); read from disk once."""
        if name not in self._shelves:
            shelf: dict[bytes, np.ndarray] = {}
            for path in sorted((self.folder / name).glob("*.safetensors")) if self.folder else ():
                shelf |= _loaded(path)
            self._shelves[name] = shelf
        return self._shelves[name]

    def _add(self, name: str, names: list[bytes], numbers: np.ndarray) -> None:
        self._shelves[name] |= dict(zip(names, numbers, strict=True))
        if self.folder is not None:
            content = {"names": np.stack([np.frombuffer(each, np.uint8) for each in names]), "numbers": numbers}
            digest = hashlib.blake2b(b"".join(names), digest_size=8).hexdigest()
            with atomic_path(self.folder / name / f"{digest}.safetensors") as temporary:
                temporary.write_bytes(save(content))


def _loaded(path: Path) -> dict[bytes, np.ndarray]:
    try:
        content = load_file(path)
        names, numbers = content["names"], content["numbers"]
        return dict(zip(map(bytes, names), numbers, strict=True))
    except (SafetensorError, OSError, KeyError, ValueError):
        return {}


def _fresh(detector: Detector, gathered: Gathered, copy: Copy, blocks: list[str]) -> dict[str, np.ndarray]:
    """Return the numbers (N, K) float32 of blocks by a detector in eval mode, on the machine's accelerator if any."""
    home, device = next(detector.parameters()).device, choose_device()
    detector.to(device)
    parts: dict[str, list[np.ndarray]] = {block: [] for block in blocks}
    with torch.inference_mode():
        for batch in input_batches(copied(gathered, copy), detector.config, BATCH):
            given = [x if x is None else x.to(device) for x in batch]
            for block in blocks:
                read = detector.block(block, *given)
                parts[block].append(read.float().cpu().numpy())
    detector.to(home)
    return {block: np.concatenate(each) for block, each in parts.items()}


def _about(detector: Detector, block: str, copy: Copy) -> str:
    """Return twelve hex digits of all that decides what a block reads, but for the sample."""
    config = detector.config
    part = detector.branches[block] if block in config.branches else detector.backbone
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in part.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    told: list = [FORMAT, block, config.backbone, config.face_size, config.statistics, config.every_layer]
    if _sees_cue(detector, block):
        told += [config.insertion, config.cue_form]
    return config_hash(json.loads(json.dumps([*told, copy.about, digest.hexdigest()])))


def _sees_cue(detector: Detector, block: str) -> bool:
    return block == "cue" or (block == "face" and detector.config.insertion == "cue")


def _names(detector: Detector, block: str, gathered: Gathered) -> list[bytes]:
    """Return a name (16 bytes) for each sample as a block sees it."""
    return [_name(key, pictures) for key, pictures in zip(gathered.keys, _seen(detector, block, gathered), strict=True)]


def _seen(detector: Detector, block: str, gathered: Gathered) -> Iterator[tuple[np.ndarray, ...]]:
    if block in detector.config.branches:
        views = detector.branches[block].views
        given = [gathered.faces if view == FACE else gathered.surroundings[:, view] for view in views]
        yield from zip(*given, strict=True)
    elif _sees_cue(detector, block):
        yield from zip(gathered.faces, gathered.counterparts, strict=True)
    else:
        yield from zip(gathered.faces, strict=True)


def _name(key: str, pictures: tuple[np.ndarray, ...]) -> bytes:
    digest = hashlib.blake2b(f"{key}|".encode(), digest_size=16)
    for picture in pictures:
        digest.update(np.ascontiguousarray(picture))
    return digest.digest()
