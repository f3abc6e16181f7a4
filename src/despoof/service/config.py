"""How much the service takes, and how long it waits."""

import dataclasses
from dataclasses import dataclass

from despoof.errors import ConfigError


@dataclass(frozen=True)
class ServiceConfig:
    """Limits of one server. Memory for bodies is at most about 2 * `waiting` * `max_bytes`.

    Args:
        max_bytes: of one image, counted while it arrives. A phone's 50 Mpx JPEG has 8-15 MB.
        max_batch_bytes: of one body of /v1/batch, base64 included.
        max_pixels: from the header, before anything is decoded. Each Mpx costs up to 60 ms and 45 MB.
        max_images: in one body of /v1/batch.
        max_video_bytes: of one clip.
        max_video_seconds: of one clip.
        max_video_pixels: of one frame of it; 1080p has 2.1 million.
        waiting: images admitted and not yet answered, all callers together. Beyond: 503.
        per_caller: the same for one API key or, without keys, this machine. Beyond: 429.
        at_once: images that a worker takes from the queue together.
        header_seconds: for a request's headers to arrive, from opening or the last answer. Beyond: closed.
        keep_alive_seconds: without a byte after an answer. Beyond: closed.
        body_seconds: for a body to arrive. Beyond: 408.
        answer_seconds: from a whole body to its answer. Beyond: 503.
        drain_seconds: for what is under way when the service is told to stop. Beyond: 503. Docker kills after 10.
        decimals: of liveness in answers. Exact scores help an attacker; none sends no liveness at all.
        explanations: whether ?explain=true is answered with pictures. They help an attacker too.
    """

    max_bytes: int = 16 * 2**20
    max_batch_bytes: int = 32 * 2**20
    max_pixels: int = 25_000_000
    max_images: int = 8
    max_video_bytes: int = 32 * 2**20
    max_video_seconds: float = 30.0
    max_video_pixels: int = 2_100_000
    waiting: int = 32
    per_caller: int = 16
    at_once: int = 8
    header_seconds: float = 10.0
    keep_alive_seconds: int = 5
    body_seconds: float = 10.0
    answer_seconds: float = 30.0
    drain_seconds: int = 7
    decimals: int | None = 3
    explanations: bool = True

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name not in ("decimals", "explanations") and not value > 0:
                raise ConfigError(f"service.{name} is {value}; expected more than 0. Give one that something passes.")
        if not self.max_images <= self.per_caller <= self.waiting:
            raise ConfigError(
                f"service: max_images {self.max_images}, per_caller {self.per_caller}, waiting {self.waiting}; "
                "expected each at most the next, or a full batch could never be admitted. Raise the later ones."
            )
