"""Faces followed from frame to frame: each found box joins the track that it overlaps most."""

from dataclasses import dataclass, field

from despoof.faces.box import Box, overlap
from despoof.faces.detect import FoundFace
from despoof.verdict import Verdict

OVERLAP = 0.3  # least intersection over union of a face with where it was last seen


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
