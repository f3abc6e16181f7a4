"""The page in headless Chromium: its verdicts are Python's, nothing is sent, and no trouble ever ends as LIVE."""

import hashlib
import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import despoof
from browser import Page, chromium, served
from despoof.data.portrait import FACE, portrait
from despoof.data.simulation.recapture import recapture
from despoof.explanation import colours

pytestmark = [pytest.mark.skipif(chromium() is None, reason="Chromium is not installed"), pytest.mark.slow]
PORTRAIT = portrait()
CAMERA = ("--use-fake-device-for-media-stream",)


def bordered(image: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(image, 40, 25, 0, 90, cv2.BORDER_CONSTANT, value=(12, 12, 12))


PICTURES = {
    "portrait": lambda: PORTRAIT,
    "whole": astronaut,
    "live-0": lambda: recapture(PORTRAIT, "live", 0, box=FACE),
    "display-0": lambda: recapture(PORTRAIT, "display", 0, box=FACE),
    "display-1": lambda: recapture(PORTRAIT, "display", 1, box=FACE),
    "print-0": lambda: recapture(PORTRAIT, "print", 0, box=FACE),
    "paper-mask-0": lambda: recapture(PORTRAIT, "paper_mask", 0, box=FACE),
    "on-its-side": lambda: np.rot90(PORTRAIT, 1),
    "on-its-head": lambda: np.rot90(PORTRAIT, 2),
    "bordered": lambda: bordered(PORTRAIT),
    "bordered-on-its-side": lambda: np.rot90(bordered(PORTRAIT), 3),
    "large": lambda: cv2.resize(astronaut(), (1600, 1600), interpolation=cv2.INTER_CUBIC),
    "small": lambda: cv2.resize(PORTRAIT, (190, 190), interpolation=cv2.INTER_AREA),
    "filling": lambda: astronaut()[60:190, 170:280],
    "dark": lambda: (PORTRAIT * 0.15).astype(np.uint8),
    "two": lambda: np.hstack([PORTRAIT, PORTRAIT[:, ::-1]]),
    "nobody": lambda: np.full((200, 300, 3), 90, np.uint8),
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, make in PICTURES.items():
        Image.fromarray(np.ascontiguousarray(make())).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def wanted(pictures: Path) -> dict[str, despoof.Verdict]:
    """Python's verdicts of the same files."""
    guard = despoof.load()
    return {name: guard.check(pictures / f"{name}.png") for name in PICTURES}


@pytest.fixture(scope="module")
def address(site: Path):
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory):
    opened = Page(tmp_path_factory.mktemp("chromium"), *CAMERA)
    try:
        opened.open(address)
        yield opened
    finally:
        opened.close()


@pytest.fixture
def copy(site: Path, tmp_path: Path):
    """Return the folder again, to be spoilt, and its address."""
    shutil.copytree(site, tmp_path / "site", copy_function=lambda one, other: Path(other).hardlink_to(one))
    with served(tmp_path / "site") as url:
        yield tmp_path / "site", url


def shown(page: Page) -> dict:
    """What the page shows: the decision, or None where it shows no result; its texts."""
    return page.run(
        "(() => { const $ = (id) => document.getElementById(id); return {"
        "decision: $('result').hidden ? null : $('result').dataset.decision, liveness: $('liveness').textContent,"
        "reasons: [...$('reasons').children].map((one) => one.textContent), status: $('status').textContent} })()"
    )


def liveness_of(seen: dict) -> float:
    return float(seen["liveness"].split()[1])


def test_the_pictures_are_judged_in_every_way(wanted):
    """Or the comparison below would say little."""
    assert {"LIVE", "ATTACK", "NO_DECISION"} <= {verdict.decision for verdict in wanted.values()}
    names = {reason.name for verdict in wanted.values() for reason in verdict.reasons}
    assert {"no_face", "several_faces", "too_dark"} <= names


@pytest.mark.parametrize("name", PICTURES)
def test_verdicts_are_pythons(page, pictures, wanted, name):
    page.upload(pictures / f"{name}.png")
    seen, verdict = shown(page), wanted[name]
    assert seen["decision"] == verdict.decision, seen
    if verdict.liveness is None:
        assert seen["liveness"] == ""
        assert [one[:20] for one in seen["reasons"]] == [one.sentence[:20] for one in verdict.reasons]
    else:
        assert liveness_of(seen) == pytest.approx(verdict.liveness, abs=0.01)
    assert not page.complaints


def test_a_jpeg_that_lies_on_its_side_is_turned_as_its_exif_says(page, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(astronaut(), 1))).save(tmp_path / "a.jpg", quality=95, exif=exif)
    page.upload(tmp_path / "a.jpg")
    verdict = despoof.load().check(tmp_path / "a.jpg")
    assert shown(page)["decision"] == verdict.decision
    assert liveness_of(shown(page)) == pytest.approx(verdict.liveness, abs=0.02)  # two decoders


def test_what_is_transparent_is_black_as_in_python(page, tmp_path):
    alpha = np.full(PORTRAIT.shape[:2], 255, np.uint8)
    alpha[:, :50] = 0
    Image.fromarray(np.dstack([PORTRAIT, alpha])).save(tmp_path / "a.png")
    page.upload(tmp_path / "a.png")
    verdict = despoof.load().check(tmp_path / "a.png")
    assert shown(page)["decision"] == verdict.decision
    assert liveness_of(shown(page)) == pytest.approx(verdict.liveness, abs=0.01)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\nnothing", "cannot read"),
        ("a.jpg", b"", "empty"),
        ("a.txt", b"hello", "cannot read"),
    ],
)
def test_what_is_no_picture_is_said_and_no_old_verdict_stays(page, pictures, tmp_path, name, data, said):
    page.upload(pictures / "portrait.png")
    assert shown(page)["decision"]
    (tmp_path / name).write_bytes(data)
    page.upload(tmp_path / name)
    assert said in page.status
    assert shown(page)["decision"] is None


def test_a_picture_too_small_is_refused(page, tmp_path):
    Image.fromarray(PORTRAIT[:20, :20]).save(tmp_path / "a.png")
    page.upload(tmp_path / "a.png")
    assert "20 x 20" in page.status
    assert shown(page)["decision"] is None


def test_nothing_is_asked_of_anybody_else_and_nothing_is_sent(page, address, pictures):
    page.open(address)
    page.upload(pictures / "portrait.png")
    assert page.requests
    assert {method for method, _ in page.requests} == {"GET"}
    assert {urlsplit(url).netloc for _, url in page.requests} == {urlsplit(address).netloc}
    with pytest.raises(AssertionError, match="Failed to fetch"):  # the browser holds the page to it
        page.run("fetch('http://127.0.0.1:9/', {method: 'POST', body: 'pixels'})")


def test_the_counterpart_is_shown_on_demand(page, pictures):
    page.upload(pictures / "portrait.png")
    before = shown(page)
    assert page.run("document.getElementById('counterpart-figure').hidden")
    page.click("explain")
    page.until("!document.getElementById('counterpart-figure').hidden")
    face, made = (
        np.array(page.run(f"[...document.getElementById('{name}').getContext('2d').getImageData(0, 0, 128, 128).data]"))
        for name in ("face", "counterpart")
    )
    assert 1 < np.abs(face - made).mean() < 30  # the same person, made anew
    assert shown(page)["decision"] == before["decision"]
    page.upload(pictures / "display-0.png")  # and it goes with its face
    assert page.run("document.getElementById('counterpart-figure').hidden")


def test_it_says_that_such_a_verdict_can_be_forged(page):
    text = page.run("document.body.textContent")
    assert "can change this page" in text
    assert "despoof serve" in text


def y4m(path: Path, image: np.ndarray) -> np.ndarray:
    """Write a still film of an RGB image, and return what a decoder makes of a frame."""
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    header = f"YUV4MPEG2 W{image.shape[1]} H{image.shape[0]} F10:1 Ip A1:1 C420mpeg2\n"
    path.write_bytes(header.encode() + (b"FRAME\n" + planes.tobytes()) * 3)
    return cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)


def take_photo(page: Page) -> None:
    """Open the camera, take a picture, and wait for what is said of it."""
    page.click("camera")
    page.until("!document.getElementById('viewfinder').hidden")
    page.click("take")
    page.until("!document.getElementById('result').hidden")


def test_the_camera_sees_a_face(address, tmp_path):
    frame = y4m(tmp_path / "face.y4m", cv2.resize(astronaut()[:384], (640, 480), interpolation=cv2.INTER_AREA))
    page = Page(tmp_path, *CAMERA, f"--use-file-for-fake-video-capture={tmp_path / 'face.y4m'}")
    try:
        page.permit_camera("granted")
        page.open(address)
        take_photo(page)
        verdict = despoof.load().check(frame)
        assert shown(page)["decision"] == verdict.decision
        assert liveness_of(shown(page)) == pytest.approx(verdict.liveness, abs=0.05)  # two ways from YUV to RGB
        assert page.run("document.getElementById('video').srcObject") is None  # and the camera is closed again
    finally:
        page.close()


def test_a_camera_that_sees_nobody_is_no_decision(page, address):
    page.permit_camera("granted")
    page.open(address)
    take_photo(page)
    assert shown(page)["decision"] == "NO_DECISION"


def test_a_camera_that_is_denied_says_what_to_do(page, address):
    page.permit_camera("denied")
    page.open(address)
    page.click("camera")
    page.until("document.getElementById('status').textContent !== 'Ready.'")
    assert "Allow it" in page.status
    assert shown(page)["decision"] is None


def test_a_browser_without_simd_is_told_so(page, address):
    script = page.ask("Page.addScriptToEvaluateOnNewDocument", source="WebAssembly.validate = () => false")
    page.open(address)
    page.ask("Page.removeScriptToEvaluateOnNewDocument", **script)
    assert "SIMD" in page.status
    assert page.run("document.getElementById('file').disabled")


def test_a_page_that_cannot_prove_its_files_is_told_so(page, address):
    page.open(address.replace("127.0.0.1", "localhost"))
    assert page.status == "Ready."
    script = page.ask("Page.addScriptToEvaluateOnNewDocument", source="delete Crypto.prototype.subtle")
    page.open(address)
    page.ask("Page.removeScriptToEvaluateOnNewDocument", **script)
    assert "https" in page.status
    assert page.run("document.getElementById('file').disabled")


@pytest.mark.parametrize("name", ["models/judge.onnx", "models/faces.onnx", "runtime/ort-wasm-simd-threaded.wasm"])
def test_a_file_that_is_another_or_missing_is_said_and_nothing_is_judged(page, copy, name):
    folder, url = copy
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).unlink()
    page.open(url)
    assert f"{name} is missing" in page.status
    (folder / name).write_bytes(data)
    page.open(url)
    assert f"{name} is not the file that was exported" in page.status
    assert page.run("document.getElementById('file').disabled")
    assert shown(page)["decision"] is None


@pytest.mark.parametrize("name", ["despoof.json", "find.js"])
def test_a_page_that_is_not_whole_says_so(page, copy, name):
    folder, url = copy
    (folder / name).unlink()
    page.goto(url)
    page.until("document.readyState === 'complete'")
    assert "xport the" in page.status.replace("\n", " ")
    assert page.run("document.getElementById('file').disabled")


def test_a_folder_of_another_format_is_refused(page, copy):
    folder, url = copy
    about = json.loads((folder / "despoof.json").read_text())
    (folder / "despoof.json").unlink()
    (folder / "despoof.json").write_text(json.dumps(about | {"format": "despoof-web/0"}))
    page.open(url)
    assert "despoof-web/1" in page.status


def constant_model(inputs: dict[str, tuple], outputs: dict[str, np.ndarray]) -> bytes:
    """Return a graph that takes inputs of these types and shapes and says the same of all."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `export`")
    make, kind = onnx.helper, onnx.TensorProto
    taken = [make.make_tensor_value_info(name, getattr(kind, type_), shape) for name, (type_, shape) in inputs.items()]
    given = [make.make_tensor_value_info(name, kind.FLOAT, array.shape) for name, array in outputs.items()]
    nodes = [
        make.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))
        for name, array in outputs.items()
    ]
    graph = make.make_graph(nodes, "constant", taken, given)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9).SerializeToString()


def put(folder: Path, name: str, data: bytes, **changes: object) -> None:
    """Put another file in place of one, as if it had been exported so."""
    about = json.loads((folder / "despoof.json").read_text()) | changes
    about["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for path, content in ((folder / name, data), (folder / "despoof.json", json.dumps(about).encode())):
        path.unlink()
        path.write_bytes(content)


def test_networks_that_break_decide_nothing(page, copy, pictures):
    """Numbers that are none, from a judge that is otherwise in order."""
    folder, url = copy
    taken = {"face": ("UINT8", [None, 128, 128, 3]), "surroundings": ("UINT8", [None, 2, 160, 160, 3])}
    put(folder, "models/judge.onnx", constant_model(taken, {"liveness": np.float32([np.nan])}))
    page.open(url)
    page.upload(pictures / "portrait.png")
    assert shown(page)["decision"] == "NO_DECISION"
    assert "NaN" in shown(page)["reasons"][0]


def kept(page: Page) -> set[str]:
    """Paths of what the browser keeps of the page, by hash or not."""
    script = "caches.open('despoof').then((cache) => cache.keys()).then((keys) => keys.map((one) => one.url))"
    return {url.split("/", 3)[3] for url in page.run(script)}


def test_after_one_visit_it_judges_without_its_server(page, site, pictures, wanted):
    with served(site) as url:
        page.open(url)
        page.run("navigator.serviceWorker.ready.then(() => true)")
    page.open(url)
    assert page.status == "Ready."
    page.upload(pictures / "portrait.png")
    assert shown(page)["decision"] == wanted["portrait"].decision
    assert liveness_of(shown(page)) == pytest.approx(wanted["portrait"].liveness, abs=0.01)


def test_another_export_at_the_same_address_takes_the_place_of_what_was_kept(page, copy):
    folder, url = copy
    page.open(url)
    page.run("navigator.serviceWorker.ready.then(() => true)")
    before = {path for path in kept(page) if path.startswith("models/judge.onnx")}
    taken = {"face": ("UINT8", [None, 128, 128, 3]), "surroundings": ("UINT8", [None, 2, 160, 160, 3])}
    put(folder, "models/judge.onnx", constant_model(taken, {"liveness": np.float32([0.5])}))
    page.open(url)
    assert page.status == "Ready."
    after = {path for path in kept(page) if path.startswith("models/judge.onnx")}
    assert len(before) == len(after) == 1
    assert before != after
    (folder / "models/judge.onnx").write_bytes(b"spoilt")  # what was proved stands; nobody asks for it anew
    page.open(url)
    assert page.status == "Ready."


def test_what_is_not_proved_is_not_kept(page, copy):
    folder, url = copy
    (folder / "models/faces.onnx").unlink()
    (folder / "models/faces.onnx").write_bytes(b"spoilt")
    page.open(url)
    assert "not the file that was exported" in page.status
    assert not any(path.startswith("models/faces.onnx") for path in kept(page))


def test_a_map_is_shown_in_the_colours_of_the_scale(page, copy, pictures):
    """From a graph whose noise lies in it, as the noise of some generators does."""
    folder, url = copy
    made = {"counterpart": np.zeros((1, 3, 128, 128), np.float32), "map": np.zeros((1, 128, 128), np.float32)}
    made["map"][0, 1, 2] = 1
    explain = {"file": "models/explain.onnx", "noise": None, "colours": colours().tolist()}
    put(folder, "models/explain.onnx", constant_model({"face": ("UINT8", [None, 128, 128, 3])}, made), explain=explain)
    page.open(url)
    page.upload(pictures / "portrait.png")
    page.click("explain")
    page.until("!document.getElementById('map-figure').hidden")
    read = "[...document.getElementById('{}').getContext('2d').getImageData({}, 1, 1, 1).data].slice(0, 3)"
    assert page.run(read.format("counterpart", 0)) == [128, 128, 128]
    assert page.run(read.format("map", 0)) == colours()[0].tolist()
    assert page.run(read.format("map", 2)) == colours()[-1].tolist()
