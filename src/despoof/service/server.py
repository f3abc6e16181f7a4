"""The application on a socket: uvicorn, with time-outs for connections that say nothing."""

from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from despoof.service.config import ServiceConfig
from despoof.service.middleware import MAX_HEADERS


def server_config(app: Any, config: ServiceConfig, **options: Any) -> uvicorn.Config:
    """Return what `uvicorn.Server` runs; `options` are its host and port.

    No `limit_concurrency`: it counts idle connections too, so that strangers could close every route with a few
    hundred of them. Work is bounded by admission, after the key was seen.
    """

    class Protocol(TimedProtocol):
        header_seconds = config.header_seconds

    return uvicorn.Config(
        app,
        **options,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,  # the service writes its own line for each request
        proxy_headers=False,  # nobody may speak for another caller
        server_header=False,
        timeout_keep_alive=config.keep_alive_seconds,
        timeout_graceful_shutdown=config.drain_seconds,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )


class TimedProtocol(H11Protocol):
    """A connection that is closed where whole headers do not arrive in time, which uvicorn does not watch."""

    header_seconds: float

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._due = self.loop.call_later(self.header_seconds, self._close_if_idle)

    def on_response_complete(self) -> None:
        """Begin to wait for the next one."""
        super().on_response_complete()
        self._due.cancel()
        self._due = self.loop.call_later(self.header_seconds, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._due.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
