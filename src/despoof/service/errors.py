"""Why a request is refused: an HTTP status, a name for programs, a sentence for people."""

from despoof.errors import DespoofError


class RefusedError(DespoofError):
    """A request that gets no answer. `name` is stable; `detail` says what was expected and the next step."""

    def __init__(self, status: int, name: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail = status, name, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


# Made anew where they are raised: an exception keeps the frames it went through, and with them a body.


def overloaded() -> RefusedError:
    """Return the refusal of what finds no room."""
    return RefusedError(503, "overloaded", "the queue is full. Try again in a moment.", retry_after="1")


def stopping() -> RefusedError:
    """Return the refusal of what is under way when the server ends."""
    return RefusedError(503, "stopping", "the service is stopping. Try another instance.", retry_after="5")
