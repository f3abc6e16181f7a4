"""What every request passes: an id, access, safe headers, one log line, and no inside of an error goes out."""

import asyncio
import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from despoof.service.dependencies import Service
from despoof.service.errors import RefusedError, stopping

LOG = logging.getLogger("despoof.service")
OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
MAX_HEADERS = 16 * 1024  # bytes of address and headers; h11 alone holds this only while they are incomplete
HEADERS = {  # after OWASP's REST security cheat sheet; nothing but the page at / runs anything
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


class ServiceMiddleware:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on; web sockets are not answered, which uvicorn refuses."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            # HEAD is answered as GET; the server leaves the body out, since its own scope still says HEAD.
            scope = scope | {"method": scope["method"].replace("HEAD", "GET")}
            await self._pass(scope, _Exchange(_request_id(scope), receive, send))

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        begun, refused = time.perf_counter(), None
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = exchange.id
        exchange.body_is_read = scope["method"] == "GET"
        try:
            _refuse_odd_framing(scope)
            state["caller"] = self.service.access.caller(scope)
            await self.app(scope, exchange.receive, exchange.send)
        except RefusedError as error:
            refused = error
        except asyncio.CancelledError:  # the server stops, and this request was not done in its time
            refused = stopping()
        except Exception:
            LOG.exception("request %s failed", exchange.id)
            detail = "the request failed inside the service. Nothing was decided; try again later."
            refused = RefusedError(500, "internal", detail)
        if refused and not exchange.status:
            body = {"request_id": exchange.id, "error": refused.name, "detail": refused.detail}
            await JSONResponse(body, refused.status, refused.headers)(scope, exchange.receive, exchange.send)
        self._note(scope, exchange, time.perf_counter() - begun)

    def _note(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self.service.metrics.request(route, exchange.status, seconds)
        took = round(seconds * 1e3, 1)
        row = {"request": exchange.id, "route": route, "status": exchange.status, "milliseconds": took}
        if note := scope["state"].get("note"):
            guard = self.service.workers.guard
            row |= {"results": note, "weights": guard.weights, "point": guard.point}
        LOG.info("%s", json.dumps(row))


class _Exchange:
    """The messages of one request, whose answer gets an id and safe headers."""

    def __init__(self, request_id: str, receive: Receive, send: Send) -> None:
        self.id, self._receive, self._send = request_id, receive, send
        self.status = 0  # once the answer has begun
        self.body_is_read = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.body_is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = HEADERS | {b"x-request-id": self.id.encode()}
            if self.status >= 400 and not self.body_is_read:
                extra |= {b"connection": b"close"}  # or the rest of the body would be read to its end
            message = message | {"headers": list((extra | dict(message["headers"])).items())}
        await self._send(message)


def _refuse_odd_framing(scope: Scope) -> None:
    """Refuse what two servers may read in two ways (RFC 9112, 6.3), and headers beyond `MAX_HEADERS`."""
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" in names and b"content-length" in names:
        raise RefusedError(400, "two_lengths", "Content-Length with Transfer-Encoding; expected one. Send either.")
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size + len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MAX_HEADERS:
        raise RefusedError(431, "large_headers", f"address and headers have more than {MAX_HEADERS} bytes. Send fewer.")


def _request_id(scope: Scope) -> str:
    """The caller's own id, if it is harmless in a log, or a new one."""
    own = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return own.decode() if OWN_ID.fullmatch(own) else uuid.uuid4().hex
