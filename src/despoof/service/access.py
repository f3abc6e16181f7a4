"""Who may ask: an API key, or without keys only this machine, and no page of another origin.

Who may come in now: how many images are under way, for one caller and for all.
"""

import hashlib
import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from despoof.errors import ConfigError
from despoof.service.errors import RefusedError, overloaded

MIN_KEY = 16  # characters; `python -c "import secrets; print(secrets.token_urlsafe())"` gives 43
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz"})  # hold nothing secret; probes and browsers send no key
OPEN_FOLDER = "/page/"  # of scripts and styles


class Access:
    """Tells callers apart and refuses strangers."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        keys = list(keys)
        if any(len(key) < MIN_KEY or not key.isascii() or not key.isprintable() for key in keys):
            raise ConfigError(
                f"an API key is shorter than {MIN_KEY} characters or not plain ASCII. "
                'Make one with python -c "import secrets; print(secrets.token_urlsafe())".'
            )
        self._digests = [_digest(key.encode()) for key in keys]

    def caller(self, scope: Mapping[str, Any]) -> str:
        """Return a name for the caller of an ASGI request, to count by; strangers are refused."""
        headers = {name: value for name, value in scope["headers"] if name in (b"authorization", b"host", b"origin")}
        _refuse_other_origins(headers)
        if not self._digests:
            return _local_caller(scope, headers)
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            return "anyone"
        scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
        given = _digest(key.strip())
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]  # all of them: time tells nothing
        if scheme.lower() != b"bearer" or not any(matches):
            detail = "no valid API key; expected the header Authorization: Bearer KEY."
            raise RefusedError(401, "unauthorized", detail, www_authenticate="Bearer")
        return given.hex()[:16]


def read_keys(path: Path | None, environment: str | None) -> list[str]:
    """Return the keys of a file and of an environment variable's value, one a line."""
    text = environment or ""
    if path is not None:
        try:
            text += "\n" + path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"key file {path} cannot be read ({error}). Expected text with one key a line.") from None
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if path is not None and not keys:
        raise ConfigError(f"key file {path} holds no key; expected one a line. An empty file must not open the door.")
    return keys


def is_loopback(host: str) -> bool:
    """Is this name or address this machine only?"""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()  # of one length, whatever was sent


def _local_caller(scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> str:
    """Without keys: both ends must be this machine, and so must the name that was asked for, since a page whose
    name is pointed at 127.0.0.1 (DNS rebinding) would otherwise be of this origin."""
    client = scope.get("client")
    name = headers.get(b"host", b"").decode("latin-1")
    host = name.rsplit(":", 1)[0] if name.rsplit(":", 1)[-1].isdigit() else name
    if client is None or not is_loopback(client[0]) or not is_loopback(host):
        raise RefusedError(403, "not_local", "without API keys only this machine may ask. Start it with a key.")
    return "local"


def _refuse_other_origins(headers: Mapping[bytes, bytes]) -> None:
    """Browsers name the page that asks in Origin; other programs send none."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        raise RefusedError(403, "other_origin", "pages of other origins may not ask. Ask from your own server instead.")


class Admission:
    """Counts images from before their body is read until their answer is made. Lives on the event loop only."""

    def __init__(self, waiting: int, per_caller: int) -> None:
        self._waiting, self._per_caller = waiting, per_caller
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many images are under way."""
        return self._held.total()

    @contextmanager
    def hold(self, caller: str, images: int) -> Iterator[None]:
        """Hold room for `images`; refuse with 429 what is too much of one caller, with 503 what is too much of all."""
        if self._held[caller] + images > self._per_caller:
            detail = f"more than {self._per_caller} images of this caller are under way. Wait for their answers first."
            raise RefusedError(429, "too_many_requests", detail, retry_after="1")
        if self.held + images > self._waiting:
            raise overloaded()
        self._held[caller] += images
        try:
            yield
        finally:
            self._held[caller] -= images
            if not self._held[caller]:
                del self._held[caller]
