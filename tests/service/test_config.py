"""Limits that nothing could pass are refused at the start, not at the first request."""

import pytest

from despoof.errors import ConfigError
from despoof.service.config import ServiceConfig


@pytest.mark.parametrize("wrong", [{"max_bytes": 0}, {"body_seconds": -1.0}, {"answer_seconds": float("nan")}])
def test_limits_that_nothing_passes_are_config_errors(wrong: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ServiceConfig(**wrong)


def test_a_batch_that_could_never_be_admitted_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="max_images 20"):
        ServiceConfig(max_images=20)
