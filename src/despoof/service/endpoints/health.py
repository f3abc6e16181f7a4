"""`/healthz`, `/readyz`, `/metrics`: for whoever runs the service."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from despoof.service.errors import RefusedError
from despoof.service.schemas import Refusal
from despoof.service.state import service_of

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """A sign of life."""

    state: Literal["alive", "ready"]


@router.get("/healthz")
async def healthz() -> Health:
    """Tell that the process answers; restart it if not."""
    return Health(state="alive")


@router.get("/readyz", responses={503: {"model": Refusal, "description": "checks are refused"}})
async def readyz(request: Request) -> Health:
    """Tell whether checks are answered; send no traffic if not."""
    judge = service_of(request).judge
    if judge.state != "ready":
        raise RefusedError(503, "not_ready", f"the service is {judge.state}; see its log.")
    return Health(state="ready")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return counters in Prometheus' text format."""
    return Response(service_of(request).counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
