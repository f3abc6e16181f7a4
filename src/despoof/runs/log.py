"""What a run logs: lines of means in ``log.jsonl``, and the same in TensorBoard where it is installed."""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from despoof.errors import ArtefactError
from despoof.runs.folder import write_text


class RunLog:
    """Means over the steps between two lines. What is not yet written is its state, so a resumed run loses none."""

    def __init__(self, folder: Path, begin: int, state: dict[str, Any] | None) -> None:
        """Open the log of a run that goes on at step `begin`; lines of later steps, which a kill left, are dropped."""
        self.path, self.started = folder / "log.jsonl", time.monotonic()
        self.sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self.counted: int = (state or {}).get("counted", 0)
        if self.path.exists():
            lines = [line for line in self.path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            kept = [line for line in lines if json.loads(line)["step"] <= begin]
            write_text(self.path, "".join(line + "\n" for line in kept))
        self.board = _open_board(folder, begin)

    def add(self, values: dict[str, float]) -> None:
        """Take the values of one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.counted += 1

    def write(self, step: int) -> None:
        """Write the means since the last line as those of step `step`."""
        means = {name: round(value / self.counted, 6) for name, value in self.sums.items()}
        line = {"step": step, **means, "seconds": round(time.monotonic() - self.started, 1)}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise ArtefactError(f"could not write {self.path}: {error}. Free some space, then run again.") from error
        if self.board is not None:
            for name, value in (means | {"seconds": line["seconds"]}).items():
                self.board.add_scalar(name, value, step)
        self.sums, self.counted = {}, 0

    def state(self) -> dict[str, Any]:
        """Return what is counted but not yet written."""
        return {"sums": dict(self.sums), "counted": self.counted}

    def close(self) -> None:
        """Flush and close TensorBoard's file and its thread."""
        if self.board is not None:
            self.board.close()


def _open_board(folder: Path, begin: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=begin + 1)
