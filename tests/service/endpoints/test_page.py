"""The page in a real browser: a photo goes in, verdict, reasons and pictures come out, by mouse, keyboard and camera,
under a policy that lets nothing else run; a page that only parses can still show the wrong verdict."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
pytest.importorskip("prometheus_client", reason="the extra `serve` is not installed")

from browser import Page, chromium
from despoof.faces.quality import Reason
from despoof.page import FILES
from despoof.service.endpoints.page import OWN, PAGE
from despoof.verdict import Decision, Verdict

KEY = "a-key-of-this-test"
in_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed: apt-get install chromium")


class Tab(Page):
    """A tab of the browser, as a person uses the page."""

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def text(self, name: str) -> str:
        return self.run(f"document.getElementById('{name}').innerText")

    def shown(self, name: str) -> bool:
        return self.run(f"document.getElementById('{name}').checkVisibility()")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    flags = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    opened = Tab(tmp_path_factory.mktemp("profile"), *flags)
    yield opened
    opened.close()


@pytest.fixture
def photo(tmp_path: Path, jpeg: bytes) -> Path:
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    return tmp_path / "photo.jpg"


@in_browser
def test_a_photo_is_judged_and_its_face_is_shown(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    tab.goto(serve(make.open_guard).address)
    assert not tab.shown("result")
    tab.upload(photo)
    assert tab.text("verdict") == "Looks live"
    assert tab.text("status") == "Done: Looks live."
    expected = make.open_guard().check(photo)
    assert f"Liveness {expected.liveness:.3f}" in tab.text("liveness")
    assert "attack below 0.000" in tab.text("liveness").lower()
    sent = tab.run("document.getElementById('face').src").split(",")[1]
    face = np.asarray(Image.open(io.BytesIO(base64.b64decode(sent))), float)
    assert np.abs(face - (expected.face.transpose(1, 2, 0) + 1) * 127.5).max() <= 0.51
    assert not tab.shown("slider")  # this guard has no generator: there is no counterpart to compare with
    assert "0123456789ab" in tab.text("versions")


@in_browser
@pytest.mark.parametrize(
    ("liveness", "title"), [(0.9, "Looks live"), (0.4, "Uncertain"), (0.1, "Looks like an attack")]
)
def test_every_decision_has_its_words(
    tab: Tab, serve: Any, make: Any, photo: Path, liveness: float, title: str
) -> None:
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict(liveness))).address)
    tab.upload(photo)
    assert tab.text("verdict") == title


@in_browser
def test_the_slider_shows_the_counterpart_by_keyboard(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict())).address)
    tab.upload(photo)
    assert tab.shown("slider")
    assert tab.shown("cue")
    wait = "Promise.all(['face','counterpart','cue'].map(n => document.getElementById(n).decode())).then(() => true)"
    assert tab.run(wait)
    seen = []
    for key, code in (("Home", 36), ("End", 35)):
        tab.run("document.getElementById('slider').focus()")
        tab.press(key, code)
        seen.append(stack_brightness(tab))
        said = tab.run("document.getElementById('slider').getAttribute('aria-valuetext')")
        assert said == f"{0 if key == 'Home' else 100} percent face, the rest counterpart"
    assert seen[0] > 225  # the stub's counterpart is white
    assert seen[1] < 30  # its face black


def stack_brightness(tab: Tab) -> float:
    """The mean of the picture as it is drawn on the screen."""
    box = tab.run(
        "(r => [r.x + scrollX, r.y + scrollY, r.width, r.height])"
        "(document.getElementById('stack').getBoundingClientRect())"
    )
    clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
    shot = tab.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
    return float(np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("L")).mean())


@in_browser
def test_reasons_are_shown_as_text_and_never_as_markup(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    hostile = "The face is too dark. <img src=x onerror=\"document.title='broken in'\"> Measured 21.5, limit 35."
    verdict = Verdict(Decision.NO_DECISION, reasons=(Reason("too_dark", 21.5, 35.0, hostile),))
    tab.goto(serve(lambda: make.stub(lambda data: verdict)).address)
    tab.upload(photo)
    assert tab.text("verdict") == "Not judged"
    assert tab.text("reasons") == hostile
    assert tab.run("document.title") != "broken in"
    assert not tab.shown("pictures")


@in_browser
def test_a_file_that_is_no_image_is_refused_in_words(tab: Tab, serve: Any, make: Any, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    tab.goto(serve(make.open_guard).address)
    tab.upload(tmp_path / "text.jpg")
    assert "no image; expected JPEG, PNG" in tab.text("status")
    assert not tab.shown("result")


@in_browser
def test_the_camera_takes_a_photo(tab: Tab, serve: Any, make: Any) -> None:
    tab.goto(serve(make.open_guard).address)
    tab.run("document.getElementById('camera').click()")
    tab.until("document.getElementById('video').videoWidth > 0 && document.activeElement.id === 'take'")
    tab.run("document.getElementById('take').click()")
    tab.answered()
    assert tab.text("verdict") == "Not judged"  # the browser's fake camera shows no face
    assert "No face was found" in tab.text("reasons")
    assert not tab.shown("viewfinder")


@in_browser
def test_a_double_click_opens_one_stream_and_closing_ends_it(tab: Tab, serve: Any, make: Any) -> None:
    tab.goto(serve(make.open_guard).address)
    tab.run(
        "window.streams = []; const asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (kind) => (streams.push(await asked(kind)), streams.at(-1))"
    )
    tab.run("document.getElementById('camera').click(); document.getElementById('camera').click()")
    tab.until("document.activeElement.id === 'take'")
    tab.run("document.getElementById('close').click()")
    assert tab.run("streams.length") == 1
    assert tab.run("streams.some(s => s.getTracks().some(t => t.readyState === 'live'))") is False


@in_browser
@pytest.mark.parametrize(("size", "sent"), [((3300, 2200), (1600, 1067)), ((1600, 1200), (1600, 1200))])
def test_large_photos_are_shrunk_before_they_are_sent(
    tab: Tab, serve: Any, make: Any, tmp_path: Path, size: tuple[int, int], sent: tuple[int, int]
) -> None:
    received: list[bytes] = []
    tab.goto(serve(lambda: make.stub(lambda data: received.append(data) or make.verdict())).address)
    Image.linear_gradient("L").resize(size).save(tmp_path / "photo.png")
    tab.upload(tmp_path / "photo.png")
    image = Image.open(io.BytesIO(received[-1]))
    assert image.size == sent
    grey = np.asarray(image.convert("L"), float)
    assert abs(grey[0].mean() - 0) < 3  # the same picture: dark above, bright below
    assert abs(grey[-1].mean() - 255) < 3


@in_browser
def test_dropping_a_photo_works_too(tab: Tab, serve: Any, make: Any, jpeg: bytes) -> None:
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict())).address)
    tab.run(
        "(() => { const bytes = Uint8Array.from(atob('" + base64.b64encode(jpeg).decode() + "'), c => c.charCodeAt(0));"
        "const data = new DataTransfer(); data.items.add(new File([bytes], 'a.jpg', {type: 'image/jpeg'}));"
        "const how = {dataTransfer: data, bubbles: true, cancelable: true};"
        "document.body.dispatchEvent(new DragEvent('drop', how)); })()"
    )
    tab.answered()
    assert tab.text("verdict") == "Looks like an attack"


@in_browser
def test_a_service_with_keys_asks_for_one(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict(0.9)), keys=[KEY]).address)
    assert not tab.shown("door")
    tab.upload(photo)
    assert tab.shown("door")
    assert tab.run("document.activeElement.id") == "key"
    tab.ask("Input.insertText", text=KEY)
    tab.run("document.querySelector('#door button').click()")
    tab.until("document.getElementById('status').textContent.startsWith('Done')")
    assert tab.text("verdict") == "Looks live"
    assert tab.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0


@in_browser
def test_nothing_is_asked_of_elsewhere_and_no_policy_is_broken(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    address = serve(lambda: make.stub(lambda data: make.verdict())).address
    tab.goto(address)
    tab.upload(photo)
    tab.run("document.getElementById('slider').stepUp(5)")
    assert tab.requests
    assert not [url for _, url in tab.requests if not url.startswith((address, "data:"))]
    assert tab.complaints == []


@in_browser
def test_a_foreign_script_does_not_run(tab: Tab, serve: Any, make: Any) -> None:
    tab.goto(serve(make.open_guard).address)
    tab.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'document.title = \"broken in\"';"
        "document.head.append(s); })()"
    )
    assert tab.run("document.title") == "Despoof: is this face live?"


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(tab: Tab, serve: Any, make: Any, photo: Path, scheme: str) -> None:
    tab.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict())).address)
    tab.upload(photo)
    found = {}
    for decision in ("LIVE", "ATTACK", "UNCERTAIN", "NO_DECISION"):
        tab.run(f"document.getElementById('result').dataset.decision = '{decision}'")
        found[decision] = contrast(*colours(tab, "verdict", "result"))
    for name, ground in (("meaning", "result"), ("liveness", "result"), ("file-help", "drop"), ("camera", "camera")):
        found[name] = contrast(*colours(tab, name, ground))
    found["footer"] = contrast(*colours(tab, "versions", "body"))
    tab.ask("Emulation.setEmulatedMedia", features=[])
    assert min(found.values()) >= 4.5, found  # WCAG 2.2, 1.4.3


def colours(tab: Tab, name: str, ground: str) -> tuple[list[float], list[float]]:
    element = "document.body" if ground == "body" else f"document.getElementById('{ground}')"
    code = f"[getComputedStyle(document.getElementById('{name}')).color, getComputedStyle({element}).backgroundColor]"
    ink, paper = ([float(x) for x in re.findall(r"[\d.]+", text)[:3]] for text in tab.run(code))
    return ink, paper


def contrast(first: list[float], second: list[float]) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@in_browser
def test_every_control_and_picture_has_a_name(tab: Tab, serve: Any, make: Any, photo: Path) -> None:
    tab.goto(serve(lambda: make.stub(lambda data: make.verdict())).address)
    tab.upload(photo)
    tab.ask("Accessibility.enable")
    nodes = tab.ask("Accessibility.getFullAXTree")["nodes"]
    wanted = {"button", "slider", "image", "textbox", "heading", "Video"}
    found = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]]
    controls = [(role, name) for role, name in found if role in wanted]
    assert {"button", "slider", "image", "heading"} <= {role for role, _ in controls}
    assert [control for control in controls if not control[1].strip()] == []
    assert ("slider", "Compare face and counterpart") in controls


def test_the_policy_lets_files_of_this_service_run_and_nothing_else(make: Any) -> None:
    with make.client(make.open_guard) as client:
        response = client.get("/")
    assert response.text == (PAGE / "index.html").read_text(encoding="utf-8")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in str(policy)


def test_every_part_of_the_page_is_there_for_whoever_has_no_key_yet_and_nothing_else(make: Any) -> None:
    with make.client(make.open_guard, keys=[KEY]) as client:
        text = client.get("/").text
        for name in re.findall(r'"page/([^"]*)"', text):
            assert client.get(f"/page/{name}").status_code == 200
        script = client.get("/page/page.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["x-content-type-options"] == "nosniff"
        for name in ("index.html", "nothing.js", "%2e%2e%2faccess.py", "..%2f..%2faccess.py"):
            assert client.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize("path", [PAGE / "index.html", *FILES.values(), *OWN.values()], ids=lambda path: path.name)
def test_the_page_loads_nothing_from_elsewhere_and_has_no_inline_handlers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|\son\w+=|\sstyle=|innerHTML", text)
    assert not [
        found for found in re.findall(r'(?:href|src)="([^"]*)"', text) if not found.startswith(("data:", "page/"))
    ]
