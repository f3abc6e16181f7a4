"""Headless Chromium, driven by the DevTools protocol over a pipe: no driver, no port, no package."""

import contextlib
import functools
import http.server
import itertools
import json
import os
import select
import shutil
import subprocess
import threading
import time
from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60  # for one answer; what takes longer hangs


def chromium() -> str | None:
    """Return the path of Chromium or Chrome, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One tab. `requests` holds (method, URL) of all that it asked for, `complaints` what its console said is wrong."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.complaints: list[str] = []
        self._numbers, self._buffer = itertools.count(1), b""
        hear, self._to = os.pipe()
        self._from, tell = os.pipe()
        command = [chromium(), f"--user-data-dir={folder}", *FLAGS, *flags, "about:blank"]
        # The protocol is spoken on descriptors 3 and 4; a shell puts ours there, by way of numbers that are free.
        shell = 'exec 3<&"$0" 4>&"$1"; shift; exec "$@"'
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", shell, str(hear), str(tell), *command], pass_fds=(hear, tell), stdout=log, stderr=log
            )
        os.close(hear)
        os.close(tell)
        targets = self._ask("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "DOM", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **given) -> dict:
        """Send one command to the tab and return its answer."""
        return self._ask(method, session=self._session, **given)

    def goto(self, url: str) -> None:
        """Open a page in place of the one that is open."""
        self.requests.clear()
        self.complaints.clear()
        self.ask("Page.navigate", url=url)
        self.until(f"location.href === {url!r} && document.readyState === 'complete'")

    def open(self, url: str) -> None:
        """Open a page, and wait until it is ready or says why it is not."""
        self.goto(url)
        self.until("!document.getElementById('status').textContent.startsWith('Loading')")

    def run(self, script: str):
        """Return the value of an expression; a promise is waited for."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"]["exception"].get("description", found["exceptionDetails"]))
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for an expression to be true."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            assert time.monotonic() < end, f"never {condition}; the page says {self.status!r}, {self.complaints}"
            time.sleep(0.1)

    @property
    def status(self) -> str:
        """What the page's line of status says."""
        return self.run("document.getElementById('status')?.textContent")

    def permit_camera(self, setting: str) -> None:
        """Answer for the user whether pages may use the camera: "granted" or "denied"."""
        self._ask("Browser.setPermission", permission={"name": "camera"}, setting=setting)

    def upload(self, path: Path) -> None:
        """Choose a file, as a user does, and wait for what the page says of it."""
        node = self.ask("DOM.querySelector", nodeId=self.ask("DOM.getDocument")["root"]["nodeId"], selector="#file")
        self.run("document.getElementById('status').textContent = ''")
        self.ask("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path)])
        self.answered()

    def click(self, name: str) -> None:
        """Press a button, as a user does, by its id."""
        self.ask("Runtime.evaluate", expression=f"document.getElementById('{name}').click()", userGesture=True)

    def answered(self) -> None:
        """Wait until the page has done what it was asked."""
        self.until("!['', 'Judging\\u2026'].includes(document.getElementById('status').textContent)")

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, AssertionError):
            self._ask("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def _ask(self, method: str, session: str | None = None, **given) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": given} | ({"sessionId": session} if session else {})
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._hear()).get("id") != number:
            self._note(answer.get("method"), answer.get("params", {}))
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _hear(self) -> dict:
        while b"\0" not in self._buffer:
            ready, *_ = select.select([self._from], [], [], SECONDS)
            assert ready, f"Chromium said nothing for {SECONDS} s"
            part = os.read(self._from, 1 << 16)
            assert part, "Chromium ended; see chromium.log in its folder"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event: str | None, told: dict) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append((told["request"]["method"], told["request"]["url"]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif event == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder: Path):
    """Serve a folder as `python -m http.server` does, and yield its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
