"""Videos -> frames: which frames are taken is a rule, written as text and kept as data.

A frame is named ``clip.mp4#12``; frames are counted from 0 over those that can be decoded. Reading needs the
extra ``video`` (PyAV). A video that cannot be read is an InputError, which callers keep as a typed outcome.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from despoof.errors import InputError

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = frozenset({".avi", ".mov", ".mp4", ".m4v", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp"})
WHOLE = 0.9  # share of the frames a container declares that must decode; phones declare one or two too many
PUBLISHED_START = 6  # AG-FAS and SSDG take frame (6 + j * (n // k)) mod n of n for j below k
RULE = re.compile(r"first|(spaced|published|every):([1-9]\d{0,5})")


@dataclass(frozen=True)
class FrameRule:
    """Which frames of a video are taken.

    ``first``; ``spaced:K``, the middles of K equal parts; ``published:K``, (6 + j * (n // K)) mod n for j below K;
    ``every:N``, 0, N, 2N and so on.
    """

    name: str
    number: int = 1

    def __str__(self) -> str:
        return self.name if self.name == "first" else f"{self.name}:{self.number}"


def parse_rule(text: str) -> FrameRule:
    """Read a rule from text; whatever is not exactly one of the four forms is an InputError."""
    found = RULE.fullmatch(text)
    if not found:
        raise InputError(
            f"frame rule {text!r}; expected first, spaced:K, published:K or every:N with a whole number from 1. "
            "Example: --frames published:2"
        )
    return FrameRule(found[1] or "first", int(found[2] or 1))


def frame_numbers(rule: FrameRule, count: int) -> list[int]:
    """Return the frames, counted from 0 and sorted, that a rule takes of a video with `count` of them.

    None is taken twice, so a video shorter than the rule asks for gives fewer.
    """
    if count < 1:
        return []
    k = rule.number
    wanted = {
        "first": [0],
        "spaced": [(2 * j + 1) * count // (2 * k) for j in range(k)],
        "published": [(PUBLISHED_START + j * (count // k)) % count for j in range(k)],
        "every": range(0, count, k),
    }[rule.name]
    return sorted(set(wanted))


def is_video(path: str | Path) -> bool:
    """Say whether a path is that of a video, by its suffix."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def read_frames(path: str | Path, rule: FrameRule) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, (H, W, 3) uint8 RGB, upright) of the frames that a rule takes, in order.

    One frame is held at a time. All rules but `first` need the length, so the video is decoded once before to
    count it: what containers declare is not always so. Raises InputError before the first frame if the video
    cannot be opened, has no frame, or breaks off before `WHOLE` of what it declares.
    """
    numbers = [0] if rule.name == "first" else frame_numbers(rule, count_frames(path))
    yield from _picked(path, numbers)


def _picked(path: str | Path, numbers: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    wanted, number = iter(numbers), -1
    _require_file(Path(path))
    following = next(wanted)
    for number, frame in enumerate(_decoded(path)):
        if number != following:
            continue
        yield number, upright(frame)
        if (following := next(wanted, None)) is None:
            return
    raise InputError(f"{path} has no frame {following}; {number + 1} can be decoded. Copy it again or leave it out.")


def read_frame(path: str | Path, number: int) -> np.ndarray:
    """Return one frame, counted from 0, as (H, W, 3) uint8 RGB, upright."""
    return next(_picked(path, [number]))[1]


def count_frames(path: str | Path) -> int:
    """Return how many frames can be decoded; InputError if none, or far fewer than the container declares."""
    _require_file(Path(path))
    count = sum(1 for _ in _decoded(path))
    if not count:
        raise InputError(f"{path} holds no frame that can be decoded. Copy it again or leave it out.")
    declared = _declared(path)
    if count < WHOLE * declared:
        raise InputError(f"{path} breaks off: {count} of {declared} frames can be decoded. Copy it again.")
    return count


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is no file; expected a video. Check the path.")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty; expected a video. Copy it again.")


def require_pyav(path: str | Path) -> None:
    """Raise InputError if videos cannot be read at all, which is no fault of the video at `path`."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError(f"{path} is a video, and PyAV is not installed. Run: pip install 'despoof[video]'") from None


def open_video(source: str | Path | BinaryIO, *, kind: str | None = None) -> "av.container.InputContainer":
    """Open a path, or bytes in a container of a `kind` that FFmpeg knows; what is no video is an InputError."""
    named = isinstance(source, str | Path)
    name = str(source) if named else "the video"
    require_pyav(name)
    import av

    try:
        container = av.open(str(source) if named else source, format=kind)
    except (av.FFmpegError, OSError) as error:  # a pipe, a truncated header, no container at all
        raise InputError(
            f"{name} is no video that can be opened ({error.strerror}). Copy it again or convert it."
        ) from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{name} has no video stream; expected one. Leave it out.")
    return container


def _declared(path: str | Path) -> int:
    with open_video(path) as container:
        return container.streams.video[0].frames  # 0 where the container does not say


def _decoded(path: str | Path) -> Iterator["av.VideoFrame"]:
    with open_video(path) as container:
        yield from decoded_frames(container)


def decoded_frames(container: "av.container.InputContainer") -> Iterator["av.VideoFrame"]:
    """Yield every frame that decodes, in order; a damaged packet costs its frames and no more."""
    import av  # is there, or it could not have been opened

    stream = container.streams.video[0]
    stream.thread_type = "NONE"  # videos are read in parallel by processes
    packets = container.demux(stream)
    while (packet := _next_packet(packets)) is not None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def _next_packet(packets: Iterator["av.Packet"]) -> "av.Packet | None":
    import av

    try:
        return next(packets, None)
    except av.FFmpegError:  # the container itself breaks off; what came before stands
        return None


def upright(frame: "av.VideoFrame") -> np.ndarray:
    """Return (H, W, 3) uint8 RGB, turned as the container's display matrix says, by quarter turns."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise degrees
    return np.ascontiguousarray(np.rot90(image, turns))
