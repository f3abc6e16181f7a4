"""What a step costs: faces a second, and the share of what the device's arithmetic alone would allow."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

Step = Callable[[int], dict[str, float]]


def with_cost(step: Step, batch: int, rate: float) -> Step:
    """Return a step that also tells `faces_per_second` and `of_floor`, the share of the arithmetic floor it reaches.

    The floor is a step that takes as long as its operations (`counted` at the first step of a process) do at `rate`
    operations a second, and nothing else. `batch` is the global one, operations are those of this process.
    """
    operations: list[int] = []

    def measured(number: int) -> dict[str, float]:
        begin = time.perf_counter()
        if operations:
            values = step(number)
        else:
            with counted() as found:
                values = step(number)
            operations.append(sum(found))
        seconds = time.perf_counter() - begin
        return values | {"faces_per_second": batch / seconds, "of_floor": operations[0] / rate / seconds}

    return measured


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the operations of convolutions and linear layers, forward and backward; attention's are left out.

    By hooks: torch's own counter takes the place of autocast's cache, and a counted step is another to the last bit.
    """
    found: list[int] = []

    def hook(module: nn.Module, given: tuple, made: object) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            # a weight meets every place of the output; of a transposed convolution, every place of the input
            places = given[0] if isinstance(module, nn.ConvTranspose2d) else made
            channels = places.shape[-1] if isinstance(module, nn.Linear) else places.shape[1]
            passes = 1 + (made.requires_grad + (made.requires_grad and module.weight.requires_grad))
            found.append(2 * passes * module.weight.numel() * places.numel() // channels)

    handle = register_module_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


@cache
def arithmetic_rate(device: torch.device, precision: torch.dtype, side: int | None = None) -> float:
    """Return operations a second of a device in a precision: the best of five products of square matrices.

    A processor's is that of the threads torch uses now, and of what other work leaves of them.
    """
    side = side or (8192 if device.type == "cuda" else 1024)
    left, right = (torch.ones(side, side, device=device, dtype=precision) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        _wait(device)
        begin = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
