"""A manifest is read the same from every kind of table and place, and says what is wrong with it."""

import csv
import io
import json
import time
from pathlib import Path

import fsspec
import pytest

from despoof.batch.manifest import Listing, _csv, is_clip, reading
from despoof.errors import ConfigError, InputError

pa = pytest.importorskip("pyarrow")
ROWS = [{"name": f"n{i}", "file": f"in/{i}, ä.jpg", "more": i} for i in range(5)]


def written(folder: Path, suffix: str) -> str:
    """The rows as a table of that kind; a number in a further column, a comma and an umlaut in the paths."""
    from pyarrow import parquet

    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            table = csv.DictWriter(file, ROWS[0], delimiter="\t" if suffix == ".tsv" else ";" if "s" in suffix else ",")
            table.writeheader()
            table.writerows(ROWS)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_tables_say_the_same(suffix, tmp_path):
    (block,) = Listing(written(tmp_path, suffix), "file", "name").blocks()
    assert block == [(row["name"], f"{tmp_path}/{row['file']}") for row in ROWS]
    (block,) = Listing(written(tmp_path, suffix), "file").blocks()
    assert [name for name, _ in block] == [row["file"] for row in ROWS]


def test_numbers_are_ids_and_uris_stay_as_they_are(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"path": "s3://b/k.jpg", "id": 7}\n{"path": "/else/x.png", "id": 8}\n')
    (block,) = Listing(str(path), id="id").blocks()
    assert block == [("7", "s3://b/k.jpg"), ("8", "/else/x.png")]


def test_long_tables_come_in_blocks(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("path\n" + "".join(f"{i}.jpg\n" for i in range(10_000)))
    blocks = list(Listing(str(path)).blocks())
    assert [len(block) for block in blocks] == [4096, 4096, 1808]
    assert [name for block in blocks for name, _ in block] == [f"{i}.jpg" for i in range(10_000)]


def test_folders_patterns_and_single_files(tmp_path):
    for name in ("b/2.PNG", "b/a/1.jpg", "0.mp4", "b/.hidden.jpg", "b/notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (block,) = Listing(str(tmp_path / "in")).blocks()
    assert block == [(name, f"{tmp_path}/in/{name}") for name in ("0.mp4", "b/2.PNG", "b/a/1.jpg")]
    (block,) = Listing(str(tmp_path / "in/*/*.PNG")).blocks()
    assert block == [(f"{tmp_path}/in/b/2.PNG",) * 2]
    (block,) = Listing(str(tmp_path / "in/0.mp4")).blocks()
    assert block == [(f"{tmp_path}/in/0.mp4",) * 2]


def test_other_places():
    memory = fsspec.filesystem("memory")
    memory.pipe({"/listing/a/1.jpg": b"1", "/listing/2.png": b"2", "/listing/rows.csv": b"path\n2.png\na/1.jpg\n"})
    (block,) = Listing("memory://listing").blocks()
    assert block == [("2.png", "memory:///listing/2.png"), ("a/1.jpg", "memory:///listing/a/1.jpg")]
    (block,) = Listing("memory://listing/rows.csv").blocks()
    assert block == [("2.png", "memory:///listing/2.png"), ("a/1.jpg", "memory:///listing/a/1.jpg")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "file\nx.jpg\n", "no column 'path' among file"),
        ("a.csv", "path,id\nx.jpg,\n", "row 1: no path or no id"),
        ("a.csv", "path\n", "lists nothing"),
        ("a.csv", "path,id\nx.jpg,1\ny.jpg\n", "cannot be read"),
        ("a.jsonl", '{"path": "x.jpg", "id": "1"}\nno json\n', "line 2 is no JSON"),
        ("a.jsonl", '{"path": "x.jpg"}\n', "no column 'id'"),
        ("a.parquet", "no parquet", "cannot be read"),
        ("none/*.jpg", None, "lists nothing"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(name, text, said, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    wants_id = text is not None and ("id" in text or "jsonl" in name)
    with pytest.raises(InputError, match=said):
        list(Listing(str(tmp_path / name), id="id" if wants_id else None).blocks())


def test_a_place_that_is_not_known_is_refused():
    with pytest.raises((ConfigError, InputError), match="nowhere://b/x"):
        list(Listing("nowhere://b/x.csv").blocks())


def test_clips_are_told_by_their_suffix_wherever_they_lie():
    assert is_clip("/a/b.MP4")
    assert is_clip("https://x.org/a.mov?size=3.jpg")
    assert not is_clip("s3://b/mov")
    assert not is_clip("s3://b/a.mov.jpg")


def test_a_long_table_is_not_read_ahead_into_memory():
    """pyarrow parses blocks ahead of what is asked for; with its own size of them this was 32 MB, and of the file."""
    file = io.BytesIO(b"path\n" + b"x" * 99 + b"\n" + b"y.jpg\n" * 4_000_000)
    rows = _csv(file, ("path", "path"), lambda columns: None)
    assert next(rows)[0] == "x" * 99
    time.sleep(0.5)  # for whoever reads ahead
    assert file.tell() < 6 * 2**20
    assert sum(1 for _ in rows) == 4_000_000
    long = io.BytesIO(b"path\n" + b"x" * 500_000 + b"\n")
    with pytest.raises(InputError, match=r"a\.csv cannot be read .*straddling"), reading("a.csv"):
        list(_csv(long, ("path", "path"), lambda columns: None))
