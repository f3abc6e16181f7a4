"""What workers of a pool are given to do in tests; they find it by its module."""

import os
import signal
import time
from pathlib import Path


def mixed(item: int) -> tuple[int, str]:
    """Return something that depends on the item alone."""
    return item, f"{item * 0.1:.17g}"


def deadly(item: int) -> int:
    """Die over item 7, whenever it comes."""
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return -item


def dies_once(folder: str, item: int) -> int:
    """Die over item 7 when it comes for the first time, in all processes that share the folder."""
    mark = Path(folder) / "died"
    if item == 7 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return -item


def told(folder: str, item: int) -> int:
    """Leave one's process number in the folder, take a while, and return the item."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.1)
    return item


def refuses(item: int) -> int:
    """Raise the error of a user's input."""
    from despoof.errors import InputError

    raise InputError(f"item {item} is refused")
