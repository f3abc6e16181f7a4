"""What a worker says of a file is what `despoof check` says of it, wherever it lies; what cannot be had is an error."""

import http.server
import json
import os
import threading
from functools import partial
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
from PIL import Image

import despoof.batch.judging as module
from despoof.batch.judging import How, identity_of, judge, pictures
from despoof.batch.shards import Row
from despoof.clip.frame import read_clip
from despoof.clip.judge import judge_clip
from despoof.clip.rule import ClipRule
from despoof.errors import ArtefactError

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def wanted() -> str:
    return json.dumps(identity_of(How().guard(), "cpu").as_dict())


@pytest.fixture(scope="module")
def files(tmp_path_factory, portrait, people) -> Path:
    """A portrait, an empty room, no picture, and a clip of twelve frames; the clip under a name without suffix too."""
    folder = tmp_path_factory.mktemp("files")
    Image.fromarray(portrait).save(folder / "portrait.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(folder / "room.png")
    (folder / "text.jpg").write_text("no picture")
    clip = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 4, (512, 512))
    for _ in range(12):
        clip.write(np.ascontiguousarray(portrait[..., ::-1]))
    clip.release()
    (folder / "clip").write_bytes((folder / "clip.mp4").read_bytes())
    return folder


def said(wanted: str, *uris: str) -> list[dict]:
    return judge(How(), wanted, tuple(Row(uri, uri) for uri in uris)).to_pylist()


def test_photos_are_judged_as_by_check(files, wanted):
    rows = said(wanted, *(str(files / name) for name in ("portrait.png", "room.png", "text.jpg")))
    for row in rows:
        verdict = How().guard().check(row["uri"])
        assert row["decision"] == verdict.decision.value
        assert row["liveness"] == verdict.liveness  # to the bit
        assert row["reasons"] == [reason.name for reason in verdict.reasons]
        assert (row["error"], row["attempts"]) == (None, 1)
    assert rows[0]["quality"] == How().guard().check(rows[0]["uri"]).quality
    assert [row["quality"] is None for row in rows] == [False, True, True]
    assert {name for name, _ in rows[0]["milliseconds"]} > {"read", "detect"}


def test_clips_are_judged_as_clips_by_suffix_and_by_content(files, wanted):
    rows = said(wanted, str(files / "clip.mp4"), str(files / "clip"))
    verdict = judge_clip(How().guard(), read_clip(files / "clip.mp4", ClipRule()))
    for row in rows:
        assert (row["decision"], row["liveness"]) == (verdict.decision.value, verdict.faces[0].liveness)
        assert {name for name, _ in row["milliseconds"]} == {"read", "clip"}


def test_what_cannot_be_had_is_an_error_and_never_live(files, wanted, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    rows = said(wanted, str(tmp_path / "gone.jpg"), str(files), str(tmp_path / "pipe.jpg"), "memory://none/x.mp4")
    assert [row["error"].partition(":")[0] for row in rows] == [
        "FileNotFoundError", "OSError", "OSError", "FileNotFoundError",
    ]  # fmt: skip
    assert {row["decision"] for row in rows} == {"NO_DECISION"}
    assert {tuple(row["reasons"]) for row in rows} == {("error",)}


def test_a_decoder_that_fails_is_one_rows_error(files, wanted, monkeypatch):
    guard = How().guard()
    monkeypatch.setattr(guard, "check", lambda source: 1 / 0)
    (row,) = said(wanted, str(files / "portrait.png"))
    assert row["error"] == "ZeroDivisionError: division by zero"
    monkeypatch.setattr(guard, "check", lambda source: (_ for _ in ()).throw(ArtefactError("weights are gone")))
    with pytest.raises(ArtefactError, match="weights are gone"):
        said(wanted, str(files / "portrait.png"))


def test_files_from_elsewhere_are_judged_alike(files, wanted):
    fs = fsspec.filesystem("memory")
    for name in ("portrait.png", "clip.mp4"):
        fs.pipe(f"/judging/{name}", (files / name).read_bytes())
    here = said(wanted, *(str(files / name) for name in ("portrait.png", "clip.mp4")))
    there = said(wanted, *(f"memory://judging/{name}" for name in ("portrait.png", "clip.mp4")))
    for one, other in zip(here, there, strict=True):
        assert {**one, "id": 0, "uri": 0, "milliseconds": 0} == {**other, "id": 0, "uri": 0, "milliseconds": 0}


def test_files_of_the_web(files, wanted):
    pytest.importorskip("aiohttp", reason="the extra `https` is not installed")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        rows = said(wanted, f"{address}/portrait.png?size=large", f"{address}/gone.png")
        server.shutdown()
    assert rows[0]["liveness"] == said(wanted, str(files / "portrait.png"))[0]["liveness"]
    assert rows[1]["error"].startswith("FileNotFoundError")


def test_a_clip_from_elsewhere_that_is_too_large_leaves_nothing(files, wanted, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "LARGEST_CLIP", 1000)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    fsspec.filesystem("memory").pipe("/judging/large.mp4", bytes(3 * 2**20))
    (row,) = said(wanted, "memory://judging/large.mp4")
    assert "more than 1000 bytes" in row["error"]
    assert not list(tmp_path.iterdir())


def test_pictures_of_photos_and_clips(files, wanted):
    made = {name: pictures(How(), wanted, Row("a", str(files / name))) for name in ("portrait.png", "clip.mp4")}
    assert [suffix for suffix, _ in made["portrait.png"]] == [""]
    assert [suffix for suffix, _ in made["clip.mp4"]] == ["-timeline", "-face-0"]
    assert all(data.startswith(b"\x89PNG") for each in made.values() for _, data in each)
    assert pictures(How(), wanted, Row("a", str(files / "room.png"))) == []
    assert pictures(How(), wanted, Row("a", str(files / "gone.png"))) == []
