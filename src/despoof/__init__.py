"""Despoof: face liveness detection with a de-spoofing face generator (AG-FAS)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from despoof.pipeline import Guard, load
    from despoof.verdict import Decision, Verdict

__version__ = "0.1.0"
__all__ = ["Decision", "Guard", "Verdict", "load"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that importing the package does nothing."""
    if name in __all__:
        return getattr(import_module("despoof.pipeline"), name)
    raise AttributeError(f"module 'despoof' has no attribute {name!r}")
