"""What a detector is trained on, one technique of domain generalisation a file.

Symbols in all of them: f an embedding (N, E), y live or attack, d domain (N,), 0 .. number of sources - 1.

Techniques by name; another one is a file, with the dataclass of its options if it has some, and a line here.
"""

from typing import Any

from despoof.detector.config import TechniqueConfig
from despoof.detector.techniques.alignment import Alignment
from despoof.detector.techniques.dann import Dann
from despoof.detector.techniques.erm import Erm
from despoof.detector.techniques.risk import RiskExtrapolation, SpoofRiskExtrapolation
from despoof.detector.techniques.ssdg import Ssdg
from despoof.detector.techniques.technique import Technique
from despoof.errors import ConfigError
from despoof.runs.config import from_dict

TECHNIQUES: dict[str, type[Technique]] = {
    "erm": Erm,
    "ssdg": Ssdg,
    "dann": Dann,
    "vrex": RiskExtrapolation,
    "sare": SpoofRiskExtrapolation,
    "safas": Alignment,
}


def technique(config: TechniqueConfig) -> tuple[type[Technique], Any]:
    """Return the class of a technique and its whole config; an unknown name or option is a ConfigError."""
    if config.name not in TECHNIQUES:
        raise ConfigError(f"technique {config.name!r}; expected one of {', '.join(TECHNIQUES)}. Name one.")
    kind = TECHNIQUES[config.name]
    options = {name.replace("-", "_"): value for name, value in config.options.items()}  # as flags are written
    return kind, from_dict(kind.Options, options, f"technique {config.name}")
