"""Sizes read without a decoder equal what Pillow decodes, and headers made to be costly are refused; a size read
wrongly would let a decompression bomb pass the pixel limit."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from despoof.service.uploads import MAX_CHUNKS, MAX_SCANS, MAX_SEGMENTS, HeaderError, read_header

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
def test_kind_and_size_are_what_pillow_decodes(name: str, size: tuple[int, int]) -> None:
    data = saved(name, size)
    decoded = Image.open(io.BytesIO(data))
    decoded.load()
    header = read_header(data)
    assert (header.kind, header.width, header.height) == (decoded.format, *decoded.size)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "ICO", "JPEG2000"])
def test_other_formats_are_none(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, kind)
    assert read_header(buffer.getvalue()) is None


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x89PNG", b"RIFF", b"GET / HTTP", b"<svg/>", b"\0" * 100])
def test_other_bytes_are_none(data: bytes) -> None:
    assert read_header(data) is None


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "lossless webp", "webp with alpha"])
def test_a_header_cut_anywhere_is_none_or_an_error_or_still_right(name: str) -> None:
    data = saved(name, (40, 30))
    for end in range(min(len(data), 800)):
        try:
            header = read_header(data[:end])
        except HeaderError:
            continue
        assert header is None or (header.width, header.height) == (40, 30)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]), st.binary(max_size=400))
def test_any_bytes_after_a_magic_are_a_header_or_a_header_error(magic: bytes, rest: bytes) -> None:
    try:
        header = read_header(magic + rest)
    except HeaderError:
        return
    assert header.width >= 0
    assert header.height >= 0


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (8, 8)) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND")


def jpeg_with(segments: bytes, scans: int = 1) -> bytes:
    frame = b"\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00"
    return b"\xff\xd8" + segments + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * scans + b"\x01\xff\xd9"


def animated(kind: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in (10, 200)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


def test_hand_made_files_are_read_where_they_are_harmless() -> None:
    assert read_header(png(chunk(b"tEXt", b"a\0b"))).width == 8
    assert read_header(jpeg_with(b"\xff\xfe\x00\x02" * 10)).height == 16
    assert read_header(jpeg_with(b"\xff" * 10)).width == 32


COSTLY = {
    "segments": (jpeg_with(b"\xff\xfe\x00\x02" * (MAX_SEGMENTS + 1)), "segments"),
    "fill bytes": (jpeg_with(b"\xff" * (MAX_SEGMENTS + 1)), "segments"),
    "scans": (jpeg_with(b"", MAX_SCANS + 1), "scans"),
    "two frames": (jpeg_with(b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00"), "two frames"),
    "two headers": (png(chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))), "two headers"),
    "chunks": (png(*[chunk(b"teSt")] * MAX_CHUNKS), "chunks"),
    "animated png": (animated("PNG"), "animated"),
    "animated webp": (animated("WEBP"), "animated"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_headers_are_refused(name: str) -> None:
    data, why = COSTLY[name]
    with pytest.raises(HeaderError, match=why):
        read_header(data)
