"""Configs survive the way through JSON; a misspelt key or a wrong type is named instead of ignored."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from despoof.errors import ConfigError
from despoof.runs.config import HOW, config_hash, from_dict, identifying, to_dict


@dataclass(frozen=True)
class Inner:
    widths: tuple[int, ...] = (1, 2)
    rate: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    steps: int = 3
    keep: bool = True
    limit: float | None = None
    mode: Literal["x", "y"] = "x"
    inner: Inner = field(default_factory=Inner)


def test_there_and_back():
    config = Outer("b", 4, False, 0.1, "y", Inner((7,), 1.0))
    assert from_dict(Outer, to_dict(config)) == config
    assert to_dict(config)["inner"]["widths"] == [7]


def test_what_says_only_how_is_not_told_to_an_identity():
    @dataclass(frozen=True)
    class Told:
        inner: Outer = field(default_factory=Outer)
        spread: bool = field(default=False, metadata=HOW)

    @dataclass(frozen=True)
    class Whole:
        told: Told = field(default_factory=Told)

    assert identifying(Whole(Told(spread=True))) == {"told": {"inner": to_dict(Outer())}}


def test_defaults_and_whole_numbers_for_floats():
    assert from_dict(Outer, {}) == Outer()
    config = from_dict(Outer, {"inner": {"rate": 2}, "limit": 1})
    assert (config.inner.rate, config.limit) == (2.0, 1.0)
    assert isinstance(config.inner.rate, float)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"step": 3}, "unknown key 'step'.*steps"),
        ({"inner": {"rates": 1}}, r"unknown key 'rates'.*rate, widths.*@ config\.inner"),
        ({"steps": "3"}, r"'3' of type str; expected int @ config\.steps"),
        ({"steps": 3.0}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": None}, "steps"),
        ({"keep": 1}, "keep"),
        ({"name": 5}, "name"),
        ({"limit": "x"}, "limit"),
        ({"mode": "z"}, "'x', 'y'"),
        ({"inner": {"widths": [1, "2"]}}, r"widths\[1\]"),
        ({"inner": {"widths": 3}}, "widths"),
        ({"inner": 3}, "inner"),
    ],
)
def test_wrong_keys_and_types_are_named(values, told):
    with pytest.raises(ConfigError, match=told):
        from_dict(Outer, values)


def test_the_hash_follows_the_values():
    assert config_hash(Outer()) == config_hash(from_dict(Outer, to_dict(Outer())))
    assert config_hash(Outer()) != config_hash(Outer(inner=Inner(rate=0.6)))
