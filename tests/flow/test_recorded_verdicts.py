"""The shipped weights judge as when their values were recorded (recorded_verdicts.json says at which commit), by every
engine; a change of structure that moves a verdict would pass every other test.

On the machine of the recording all values are equal to the last bit; other processors round otherwise.
"""

import json
from pathlib import Path

import pytest

import despoof
from despoof.data.portrait import FACE
from despoof.data.simulation.recapture import recapture

RECORDED = json.loads((Path(__file__).parent / "recorded_verdicts.json").read_text(encoding="utf-8"))
ROUNDING = 1e-3  # of liveness, between processors and thread counts: thousands of nearnesses of both signs are summed
PARTS = 4  # so that tests that run side by side share the captures


@pytest.fixture(scope="module", params=["onnx", "torch"])
def guard(request: pytest.FixtureRequest) -> despoof.Guard:
    return despoof.load(engine=request.param)


def assert_as_recorded(verdict: despoof.Verdict, recorded: list, guard: despoof.Guard, *, within: float) -> None:
    decision, liveness, reasons = recorded
    assert [reason.name for reason in verdict.reasons] == reasons
    if liveness is None:
        assert verdict.liveness is None
    else:
        assert verdict.liveness == pytest.approx(liveness, abs=within)
        if min(abs(liveness - threshold) for threshold in guard.thresholds) <= within:
            return
    assert verdict.decision.value == decision


@pytest.mark.parametrize("name", RECORDED["demo"])
def test_the_pictures_of_the_demo(name: str, guard: despoof.Guard) -> None:
    from skimage.data import astronaut

    image = astronaut()[:340, 60:400]
    if name != "portrait":
        species, seed = name.split()
        image = recapture(image, species, int(seed), box=FACE)
    assert_as_recorded(guard.check(image), RECORDED["demo"][name], guard, within=1e-3)  # the simulator rounds too


@pytest.mark.parametrize("part", range(PARTS))
def test_five_hundred_captures(part: int, guard: despoof.Guard, shared: Path) -> None:
    captures = sorted(RECORDED["captures"].items())
    assert len(captures) == 500
    for path, recorded in captures[part::PARTS]:
        assert_as_recorded(guard.check(shared / "data/captures" / path), recorded, guard, within=ROUNDING)


def test_the_comparison_can_fail(guard: despoof.Guard) -> None:
    verdict = despoof.Verdict(despoof.Decision.LIVE, 0.9)
    assert_as_recorded(verdict, ["LIVE", 0.9, []], guard, within=ROUNDING)
    for other in (["LIVE", 0.902, []], ["ATTACK", 0.9, []], ["LIVE", 0.9, ["blurred"]], ["NO_DECISION", None, []]):
        with pytest.raises(AssertionError):
            assert_as_recorded(verdict, other, guard, within=ROUNDING)
