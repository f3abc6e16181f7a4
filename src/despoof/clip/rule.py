"""Which frames of a clip are judged, how their scores become one, and what is too much."""

import dataclasses
from dataclasses import dataclass

from despoof.errors import ConfigError

KEY_FRAMES_FROM = 2.0  # seconds between frames from which key frames alone are decoded: cameras write one or two
DECIDING = ("per_second", "most_frames", "least_judged", "least_share", "parts", "least_part")


@dataclass(frozen=True)
class ClipRule:
    """How a clip is read and judged.

    Args:
        per_second: frames looked at, at most; fewer where the clip is longer than most_frames / per_second.
        most_frames: looked at in all; they are spread over the whole clip.
        least_judged: frames in which a face must be judged; fewer are no decision.
        least_share: of the frames looked at, in which something must be found to count as a face at all.
        parts: of equal numbers of judged frames, one after the other; the lowest of their medians is the liveness, so
            that a face has to be live from beginning to end.
        least_part: judged frames of a part; a clip of few has fewer parts.
        most_faces: judged in one frame, the main one and the largest of those of like size.
        max_seconds: of a clip; longer is no decision.
        max_pixels: of one frame; more is no decision. 4K has 8.3 million.
        work_seconds: for reading and judging one clip; none is as long as it takes. More is no decision.
    """

    per_second: float = 4.0
    most_frames: int = 32
    least_judged: int = 6
    least_share: float = 0.2
    parts: int = 3
    least_part: int = 3
    most_faces: int = 4
    max_seconds: float = 2 * 3600.0
    max_pixels: int = 40_000_000
    work_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"clip.{name} is {value}; expected a number above 0. Give one that a clip passes.")
        if not self.least_judged <= self.most_frames:
            raise ConfigError(
                f"clip: least_judged {self.least_judged} of most_frames {self.most_frames}; expected at most all of "
                "them, or no clip could ever be judged. Lower the first or raise the second."
            )

    def interval(self, seconds: float) -> float:
        """Return the seconds from one frame to the next of a clip of this length."""
        return max(1 / self.per_second, seconds / self.most_frames)

    def deciding(self) -> dict[str, float]:
        """Return what changes the liveness of a clip; thresholds hold for these values and no others."""
        return {name: getattr(self, name) for name in DECIDING}
