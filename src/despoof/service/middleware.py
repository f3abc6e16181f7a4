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
from despoof.service.errors import RefusedError
from despoof.service.worker import STOPPING

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
INTERNAL = RefusedError(500, "internal", "the request failed inside the service. Nothing was decided; try again later.")


class ServiceMiddleware:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":  # web sockets are not answered: uvicorn then refuses them
            await _Passage(self.app, self.service, scope, receive, send).go()


class _Passage:
    """One request on its way in and out."""

    def __init__(self, app: ASGIApp, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        # HEAD is answered as GET; the server leaves the body out, since its own scope still says HEAD.
        self.scope = scope | {"method": "GET"} if scope["method"] == "HEAD" else scope
        self.app, self.service, self._receive, self._send = app, service, receive, send
        self.id = _request_id(scope)
        self.status = 0
        self.body_is_read = False

    async def go(self) -> None:
        state: dict[str, Any] = self.scope.setdefault("state", {})
        state["request_id"] = self.id
        begun = time.perf_counter()
        try:
            _refuse_odd_framing(self.scope)
            state["caller"] = self.service.access.caller(self.scope)
            await self.app(self.scope, self.receive, self.send)
        except RefusedError as refused:
            await self.refuse(refused)
        except asyncio.CancelledError:  # the server stops, and this request was not done in its time
            await self.refuse(STOPPING)
        except Exception:
            LOG.exception("request %s failed", self.id)
            await self.refuse(INTERNAL)
        finally:
            self._note(state, time.perf_counter() - begun)

    async def refuse(self, refused: RefusedError) -> None:
        if not self.status:
            await error_response(self.id, refused)(self.scope, self.receive, self.send)

    async def receive(self) -> Message:
        message = await self._receive()
        self.body_is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            extra = [(name, value) for name, value in HEADERS.items() if name not in given]
            if self.status >= 400 and not self.body_is_read and self.scope["method"] != "GET":
                extra.append((b"connection", b"close"))  # or the rest of the body would be read to its end
            message = {**message, "headers": [*message["headers"], *extra, (b"x-request-id", self.id.encode())]}
        await self._send(message)

    def _note(self, state: dict[str, Any], seconds: float) -> None:
        route = getattr(self.scope.get("route"), "path", "none")
        self.service.metrics.request(route, self.status, seconds)
        row = {"request": self.id, "route": route, "status": self.status, "milliseconds": round(seconds * 1e3, 1)}
        if note := state.get("note"):
            row |= {"results": note, "weights": self.service.guard.weights}
        LOG.info("%s", json.dumps(row))


def error_response(request_id: str, refused: RefusedError) -> JSONResponse:
    """Return a refusal as a response."""
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"request_id": request_id, "error": refused.name, "detail": refused.detail}
    return JSONResponse(body, refused.status, headers)


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
