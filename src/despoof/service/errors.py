"""Why a request is refused: an HTTP status, a name for programs, a sentence for people."""

from despoof.errors import DespoofError


class RefusedError(DespoofError):
    """A request that gets no answer. `name` is stable; `detail` says what was expected and the next step."""

    def __init__(self, status: int, name: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.retry_after = retry_after  # seconds
