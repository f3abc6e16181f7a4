"""Errors that a user can act on: each message names the value, what was expected and the next step."""


class DespoofError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(DespoofError, ValueError):
    """What was handed in is not usable: an unreadable image, a wrong dtype, range, shape or NaN."""


class ArtefactError(DespoofError):
    """A file this package reads is missing, truncated, of another kind or of another version."""


class ConfigError(DespoofError, ValueError):
    """A configuration has an unknown key or a value of the wrong type."""
