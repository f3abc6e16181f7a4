"""The parts put together: a way to load a guard, limits and keys -> an ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import despoof
from despoof.pipeline import Guard
from despoof.service.access import Access, Admission
from despoof.service.config import ServiceConfig
from despoof.service.dependencies import Service
from despoof.service.endpoints import check, page, status
from despoof.service.errors import RefusedError
from despoof.service.metrics import Metrics
from despoof.service.middleware import ServiceMiddleware
from despoof.service.worker import Workers

ROUTERS = (check.router, status.router, page.router)


def build_app(
    load: Callable[[], Guard],
    *,
    name: str = "default",
    cards: dict[str, str] | None = None,
    keys: Iterable[str] = (),
    config: ServiceConfig | None = None,
    workers: int = 1,
) -> FastAPI:
    """Return the application. `load` is called when the server starts, once in each thread that judges.

    Without `keys` only this machine is answered. `name` and `cards` are what /v1/model tells of the weights.
    `workers` is the number of threads that judge photos; clips have one more where PyAV is installed.
    """
    config = config or ServiceConfig()
    judges = Workers(load, config, lambda n: metrics.batch(n), photos=workers, clips=find_spec("av") is not None)
    metrics = Metrics(waiting=lambda: judges.waiting, ready=lambda: judges.state == "ready")
    admission = Admission(config.waiting, config.per_caller)
    service = Service(config, Access(keys), admission, judges, metrics, name, cards or {})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        judges.start()
        yield
        await asyncio.to_thread(judges.stop)  # meanwhile the last answers go out

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
    app.add_middleware(ServiceMiddleware, service=service)
    app.add_exception_handler(RequestValidationError, _not_as_described)
    app.add_exception_handler(HTTPException, _no_such_address)
    app.openapi = lambda: _document(app, config.max_images)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI, max_images: int) -> dict[str, Any]:
    """Return the OpenAPI document with the limit of this server."""
    document = FastAPI.openapi(app)
    body = document["paths"]["/v1/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body["properties"]["images"]["maxItems"] = max_images
    return document


async def _not_as_described(request: Request, error: Exception) -> NoReturn:
    """Name the parameter; what was sent is not sent back."""
    first = error.errors()[0]  # type: ignore[attr-defined]
    detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}. See /openapi.json."
    raise RefusedError(422, "not_as_described", detail)


async def _no_such_address(request: Request, error: Exception) -> NoReturn:
    status, headers = error.status_code, error.headers or {}  # type: ignore[attr-defined]
    name = {404: "not_found", 405: "wrong_method"}.get(status, "refused")
    raise RefusedError(status, name, "no such address or method. See /openapi.json.", **headers)
