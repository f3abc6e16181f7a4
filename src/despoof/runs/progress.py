"""Progress with an estimate for anything long."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)  # fmt: skip
from rich.text import Text

T = TypeVar("T")


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield items behind a bar with an estimate; on a pipe, print a line every half minute instead."""
    if not sys.stderr.isatty():
        yield from _lines(items, title, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(items, total=total, description=title)


class _Rate(ProgressColumn):
    """Items a second, of late."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def _lines(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    start = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - said > 30:
            rate = done / (now - start)
            left = f"{rate:.1f} a second, about {(total - done) / rate / 60:.1f} min left"
            print(f"{title}: {done}/{total}, {left}", file=sys.stderr, flush=True)
            said = now
        yield item
