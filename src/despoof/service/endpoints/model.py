"""`/v1/model`: which weights judge, under which licence, measured how."""

from fastapi import APIRouter, Request

from despoof.service.errors import RefusedError
from despoof.service.schemas import ModelAnswer, Refusal, about
from despoof.service.state import service_of

router = APIRouter(prefix="/v1", tags=["model"])


@router.get("/model", responses={503: {"model": Refusal, "description": "loading or without weights"}})
async def model(request: Request) -> ModelAnswer:
    """Return versions, hashes, operating point, cards and licence of the weights."""
    service = service_of(request)
    guard = service.judge.guard
    if guard is None:
        raise RefusedError(503, "not_ready", f"the service is {service.judge.state}; see its log and /readyz.")
    return about(guard, service.name, service.cards, request.state.request_id)
