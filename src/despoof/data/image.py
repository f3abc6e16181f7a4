"""Any image a user may hand over -> array (H, W, 3), uint8, RGB, upright. Everything else is an InputError."""

import io
import stat
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from despoof.data.video import is_video, read_frame
from despoof.errors import InputError

if TYPE_CHECKING:
    from PIL import ImageCms

MAX_PIXELS = 64_000_000  # read from the header before decoding; a JPEG of up to 178 Mpx is decoded at half its size
MAX_BYTES = 64 * 2**20
MIN_SIDE = 32
REDUCED_SIDE = 1440  # px that the shorter side keeps at reduced size: a face a quarter as wide is large enough there
# Pillow's names of what is read, by the command and by the service alike (less what is costly to refuse there); of an
# animation, a burst or a stack of pages the first picture. HEIF, what iPhones write, needs the extra ``heif``.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")
HEIF_SUFFIXES = frozenset((".heic", ".heif"))
IMAGE_SUFFIXES = HEIF_SUFFIXES | frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
)
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO/IEC 23008-12, 10.2 and B.4
HEIF_REMEDY = "is an HEIF image, and pillow-heif is not installed. Run: pip install 'despoof[heif]', or convert it."
SAME = 2  # grey levels by which a profile may differ from sRGB and count as sRGB: editors write it rounded
LONGEST_PATH = 255  # characters of a path that is repeated in an error
ROUNDING = 1e-3  # beyond 0..1 that a float array may have, less than half a grey level

ImageSource = str | Path | bytes | bytearray | memoryview | np.ndarray | Image.Image | BinaryIO  # or a torch tensor


def read_image(source: ImageSource | Any) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB from a path, bytes, an open binary file, an array or tensor in RGB, or a PIL image.

    Arrays: (H, W), (H, W, 3) or (H, W, 4), uint8 in 0..255, or float in 0..1, RGB order; torch's also with the
    channels first. EXIF rotation is applied, 16-bit is scaled to 8, CMYK, palettes and the colours of an ICC
    profile become sRGB, alpha is composited on black, of an animation the first frame is taken; ``clip.mp4#12`` is a
    frame of a video. Raises InputError naming what is wrong and what to do.
    """
    given = _picture_or_bytes(source)
    return given if isinstance(given, np.ndarray) else _from_bytes(*given)[0]


def readings(source: ImageSource | Any) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the picture as `read_image` returns it, and before that, where it is a large JPEG file, at reduced size.

    Each comes with how many px of the file a px of it spans each way: 1, 2, 4 or 8. A JPEG decodes straight to such a
    part of its size and several times as fast, so whoever has seen enough asks for no more.
    """
    given = _picture_or_bytes(source)
    if isinstance(given, np.ndarray):
        yield given, 1
        return
    image, spanned = _from_bytes(*given, reduced=True)
    yield image, spanned
    if spanned > 1:
        yield _from_bytes(*given)


def _picture_or_bytes(source: ImageSource | Any) -> np.ndarray | tuple[bytes, str]:
    """Return the picture of what is decoded already, else the bytes of a file and its name for errors."""
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(*source.size)
        return _decoded(source, "PIL image")
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), f"{len(source)} bytes"
    if isinstance(source, str | Path):
        return _from_path(Path(source))
    if type(source).__module__ == "torch" and hasattr(source, "detach"):
        tensor = source.detach().cpu()
        return _from_array(_channels_last((tensor.float() if tensor.is_floating_point() else tensor).numpy()))
    if hasattr(source, "read"):
        return _from_file(source)
    several = " Several images go to check_many." if isinstance(source, list | tuple) else ""
    raise InputError(
        f"input of type {type(source).__name__}; expected one path, bytes, file, NumPy array or PIL image.{several}"
    )


def _channels_last(array: np.ndarray) -> np.ndarray:
    first = array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (3, 4)
    return array.transpose(1, 2, 0) if first else array


def _from_file(file: BinaryIO) -> tuple[bytes, str]:
    try:
        data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it was closed
        raise InputError(f"the file cannot be read ({error}). Open it again.") from None
    if not isinstance(data, bytes):
        raise InputError('the file gives text; expected bytes. Open it with mode "rb".')
    return data, "the file"


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that can be read here: `FORMATS`, and HEIF where the extra is installed."""
    try:
        import pillow_heif
    except ImportError:
        return FORMATS
    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def require_readable(path: str | Path) -> None:
    """Raise InputError if a file of this name cannot be read here at all, which is no fault of the file."""
    if Path(path).suffix.lower() in HEIF_SUFFIXES and "HEIF" not in formats():
        raise InputError(f"{path} {HEIF_REMEDY}")


def _from_path(path: Path) -> np.ndarray | tuple[bytes, str]:
    path = _expanded(path)
    video, _, number = str(path).rpartition("#")
    if number.isdecimal() and is_video(video):
        return _from_array(read_frame(video, int(number)))
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise InputError(f"{path} is a folder; expected one image file. Give the files in it one by one.")
        if not stat.S_ISREG(facts.st_mode):  # a pipe or device could be read for ever
            raise InputError(f"{path} is no regular file; expected an image file. Copy the image to one first.")
        if facts.st_size > MAX_BYTES:
            raise InputError(f"{path} has {facts.st_size} bytes; expected at most {MAX_BYTES}. Shrink it first.")
        data = path.read_bytes()
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(_unread(path, error)) from None
    return data, str(path)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # of a user that this machine does not have
        return path


def _unread(path: Path, error: Exception) -> str:
    if len(str(path)) > LONGEST_PATH or str(path).startswith("data:"):  # an image as text: never repeat its pixels
        return f"a text of {len(str(path))} characters names no file; an image as base64 goes in as its decoded bytes."
    said = getattr(error, "strerror", None) or error
    return f"{str(path)!r} cannot be read ({said}). Check the path and its permissions."


def _from_bytes(data: bytes, name: str, *, reduced: bool = False) -> tuple[np.ndarray, int]:
    """Return a file's picture and how many of its px one of that spans each way, see `readings`."""
    if not data:
        raise InputError(f"{name} is empty; expected an image. Take or download it again.")
    if len(data) > MAX_BYTES:
        raise InputError(f"{name}: expected at most {MAX_BYTES} bytes. Shrink the image first.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; our limit is checked below
            image = Image.open(io.BytesIO(data), formats=formats())
    except Image.DecompressionBombError as error:  # Pillow's limit lies above ours
        raise InputError(f"{name}: {error} Expected at most {MAX_PIXELS} pixels; shrink it first.") from None
    except Exception as error:  # Pillow raises many kinds on hostile headers
        if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and "HEIF" not in formats():
            raise InputError(f"{name} {HEIF_REMEDY}") from None
        raise InputError(
            f"{name} is no image this package reads ({type(error).__name__}); expected one of "
            f"{', '.join(formats())}. Convert it first."
        ) from None
    width, height = image.size
    least = REDUCED_SIDE if reduced else max(width, height)
    if width * height > MAX_PIXELS:
        least = min(least, width // 2, height // 2)
    if min(width, height) >= 2 * least:  # a JPEG decodes at a part of its size; others are left as they are
        image.draft(None, (least, least))
    _check_size(*image.size)
    spanned = round(width / image.width)  # before the image is turned
    return _decoded(image, name, ours=True), spanned


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(
            f"image of {width}x{height} has more than {MAX_PIXELS} pixels. Shrink it to 4000 px or less a side."
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(f"image of {width}x{height}; expected at least {MIN_SIDE} px a side. Take a larger picture.")


def _decoded(image: Image.Image, name: str, *, ours: bool = False) -> np.ndarray:
    """Return the picture of an image; one that was opened here is `ours` and may be turned without a copy."""
    try:
        image.seek(0)
        image = ImageOps.exif_transpose(image, in_place=ours) or image
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            return _from_deep(np.asarray(image))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
        return np.asarray(_as_srgb(image))
    except InputError:
        raise
    except Exception as error:  # truncated or hostile data fail in many ways inside the decoders
        raise InputError(
            f"{name} cannot be decoded ({type(error).__name__}: {error}). It is truncated or damaged; "
            "take or download it again."
        ) from None


def _from_deep(grey: np.ndarray) -> np.ndarray:
    if np.issubdtype(grey.dtype, np.floating):
        return _from_array(grey)
    if grey.min() < 0 or grey.max() > 65535:
        raise InputError(
            f"image of {grey.dtype} spans {grey.min()}..{grey.max()}; expected 16 bit. Convert it to 8 bit."
        )
    top = next(top for top in (255, 4095, 65535) if grey.max() <= top)  # cameras put 12 bits, others 8, into 16
    return _three_channels((grey / top * 255).round().astype(np.uint8))


def _as_srgb(image: Image.Image) -> Image.Image:
    """Return an image in sRGB, converted from the colours that its ICC profile names, if it has any."""
    profile, mode = image.info.get("icc_profile"), image.mode if image.mode in ("L", "CMYK") else "RGB"
    transform = _to_srgb(profile, mode) if profile else None
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    from PIL import ImageCms

    return ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)


@lru_cache(8)
def _to_srgb(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform | None":
    """Return the way from a profile's colours to sRGB; None where they are the same or the profile says nothing."""
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImportError, OSError, ValueError, ImageCms.PyCMSError):  # damaged, or of another kind of colours
        return None
    if mode == "CMYK":
        return transform
    steps = np.arange(0, 256, 15, np.uint8)
    colours = steps[:, None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 18, 3)
    plain = Image.fromarray(colours)
    moved = np.subtract(ImageCms.applyTransform(plain, transform), plain.convert("RGB"), dtype=np.int16)
    return transform if np.abs(moved).max() > SAME else None


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"array of shape {array.shape}; expected (H, W), (H, W, 3) or (H, W, 4), RGB order.")
    _check_size(array.shape[1], array.shape[0])
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError("array holds NaN or infinity; expected finite floats in 0..1. Check its source.")
        if array.min() < -ROUNDING or array.max() > 1 + ROUNDING:
            raise InputError(
                f"float array spans {array.min():.3g}..{array.max():.3g}; expected 0..1. "
                "Divide by 255 or cast to uint8."
            )
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(f"array of dtype {array.dtype}; expected uint8 in 0..255 or float in 0..1. Cast it.")
    return _three_channels(array)


def _three_channels(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        array = (array[..., :3] * alpha).round().astype(np.uint8)
    return np.ascontiguousarray(array)
