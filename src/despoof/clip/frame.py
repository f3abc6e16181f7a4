"""A video or a camera -> frames, one at a time, as many as the rule takes."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from despoof.clip.rule import KEY_FRAMES_FROM, ClipRule
from despoof.data.image import HEIF_BRANDS
from despoof.data.video import decoded_frames, open_video, upright
from despoof.errors import InputError

if TYPE_CHECKING:
    import av

ASSUMED_RATE = 25.0  # frames a second of a stream that says none
CONTAINERS = {  # by content, so that nothing else is ever opened: playlists name other files
    "mov": lambda data: data[4:8] == b"ftyp" and data[8:12] not in (*HEIF_BRANDS, b"avif", b"avis"),  # those are photos
    "matroska": lambda data: data[:4] == b"\x1a\x45\xdf\xa3",
    "avi": lambda data: data[:4] == b"RIFF" and data[8:12] == b"AVI ",
}


@dataclass(frozen=True)
class Frame:
    """One picture of a clip, (H, W, 3) uint8 RGB, upright, and its time in seconds from the first."""

    seconds: float
    image: np.ndarray = field(repr=False)


def container_of(data: bytes) -> str | None:
    """Return mov, matroska or avi by a file's first bytes; None for anything else."""
    return next((name for name, fits in CONTAINERS.items() if fits(data[:16])), None)


def read_clip(source: str | Path | bytes, rule: ClipRule) -> Iterator[Frame]:
    """Yield the frames of a video file or of its bytes that the rule takes, at bounded memory.

    Where frames lie `KEY_FRAMES_FROM` seconds apart or more, key frames alone are decoded. What cannot be opened,
    holds no frame, has more seconds or pixels than the rule allows or goes on beyond the length that it declares,
    where nobody would look, is an InputError.
    """
    length = _length(source)
    name, opened = _opened(source)
    with opened as container:
        stream = container.streams.video[0]
        _must_fit(name, rule, length, stream.codec_context.width * stream.codec_context.height)
        interval = rule.interval(length)
        if interval >= KEY_FRAMES_FROM:
            stream.codec_context.skip_frame = "NONKEY"
        rate = float(stream.average_rate or ASSUMED_RATE)
        begin, due, taken = None, 0.0, 0
        started = time.monotonic()
        for number, frame in enumerate(decoded_frames(container)):
            seconds = number / rate if frame.time is None else float(frame.time)
            begin = seconds if begin is None else begin
            _must_fit(name, rule, seconds - begin, frame.width * frame.height)
            if rule.work_seconds is not None and time.monotonic() - started > rule.work_seconds:
                raise InputError(f"{name} takes more than {rule.work_seconds:g} s to read. Send a shorter one.")
            if taken == rule.most_frames and seconds - begin > due + interval:
                raise InputError(f"{name} declares {length:.1f} s and goes on. Convert or cut it.")
            if seconds - begin < due or taken == rule.most_frames:
                continue
            due, taken = seconds - begin + interval - 0.5 / rate, taken + 1
            yield Frame(seconds - begin, upright(frame))
    if begin is None:
        raise InputError(f"{name} holds no frame that can be decoded. Copy it again or leave it out.")


def read_camera(number: int, rule: ClipRule) -> Iterator[Frame]:
    """Yield frames of a camera of this machine, `per_second` of them, until the rule has enough."""
    import cv2

    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise InputError(f"camera {number} cannot be opened. Connect it, close what uses it, or give its number.")
        begin, due = time.monotonic(), 0.0
        taken = 0
        while taken < rule.most_frames:
            there, image = camera.read()
            if not there:
                raise InputError(f"camera {number} gives no picture. Connect it again.")
            seconds = time.monotonic() - begin
            if seconds >= due:
                due, taken = seconds + 1 / rule.per_second, taken + 1
                yield Frame(seconds, np.ascontiguousarray(image[..., ::-1]))
    finally:
        camera.release()


def _opened(source: str | Path | bytes) -> "tuple[str, av.container.InputContainer]":
    if not isinstance(source, bytes):
        return str(source), open_video(source)
    kind = container_of(source)
    if kind is None:
        raise InputError("the bytes are no MP4, MOV, WebM, Matroska or AVI video. Send one of these, as it is.")
    return "the video", open_video(io.BytesIO(source), kind=kind)


def _length(source: str | Path | bytes) -> float:
    """Return the declared seconds or, of a stream that declares none (browsers record such), those of its packets."""
    with _opened(source)[1] as container:
        if container.duration:
            return max(0.0, container.duration / 1e6)
        stream = container.streams.video[0]
        times = [float(each.pts * stream.time_base) for each in container.demux(stream) if each.pts is not None]
        return max(times) - min(times) if times else 0.0


def _must_fit(name: str, rule: ClipRule, seconds: float, pixels: int) -> None:
    if seconds > rule.max_seconds:
        raise InputError(f"{name} has {seconds:.0f} s; expected at most {rule.max_seconds:.0f}. Cut it.")
    if pixels > rule.max_pixels:
        raise InputError(f"{name} has frames of {pixels} pixels; expected at most {rule.max_pixels}. Shrink it.")
