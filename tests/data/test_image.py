"""Every picture a user may hand over becomes (H, W, 3) uint8 RGB or an InputError; decoders fail in many ways."""

import base64
import io
import os
import struct
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from despoof.data.image import IMAGE_SUFFIXES, formats, read_image, readings, require_readable
from despoof.errors import InputError


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(left: object, right: object, mode: str = "RGB") -> Image.Image:
    """A picture of 64 x 48 with two colours side by side, so that rotation and channel order show."""
    image = Image.new(mode, (64, 48), left)
    image.paste(right, (32, 0, 64, 48))
    return image


def header_only_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_path_bytes_array_and_pil_give_the_same_pixels(tmp_path, people):
    data = encoded(Image.fromarray(people[0]), "PNG")
    path = tmp_path / "face.png"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data), memoryview(data), people[0], Image.open(path)):
        np.testing.assert_array_equal(read_image(source), people[0])


def test_floats_and_grey_arrays(people):
    np.testing.assert_array_equal(read_image(people[0] / 255), people[0])
    np.testing.assert_array_equal(read_image((people[0] / 255).astype(np.float32)), people[0])
    grey = people[0][..., 0]
    np.testing.assert_array_equal(read_image(grey), np.stack([grey] * 3, -1))


def test_the_order_is_rgb():
    assert read_image(encoded(halves("red", "blue"), "PNG"))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert read_image(data)[20, 20].tolist() == [255, 0, 0]


def test_an_animation_already_turned_on_starts_at_its_first_frame():
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime")]
    image = Image.open(io.BytesIO(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    image.seek(1)
    assert read_image(image)[20, 20].tolist() == [255, 0, 0]


def test_cmyk_jpeg():
    pixels = read_image(encoded(halves((0, 255, 255, 0), (0, 0, 0, 255), "CMYK"), "JPEG", quality=100))
    assert np.abs(pixels[24, 8].astype(int) - (255, 0, 0)).max() < 8  # no cyan = red
    assert pixels[24, 56].max() < 8  # full key = black


@pytest.mark.parametrize("level", [4096, 257 * 128, 65535])
def test_sixteen_bit_grey_is_scaled_by_its_own_range(level):
    data = cv2.imencode(".png", np.full((40, 40), level, np.uint16))[1].tobytes()
    assert read_image(data)[0, 0].tolist() == [round(level / 257)] * 3


@pytest.mark.parametrize(("bits", "kind"), [(8, "TIFF"), (12, "TIFF"), (12, "PNG")])
def test_fewer_bits_in_sixteen_are_not_read_as_black(bits, kind):
    ramp = np.linspace(0, 2**bits - 1, 40 * 40).round().astype(np.uint16).reshape(40, 40)
    expected = ramp / (2**bits - 1) * 255
    assert np.abs(read_image(encoded(Image.fromarray(ramp), kind))[..., 0] - expected).max() <= 0.5


def test_sixteen_bit_colour():
    bgr = np.full((40, 40, 3), (0, 257 * 64, 65535), np.uint16)
    assert read_image(cv2.imencode(".png", bgr)[1].tobytes())[0, 0].tolist() == [255, 64, 0]


def test_float_tiff_is_read_in_0_to_1_and_refused_beyond():
    good = Image.fromarray(np.full((40, 40), 0.5, np.float32))
    assert read_image(encoded(good, "TIFF"))[0, 0].tolist() == [128] * 3
    for bad in (np.nan, -0.5, 7.0):
        with pytest.raises(InputError):
            read_image(encoded(Image.fromarray(np.full((40, 40), bad, np.float32)), "TIFF"))


def test_alpha_is_composited_on_black():
    image = halves((200, 100, 50, 255), (200, 100, 50, 0), "RGBA")
    pixels = read_image(encoded(image, "PNG"))
    assert pixels[0, 0].tolist() == [200, 100, 50]
    assert pixels[0, 63].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(read_image(np.asarray(image)), pixels)


def test_a_transparent_palette_is_composited_too():
    image = Image.new("P", (40, 40), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert read_image(encoded(image, "PNG", transparency=1)).max() == 0


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_exif_rotation_is_applied(orientation, turns):
    image = halves("red", "blue")
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = np.rot90(np.asarray(image), turns)
    np.testing.assert_array_equal(read_image(encoded(image, "PNG", exif=exif)), expected)


BAD_ARRAYS = {
    "empty": np.zeros((0, 40, 3), np.uint8),
    "1x1": np.zeros((1, 1, 3), np.uint8),
    "nan": np.full((40, 40, 3), np.nan),
    "infinity": np.full((40, 40, 3), np.inf),
    "range 0..255 in floats": np.full((40, 40, 3), 200.0),
    "range -1..1": np.linspace(-1, 1, 4800).reshape(40, 40, 3),
    "int64": np.zeros((40, 40, 3), np.int64),
    "uint16": np.zeros((40, 40, 3), np.uint16),
    "bool": np.zeros((40, 40, 3), bool),
    "complex": np.zeros((40, 40, 3), complex),
    "object": np.full((40, 40, 3), None, object),
    "text": np.full((40, 40, 3), "a"),
    "channels first": np.zeros((3, 40, 40), np.uint8),
    "two channels": np.zeros((40, 40, 2), np.uint8),
    "a batch": np.zeros((2, 40, 40, 3), np.uint8),
    "a line": np.zeros(40, np.uint8),
    "a number": np.array(3),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_refused(name):
    with pytest.raises(InputError):
        read_image(BAD_ARRAYS[name])


@pytest.mark.parametrize("source", [None, 7, ["a.jpg"], object()])
def test_other_types_are_refused(source):
    with pytest.raises(InputError, match="expected one path"):
        read_image(source)


def test_bad_files_are_refused(tmp_path, people):
    whole = encoded(Image.fromarray(people[0]), "JPEG")
    files = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "cut.png": encoded(Image.fromarray(people[0]), "PNG")[:2000],
        "text.jpg": b"this is no picture\n" * 50,
        "one.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
        "program.png": b"\x7fELF" + bytes(500),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        for source in (tmp_path / name, data):
            with pytest.raises(InputError):
                read_image(source)


@pytest.mark.parametrize("path", ["", ".", "missing.jpg", "nul\0byte.jpg", "x" * 5000, "a.jpg/b.jpg", "\ud800.jpg"])
def test_bad_paths_are_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError):
        read_image(path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="no regular file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("side", [9_000, 20_000])  # below and above the limit of Pillow itself
def test_a_huge_picture_is_refused_by_its_header(side):
    data = header_only_png(side, side)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="pixels"):
            read_image(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]))
def test_random_bytes_give_only_input_errors(data, magic):
    with pytest.raises(InputError):
        read_image(magic + data)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]))
def test_damaged_pictures_give_a_picture_or_an_input_error(seed, kind):
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(halves("red", "blue"), kind))
    for place in rng.integers(0, len(data), 4):
        data[place] = rng.integers(256)
    try:
        image = read_image(bytes(data))
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3


def profile(swapped: bool) -> bytes:
    """The sRGB profile, or one whose red and blue primaries have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    if swapped:
        data[red + 4 : red + 12], data[blue + 4 : blue + 12] = data[blue + 4 : blue + 12], data[red + 4 : red + 12]
    return bytes(data)


def test_the_colours_of_a_profile_become_srgb(people):
    image = Image.fromarray(people[0])
    meant = read_image(encoded(image, "PNG", icc_profile=profile(swapped=True)))
    assert np.abs(meant[..., ::-1].astype(int) - people[0]).max() <= 2
    paletted = read_image(encoded(halves("red", "lime").quantize(4), "PNG", icc_profile=profile(swapped=True)))
    assert paletted[0, 0].argmax() == 2


def test_the_profile_of_srgb_and_one_that_is_none_change_no_bit(people):
    for said in (profile(swapped=False), b"no profile"):
        np.testing.assert_array_equal(
            read_image(encoded(Image.fromarray(people[0]), "PNG", icc_profile=said)), people[0]
        )
    grey = Image.fromarray(people[0][..., 0])
    assert (read_image(encoded(grey, "PNG", icc_profile=profile(swapped=True)))[..., 0] == people[0][..., 0]).all()


@pytest.mark.parametrize(("size", "draft"), [((64, 48), (64, 48)), ((130, 98), (65, 49))])
def test_a_jpeg_beyond_the_limit_is_decoded_at_half_its_size(size, draft, monkeypatch):
    monkeypatch.setattr("despoof.data.image.MAX_PIXELS", 64 * 60)
    image = halves((200, 30, 30), (30, 30, 200)).resize(size)
    pixels = read_image(encoded(image, "JPEG", quality=95))
    assert pixels.shape == (draft[1], draft[0], 3)
    assert np.abs(pixels[5, 5].astype(int) - (200, 30, 30)).max() < 6
    for other in ("PNG", "BMP"):
        if size != draft:
            with pytest.raises(InputError, match="Shrink it"):
                read_image(encoded(image, other))
    with pytest.raises(InputError, match="Shrink it"):
        read_image(encoded(halves("red", "blue").resize((250, 200)), "JPEG"))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("sides", "spanned"), [((90, 61), 1), ((129, 97), 2), ((259, 200), 4), ((513, 400), 8)])
def test_a_large_jpeg_comes_at_reduced_size_first_and_then_whole(people, sides, spanned, orientation, monkeypatch):
    monkeypatch.setattr("despoof.data.image.REDUCED_SIDE", 48)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(people[0]).resize(sides)
    data = encoded(image, "JPEG", quality=95, exif=exif)
    *reduced, (whole, one) = readings(io.BytesIO(data))
    np.testing.assert_array_equal(whole, read_image(data))
    assert (one, [each[1] for each in reduced]) == (1, [spanned] * (spanned > 1))
    for small, _ in reduced:
        assert min(small.shape[:2]) >= 48
        across, down = (-(-side // spanned) for side in whole.shape[1::-1])
        assert small.shape == (down, across, 3)
        around = cv2.resize(whole, (across, down), interpolation=cv2.INTER_AREA)
        assert np.abs(np.subtract(small, around, dtype=np.float64)).mean() < 6
    for other in (people[0], Image.fromarray(people[0]), encoded(image, "PNG")):
        assert [each[1] for each in readings(other)] == [1]


def test_at_reduced_size_too_the_colours_of_a_profile_become_srgb_and_cut_files_are_refused(people, monkeypatch):
    monkeypatch.setattr("despoof.data.image.REDUCED_SIDE", 48)
    data = encoded(Image.fromarray(people[0]), "JPEG", quality=95, icc_profile=profile(swapped=True))
    (small, spanned), (whole, _) = readings(data)
    assert spanned == 4
    np.testing.assert_allclose(small.mean((0, 1)), whole.mean((0, 1)), atol=2)
    with pytest.raises(InputError, match="truncated"):
        list(readings(data[: len(data) // 2]))


def test_a_reading_beyond_the_limit_says_how_much_it_spans(monkeypatch):
    monkeypatch.setattr("despoof.data.image.MAX_PIXELS", 64 * 60)
    monkeypatch.setattr("despoof.data.image.REDUCED_SIDE", 32)
    data = encoded(halves("red", "blue").resize((130, 98)), "JPEG")
    assert [(image.shape[1::-1], spanned) for image, spanned in readings(data)] == [((65, 49), 2)] * 2


def test_an_image_that_was_given_is_not_turned_in_place():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(halves("red", "blue"), "JPEG", exif=exif)))
    assert read_image(image).shape == (64, 48, 3)
    assert image.size == (64, 48)
    assert read_image(image).shape == (64, 48, 3)


def test_what_phones_write(people, tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif, the extra `heif`, is not installed")
    image = Image.fromarray(people[0])
    for kind, name in (("HEIF", "a.heic"), ("AVIF", "a.avif")):
        if kind == "HEIF":
            buffer = io.BytesIO()
            heif.from_pillow(image).save(buffer, quality=95)
            data = buffer.getvalue()
        else:
            data = encoded(image, kind, quality=95)
        (tmp_path / name).write_bytes(data)
        assert np.abs(read_image(tmp_path / name).astype(int) - people[0]).mean() < 4


def test_heif_without_the_extra_names_it(people, monkeypatch):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif, the extra `heif`, is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(people[0])).save(buffer)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    formats.cache_clear()
    try:
        with pytest.raises(InputError, match=r"despoof\[heif\]"):
            read_image(buffer.getvalue())
        with pytest.raises(InputError, match=r"despoof\[heif\]"):
            require_readable("a.HEIC")
    finally:
        formats.cache_clear()
    require_readable("a.jpg")


def test_every_suffix_belongs_to_a_format_that_is_read():
    """One list: what a folder is searched for is what can be opened."""
    pytest.importorskip("pillow_heif", reason="pillow-heif, the extra `heif`, is not installed")
    known = formats()
    assert {Image.registered_extensions().get(suffix) for suffix in IMAGE_SUFFIXES} == set(known)


def test_a_picture_as_text_is_refused_and_never_repeated():
    text = base64.b64encode(bytes(range(256)) * 40).decode()
    for picture in (text, "data:image/png;base64," + text[:100]):
        with pytest.raises(InputError, match="decoded bytes") as refused:
            read_image(picture)
        assert text[:20] not in str(refused.value)


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    assert read_image("~/a.png").shape == (40, 40, 3)
    with pytest.raises(InputError, match="nobody-of-this-name"):
        read_image("~nobody-of-this-name/a.png")


def test_files_and_tensors_are_read_as_their_bytes_and_arrays():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    file.seek(0)
    assert (read_image(file) == image).all()
    for tensor in (torch.from_numpy(image), torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(image / 255.0)):
        assert (read_image(tensor) == image).all()
    with pytest.raises(InputError, match='mode "rb"'):
        read_image(io.StringIO("text"))
    file.close()
    with pytest.raises(InputError, match="Open it again"):
        read_image(file)


def test_rounding_beyond_one_is_no_other_range():
    array = np.full((40, 40, 3), 1.0000001, np.float64)
    array[0] = -1e-9
    assert set(np.unique(read_image(array))) == {0, 255}
    with pytest.raises(InputError, match="Divide by 255"):
        read_image(array * 1.01)
