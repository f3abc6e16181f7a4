"""Faces followed from frame to frame: each found box joins the track that it overlaps most."""

from dataclasses import dataclass, field

from despoof.faces.detect import FoundFace
from despoof.verdict import Verdict

OVERLAP = 0.3  # least intersection over union of a face with where it was last seen
Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass
class Track:
    """One face through a clip: where it was last, and its verdict in each frame with the frame's seconds."""

    box: Box
    seen: list[tuple[float, Verdict]] = field(default_factory=list)


def assign(tracks: list[Track], found: list[FoundFace]) -> list[Track]:
    """Return the track of each face, in their order; a face that overlaps none begins one, which `tracks` then holds.

    Greedy by overlap: the pair that overlaps most is joined first, no track is taken twice.
    """
    pairs = sorted(
        ((overlap(track.box, face.box), t, f) for t, track in enumerate(tracks) for f, face in enumerate(found)),
        key=lambda pair: (-pair[0], *pair[1:]),
    )
    taken: dict[int, int] = {}  # face -> track
    for share, t, f in pairs:
        if share >= OVERLAP and f not in taken and t not in taken.values():
            taken[f] = t
    joined = []
    for f, face in enumerate(found):
        if f not in taken:
            tracks.append(Track(face.box))
        track = tracks[taken[f]] if f in taken else tracks[-1]
        track.box = face.box
        joined.append(track)
    return joined


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes, 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union > 0 else 0.0
