"""What a run logs, for TensorBoard too where it is installed (extra `tensorboard`)."""

import importlib.util
from pathlib import Path
from typing import Any


def open_board(folder: Path, begin: int) -> Any:
    """Return a writer of event files in ``folder/tensorboard`` that forgets what follows step `begin`; or None.

    None where TensorBoard is not installed: ``log.jsonl`` holds the same figures.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=begin + 1)


def show(board: Any, line: dict[str, float]) -> None:
    """Write one line of the log, all its figures at its step."""
    if board is None:
        return
    for name, value in line.items():
        if name != "step":
            board.add_scalar(name, value, int(line["step"]))
    board.flush()
