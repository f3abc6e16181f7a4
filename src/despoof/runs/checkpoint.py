"""Trained artefacts and training state.

A trained artefact is one safetensors file whose metadata holds its kind, format version and config as JSON.
Training state (optimiser, step, random numbers) is a separate file that is never shipped.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from despoof.errors import ArtefactError
from despoof.runs.folder import atomic_path

if TYPE_CHECKING:
    import torch

FORMAT = "despoof/1"
SMALLEST = 1024  # numbers of a tensor that is worth storing in whole numbers
SCALE = ".scale"  # beside the name of whole numbers: what makes weights of them


@dataclass(frozen=True)
class Artefact:
    """What a weights file holds: its kind, config and extra facts as plain values, and tensors by name."""

    kind: str
    config: dict
    facts: dict
    tensors: "dict[str, torch.Tensor]"


def save_artefact(
    path: str | Path, kind: str, config: dict, tensors: "dict[str, torch.Tensor]", *, facts: dict | None = None
) -> None:
    """Write one safetensors file atomically. `facts` are JSON values such as operating points.

    Equal content gives equal bytes, since profiles, exports and score files are bound to the file's hash.
    """
    from safetensors.torch import save

    told = {name: json.dumps(value, sort_keys=True) for name, value in (("config", config), ("facts", facts or {}))}
    metadata = {"format": FORMAT, "kind": kind} | told
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    with atomic_path(path) as temporary:
        temporary.write_bytes(_canonical(save(plain), metadata))


def worth_rounding(array: np.ndarray) -> bool:
    """Return whether an array is what multiplies, and large. Vectors, which are added and divided by, stay."""
    return array.dtype.kind == "f" and array.ndim >= 2 and array.size >= SMALLEST


def whole_numbers(array: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return an array (N, ...) as "int8" or "int16" and the float32 scale (N, 1, ...) that makes the array of them."""
    largest = np.abs(array).max(tuple(range(1, array.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / np.iinfo(kind).max, 1).astype(np.float32)
    return np.round(array / scale).astype(kind), scale


def in_bits(tensors: "dict[str, torch.Tensor]", bits: int) -> "dict[str, torch.Tensor]":
    """Return floating-point tensors as floats of 32 or 16 bits, or in 8: large ones as whole numbers with their scale,
    which `load_artefact` makes weights of again, and the rest as 16-bit floats.
    """
    import torch

    found = {}
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().numpy()
        if bits == 8 and worth_rounding(array):
            found[name], found[name + SCALE] = map(torch.from_numpy, whole_numbers(array, "int8"))
        else:
            found[name] = tensor.half() if bits < 32 and tensor.is_floating_point() else tensor
    return found


def _canonical(data: bytes, metadata: dict[str, str]) -> bytes:
    """Put metadata into a safetensors file (8 bytes of length, JSON, tensors) in sorted order; the library's varies."""
    length = int.from_bytes(data[:8], "little")
    header = {"__metadata__": metadata} | json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns tensors by spaces
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def load_artefact(path: str | Path, kind: str) -> Artefact:
    """Read what `save_artefact` wrote. Missing, truncated, foreign and wrong-kind files are ArtefactErrors."""
    import torch
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ArtefactError(
            f"weights file {path} is missing; expected a {kind!r} safetensors file. Train it or give its path."
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        for name in [each for each in tensors if tensors[each].dtype == torch.int8 and each + SCALE in tensors]:
            tensors[name] = tensors[name] * tensors.pop(name + SCALE)
    except (SafetensorError, OSError) as error:
        raise ArtefactError(
            f"weights file {path} cannot be read ({error}). It is truncated or no safetensors file; "
            "restore it from its source."
        ) from None
    if metadata.get("format") != FORMAT or metadata.get("kind") != kind:
        raise ArtefactError(
            f"weights file {path} is of format {metadata.get('format')!r}, kind {metadata.get('kind')!r}; "
            f"expected {FORMAT!r}, {kind!r}. Give a file that this package wrote."
        )
    try:
        return Artefact(kind, json.loads(metadata["config"]), json.loads(metadata["facts"]), tensors)
    except (KeyError, json.JSONDecodeError) as error:
        raise ArtefactError(
            f"weights file {path} has no readable config or facts ({error!r}). Restore it from its source."
        ) from None


def load_strict(module: "torch.nn.Module", tensors: "dict[str, torch.Tensor]", path: str | Path) -> None:
    """Load tensors into a module; any missing, unexpected or misshapen name is an ArtefactError."""
    try:
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True)
    except RuntimeError as error:
        raise ArtefactError(f"weights in {path} do not fit their config: {error}") from None


def file_hash(path: str | Path) -> str:
    """Return twelve hex digits of the content of a file, or of all files of a folder, to name weights by.

    One that is missing is an ArtefactError.
    """
    path, digest = Path(path), hashlib.blake2b(digest_size=6)
    try:
        for file in sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]:
            digest.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b"")
            with file.open("rb") as opened:
                hashlib.file_digest(opened, lambda: digest)
    except OSError as error:
        raise ArtefactError(f"weights {path} cannot be read ({error}). Give the path of a file that exists.") from None
    return digest.hexdigest()


def save_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write training state atomically. Equal states give equal bytes, whether they were read from a file or not."""
    import torch

    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as file:  # given a path, torch would write the temporary name into the file
                torch.save(_unshared(state), file)
        except RuntimeError as error:  # what a full disk is to torch's writer
            raise OSError(str(error)) from error


def _unshared(value: Any) -> Any:
    """Return the value with one object for each text and one container for each place.

    A pickle names what it has met before by the object and not by what it holds, and a state that was read from a file
    shares other objects than one that was not.
    """
    if isinstance(value, Mapping):
        return {_unshared(key): _unshared(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_unshared(each) for each in value])
    return sys.intern(value) if isinstance(value, str) else value


def load_state(path: str | Path) -> dict[str, Any] | None:
    """Return training state, or None where no run has begun. Loads tensors and plain values only."""
    import torch

    if not Path(path).is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArtefactError(
            f"training state {path} cannot be read ({error}). Delete it to start this run over."
        ) from error
