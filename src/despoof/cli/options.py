"""Commands that take a config: a preset, under `--config FILE.toml`, under one dotted flag for each field."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_type_hints

from cyclopts import Parameter, Token

from despoof.errors import ConfigError
from despoof.runs.config import from_dict, read_toml, to_dict

T = TypeVar("T")


def _placed(kind: Any, tokens: Sequence[Token]) -> Path | str:
    """Return a path, and a URI as its text, which would lose a slash as a path."""
    text = tokens[0].value
    return text if "://" in text else Path(text)


Place = Annotated[Path | str, Parameter(converter=_placed)]  # a folder on disk, or the URI of one elsewhere
CONFIG = "TOML file of options; what it leaves out is the preset's, and flags go before it."


Fit = Callable[[Any, dict], Any]  # a preset's config and what is changed of it -> the config to change


def configured(
    presets: Mapping[str, Any], default: str, fit: Fit | None = None
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator of a command that takes a whole config (one of the presets' class) as keyword `recipe`.

    In its place the command line has ``--preset``, ``--config FILE.toml`` and a flag for each field, nested ones
    dotted (``--training.steps 600``). Called from Python, the flags are a nested dict, `flags`. `fit` is of `chosen`.
    """

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(command)
        def with_options(
            *given: Any, preset: str = default, config: Path | None = None, flags: dict | None = None, **more: Any
        ) -> T:
            return command(*given, recipe=chosen(presets, preset, config, flags, fit), **more)

        signature = inspect.signature(command)
        kept = [each for name, each in signature.parameters.items() if name != "recipe"]
        hints = {name: hint for name, hint in get_type_hints(command, include_extras=True).items() if name != "recipe"}
        added = {
            "preset": (Annotated[Literal[tuple(presets)], Parameter(help="what all options start from.")], default),
            "config": (Annotated[Path | None, Parameter(help=CONFIG)], None),
            "flags": (Annotated[_given(presets[default], f"{default}: "), Parameter(name="*")], {}),
        }
        for name, (hint, value) in added.items():
            kept.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=hint))
            hints[name] = hint
        with_options.__signature__ = signature.replace(parameters=kept)
        with_options.__annotations__ = hints
        return with_options

    return decorate


def launchable(command: Callable[..., T]) -> Callable[..., T | None]:
    """Give a command that trains the options of who starts its processes; without a launcher it is called here.

    `torchrun` needs none of them: it starts the whole command in each of its processes. A command that has a `pool`
    takes them for that as well.
    """

    @functools.wraps(command)
    def launched(
        *given: Any, launcher: str | None = None, processes: int = 1, address: str | None = None, gpus: bool = False,
        **more: Any,
    ) -> T | None:  # fmt: skip
        if launcher is None:
            if more.get("pool") is not None:
                more |= {"processes": processes, "address": address, "gpus": gpus}
            elif (processes, address, gpus) != (1, None, False):
                raise ConfigError(
                    f"processes {processes}, address {address} or gpus {gpus} without a launcher; expected --launcher "
                    "ray with them. Or start the command by torchrun."
                )
            try:
                return command(*given, **more)
            except RuntimeError as error:
                from despoof.runs.processes import lost_process

                if told := lost_process(error):
                    raise told from error
                raise
        if more.get("pool") is not None:
            raise ConfigError(f"launcher {launcher} with pool {more['pool']}; expected one of them. Drop the other.")
        from despoof.runs.processes import launch_by_ray

        there = [each.absolute() if isinstance(each, Path) else each for each in given]
        more = {name: each.absolute() if isinstance(each, Path) else each for name, each in more.items()}
        work = functools.partial(launched, *there, **more)  # another process has another working folder
        launch_by_ray(work, processes, address=address, gpus=gpus)
        return None

    _add_options(launched, command)
    return launched


def _add_options(launched: Callable, command: Callable) -> None:
    """Give what launches a command the command's options and those of the launch."""
    signature = inspect.signature(command)
    added = {
        "launcher": (Literal["ray"], None, "who starts more processes than this one: ray (Ray Train)."),
        "processes": (int, 1, "how many the launcher starts, a batch is dealt to them; or the pool."),
        "address": (str, None, "of a Ray cluster; without one, Ray is started on this machine."),
        "gpus": (bool, False, "each process has one."),
    }
    kept = [each for name, each in signature.parameters.items() if name not in added]
    hints = dict(command.__annotations__)
    for name, (kind, value, told) in added.items():
        hint = Annotated[kind | None if value is None else kind, Parameter(help=told)]
        kept.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=hint))
        hints[name] = hint
    launched.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    launched.__annotations__ = hints


def chosen(
    presets: Mapping[str, T], preset: str, config: Path | None = None, flags: dict | None = None, fit: Fit | None = None
) -> T:
    """Return the preset's config with a TOML file's values over it and the flags' over these; strict in both.

    `fit` first fits the preset to what is changed, where some of its values hang on others.
    """
    if preset not in presets:
        raise ConfigError(f"preset {preset!r}; expected one of {', '.join(presets)}. Name one.")
    changes = _over({} if config is None else read_toml(dict, config), flags or {})
    start = fit(presets[preset], changes) if fit else presets[preset]
    return from_dict(type(start), _over(to_dict(start), changes), str(config or "options"))


def _over(values: Any, changes: Any) -> Any:
    """Return nested values with changes in place of them, key by key."""
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    return values | {name: _over(values.get(name), value) for name, value in changes.items()}


def _given(example: Any, told: str) -> Any:
    """Return the type of what a command line may say of a config: a dict of the fields that were given."""
    hints, taken = get_type_hints(type(example)), {}
    for field in fields(example):
        hint, value = hints[field.name], getattr(example, field.name)
        options = [each for each in (hint, *getattr(hint, "__args__", ())) if is_dataclass(each)]
        if options:
            taken[field.name] = _given(value if is_dataclass(value) else options[0](), told)
        else:
            taken[field.name] = Annotated[hint, Parameter(help=f"{told}{value}")]
    return TypedDict(type(example).__name__, taken, total=False)
