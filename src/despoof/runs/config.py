"""Configs are frozen dataclasses beside what they configure; here is how they become and come from JSON.

A field marked `later` came after the first artefacts were written. At its default it is left out of what names and
describes a config, so their files and names stay what they were; hence such a default never changes.
"""

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import field
from typing import Any, TypeVar

from despoof.errors import ConfigError

T = TypeVar("T")


def later(default: Any) -> Any:
    """Return a field that was added after the first artefacts."""
    return field(default=default, metadata={"later": True})


def to_dict(config: Any) -> dict:
    """Return a config as nested plain values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def config_hash(config: Any) -> str:
    """Return twelve hex digits that name a config."""
    text = json.dumps(to_dict(config), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def describe(config: Any) -> dict:
    """Return a config as plain values without the `later` fields that are at their default."""
    values = to_dict(config)
    for each in dataclasses.fields(config):
        held = getattr(config, each.name)
        if each.metadata.get("later") and held == each.default:
            del values[each.name]
        elif dataclasses.is_dataclass(held):
            values[each.name] = describe(held)
    return values


def description_hash(config: Any) -> str:
    """Return twelve hex digits that name a config."""
    text = json.dumps(describe(config), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def from_dict(kind: type[T], values: dict, where: str = "config") -> T:
    """Build a config from plain values; unknown keys and wrong types raise ConfigError naming the known ones."""
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {unknown[0]!r}; {kind.__name__} knows {', '.join(sorted(fields))}. "
            "Correct the spelling or remove it."
        )
    hints = typing.get_type_hints(kind)
    return kind(**{key: _coerce(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def _coerce(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(typing.cast(type, hint), value, where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in typing.get_args(hint):
            return None
        return _coerce(next(a for a in typing.get_args(hint) if a is not type(None)), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(_coerce(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(f"{where} is {value!r}; expected one of {', '.join(map(repr, typing.get_args(hint)))}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where} is {value!r} of type {type(value).__name__}; expected {hint}.")
