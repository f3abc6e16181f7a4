"""What comes in: a request's body, counted while it arrives, and whether its bytes may be decoded at all."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from despoof.faces.quality import Reason
from despoof.service.header import HeaderError, read_header
from despoof.service.refused import RefusedError

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
