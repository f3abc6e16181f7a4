"""A disk that takes no more, for tests of writers."""

import resource
import signal
from contextlib import contextmanager


@contextmanager
def files_up_to(size: int):
    """Let the system itself refuse to write beyond a size, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
