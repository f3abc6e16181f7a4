"""The parts put together: a way to load a guard, limits and keys -> an ASGI application."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import despoof
from despoof.pipeline import Guard
from despoof.service.access import Access, Admission
from despoof.service.config import ServiceConfig
from despoof.service.endpoints import check, health, model, page
from despoof.service.errors import RefusedError
from despoof.service.metrics import Counters
from despoof.service.middleware import Border, refusal
from despoof.service.state import Service
from despoof.service.worker import Judge

ROUTERS = (check.router, model.router, health.router, page.router)


def build_app(
    load: Callable[[], Guard],
    *,
    name: str = "default",
    cards: dict[str, str] | None = None,
    keys: Iterable[str] = (),
    config: ServiceConfig | None = None,
) -> FastAPI:
    """Return the application. `load` is called once, in the worker thread, when the server starts.

    Without `keys` only this machine is answered. `name` and `cards` are what /v1/model tells of the weights.
    """
    service = _service(load, name, cards or {}, Access(keys), config or ServiceConfig())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.judge.start()
        yield
        service.judge.stop()

    app = FastAPI(
        title="despoof",
        description=despoof.__doc__,
        version=despoof.__version__,
        lifespan=lifespan,
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be built from the caller's own Host header
    )
    app.state.service = service
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(Border, service=service)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _not_as_described)
    app.add_exception_handler(HTTPException, _no_such_way)
    return app


def _service(
    load: Callable[[], Guard], name: str, cards: dict[str, str], access: Access, config: ServiceConfig
) -> Service:
    judge = Judge(load, config, on_batch=lambda images: counters.batch(images))
    counters = Counters(waiting=lambda: judge.waiting, ready=lambda: judge.state == "ready")
    return Service(config, access, Admission(config.waiting, config.per_caller), judge, counters, name, cards)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return refusal(request.state.request_id, error)  # type: ignore[arg-type]


async def _not_as_described(request: Request, error: Exception) -> JSONResponse:
    """Name the parameter; what was sent is not sent back."""
    first = error.errors()[0]  # type: ignore[attr-defined]
    detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}. See /openapi.json."
    return refusal(request.state.request_id, RefusedError(422, "not_as_described", detail))


async def _no_such_way(request: Request, error: Exception) -> JSONResponse:
    status, headers = error.status_code, error.headers  # type: ignore[attr-defined]
    name = {404: "not_found", 405: "wrong_method"}.get(status, "refused")
    response = refusal(
        request.state.request_id, RefusedError(status, name, "no such address or method. See /openapi.json.")
    )
    response.headers.update(headers or {})
    return response
