"""What comes in: a request's body, counted while it arrives, and whether its bytes may be decoded at all.

Format and size of an image from its first bytes, without any decoder: bytes -> `Header`.

Decoders are large and forgiving; here a few fields are read in a bounded number of steps, and what would make a
decoder work long for few bytes (millions of empty segments, hundreds of scans, animations) is refused.

JPEG: ITU-T T.81 annex B. PNG: W3C PNG, third edition, section 5. WebP: RFC 9649.
"""

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from despoof.faces.quality import Reason
from despoof.service.errors import RefusedError

NOT_AN_IMAGE = "not_an_image"
TOO_MANY_PIXELS = "too_many_pixels"


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Return the body; one that is larger than `limit` bytes, slow or compressed is refused before it is whole."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "compressed_body", "the body has a content encoding; expected none. Send it as it is.")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                if len(body) + len(chunk) > limit:
                    raise _too_large(limit)
                body += chunk
    except TimeoutError:
        raise RefusedError(408, "slow_body", f"the body did not arrive in {seconds:g} s. Send it again.") from None
    except ClientDisconnect:
        raise RefusedError(400, "broken_off", "the body ended early. Send it again.") from None
    if not body:
        raise RefusedError(400, "empty_body", "the body is empty; expected bytes. Send the image's bytes as the body.")
    return bytes(body)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "too_large", f"the body has more than {limit} bytes. Shrink the image first.")


def inspect(data: bytes, max_pixels: int) -> Reason | None:
    """Return why these bytes may not go to a decoder; None if they may. Only the content counts, no declared type."""
    try:
        header = read_header(data)
    except HeaderError as error:
        return Reason("unreadable", None, None, f"The image {error}. Take or download it again.")
    if header is None:
        return Reason(
            NOT_AN_IMAGE, None, None, "The bytes are no JPEG, PNG or WebP image. Send one of these, as it is."
        )
    pixels = header.width * header.height
    if pixels > max_pixels:
        sentence = f"The image has {header.width}x{header.height} pixels. Shrink it to at most {max_pixels}."
        return Reason(TOO_MANY_PIXELS, pixels, max_pixels, sentence)
    return None


MAX_SEGMENTS = 4096  # of a JPEG before its scans; cameras write below 300 (an ICC profile alone may have 255)
MAX_SCANS = 64  # of a progressive JPEG; encoders write about 10, each costs a pass over all pixels
MAX_CHUNKS = 40_000  # of a PNG; writers put 8 KiB and more into one, which is 2,048 for 16 MiB
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's start-of-frame markers
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class HeaderError(Exception):
    """An image of an allowed format whose header is damaged, or made to be costly."""


@dataclass(frozen=True)
class Header:
    """`kind` is JPEG, PNG or WEBP; size in pixels as the decoder will see it, before any rotation."""

    kind: str
    width: int
    height: int


def read_header(data: bytes) -> Header | None:
    """Return the header; None for bytes that begin like none of the allowed formats."""
    if data[:3] == b"\xff\xd8\xff":
        return Header("JPEG", *_jpeg(data))
    if data[:8] == PNG_MAGIC:
        return Header("PNG", *_png(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Header("WEBP", *_webp(data))
    return None


def _number(data: bytes, at: int, size: int, order: str = "big") -> int:
    field = data[at : at + size]
    if len(field) < size:
        raise HeaderError("ends inside its header")
    return int.from_bytes(field, order)  # type: ignore[arg-type]


def _jpeg(data: bytes) -> tuple[int, int]:
    size, at = None, 2
    for _ in range(MAX_SEGMENTS):
        marker = _number(data, at + 1, 1)
        if data[at] != 0xFF or marker == 0:
            raise HeaderError("has no marker where one is due")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA:  # the first scan: the header ends
            break
        length = _number(data, at + 2, 2)
        if marker in FRAMES:
            if size is not None:
                raise HeaderError("has two frames")
            size = _number(data, at + 7, 2), _number(data, at + 5, 2)
        at += 2 + max(length, 2)
    else:
        raise HeaderError(f"has more than {MAX_SEGMENTS} segments")
    if size is None:
        raise HeaderError("has no frame before its first scan")
    if data.count(b"\xff\xda") > MAX_SCANS:  # inside a scan, 0xFF is always followed by 0 or a restart
        raise HeaderError(f"has more than {MAX_SCANS} scans")
    return size


def _png(data: bytes) -> tuple[int, int]:
    if data[8:16] != b"\x00\x00\x00\rIHDR":
        raise HeaderError("does not begin with its header")
    size = _number(data, 16, 4), _number(data, 20, 4)
    at = 33
    for _ in range(MAX_CHUNKS):
        kind = data[at + 4 : at + 8]
        if kind in (b"IEND", b""):  # or it is truncated, which the decoder will say
            return size
        if kind == b"IHDR":
            raise HeaderError("has two headers")
        if kind == b"acTL":
            raise HeaderError("is animated")
        at += 12 + _number(data, at, 4)
    raise HeaderError(f"has more than {MAX_CHUNKS} chunks")


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8 ":
        return _number(data, 26, 2, "little") & 0x3FFF, _number(data, 28, 2, "little") & 0x3FFF
    if kind == b"VP8L":
        bits = _number(data, 21, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        if _number(data, 20, 1) & 0x02:
            raise HeaderError("is animated")
        return _number(data, 24, 3, "little") + 1, _number(data, 27, 3, "little") + 1
    raise HeaderError("has no picture where one is due")
