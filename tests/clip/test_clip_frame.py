"""Frames of real files: the right ones by time, few at a time, and every broken, long or foreign file typed; a reader
that holds a film in memory, or opens what a playlist names, takes a service down."""

import json
import struct
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from despoof.cli.app import build_app
from despoof.clip.frame import container_of, read_camera, read_clip
from despoof.clip.rule import ClipRule
from despoof.detector.config import TINY
from despoof.detector.network import Detector, save_detector
from despoof.errors import InputError

av = pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")


def write(path: Path, seconds: list[float], size: tuple[int, int] = (96, 64), still: bool = False) -> Path:
    """Write grey frames at these times, a key frame every twelfth at least; frame i has brightness 50 (i mod 5)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 12
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, second in enumerate(seconds):
            grey = np.full((size[1], size[0], 3), 0 if still else 50 * (i % 5), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def numbers(frames) -> list[int]:
    """Return which frames these are; each must also look like that frame, within what the codec does to a grey."""
    found = []
    for frame in frames:
        found.append(round(frame.seconds * 25))
        assert abs(float(np.median(frame.image)) - 50 * (found[-1] % 5)) <= 8
    return found


def test_frames_are_taken_at_even_times(tmp_path):
    path = write(tmp_path / "a.mp4", [i / 25 for i in range(50)])  # two seconds
    assert numbers(read_clip(path, ClipRule(per_second=5))) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
    assert len(numbers(read_clip(path, ClipRule(per_second=5, most_frames=4, least_judged=2)))) == 4


def test_a_variable_rate_is_taken_by_time_not_by_number(tmp_path):
    fast_then_slow = [i / 50 for i in range(50)] + [1 + i / 5 for i in range(10)]
    found = list(read_clip(write(tmp_path / "v.mp4", fast_then_slow), ClipRule(per_second=5)))
    assert np.diff([frame.seconds for frame in found]).min() > 0.15
    assert len(found) == pytest.approx(15, abs=1)


def test_bytes_give_what_the_file_gives(tmp_path):
    path = write(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    assert numbers(read_clip(path.read_bytes(), ClipRule())) == numbers(read_clip(path, ClipRule()))


def test_a_long_clip_is_read_at_its_key_frames_and_in_little_memory(tmp_path):
    hour = [3.0 * i for i in range(1200)]
    path = write(tmp_path / "hour.mp4", hour, size=(320, 240), still=True)
    tracemalloc.start()
    found = [frame.seconds for frame in read_clip(path, ClipRule())]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 20 <= len(found) <= 32
    assert found[-1] > 3300
    gaps = np.diff(found)
    assert gaps.min() > 100  # 3,600 s / 32 frames
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        keys = {round(float(packet.pts * packet.time_base)) for packet in packets if packet.is_keyframe}
    assert len(keys) < len(packets) / 4
    assert {round(second) for second in found} <= keys
    assert peak < 10 * 320 * 240 * 3


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"max_seconds": 1.0}, "at most 1"),
        ({"max_pixels": 5000}, "frames of 6144 pixels"),
        ({"work_seconds": 1e-9}, "to read"),
    ],
)
def test_what_is_too_much_is_refused(tmp_path, rule, match):
    path = write(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    with pytest.raises(InputError, match=match):
        list(read_clip(path, ClipRule(**rule)))


def undeclared(path: Path, seconds: float, told: float | None = None) -> Path:
    """Write a Matroska clip without a length, as browsers record them, or with one that is told wrongly."""
    options = {} if told else {"live": "1"}
    with av.open(str(path), "w", format="matroska", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 50 * (i % 5), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if told:
        data = bytearray(path.read_bytes())
        at = data.index(b"\x44\x89\x88") + 3  # the element Duration, a float of 8 bytes, in milliseconds
        data[at : at + 8] = struct.pack(">d", told * 1000)
        path.write_bytes(data)
    return path


def test_frames_reach_the_end_of_a_clip_that_tells_no_length(tmp_path):
    path = undeclared(tmp_path / "a.mkv", 20)
    with av.open(str(path)) as container:
        assert not container.duration
    for source in (path, path.read_bytes()):
        seconds = [frame.seconds for frame in read_clip(source, ClipRule())]
        assert len(seconds) == pytest.approx(32, abs=1)
        assert seconds[-1] > 19


def test_a_clip_that_goes_on_beyond_its_length_is_refused(tmp_path):
    path = undeclared(tmp_path / "a.mkv", 20, told=8)
    with pytest.raises(InputError, match=r"declares 8\.0 s and goes on"):
        list(read_clip(path, ClipRule()))
    assert len(list(read_clip(undeclared(tmp_path / "b.mkv", 20, told=20), ClipRule()))) == 32


@pytest.mark.parametrize("data", [b"", b"text", b"\0\0\0\x18ftypisom" + bytes(50), b"RIFF\0\0\0\0AVI "])
def test_broken_files_are_typed(tmp_path, data):
    (tmp_path / "a.mp4").write_bytes(data)
    for source in (tmp_path / "a.mp4", data):
        with pytest.raises(InputError):
            list(read_clip(source, ClipRule()))
    with pytest.raises(InputError, match="none.mp4"):
        list(read_clip(tmp_path / "none.mp4", ClipRule()))


def test_only_known_containers_are_opened_from_bytes(tmp_path):
    film = write(tmp_path / "a.mp4", [0.0, 0.1])
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n".encode()
    assert container_of(playlist) is None
    for data in (playlist, b"ffconcat version 1.0\nfile a.mp4\n", b"file:///etc/passwd"):
        with pytest.raises(InputError, match="no MP4, MOV, WebM, Matroska or AVI"):
            list(read_clip(data, ClipRule()))
    assert container_of(b"\0\0\0\x18ftypheic") is container_of(b"\0\0\0\x18ftypavif") is None  # photos of phones
    heads = {"mov": film.read_bytes(), "matroska": b"\x1a\x45\xdf\xa3", "avi": b"RIFF1234AVI "}
    assert {name: container_of(data) for name, data in heads.items()} == {name: name for name in heads}


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(InputError, match="camera 97 cannot be opened"):
        list(read_camera(97, ClipRule()))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    save_detector(tmp_path / "detector.safetensors", Detector(replace(TINY, insertion="none"), facts))
    return tmp_path


def test_check_judges_a_clip_and_writes_its_timeline(weights, tmp_path, capsys):
    from skimage.data import astronaut

    from miniatures import write_video

    clip = tmp_path / "me.mp4"
    write_video(clip, [np.roll(astronaut(), 2 * i, 1) for i in range(50)])
    out = tmp_path / "why"
    command = ["check", str(clip), "--weights", str(weights), "--out", str(out), "--as-json"]
    with pytest.raises(SystemExit) as stopped:
        build_app()(command, result_action="return_value")
    row = json.loads(capsys.readouterr().out)
    assert (stopped.value.code, row["decision"]) == (0, "LIVE")
    assert row["faces"][0]["judged"] >= 6
    assert {path.name for path in out.iterdir()} == {"000-me-timeline.png", "000-me-face-0.png"}
    assert Image.open(out / "000-me-timeline.png").width == 860


def test_a_broken_clip_is_no_decision_and_an_exit_status_of_its_own(weights, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit) as stopped:
        build_app()(["check", str(tmp_path / "bad.mp4"), "--weights", str(weights)], result_action="return_value")
    assert stopped.value.code == 12
    assert "NO_DECISION" in capsys.readouterr().out
