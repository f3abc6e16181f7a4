"""`/v1/check`, `/v1/batch` and `/v1/check-video`: images and clips -> answers."""

import asyncio
import base64
import binascii
from importlib.util import find_spec
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from despoof.clip.frame import container_of
from despoof.faces.quality import Reason
from despoof.service.dependencies import Service, ServiceDep
from despoof.service.errors import RefusedError
from despoof.service.schemas import BatchResponse, CheckResponse, ClipResponse, ErrorResponse, ImageResult, unjudged
from despoof.service.uploads import NOT_AN_IMAGE, TOO_MANY_PIXELS, read_body
from despoof.service.worker import CLIP_WEIGHT

STATUS = {NOT_AN_IMAGE: 415, TOO_MANY_PIXELS: 413}  # reasons for which a single image is refused as a request
REFUSALS = {s: {"model": ErrorResponse} for s in (400, 401, 403, 408, 413, 415, 422, 429, 431, 503)}
Explain = Annotated[bool, Query(description="send face, counterpart and their difference as PNG in base64")]


class BatchRequest(BaseModel):
    """Several images."""

    model_config = ConfigDict(extra="forbid")
    images: list[str] = Field(min_length=1, description="image files, each in base64")


def _body(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


FILE_BODY = _body("application/octet-stream", {"type": "string", "format": "binary"})
BATCH_BODY = _body("application/json", BatchRequest.model_json_schema())
NO_VIDEO = {501: {"model": ErrorResponse}}
router = APIRouter(prefix="/v1", tags=["check"], responses=REFUSALS)


@router.post("/check", openapi_extra=FILE_BODY)
async def check(request: Request, service: ServiceDep, explain: Explain = False) -> CheckResponse:
    """Judge one image. The body is the file itself: `curl --data-binary @selfie.jpg`; only its content counts."""
    service.must_answer(explain)
    with service.admission.hold(request.state.caller, 1):
        data = await read_body(request, service.config.max_bytes, service.config.body_seconds)
        result = await service.check_image(data, explain)
    for reason in result.reasons:
        if reason.name in STATUS:
            raise RefusedError(STATUS[reason.name], reason.name, reason.sentence)
    service.count(request, [result])
    return CheckResponse(**service.heading(request), **result.model_dump())


@router.post("/batch", openapi_extra=BATCH_BODY)
async def batch(request: Request, service: ServiceDep, explain: Explain = False) -> BatchResponse:
    """Judge several images; one that cannot be judged is NO_DECISION at its place and hurts no other."""
    service.must_answer(explain)
    most = service.config.max_images
    with service.admission.hold(request.state.caller, most):  # before the body, whose count is not yet known
        body = await read_body(request, service.config.max_batch_bytes, service.config.body_seconds)
        images = _images(body)
        if len(images) > most:
            raise RefusedError(413, "too_many_images", f"{len(images)} images; expected at most {most}. Send several.")
        results = await asyncio.gather(*(_one(service, image, explain) for image in images))
    service.count(request, results)
    return BatchResponse(**service.heading(request), results=results)


@router.post("/check-video", openapi_extra=FILE_BODY, responses=NO_VIDEO)
async def check_video(request: Request, service: ServiceDep) -> ClipResponse:
    """Judge one clip. The body is the file itself: MP4, MOV, WebM, Matroska or AVI, by its content."""
    service.must_answer()
    if find_spec("av") is None:
        raise RefusedError(501, "no_video", "clips need PyAV here. Install it with: pip install 'despoof[video]'")
    with service.admission.hold(request.state.caller, CLIP_WEIGHT):
        data = await read_body(request, service.config.max_video_bytes, service.config.body_seconds)
        if container_of(data) is None:
            sentence = "the bytes are no MP4, MOV, WebM, Matroska or AVI video. Send one of these, as it is."
            raise RefusedError(415, "not_a_video", sentence)
        result = await service.check_clip(data)
    liveness = result.faces[0].liveness if len(result.faces) == 1 else None
    told = ImageResult(decision=result.decision, liveness=liveness, reasons=result.reasons)
    service.count(request, [told], "clip")
    return ClipResponse(**service.heading(request, clip=True), **result.model_dump())


def _images(body: bytes) -> list[str]:
    try:
        return BatchRequest.model_validate_json(body).images
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        known = [str(part) for part in first["loc"] if isinstance(part, int) or part in BatchRequest.model_fields]
        where = ".".join(known) or "body"  # an unknown name may be anything, a picture too
        raise RefusedError(422, "not_as_described", f"{where}: {first['msg']}. See /openapi.json.") from None


async def _one(service: Service, image: str, explain: bool) -> ImageResult:
    try:
        data = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        return unjudged(Reason(NOT_AN_IMAGE, None, None, "The text is not base64. Encode the file's bytes."))
    if not data or len(data) > service.config.max_bytes:
        sentence = f"The file has {len(data)} bytes; expected 1 to {service.config.max_bytes}. Send another."
        return unjudged(Reason("too_large" if data else NOT_AN_IMAGE, None, None, sentence))
    return await service.check_image(data, explain)
