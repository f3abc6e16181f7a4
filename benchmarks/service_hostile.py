"""Mutated and hand-made bodies against the service: none may be answered with 5xx or LIVE.

    python benchmarks/service_hostile.py [--bodies 10000] [--seed 0] [--weights FOLDER]
    python benchmarks/service_hostile.py --costly    # time and memory of images just within the limits

The guard's thresholds call every face that is judged live, so whatever slips through the checks shows as LIVE; the
bodies hold no whole face. Runs in process, on one thread; needs httpx2 beside the extra `serve`. Exit status 1 if
any answer was wrong; the first wrong bodies are named by number, which makes them again with the seed.
"""

import argparse
import base64
import collections
import io
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class Body(NamedTuple):
    """One request: what it is, where it goes, the type it claims, its bytes."""

    name: str
    path: str
    declared: str
    data: bytes


def bodies(count: int, seed: int = 0) -> Iterator[Body]:
    """Yield hand-made bodies, then mutations of faceless images, cut faces and odd batches; the same for one seed."""
    made = hand_made()
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        if number < len(made):
            name, data = made[number]
            yield Body(name, "/v1/check", "image/jpeg", data)
        elif rng.random() < 0.1:
            yield Body("batch", "/v1/batch", "application/json", odd_batch(rng))
        elif rng.random() < 0.05:
            yield Body("video", "/v1/check-video", "video/mp4", mutated(moving(rng), rng))
        elif rng.random() < 0.1:
            yield Body("cut face", "/v1/check", "image/jpeg", cut_face(rng))
        else:
            declared = str(rng.choice(["image/jpeg", "image/png", "image/webp", "text/html", "application/json", ""]))
            yield Body("mutated", "/v1/check", declared, mutated(faceless(rng), rng))


def wrong(status: int, answer: Any) -> str | None:
    """Return what is wrong with an answer; None for a good one."""
    if status >= 500:
        return f"status {status}"
    results = answer.get("results", [answer]) if isinstance(answer, dict) else []
    if not results:
        return "no typed answer"
    if any(result.get("decision") == "LIVE" for result in results):
        return "LIVE"
    if status == 200 and any(result["decision"] not in ("ATTACK", "UNCERTAIN", "NO_DECISION") for result in results):
        return "no decision of the contract"
    if status != 200 and set(answer) != {"request_id", "error", "detail"}:
        return "an untyped refusal"
    return None


# Bodies ---------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose header says what it is told."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_MAGIC + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND")


def jpeg(segments: bytes = b"", size: tuple[int, int] = (64, 64), scans: int = 1) -> bytes:
    """A grey JPEG frame with these segments before it and empty scans after it."""
    frame = b"\xff\xc2\x00\x0b\x08" + struct.pack(">HH", size[1], size[0]) + b"\x01\x01\x11\x00"
    return b"\xff\xd8" + segments + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" * scans + b"\xff\xd9"


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def hand_made() -> list[tuple[str, bytes]]:
    """Known tricks, one each."""
    grey, squeezed = Image.new("L", (64, 64), 127), zlib.compress(bytes(30_000_000), 9)
    exif_loop = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x08\0\0\0"
    found = {
        "empty": b"", "one byte": b"\xff", "zeros": bytes(5000), "text": b"hello", "null": b"\0",
        "address": b"http://127.0.0.1/admin", "file address": b"file:///etc/passwd", "path": b"../../etc/passwd",
        "data address": b"data:image/png;base64,AAAA", "json": b'{"url": "http://a.example"}', "html": b"<b>1</b>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "pdf": b"%PDF-1.7\n",
        "xml bomb": b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "zip": b"PK\x03\x04" + bytes(60),
        "gif": saved(grey, "GIF"), "bmp": saved(grey, "BMP"), "tiff": saved(grey, "TIFF"), "ico": saved(grey, "ICO"),
        "pickle": b"\x80\x04\x95cposix\nsystem\n(S'true'\ntR.", "safetensors": struct.pack("<Q", 2**60) + b"{}",
        "jpeg magic": b"\xff\xd8\xff", "png magic": PNG_MAGIC, "webp magic": b"RIFF\0\0\0\0WEBP",
        "multipart": b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + saved(grey) + b"\r\n--x--",
        "png of 10 Gpx": png(100_000, 100_000, chunk(b"IDAT", zlib.compress(b""))),
        "png of 0 px": png(0, 0, chunk(b"IDAT", zlib.compress(b""))),
        "png of -1 px": png(2**32 - 1, 2**32 - 1), "png bomb inside": png(4000, 4000, chunk(b"IDAT", squeezed[:9000])),
        "png longer than said": png(64, 64, chunk(b"IDAT", squeezed)), "png without data": png(64, 64),
        "png text bomb": png(64, 64, chunk(b"zTXt", b"a\0\0" + squeezed), chunk(b"IDAT", squeezed)),
        "png profile bomb": png(64, 64, chunk(b"iCCP", b"a\0\0" + squeezed), chunk(b"IDAT", squeezed)),
        "png two headers": png(64, 64, chunk(b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0))),
        "png chunks": png(64, 64, chunk(b"teSt") * 200_000), "png depth": png(64, 64, depth=3, colour=9),
        "png chunk too long": PNG_MAGIC + b"\0\0\0\rIHDR" + bytes(17) + b"\xff\xff\xff\xffIDAT",
        "jpeg of 4 Gpx": jpeg(size=(65_500, 65_500)), "jpeg of 0 px": jpeg(size=(0, 0)),
        "jpeg comments": jpeg(b"\xff\xfe\0\x02" * 500_000), "jpeg fill": jpeg(b"\xff" * 2_000_000),
        "jpeg scans": jpeg(size=(5000, 5000), scans=20_000), "jpeg two frames": jpeg(jpeg()[2:15]),
        "jpeg exif loop": jpeg(b"\xff\xe1" + struct.pack(">H", len(exif_loop) + 2) + exif_loop),
        "jpeg without tables": jpeg(), "jpeg and zip": saved(grey) + b"PK\x03\x04" + bytes(999),
        "jpeg after jpeg": saved(grey) * 5, "one pixel": saved(Image.new("L", (1, 1))),
        "line": saved(Image.new("L", (9000, 1))), "column": saved(Image.new("L", (40, 60_000), 9)),
        "black": saved(Image.new("L", (400, 400))),
        "webp of 2 Gpx": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
        "webp of 268 Mpx": b"RIFF\x20\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + b"\xff" * 9,
        "animation": saved(grey, "WEBP", save_all=True, append_images=[Image.new("L", (64, 64))], duration=9),
        "moving png": saved(grey, "PNG", save_all=True, append_images=[Image.new("L", (64, 64))], duration=9),
    }  # fmt: skip
    return list(found.items())


PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"


def moving(rng: np.random.Generator) -> bytes:
    """The start of a video of some kind, or what only claims to be one."""
    noise = rng.integers(0, 256, 400, np.uint8).tobytes()
    starts = (
        b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + struct.pack(">I", len(noise) + 8) + b"mdat",
        b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm",
        b"RIFF\xff\0\0\0AVI LIST\xf0\0\0\0hdrlavih",
        PLAYLIST, b"\0\0\0\x18ftypisom" + PLAYLIST,
    )  # fmt: skip
    return starts[rng.integers(len(starts))] + noise


MODES = (
    ("RGB", "JPEG", {}), ("RGB", "JPEG", {"progressive": True}), ("L", "JPEG", {}), ("CMYK", "JPEG", {}),
    ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("P", "PNG", {}), ("1", "PNG", {}), ("LA", "PNG", {}), ("I;16", "PNG", {}),
    ("RGB", "WEBP", {}), ("RGB", "WEBP", {"lossless": True}), ("RGBA", "WEBP", {}),
)  # fmt: skip


def faceless(rng: np.random.Generator) -> bytes:
    """A small drawn image without a face, in one of many encodings."""
    width, height = (int(side) for side in rng.integers(34, 140, 2))
    y, x = np.mgrid[:height, :width]
    drawn = rng.integers(0, 256, 3) + np.stack([x, y, x + y], -1) * rng.uniform(-2, 2, 3)
    drawn = drawn + rng.normal(0, rng.uniform(0, 60), drawn.shape)
    image = Image.fromarray(np.clip(drawn, 0, 255).astype(np.uint8))
    mode, kind, options = MODES[rng.integers(len(MODES))]
    if mode == "I;16":
        return saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), kind)
    return saved(image.convert(mode), kind, **options)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four mutations of an image."""
    for _ in range(rng.integers(1, 5)):
        data = MUTATIONS[rng.integers(len(MUTATIONS))](data, rng)
    return data


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    out = np.frombuffer(data or b"x", np.uint8).copy()
    early = rng.random() < 0.5  # half of them in the header
    places = rng.integers(0, min(len(out), 64) if early else len(out), rng.integers(1, 12))
    out[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    return out.tobytes()


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, len(data) + 1)]


def _without(data: bytes, rng: np.random.Generator) -> bytes:
    first = rng.integers(0, len(data) + 1)
    return data[:first] + data[first + rng.integers(1, 64) :]


def _with(data: bytes, rng: np.random.Generator) -> bytes:
    first = rng.integers(0, len(data) + 1)
    inserted = rng.choice([b"\xff\xda", b"\xff\xd8", b"IHDR", b"\0" * 50, b"\xff" * 50, b"IDAT", rng.bytes(20)])
    return data[:first] + bytes(inserted) + data[first:]


def _doubled(data: bytes, rng: np.random.Generator) -> bytes:
    first, second = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:second] + data[first:]


def _numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """A large or odd number where a size may stand."""
    at = rng.integers(0, min(len(data), 200) + 1)
    value = int(rng.choice([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
    return data[:at] + struct.pack(">I" if rng.random() < 0.5 else "<I", value) + data[at + 4 :]


def _spliced(data: bytes, rng: np.random.Generator) -> bytes:
    other = faceless(rng)
    return data[: rng.integers(0, len(data) + 1)] + other[rng.integers(0, len(other)) :]


MUTATIONS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip, _flip, _cut, _without, _with, _doubled, _numbers, _spliced,
)  # fmt: skip


def cut_face(rng: np.random.Generator) -> bytes:
    """A portrait of which at most nine tenths arrive: never to be judged."""
    from skimage.data import astronaut

    portrait = Image.fromarray(astronaut()[:300, 80:380])
    data = saved(portrait, *(("PNG",) if rng.random() < 0.5 else ("JPEG",)))
    return data[: rng.integers(0, int(0.9 * len(data)))]


def odd_batch(rng: np.random.Generator) -> bytes:
    """A body of /v1/batch: broken JSON, wrong types, or images that are mutated themselves."""
    images = [base64.b64encode(mutated(faceless(rng), rng)).decode() for _ in range(rng.integers(1, 4))]
    whole = json.dumps({"images": images}).encode()
    odd = [
        whole, whole, _flip(whole, rng), _cut(whole, rng), b"[" * 100_000, b'{"images": ' + b"[" * 5000, b"null",
        b"NaN", b"1e999", b'{"images": [null]}', b'{"images": {"0": "AAAA"}}',
        b'{"images": ["AAAA"], "images": ["BBBB"]}',
        b'{"images": ["\\ud800"]}', b'{"images": ["\xc3\x28"]}', b'{"images": ["A A A A"]}', b'{"images": ["===="]}',
        json.dumps({"images": ["AAAA"] * 5000}).encode(), json.dumps({"images": ["http://127.0.0.1/a.jpg"]}).encode(),
        json.dumps({"images": ["AAAA"], "path": "/etc/passwd"}).encode(),
    ]  # fmt: skip
    return odd[rng.integers(len(odd))]


# The run --------------------------------------------------------------------------------------------------------------


def open_guard(weights: str | None) -> Any:
    """A guard that calls every face it judges live: tiny random weights, or those of a folder."""
    from dataclasses import replace

    import torch

    from despoof.detector.config import TINY
    from despoof.detector.network import Detector
    from despoof.engine.by_torch import TorchEngine
    from despoof.pipeline import Guard, load

    torch.manual_seed(0)
    facts = {"thresholds": {"attack_below": 0.0, "live_from": 0.0}}
    if weights is None:
        detector = Detector(replace(TINY, insertion="none"), facts).eval()
        return Guard(TorchEngine(detector, weights={"detector": "random"}))
    guard = load(weights)
    guard.thresholds = (0.0, 0.0)
    return guard


def costly() -> None:
    """Print time and peak memory of the largest images that the default limits let through."""
    import resource

    from despoof.service.config import ServiceConfig
    from despoof.service.uploads import MAX_SCANS, inspect_image

    guard, limit = open_guard(None), ServiceConfig().max_pixels
    side = int(limit**0.5)
    plain = Image.new("RGB", (side, side), (100, 50, 20))
    progressive = saved(plain, progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    scans = progressive[:-2] + scan * (MAX_SCANS - progressive.count(b"\xff\xda")) + b"\xff\xd9"
    alpha = saved(plain.convert("RGBA"), "PNG")
    lossless = saved(plain, "WEBP", lossless=True, method=0)
    guard.check(saved(Image.new("L", (64, 64))))  # libraries load
    for name, data in {"JPEG": saved(plain), "64 scans": scans, "PNG, alpha": alpha, "lossless WebP": lossless}.items():
        begun = time.perf_counter()
        if inspect_image(data, limit) is None:
            guard.check(data)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:14} {len(data):8} bytes {time.perf_counter() - begun:6.2f} s, peak so far {peak:6.0f} MB")


def main() -> None:
    """Send all bodies and print what they were answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", help="a preset or folder in place of tiny random weights")
    parser.add_argument("--costly", action="store_true", help="measure images just within the limits instead")
    options = parser.parse_args()
    if options.costly:
        costly()
        return

    import torch
    from starlette.testclient import TestClient

    from despoof.service.app import build_app

    torch.set_num_threads(1)
    app = build_app(lambda: open_guard(options.weights))
    answered: collections.Counter[str] = collections.Counter()
    bad, slowest = [], (0.0, "")
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), raise_server_exceptions=False) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.1)
        for number, body in enumerate(bodies(options.bodies, options.seed)):
            begun = time.perf_counter()
            response = client.post(body.path, content=body.data, headers={"content-type": body.declared})
            slowest = max(slowest, (time.perf_counter() - begun, f"{number} {body.name}"))
            answer = response.json()
            answered[f"{response.status_code} {answer.get('error') or answer.get('decision', 'batch')}"] += 1
            if fault := wrong(response.status_code, answer):
                bad.append(f"{number} {body.name}: {fault}")
    for kind, times in sorted(answered.items()):
        print(f"{times:7} {kind}")
    print(f"slowest answer {slowest[0] * 1e3:.0f} ms (body {slowest[1]}); wrong answers {len(bad)}")
    print(*bad[:20], sep="\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
