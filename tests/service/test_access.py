"""Keys, this machine only, no other origin: who is refused, with which status; a door left open shows nowhere else.

Room is held and given back exactly, for one caller and for all; a leak would close the service after a while."""

import contextlib
from pathlib import Path

import pytest

from despoof.errors import ConfigError
from despoof.service.access import Access, Admission, is_loopback, read_keys
from despoof.service.errors import RefusedError

KEY, OTHER = "k" * 15 + "1", "k" * 15 + "2"


def asked(path: str = "/v1/check", client: tuple | None = ("127.0.0.1", 1), **headers: str) -> dict:
    named = {"host": "127.0.0.1:8000"} | headers
    return {"path": path, "client": client, "headers": [(k.encode(), v.encode("latin-1")) for k, v in named.items()]}


def status_of(access: Access, scope: dict) -> int:
    try:
        access.caller(scope)
    except RefusedError as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"Bearer {KEY}", 200), (f"bearer {OTHER}", 200), (f"Bearer  {KEY} ", 200),
        ("", 401), (KEY, 401), (f"Basic {KEY}", 401), (f"Bearer {KEY[:-1]}", 401), (f"Bearer {KEY}1", 401),
        (f"Bearer {KEY.upper()}", 401), ("Bearer", 401), ("Bearer \xff\xff", 401), (f"Bearer {KEY},{OTHER}", 401),
    ],
)  # fmt: skip
def test_only_a_whole_key_opens(sent: str, status: int) -> None:
    assert status_of(Access([KEY, OTHER]), asked(authorization=sent, client=("203.0.113.9", 1))) == status


def test_callers_with_different_keys_are_told_apart_without_their_keys() -> None:
    access = Access([KEY, OTHER])
    names = [access.caller(asked(authorization=f"Bearer {key}")) for key in (KEY, OTHER, KEY)]
    assert names[0] == names[2] != names[1]
    assert KEY not in "".join(names)


@pytest.mark.parametrize("path", ["/v1/check", "/v1/batch", "/v1/model", "/metrics", "/openapi.json", "/none", "//"])
def test_everything_but_probes_and_page_needs_the_key(path: str) -> None:
    assert status_of(Access([KEY]), asked(path)) == 401


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_probes_and_page_need_none(path: str) -> None:
    assert status_of(Access([KEY]), asked(path, client=("203.0.113.9", 1))) == 200


@pytest.mark.parametrize(
    ("client", "host", "status"),
    [
        (("127.0.0.1", 1), "127.0.0.1:8000", 200), (("127.0.0.1", 1), "localhost", 200),
        (("::1", 1), "[::1]:8000", 200),
        (("127.0.0.1", 1), "evil.example:8000", 403), (("127.0.0.1", 1), "127.0.0.1.evil.example", 403),
        (("127.0.0.1", 1), "", 403), (("192.0.2.1", 1), "127.0.0.1:8000", 403), (None, "localhost", 403),
        (("testclient", 1), "localhost", 403),
    ],
)  # fmt: skip
def test_without_keys_only_this_machine_by_its_own_name(client: tuple | None, host: str, status: int) -> None:
    for path in ("/v1/check", "/", "/healthz"):
        assert status_of(Access(), asked(path, client=client, host=host)) == status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9000", "http://localhost", ""])
def test_pages_of_other_origins_are_refused_even_with_a_key(origin: str) -> None:
    assert status_of(Access([KEY]), asked(authorization=f"Bearer {KEY}", origin=origin)) == 403
    assert status_of(Access(), asked(origin=origin)) == 403


def test_the_own_page_may_ask() -> None:
    assert status_of(Access(), asked(origin="http://127.0.0.1:8000")) == 200
    named = {"host": "a.example", "origin": "https://a.example", "authorization": f"Bearer {KEY}"}
    assert status_of(Access([KEY]), asked(**named)) == 200


@pytest.mark.parametrize("weak", ["", "short", "pässword-pässword", "line\nbreak-line-break"])
def test_weak_keys_are_config_errors(weak: str) -> None:
    with pytest.raises(ConfigError, match="16 characters"):
        Access([KEY, weak])


def test_keys_come_from_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n\n  {OTHER}  \n")
    assert read_keys(tmp_path / "keys", None) == [KEY, OTHER]
    assert read_keys(None, f"{KEY}\n{OTHER}") == [KEY, OTHER]
    assert read_keys(None, None) == []


def test_an_empty_or_missing_key_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n \n")
    with pytest.raises(ConfigError, match="no key"):
        read_keys(tmp_path / "keys", None)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "none", None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.1", "localhost.evil.example", "127.0.0.1.evil", "*"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


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
            assert refused.value.headers["retry-after"]
    assert admission.held == 0


def test_room_is_given_back_after_an_error_and_callers_are_forgotten() -> None:
    admission = Admission(waiting=4, per_caller=4)
    for i in range(100):
        with contextlib.suppress(ValueError), admission.hold(f"caller {i}", 4):
            raise ValueError
    assert admission.held == 0
    assert len(admission._held) == 0  # or a server would remember every key ever tried
