"""`/healthz`, `/readyz`, `/metrics` and `/v1/model`: what runs here, and whether it does."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from despoof.service.dependencies import ServiceDep
from despoof.service.schemas import ErrorResponse, ModelResponse, model_response

NOT_READY = {503: {"model": ErrorResponse}}
router = APIRouter(tags=["status"])


class HealthResponse(BaseModel):
    """A sign of life."""

    state: Literal["alive", "ready"]


@router.get("/healthz")
async def healthz() -> HealthResponse:
    """Tell that the process answers; restart it if not."""
    return HealthResponse(state="alive")


@router.get("/readyz", responses=NOT_READY)
async def readyz(service: ServiceDep) -> HealthResponse:
    """Tell whether checks are answered; send no traffic if not."""
    service.workers.must_be_ready()
    return HealthResponse(state="ready")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: ServiceDep) -> Response:
    """Return counters in Prometheus' text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/model", responses=NOT_READY)
async def model(request: Request, service: ServiceDep) -> ModelResponse:
    """Return versions, hashes, operating point, cards and licence of the weights."""
    service.must_answer()
    return model_response(service.workers.guard, service.name, service.cards, request.state.request_id)
