"""Presets, a TOML file and dotted flags end in one config; a flag that lost against a file, or a misspelt key passed
over, would train another model than was asked for."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cyclopts import App

from despoof.cli.options import chosen, configured
from despoof.errors import ConfigError


@dataclass(frozen=True)
class Net:
    widths: tuple[int, ...] = (1, 2)
    heads: int | None = None


@dataclass(frozen=True)
class Recipe:
    net: Net = field(default_factory=Net)
    other: Net | None = None
    steps: int = 5
    mirrored: bool = True


PRESETS = {"small": Recipe(), "large": Recipe(net=Net((7, 8, 9), 4), steps=50)}


@configured(PRESETS, "small")
def train(store: Path, *, recipe: Recipe, threads: int = 2) -> tuple[Path, Recipe, int]:
    """Train.

    Args:
        store: a folder.
        threads: of the processor.
    """
    return store, recipe, threads


def typed(*tokens: object) -> tuple[Path, Recipe, int]:
    app = App()
    app.command(train)
    return app(["train", "s", *map(str, tokens)], result_action="return_value", exit_on_error=False)


def test_flags_go_before_the_file_and_the_file_before_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("steps = 9\n[net]\nheads = 2\n")
    assert typed() == (Path("s"), Recipe(), 2)
    assert typed("--preset", "large")[1] == PRESETS["large"]
    assert typed("--preset", "large", "--config", file)[1] == Recipe(net=Net((7, 8, 9), 2), steps=9)
    flags = ["--steps", 3, "--net.widths", 4, "--net.widths", 5, "--no-mirrored", "--threads", 1]
    _, recipe, threads = typed("--preset", "large", "--config", file, *flags)
    assert (recipe, threads) == (Recipe(net=Net((4, 5), 2), steps=3, mirrored=False), 1)
    assert typed("--other.heads", 3)[1].other == Net(heads=3)


def test_from_python_flags_are_a_nested_dict() -> None:
    assert train(Path("s"), preset="large", flags={"net": {"heads": 1}})[1].net == Net((7, 8, 9), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [("step = 3", "unknown key 'step'; Recipe knows"), ("[net]\nheads = 'x'", "heads"), ("steps", "cannot be read")],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        chosen(PRESETS, "small", tmp_path / "c.toml")


def test_an_unknown_preset_names_the_known() -> None:
    with pytest.raises(ConfigError, match="'huge'; expected one of small, large"):
        train(Path("s"), preset="huge")


def test_help_shows_every_field_with_its_value(capsys: pytest.CaptureFixture) -> None:
    typed("--help")
    text = capsys.readouterr().out
    for flag in ("--preset", "--config", "--net.widths", "--other.heads", "--steps", "--mirrored", "--threads"):
        assert flag in text
    assert "small: 5" in text
