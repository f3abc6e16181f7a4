"""Configs are frozen dataclasses beside what they configure; here is how they become and come from JSON or TOML."""

import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from despoof.errors import ConfigError

T = TypeVar("T")
HOW = {"how": True}  # metadata of a field that says how a result is come by and nothing of the result


def to_dict(config: Any) -> dict:
    """Return a config as nested plain values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def identifying(config: Any) -> dict:
    """Return what `to_dict` does, without the fields of metadata `HOW`: what an identity is told."""
    found = to_dict(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata == HOW:
            del found[field.name]
        elif dataclasses.is_dataclass(value):
            found[field.name] = identifying(value)
    return found


def config_hash(config: Any) -> str:
    """Return twelve hex digits that name a config, or any JSON value."""
    values = to_dict(config) if dataclasses.is_dataclass(config) else config
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=6).hexdigest()


def from_dict(kind: type[T], values: Any, where: str = "config") -> T:
    """Build a config from plain values; unknown keys and wrong types raise ConfigError naming the known ones.

    Nothing is converted but a whole number where a float is wanted: "3", 3.0 and true are no int.
    """
    from cattrs import transform_error
    from cattrs.errors import BaseValidationError

    try:
        return _strict().structure(values, kind)
    except BaseValidationError as error:
        raise ConfigError("; ".join(transform_error(error, where, _told))) from None
    except (TypeError, ValueError) as error:  # a config's own check, or no table where one is wanted
        raise ConfigError(f"{where}: {error}") from None


def read_toml(kind: type[T], path: str | Path) -> T:
    """Read a config from a TOML file; a missing or broken file is a ConfigError."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"config {path} cannot be read ({error}). Give a TOML file of {kind.__name__}.") from None
    return from_dict(kind, values, str(path))


def _strict() -> Any:
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    for kind in (int, str, bool, float):
        converter.register_structure_hook(kind, _plain)
    converter.register_structure_hook_func(lambda hint: getattr(hint, "__origin__", None) is tuple, _tuple(converter))
    converter.register_structure_hook(dict, _plain)
    return converter


def _plain(value: Any, kind: type) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} of type {type(value).__name__}; expected {kind.__name__}")
    return value


def _tuple(converter: Any) -> Any:
    def structure(value: Any, hint: Any) -> tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} of type {type(value).__name__}; expected a list")
        return tuple(converter.structure(list(value), list[hint.__args__[0]]))

    return structure


def _told(error: BaseException, kind: type | None) -> str:
    """Return one fault as text; cattrs adds the place."""
    from cattrs import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        known = ", ".join(sorted(each.name for each in dataclasses.fields(error.cl)))
        return f"unknown key {min(error.extra_fields)!r}; {error.cl.__name__} knows {known}. Correct or remove it"
    if isinstance(error, KeyError):
        return f"key {error} is missing"
    return str(error)
