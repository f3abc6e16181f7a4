"""A webhook of this machine alone: a picture in the body of a POST, 200 for LIVE and 403 for everything else.

    python webhook.py [PORT]
    curl --data-binary @visitor.jpg http://127.0.0.1:8014/

It is an example of failing closed. `despoof serve` is the service: keys, limits, queues, metrics.
"""

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import despoof
from despoof.clip.attempts import AttemptPolicy, admit

MOST_BYTES = 10_000_000
ONCE = AttemptPolicy(most=1, seconds=10.0)  # whoever calls decides whether to ask again


def server(port: int = 8014, load: Callable[[], Any] = despoof.load, policy: AttemptPolicy = ONCE) -> HTTPServer:
    """Return a server on 127.0.0.1; `load` makes the guard at the first call, and is tried again after a failure."""
    guards: list[Any] = []

    def judged(data: bytes) -> Any:
        if not guards:
            guards.append(load())
        return guards[0].check(data)

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # s without a byte

        def do_POST(self) -> None:  # noqa: N802 the library's name
            """Answer one picture."""
            length = self.headers.get("content-length", "")
            if not length.isdigit() or not 0 < int(length) <= MOST_BYTES:
                self.close_connection = True
                self._answer(False, f"expected a picture of at most {MOST_BYTES} bytes")
                return
            data = self.rfile.read(int(length))
            found = admit(lambda: judged(data), policy)
            self._answer(found.is_live, found.why)

        def _answer(self, allow: bool, why: str) -> None:
            body = json.dumps({"allow": allow, "why": why}).encode()
            self.send_response(200 if allow else 403)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: addresses of callers are nobody's business."""

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    with server(int(sys.argv[1]) if len(sys.argv) > 1 else 8014) as running:
        running.serve_forever()
