"""What a run is a run of. Equal identities give equal results; a state, cache or file of another one is refused."""

import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError
from despoof.runs.config import config_hash, to_dict


@dataclass(frozen=True)
class Identity:
    """Everything that changes a result. `data` names what is learned from, `parents` weights files by their role."""

    task: str  # such as "train autoencoder"
    config: dict = field(default_factory=dict)  # every option that changes the result, as JSON values
    data: str = ""  # hash of samples and pixels, see `Store.data_hash`; empty where none is read
    parents: dict[str, str] = field(default_factory=dict)  # role -> hash of the weights file

    @property
    def label(self) -> str:
        """Twelve hex digits."""
        return config_hash(self)

    def as_dict(self) -> dict:
        """Return JSON values, as they stand in states, caches and the facts of weights."""
        return to_dict(self)

    def require(self, held: dict | None, where: str | Path) -> None:
        """Raise ArtefactError, naming what differs, unless `held`, which `as_dict` wrote at `where`, is this one."""
        if held == self.as_dict():
            return
        differ = sorted(_different(held or {}, self.as_dict()))
        raise ArtefactError(
            f"{where} holds another run: {'; '.join(differ[:4])}{'; …' if len(differ) > 4 else ''}. "
            "Use another folder or delete this one."
        )


def provenance(identity: Identity) -> dict:
    """Return the facts that a weights or score file carries: its identity, commit and versions."""
    return {"identity": identity.as_dict()} | software()


def software() -> dict:
    """Return versions of what computes, and the commit where the package runs from its repository."""
    import cv2  # which comes by several names

    versions = {"python": platform.python_version(), "opencv": cv2.__version__}
    for name in ("despoof", "torch", "numpy", "onnxruntime"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {"versions": versions, "commit": _commit()}


def _different(held: Any, wanted: Any, where: str = "") -> list[str]:
    if isinstance(held, dict) and isinstance(wanted, dict):
        found = ((f"{where}.{key}".strip("."), held.get(key), wanted.get(key)) for key in sorted({*held, *wanted}))
        return [line for name, one, other in found for line in _different(one, other, name)]
    return [] if held == wanted else [f"{where} was {held!r}, now {wanted!r}"]


def _commit() -> str:
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    tracked = [*git, "ls-files", "--error-unmatch", here.name]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:  # an installed copy may lie inside somebody else's repository: only tracked files name a commit
        subprocess.run(tracked, check=True, capture_output=True)
        return subprocess.run(describe, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
