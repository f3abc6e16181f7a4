"""Pixels are counted before anything is decoded, and files made to keep a decoder busy are refused; a size read wrongly
would let a decompression bomb pass, and a refusal too many shuts out photos of phones."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from despoof.data.image import formats
from despoof.service.uploads import MAX_READS, MAX_SCANS, accepted_formats, inspect_image

MANY = 10**9
SAVED = {
    "jpeg": ("RGB", {"format": "JPEG"}),
    "progressive": ("RGB", {"format": "JPEG", "progressive": True}),
    "grey jpeg": ("L", {"format": "JPEG"}),
    "cmyk jpeg": ("CMYK", {"format": "JPEG"}),
    "jpeg with exif": ("RGB", {"format": "JPEG", "exif": b"Exif\0\0" + b"x" * 900}),
    "jpeg with profile": ("RGB", {"format": "JPEG", "icc_profile": b"y" * 99_000}),
    "png": ("RGB", {"format": "PNG"}),
    "palette": ("P", {"format": "PNG"}),
    "alpha": ("RGBA", {"format": "PNG"}),
    "webp": ("RGB", {"format": "WEBP"}),
    "lossless webp": ("RGB", {"format": "WEBP", "lossless": True}),
    "webp with alpha": ("RGBA", {"format": "WEBP"}),
    "lossless webp with alpha": ("RGBA", {"format": "WEBP", "lossless": True, "exact": True}),
    "webp with exif": ("RGB", {"format": "WEBP", "exif": b"Exif\0\0" + b"x" * 90}),
}  # fmt: skip
SIZES = [(1, 1), (33, 7), (300, 200), (255, 257), (1023, 1)]


def saved(name: str, size: tuple[int, int]) -> bytes:
    mode, options = SAVED[name]
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_are_counted_as_the_decoder_makes_them(name: str, size: tuple[int, int]) -> None:
    data = saved(name, size)
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    pixels = decoded.shape[0] * decoded.shape[1]
    assert inspect_image(data, pixels) is None
    reason = inspect_image(data, pixels - 1)
    assert (reason.name, reason.value, reason.limit) == ("too_many_pixels", pixels, pixels - 1)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "BMP", "GIF", "TIFF", "PPM", "ICO", "JPEG2000"])
def test_formats_are_those_of_the_command_but_two(kind: str) -> None:
    if kind == "HEIF" and kind not in formats():
        pytest.skip("pillow-heif, the extra `heif`, is not installed")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, kind)
    reason = inspect_image(buffer.getvalue(), MANY)
    assert (reason is None) == (kind in accepted_formats()) == (kind in set(formats()) - {"TIFF", "PPM"})
    assert reason is None or reason.name == "not_an_image"


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x89PNG", b"RIFF", b"GET / HTTP", b"<svg/>", b"\0" * 100])
def test_other_bytes_are_no_image(data: bytes) -> None:
    assert inspect_image(data, MANY).name == "not_an_image"


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "lossless webp", "webp with alpha"])
def test_a_file_cut_anywhere_is_refused_or_still_has_its_size(name: str) -> None:
    data = saved(name, (40, 30))
    for end in range(min(len(data), 800)):
        reason = inspect_image(data[:end], 40 * 30 - 1)
        assert reason.name in ("not_an_image", "unreadable", "too_many_pixels")
        assert reason.value in (None, 40 * 30)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]), st.binary(max_size=400))
def test_any_bytes_after_a_magic_are_a_reason_or_none(magic: bytes, rest: bytes) -> None:
    reason = inspect_image(magic + rest, MANY)
    assert reason is None or reason.sentence


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND")


def jpeg_with(segments: bytes = b"", scans: int = 1, scan: bytes = b"\x01") -> bytes:
    """A grey JPEG of 32 x 16 pixels; its scans hold no picture, which nobody looks at here."""
    frame = b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00"
    begin = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    return b"\xff\xd8" + segments + frame + (begin + scan) * scans + b"\xff\xd9"


@pytest.mark.parametrize("data", [
    png(chunk(b"tEXt", b"a\0b")), png(after=chunk(b"tEXt", b"a\0b") * 9), jpeg_with(b"\xff\xfe\x00\x02" * 10),
    jpeg_with(b"\xff" * 10), jpeg_with(scans=MAX_SCANS), jpeg_with(scan=b"\xff\x00\xff\xd0" * 999),
])  # fmt: skip
def test_hand_made_files_that_are_harmless_pass(data: bytes) -> None:
    assert inspect_image(data, MANY) is None


COSTLY = {
    "segments": jpeg_with(b"\xff\xfe\x00\x02" * MAX_READS),
    "fill bytes": jpeg_with(b"\xff" * MAX_READS),
    "scans": jpeg_with(scans=MAX_SCANS + 1),
    "scans behind other markers": jpeg_with(scans=MAX_SCANS + 1, scan=b"\xff\xd0\xff\x01\xff\x02\xff\xff"),
    "segments after a scan": jpeg_with(scan=b"\xff\xfe\x00\x02" * MAX_READS),
    "chunks": png(before=chunk(b"teSt") * MAX_READS),
    "chunks after the pixels": png(after=chunk(b"teSt") * MAX_READS),
    "comments of a GIF": b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe\0" * MAX_READS + b";",
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_files_made_to_be_costly_are_refused(name: str) -> None:
    reason = inspect_image(COSTLY[name], MANY)
    assert reason.name == "unreadable"
    assert "more than" in reason.sentence


@pytest.mark.parametrize("progressive", [False, True])
def test_a_motion_photo_is_judged_by_its_photo(progressive: bool) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_pixels((90, 120))).save(buffer, "JPEG", progressive=progressive)
    video = b"\0\0\0\x18ftypmp42" + random.Random(0).randbytes(6 * 2**20)
    assert video.count(b"\xff\xda") > MAX_SCANS  # of chance alone: one in 65,536 pairs
    assert inspect_image(buffer.getvalue() + video, MANY) is None


def test_a_thumbnail_inside_a_segment_is_no_scan() -> None:
    thumbnail = jpeg_with(scans=MAX_SCANS + 1)
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    assert inspect_image(jpeg_with(segment), MANY) is None
    assert inspect_image(jpeg_with(segment, MAX_SCANS + 1), MANY).name == "unreadable"


def random_pixels(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def test_motion_pictures_and_several_pages_are_judged_by_their_first() -> None:
    for kind in ("GIF", "WEBP", "PNG"):
        buffer = io.BytesIO()
        frames = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in (10, 200)]
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
        assert inspect_image(buffer.getvalue(), MANY) is None
