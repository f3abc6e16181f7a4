"""Frames of videos: rules against hand-counted cases, pixels against what was written, damage as typed errors.

A rule off by one, or a number that depends on what a container claims, changes every figure of a video dataset.
"""

import struct

import numpy as np
import pytest

from despoof.data.image import read_image
from despoof.data.video import FrameRule, count_frames, frame_numbers, is_video, parse_rule, read_frame, read_frames
from despoof.errors import InputError

HAND_COUNTED = [
    ("first", 1, [0]),
    ("first", 300, [0]),
    ("spaced:1", 9, [4]),
    ("spaced:2", 8, [2, 6]),
    ("spaced:3", 9, [1, 4, 7]),
    ("spaced:4", 2, [0, 1]),  # a short video gives what it has, none twice
    ("published:1", 100, [6]),
    ("published:2", 100, [6, 56]),
    ("published:2", 101, [6, 56]),
    ("published:3", 10, [2, 6, 9]),  # 6, 9, and 12 mod 10
    ("published:2", 5, [1, 3]),  # 6 mod 5 and 8 mod 5
    ("published:9", 4, [2]),
    ("every:1", 3, [0, 1, 2]),
    ("every:4", 9, [0, 4, 8]),
    ("every:50", 9, [0]),
]


@pytest.mark.parametrize(("text", "count", "numbers"), HAND_COUNTED)
def test_rules_against_hand_counted_cases(text, count, numbers):
    assert frame_numbers(parse_rule(text), count) == numbers


@pytest.mark.parametrize("text", ["first", "spaced:7", "published:2", "every:25"])
def test_a_rule_survives_as_text_and_never_leaves_the_video(text):
    rule = parse_rule(text)
    assert str(rule) == text
    assert frame_numbers(rule, 0) == []
    for count in range(1, 60):
        numbers = frame_numbers(rule, count)
        assert numbers
        assert numbers == sorted(set(numbers))
        assert 0 <= numbers[0] <= numbers[-1] < count


NONSENSE = ["", "spaced", "spaced:", "spaced:0", "spaced:-1", "spaced:2.5", "first:2", "every:x", "all", "published:2 "]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused(text):
    with pytest.raises(InputError, match="published:2"):
        parse_rule(text)


def test_suffixes():
    assert is_video("a/B.MOV")
    assert not is_video("a/b.png")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Fourteen frames (64, 96, 3); frame n has brightness 16 n, and its upper left quarter is bright."""
    pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")
    from miniatures import write_video

    folder = tmp_path_factory.mktemp("clips")
    pictures = [np.full((64, 96, 3), 16 * n, np.uint8) for n in range(14)]
    for picture in pictures:
        picture[:32, :48] = 255
    for name in ("clip.mp4", "clip.avi", "clip.mov"):
        write_video(folder / name, pictures)
    return folder


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mov"])
def test_the_frames_of_a_rule_have_their_own_pixels(clip, name):
    assert count_frames(clip / name) == 14
    found = list(read_frames(clip / name, parse_rule("published:2")))
    assert [number for number, _ in found] == [6, 13]
    for number, image in found:
        assert image.shape == (64, 96, 3)
        assert image.dtype == np.uint8
        assert abs(int(np.median(image[40:])) - 16 * number) <= 3
        assert image[:28, :44].min() > 230


def test_one_frame_by_its_name(clip):
    expected = read_frame(clip / "clip.mp4", 5)
    assert np.array_equal(read_image(clip / "clip.mp4#5"), expected)
    assert abs(int(np.median(expected[40:])) - 80) <= 3
    with pytest.raises(InputError, match="no frame 14"):
        read_image(clip / "clip.mp4#14")


def test_frames_come_one_by_one(clip, monkeypatch):
    """Only what is asked for is turned into pixels: a long video must not be held as a whole."""
    turned = []
    upright = "despoof.data.video.upright"
    import despoof.data.video as video

    true_upright = video.upright
    monkeypatch.setattr(upright, lambda frame: (turned.append(1), true_upright(frame))[1])
    frames = read_frames(clip / "clip.mp4", parse_rule("every:2"))
    next(frames)
    assert len(turned) == 1
    assert len(list(frames)) == 6
    assert len(turned) == 7


def turned(data: bytes, quarter: tuple[int, int, int, int]) -> bytes:
    """Return an MP4 whose track header has the display matrix (a, b, c, d) of ISO/IEC 14496-12."""
    a, b, c, d = quarter
    place = data.index(b"tkhd") + 4 + 40  # version, times, track, duration, layer, volume come first
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return data[:place] + matrix + data[place + 36 :]


# (x, y) -> (a x + c y, b x + d y); the bright corner of the picture goes from upper left to:
TURNS = {
    "not at all": ((1, 0, 0, 1), (64, 96), "upper left"),
    "clockwise": ((0, 1, -1, 0), (96, 64), "upper right"),
    "half a turn": ((-1, 0, 0, -1), (64, 96), "lower right"),
    "counterclockwise": ((0, -1, 1, 0), (96, 64), "lower left"),
}


@pytest.mark.parametrize("name", TURNS)
def test_rotation_in_the_metadata_is_honoured(clip, tmp_path, name):
    matrix, shape, corner = TURNS[name]
    path = tmp_path / "turned.mp4"
    path.write_bytes(turned((clip / "clip.mp4").read_bytes(), matrix))
    image = read_frame(path, 0)
    assert image.shape[:2] == shape
    corners = {
        "upper left": image[10, 10], "upper right": image[10, -10], "lower left": image[-10, 10],
        "lower right": image[-10, -10],
    }  # fmt: skip
    assert max(corners, key=lambda where: int(corners[where].sum())) == corner


def damaged(clip, kind: str) -> bytes:
    avi, mp4 = (clip / "clip.avi").read_bytes(), (clip / "clip.mp4").read_bytes()
    return {
        "empty": b"",
        "no video": b"this is text\n" * 40,
        "cut before its index": mp4[: len(mp4) // 2],
        "cut in the middle of its frames": avi[: int(len(avi) * 0.7)],
        "header only": mp4[:32],
        "frames of zeros": mp4[: mp4.index(b"mdat") + 4] + bytes(len(mp4) - mp4.index(b"mdat") - 4),
    }[kind]


KINDS = [
    "empty",
    "no video",
    "cut before its index",
    "cut in the middle of its frames",
    "header only",
    "frames of zeros",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_video_is_a_typed_error(clip, tmp_path, kind):
    path = tmp_path / ("bad.avi" if "middle" in kind else "bad.mp4")
    path.write_bytes(damaged(clip, kind))
    with pytest.raises(InputError, match=path.name):
        list(read_frames(path, parse_rule("published:2")))


def test_sound_alone_is_no_video(tmp_path):
    av = pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="no video stream"):
        count_frames(tmp_path / "sound.mp4")


def test_a_folder_or_nothing_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.mp4"):
        with pytest.raises(InputError, match="no file"):
            list(read_frames(path, FrameRule("first")))


def test_without_pyav_the_remedy_is_named(clip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"despoof\[video\]"):
        list(read_frames(clip / "clip.mp4", FrameRule("first")))
