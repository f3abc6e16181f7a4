"""Adapters of public datasets: what a user has obtained -> samples. Nothing of them is contained here.

One file a dataset, and its line below. `load_dataset` imports a file when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from despoof.errors import InputError

if TYPE_CHECKING:
    from despoof.data.datasets.declaration import Dataset

DATASETS = {  # name, which is the domain of its samples -> file
    "oulu-npu": "oulu_npu",
    "casia-fasd": "casia_fasd",
    "replay-attack": "replay_attack",
    "msu-mfsd": "msu_mfsd",
    "siw": "siw",
    "siw-mv2": "siw_mv2",
    "celeba-spoof": "celeba_spoof",
    "rose-youtu": "rose_youtu",
    "wmca": "wmca",
    "casia-surf": "casia_surf",
    "casia-surf-cefa": "casia_surf_cefa",
    "hifimask": "hifimask",
    "3dmad": "threedmad",
    "hkbu-mars": "hkbu_mars",
}


def load_dataset(name: str) -> "Dataset":
    """Return the declaration of a dataset by name."""
    if name not in DATASETS:
        raise InputError(f"dataset {name!r}; expected one of {', '.join(DATASETS)}. Correct the name.")
    return import_module(f"{__name__}.{DATASETS[name]}").DATASET
