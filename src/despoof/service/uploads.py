"""What comes in: a request's body, counted while it arrives, and whether its bytes may be decoded at all.

Pillow names format and size from the header before anything is decoded. Decoders are forgiving, though: a few bytes can
make them work long (millions of empty segments, hundreds of scans), so reads and scans are counted.
"""

import asyncio
import io
import re

from PIL import Image
from starlette.requests import ClientDisconnect, Request

from despoof.data.image import formats
from despoof.faces.quality import Reason
from despoof.service.errors import RefusedError

COSTLY = ("TIFF", "PPM")  # 16 MB of TIFF tiles take Pillow 39 s, as many digits of a plain PPM 6 s
NOT_AN_IMAGE = "not_an_image"
TOO_MANY_PIXELS = "too_many_pixels"
MAX_READS = 20_000  # of a header; a JPEG's 255 segments of an ICC profile cost 770, a PNG in chunks of 8 KiB 6,200
MAX_SCANS = 64  # of a progressive JPEG; encoders write about 10, each costs a pass over all pixels
# JPEG (ITU-T T.81, annex B): markers that a length follows, and the image's end. A decoder skips all others.
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xef\xfe]")
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


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


def accepted_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that may be sent: those of the command, less the `COSTLY` ones."""
    return tuple(name for name in formats() if name not in COSTLY)


def inspect_image(data: bytes, max_pixels: int) -> Reason | None:
    """Return why these bytes may not go to a decoder; None if they may. Only the content counts, no declared type."""
    too_many = f"Shrink it to at most {max_pixels} pixels."
    try:
        with Image.open(_CountedReads(data), formats=accepted_formats()) as image:
            (width, height), is_jpeg = image.size, image.format in ("JPEG", "MPO")
            image.verify()  # walks a PNG's chunks to the end; other formats are done
        if is_jpeg:
            _count_scans(data)
    except _CostlyError as error:
        return Reason("unreadable", None, None, f"The image {error}. Save it again.")
    except Image.DecompressionBombError:
        return Reason(TOO_MANY_PIXELS, None, max_pixels, f"The image is far too large. {too_many}")
    except Exception as error:  # Pillow raises many kinds on hostile headers
        if isinstance(error, Image.UnidentifiedImageError):
            sentence = f"The bytes are no image; expected {', '.join(accepted_formats())}. Send one of these."
            return Reason(NOT_AN_IMAGE, None, None, sentence)
        return Reason("unreadable", None, None, "The image has a damaged header. Take or download it again.")
    if width * height > max_pixels:
        return Reason(TOO_MANY_PIXELS, width * height, max_pixels, f"The image has {width}x{height} pixels. {too_many}")
    return None


class _CostlyError(Exception):
    """A file that is made to keep a decoder busy."""


class _CountedReads(io.BytesIO):
    """Bytes that can be read `MAX_READS` times, which bounds every loop over a header."""

    reads = 0

    def read(self, *size: int | None) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise _CostlyError(f"has a header of more than {MAX_READS} parts")
        return super().read(*size)


def _count_scans(data: bytes) -> None:
    """Count the scans of a JPEG up to its end of image: a motion photo has a video after it, in whose bytes there is
    anything. Inside a scan 0xFF is followed by 0 or a restart marker, which `MARKER` passes over."""
    scans, at = 0, 2
    for _ in range(MAX_READS):
        found = MARKER.search(data, at)
        if not found or found[0] == END_OF_IMAGE:
            return
        scans += found[0] == START_OF_SCAN
        if scans > MAX_SCANS:
            raise _CostlyError(f"has more than {MAX_SCANS} scans")
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    raise _CostlyError(f"has more than {MAX_READS} segments")
