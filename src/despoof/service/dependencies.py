"""What the endpoints of one server share, and how one image or clip goes through it."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from despoof.service.access import Access, Admission
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.metrics import Metrics
from despoof.service.schemas import ClipResult, ImageResult, heading, unjudged
from despoof.service.uploads import inspect_image
from despoof.service.worker import Workers


@dataclass(frozen=True)
class Service:
    """The parts of one server. `name` and `cards` are those of the weights."""

    config: ServiceConfig
    access: Access
    admission: Admission
    workers: Workers
    metrics: Metrics
    name: str
    cards: dict[str, str]

    def must_answer(self, explain: bool = False) -> None:
        """Refuse before a body is read what could not be answered after it."""
        self.workers.must_be_ready()
        if explain and not self.config.explanations:
            raise RefusedError(403, "no_explanations", "this service sends no pictures. Ask without explain.")

    async def check_image(self, data: bytes, explain: bool) -> ImageResult:
        """Return the result of one image's bytes; what may not be decoded is NO_DECISION without a decoder's work."""
        reason = await run_in_threadpool(inspect_image, data, self.config.max_pixels)
        return unjudged(reason) if reason else await self._answer(data, explain=explain)  # type: ignore[return-value]

    async def check_clip(self, data: bytes) -> ClipResult:
        """Return the result of one clip's bytes, whose container was seen to be an allowed one."""
        return await self._answer(data, clip=True)  # type: ignore[return-value]

    async def _answer(self, data: bytes, **options: bool) -> ImageResult | ClipResult:
        future = asyncio.wrap_future(self.workers.submit(data, **options))
        try:
            async with asyncio.timeout(self.config.answer_seconds):
                return await future  # when the time is over, this cancels the submission, if it still waits
        except TimeoutError:
            wait = f"no answer in {self.config.answer_seconds:g} s. Try again in a moment."
            raise RefusedError(503, "timeout", wait, retry_after="5") from None

    def count(self, request: Request, results: list[ImageResult], kind: str = "photo") -> None:
        """Count results and note them for the log line: decisions and reason names, no pixels."""
        for result in results:
            self.metrics.result(result, kind)
        request.state.note = [
            {"decision": r.decision.value, "liveness": r.liveness, "reasons": [reason.name for reason in r.reasons]}
            for r in results
        ]

    def heading(self, request: Request, *, clip: bool = False) -> dict[str, Any]:
        """Return what every answer carries: request id, versions, operating point."""
        return dict(heading(self.workers.guard, self.name, request.state.request_id, clip=clip))


def _service(request: Request) -> Service:
    return request.app.state.service


ServiceDep = Annotated[Service, Depends(_service)]
