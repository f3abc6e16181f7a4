"""Shards of an object store are those of a disk, and are read whole or not at all: there are no locks, and a row of
another store, or an old one, would be learned from unseen."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from despoof.cli.app import build_app
from despoof.data.sample import Label, Sample
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.counterparts import counterpart_folder
from despoof.faces.shards import write_shards
from despoof.faces.store import Store, StoredSample
from toys import around

MEMORY = fsspec.filesystem("memory")


def stored(root: Path, seed: int = 0, count: int = 75) -> Store:
    store = Store(root, about={"version": 3})
    for number in range(count):
        face = np.random.default_rng([seed, number]).integers(0, 255, (1, 1, 3), np.uint8).repeat(256, 0).repeat(256, 1)
        label = Label.LIVE if number % 2 else Label.ATTACK
        store.add(StoredSample(Sample(f"{number}.png", label, domain="a", source="/x"), "face"), face, around(face))
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return stored(tmp_path / "store")


@pytest.fixture
def uri() -> Iterator[str]:
    yield "memory://bucket/shards"
    MEMORY.rm("/bucket", recursive=True)


def objects() -> dict[str, bytes]:
    return {path.rpartition("/")[2]: MEMORY.cat_file(path) for path in MEMORY.find("/bucket")}


def test_the_files_are_those_of_a_disk_and_so_is_what_is_read(store: Store, uri: str, tmp_path: Path) -> None:
    local = write_shards(store, tmp_path / "shards", rows=32)
    assert str(write_shards(store, f"{uri}/", rows=32)) == uri
    assert objects() == {path.name: path.read_bytes() for path in local.iterdir() if path.suffix != ".lock"}
    opened = Store(uri)
    assert (opened.rows, opened.about) == (store.rows, store.about)
    mixed = [store.rows[i] for i in np.random.default_rng(0).permutation(75)]
    assert np.array_equal(opened.faces(mixed, 128), store.faces(mixed, 128))
    assert np.array_equal(opened.surroundings(mixed), store.surroundings(mixed))
    assert Store(f"file://{tmp_path / 'shards'}").root == tmp_path / "shards"  # locks and renames as for any path


def test_a_killed_writer_goes_on_and_until_then_nobody_reads(
    store: Store, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, put = [], type(MEMORY).put_file

    def dies(fs: object, local: str, path: str, **more: object) -> None:
        sent.append(path.rpartition("/")[2])
        if len(sent) == 3:
            raise KeyboardInterrupt
        put(fs, local, path, **more)

    monkeypatch.setattr(type(MEMORY), "put_file", dies)
    with pytest.raises(KeyboardInterrupt):
        write_shards(store, uri, rows=32)
    assert sent == ["store.json", "shard-00000.parquet", "shard-00001.parquet"]
    with pytest.raises(ArtefactError, match=r"memory://bucket/shards has no file shards.json"):
        Store(uri)
    write_shards(store, uri, rows=32)
    assert sent[3:] == ["store.json", "shard-00001.parquet", "shard-00002.parquet", "shards.json"]
    whole = objects()
    grown = stored(tmp_path / "store", count=0)
    grown.add(StoredSample(Sample("new.png", Label.LIVE, source="/x"), "no_face"), None)
    del sent[1:]
    with pytest.raises(KeyboardInterrupt):
        write_shards(grown, uri, rows=32)
    assert sent[1:] == ["store.json", "shard-00002.parquet"]
    assert "shards.json" not in objects()  # the old one names rows that are about to change
    write_shards(grown, uri, rows=32)
    assert Store(uri).rows == grown.rows
    assert {name for name, data in objects().items() if data != whole[name]} == {"shard-00002.parquet", "shards.json"}


def test_two_stores_in_one_folder_are_never_read_as_one(store: Store, uri: str, tmp_path: Path) -> None:
    write_shards(store, uri, rows=32)
    other = write_shards(stored(tmp_path / "other", seed=1), tmp_path / "shards", rows=32)
    with pytest.raises(ArtefactError, match="holds other shards"):
        write_shards(Store(other), uri, rows=32)
    MEMORY.put_file(str(other / "shard-00001.parquet"), "/bucket/shards/shard-00001.parquet")  # who looked before
    with pytest.raises(ArtefactError, match=r"the shards of memory://bucket/shards hold other rows than shards.json"):
        Store(uri)


def test_what_is_not_there_is_named(store: Store, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(store, uri, rows=32)
    with pytest.raises(ArtefactError, match=r"memory://bucket/other/store.json does not exist"):
        Store("memory://bucket/other")
    opened = Store(uri)
    MEMORY.rm_file("/bucket/shards/shard-00001.parquet")
    with pytest.raises(ArtefactError, match=r"memory://bucket/shards/shard-00001.parquet"):
        opened.faces(opened.rows, 128)
    with pytest.raises(ArtefactError, match=r"shard memory://bucket/shards/shard-00001.parquet cannot be read"):
        Store(uri)
    with pytest.raises(InputError, match="store memory://bucket/shards takes no counterparts. Name a folder"):
        counterpart_folder(opened, "name", 1)
    assert counterpart_folder(opened, "name", 1, out=store.root) == store.root / "name-t1"

    def denied(*given: object, **more: object) -> None:
        raise RuntimeError("403: forbidden")  # what clients raise is of no common kind

    for call in ("cat_file", "exists", "glob", "put_file"):
        with monkeypatch.context() as patch:
            patch.setattr(type(MEMORY), call, denied)
            with pytest.raises(ArtefactError, match=r"memory://bucket/shards.* cannot be reached.*403: forbidden"):
                write_shards(store, uri, rows=32)


def test_what_cannot_be_opened_here_says_which_package_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(uri: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacking)
    with pytest.raises(ConfigError, match=r"s3://b/f cannot be read here: Install s3fs.*Extras of despoof: s3, gs"):
        Store("s3://b/f")


def test_commands_take_uris_as_they_are(
    store: Store, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = partial(build_app(), exit_on_error=False, result_action="return_value")
    app(["data", "shards", str(store.root), uri, "--rows", "32"])
    assert capsys.readouterr().out.strip() == uri
    assert Store(uri).rows == store.rows
    with pytest.raises(SystemExit) as ended:
        app(["data", "leaks", uri, "--no-images"])
    assert ended.value.code == 0
    learned = []
    for source, run in ((uri, tmp_path / "a"), (str(store.root), tmp_path / "b")):
        app(["train", "autoencoder", source, str(run), "--preset", "tiny", "--training.steps", "1", "--threads", "1"])
        learned.append((run / "autoencoder.safetensors").read_bytes())
    assert learned[0] == learned[1]
    with pytest.raises(InputError, match=f"store {re.escape(uri)}; expected a folder on a disk"):
        app(["prepare", str(store.root), uri])


class Ranges(SimpleHTTPRequestHandler):
    """Files by HTTP, in parts if asked."""

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "bytes=0-").groups()
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *given: object) -> None:
        pass


def test_shards_are_read_over_the_web(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    write_shards(store, tmp_path / "shards", rows=32)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        opened = Store(f"http://127.0.0.1:{server.server_port}/shards")
        assert opened.rows == store.rows
        assert np.array_equal(opened.faces(opened.rows, 256), store.faces(store.rows, 256))
    finally:
        server.shutdown()
