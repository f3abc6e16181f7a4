"""`/v1/check`, `/v1/batch` and `/v1/check-video`: images and clips -> answers."""

import asyncio
import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from despoof.clip.frame import container_of
from despoof.faces.quality import Reason
from despoof.service.errors import RefusedError
from despoof.service.schemas import BatchAnswer, CheckAnswer, ClipAnswer, Refusal, Result, unjudged
from despoof.service.state import Service, service_of
from despoof.service.uploads import NOT_AN_IMAGE, TOO_MANY_PIXELS, read_body

STATUS = {NOT_AN_IMAGE: 415, TOO_MANY_PIXELS: 413}  # reasons for which a single image is refused as a request
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "an empty or broken body"},
    401: {"model": Refusal, "description": "no valid API key"},
    403: {"model": Refusal, "description": "another origin, not this machine, or no explanations here"},
    408: {"model": Refusal, "description": "the body did not arrive in time"},
    413: {"model": Refusal, "description": "too many bytes, pixels or images"},
    415: {"model": Refusal, "description": "none of the formats named, by its content"},
    422: {"model": Refusal, "description": "a parameter or the body is not as described"},
    429: {"model": Refusal, "description": "too many images of this caller are under way"},
    503: {"model": Refusal, "description": "loading, without weights, overloaded or out of time"},
}
Explain = Annotated[bool, Query(description="send face, counterpart and cue as PNG in base64")]


class BatchRequest(BaseModel):
    """Several images."""

    model_config = ConfigDict(extra="forbid")
    images: list[str] = Field(min_length=1, description="JPEG, PNG or WebP files, each in base64")


def _body(types: tuple[str, ...], schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in types}}}


IMAGE_BODY = _body(("image/jpeg", "image/png", "image/webp"), {"type": "string", "format": "binary"})
VIDEO_BODY = _body(
    ("video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo"),
    {"type": "string", "format": "binary"},
)
CLIP_WEIGHT = 4  # images that a clip counts as, while it is under way
BATCH_BODY = _body(("application/json",), BatchRequest.model_json_schema())
router = APIRouter(prefix="/v1", tags=["check"], responses=REFUSALS)


@router.post("/check", openapi_extra=IMAGE_BODY)
async def check(request: Request, explain: Explain = False) -> CheckAnswer:
    """Judge one image. The body is the file itself: `curl --data-binary @selfie.jpg`."""
    service = service_of(request)
    service.must_answer(explain)
    with service.admission.hold(request.state.caller, 1):
        data = await read_body(request, service.config.max_bytes, service.config.body_seconds)
        result = await service.judged(data, explain)
    for reason in result.reasons:
        if reason.name in STATUS:
            raise RefusedError(STATUS[reason.name], reason.name, reason.sentence)
    service.counted(request, [result])
    return CheckAnswer(**service.heading(request), **result.model_dump())


@router.post("/batch", openapi_extra=BATCH_BODY)
async def batch(request: Request, explain: Explain = False) -> BatchAnswer:
    """Judge several images; one that cannot be judged is NO_DECISION at its place and hurts no other."""
    service = service_of(request)
    service.must_answer(explain)
    most = service.config.max_images
    with service.admission.hold(request.state.caller, most):  # before the body, whose count is not yet known
        body = await read_body(request, service.config.max_batch_bytes, service.config.body_seconds)
        images = _images(body)
        if len(images) > most:
            raise RefusedError(413, "too_many_images", f"{len(images)} images; expected at most {most}. Send several.")
        results = await asyncio.gather(*(_one(service, image, explain) for image in images))
    return BatchAnswer(**service.heading(request), results=service.counted(request, results))


@router.post("/check-video", openapi_extra=VIDEO_BODY)
async def check_video(request: Request) -> ClipAnswer:
    """Judge one clip. The body is the file itself: MP4, MOV, WebM, Matroska or AVI, by its content."""
    service = service_of(request)
    service.must_answer(False)
    with service.admission.hold(request.state.caller, CLIP_WEIGHT):
        data = await read_body(request, service.config.max_video_bytes, service.config.body_seconds)
        if container_of(data) is None:
            sentence = "the bytes are no MP4, MOV, WebM, Matroska or AVI video. Send one of these, as it is."
            raise RefusedError(415, "not_a_video", sentence)
        result = await service.judged_clip(data)
    noted = Result(decision=result.decision, liveness=None, reasons=result.reasons, milliseconds={})
    service.counted(request, [noted])
    return ClipAnswer(**service.heading(request), **result.model_dump())


def _images(body: bytes) -> list[str]:
    try:
        return BatchRequest.model_validate_json(body).images
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise RefusedError(422, "not_as_described", f"{where}: {first['msg']}. See /openapi.json.") from None


async def _one(service: Service, image: str, explain: bool) -> Result:
    try:
        data = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        return unjudged(Reason(NOT_AN_IMAGE, None, None, "The text is not base64. Encode the file's bytes."))
    if not data or len(data) > service.config.max_bytes:
        sentence = f"The file has {len(data)} bytes; expected 1 to {service.config.max_bytes}. Send another."
        return unjudged(Reason("too_large" if data else NOT_AN_IMAGE, None, None, sentence))
    return await service.judged(data, explain)
