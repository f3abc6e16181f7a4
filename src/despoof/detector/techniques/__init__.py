"""What a detector is trained on, one technique of domain generalisation a file.

Symbols in all of them: f an embedding (N, E), y live or attack, d domain (N,), 0 .. number of sources - 1.

Techniques by name; another one is a file and a line here.
"""

from despoof.detector.techniques.alignment import Alignment
from despoof.detector.techniques.dann import Dann
from despoof.detector.techniques.erm import Erm
from despoof.detector.techniques.risk import RiskExtrapolation, SpoofRiskExtrapolation
from despoof.detector.techniques.ssdg import Ssdg
from despoof.detector.techniques.technique import Technique

TECHNIQUES: dict[str, type[Technique]] = {
    "erm": Erm,
    "ssdg": Ssdg,
    "dann": Dann,
    "vrex": RiskExtrapolation,
    "sare": SpoofRiskExtrapolation,
    "safas": Alignment,
}
