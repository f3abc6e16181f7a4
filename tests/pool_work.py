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


def second_dies() -> None:
    """Die in the second process of a training, while the first waits for it."""
    from despoof.runs.processes import open_processes

    processes = open_processes()
    if processes.process_index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.wait_for_everyone()


def refuses(item: int) -> int:
    """Raise the error of a user's input."""
    from despoof.errors import InputError

    raise InputError(f"item {item} is refused")


def quick(how, wanted, rows):
    """Stand in for `despoof.batch.judging.judge`: what is said of a row depends on it alone, and costs nothing.

    A row whose id begins with `broken` is an error as long as its file is not there; one of id `deadly` kills.
    """
    from despoof.batch.judging import error_values
    from despoof.batch.shards import table
    from despoof.runs.seed import item_rng

    found = []
    for row in rows:
        if row.id == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if row.id.startswith("broken") and not Path(row.uri).exists():
            found.append((row, error_values(FileNotFoundError(row.uri))))
            continue
        liveness = float(item_rng(row.id).random())
        decision = "LIVE" if liveness > 0.5 else "ATTACK"
        found.append((row, {"decision": decision, "liveness": liveness, "reasons": [], "milliseconds": {"read": 1.0}}))
    return table(found)


def slow(how, wanted, rows):
    """Do what `quick` does, a while for each row."""
    time.sleep(0.02 * len(rows))
    return quick(how, wanted, rows)


def told(folder, how, wanted, rows):
    """Do what `slow` does, and leave one's process number in a folder."""
    (Path(folder) / str(os.getpid())).touch()
    return slow(how, wanted, rows)
