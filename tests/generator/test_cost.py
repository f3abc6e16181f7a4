"""Operations of a step are those of torch's own counter, faces a second and the share of the floor follow from them."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from despoof.generator.training.cost import arithmetic_rate, counted, with_cost


def network() -> nn.Module:
    torch.manual_seed(0)
    frozen = nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1).requires_grad_(False)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2), frozen, nn.Flatten(),
        nn.Linear(6 * 14 * 14, 5),
    )  # fmt: skip


def test_operations_are_those_of_torchs_counter() -> None:
    net, face = network(), torch.randn(2, 3, 16, 16, requires_grad=True)
    with FlopCounterMode(display=False) as theirs, counted() as ours:
        net(face).sum().backward()
    assert sum(ours) == theirs.get_total_flops()
    with torch.no_grad(), FlopCounterMode(display=False) as theirs, counted() as ours:
        net(face)
    assert sum(ours) == theirs.get_total_flops()


def test_a_step_tells_faces_and_share_of_the_floor(monkeypatch) -> None:
    net, ticks = network(), iter([0.0, 2.0, 10.0, 14.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    numbers = []

    def step(number: int) -> dict[str, float]:
        numbers.append(number)
        with torch.no_grad():
            net(torch.zeros(1, 3, 16, 16))
        return {"loss": 1.0}

    with counted() as found:
        step(0)
    measured = with_cost(step, batch=8, rate=sum(found) * 1.0)  # so the floor is one second
    assert measured(1) == {"loss": 1.0, "faces_per_second": 4.0, "of_floor": 0.5}
    assert measured(2) == {"loss": 1.0, "faces_per_second": 2.0, "of_floor": 0.25}
    assert numbers == [0, 1, 2]


def test_the_rate_is_of_the_precision() -> None:
    assert arithmetic_rate(torch.device("cpu"), torch.float32, 64) > 1e6
