"""What the endpoints of one server share, and how one image goes through it."""

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from despoof.service.access import Access, Admission
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError
from despoof.service.metrics import Counters
from despoof.service.schemas import ClipResult, Result, model_version, profile_of, unjudged
from despoof.service.uploads import inspect
from despoof.service.worker import Judge


@dataclass(frozen=True)
class Service:
    """The parts of one server. `name` and `cards` are those of the weights."""

    config: ServiceConfig
    access: Access
    admission: Admission
    judge: Judge
    counters: Counters
    name: str
    cards: dict[str, str]

    def must_answer(self, explain: bool) -> None:
        """Refuse before a body is read what could not be answered after it."""
        self.judge.must_be_ready()
        if explain and not self.config.explanations:
            raise RefusedError(403, "no_explanations", "this service sends no pictures. Ask without explain.")

    async def judged(self, data: bytes, explain: bool) -> Result:
        """Return the result of one image's bytes; what may not be decoded is NO_DECISION without a decoder's work."""
        reason = inspect(data, self.config.max_pixels)
        if reason is not None:
            return unjudged(reason)
        return await self._answered(self.judge.submit(data, explain))  # type: ignore[return-value]

    async def judged_clip(self, data: bytes) -> ClipResult:
        """Return the result of one clip's bytes, whose container was seen to be an allowed one."""
        return await self._answered(self.judge.submit(data, False, clip=True))  # type: ignore[return-value]

    async def _answered(self, job: "Future[Result | ClipResult]") -> Result | ClipResult:
        future = asyncio.wrap_future(job)
        try:
            async with asyncio.timeout(self.config.answer_seconds):
                return await future  # when the time is over, this cancels the job, if it still waits
        except TimeoutError:
            wait = f"no answer in {self.config.answer_seconds:g} s. Try again in a moment."
            raise RefusedError(503, "timeout", wait, retry_after=5) from None

    def counted(self, request: Request, results: list[Result]) -> list[Result]:
        """Count results and note them for the log line: decisions and reason names, no pixels."""
        for result in results:
            self.counters.result(result)
        request.state.note = [
            {"decision": r.decision.value, "liveness": r.liveness, "reasons": [reason.name for reason in r.reasons]}
            for r in results
        ]
        return results

    def heading(self, request: Request) -> dict[str, Any]:
        """Return what every answer carries: request id and versions."""
        guard = self.judge.guard
        if guard is None:
            raise RefusedError(503, "not_ready", f"the service is {self.judge.state}; see its log and /readyz.")
        return {
            "request_id": request.state.request_id,
            "model": model_version(guard, self.name),
            "profile": profile_of(guard),
        }


def service_of(request: Request) -> Service:
    """Return the server's parts, for endpoints."""
    return request.app.state.service
