"""Room is held and given back exactly, for one caller and for all; a leak would close the service after a while."""

import contextlib

import pytest

from despoof.errors import ConfigError
from despoof.service.access import Admission
from despoof.service.config import ServiceConfig
from despoof.service.errors import RefusedError


def test_one_caller_is_stopped_before_it_fills_the_room_of_all() -> None:
    admission = Admission(waiting=6, per_caller=4)
    with admission.hold("a", 4):
        with pytest.raises(RefusedError) as refused, admission.hold("a", 1):
            pass
        assert refused.value.status == 429
        with admission.hold("b", 2):
            assert admission.held == 6
            with pytest.raises(RefusedError) as refused, admission.hold("c", 1):
                pass
            assert refused.value.status == 503
            assert refused.value.retry_after is not None
    assert admission.held == 0


def test_room_is_given_back_after_an_error_and_callers_are_forgotten() -> None:
    admission = Admission(waiting=4, per_caller=4)
    for i in range(100):
        with contextlib.suppress(ValueError), admission.hold(f"caller {i}", 4):
            raise ValueError
    assert admission.held == 0
    assert len(admission._held) == 0  # or a server would remember every key ever tried


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"body_seconds": -1.0}, {"answer_seconds": float("nan")}])
def test_limits_that_nothing_passes_are_config_errors(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ServiceConfig(**wrong)


def test_a_batch_that_could_never_be_admitted_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="max_images 20"):
        ServiceConfig(max_images=20)
