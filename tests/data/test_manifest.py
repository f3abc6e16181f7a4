"""Folders and CSV files become samples, or an InputError; a wrong label or split here spoils every figure after it."""

import pytest

from despoof.data.manifest import from_csv, from_folder, from_parquet, left_out, read_source, refuse_shared_subjects
from despoof.data.sample import Label, Sample, Split, parse_label
from despoof.errors import ConfigError, InputError


def csv(folder, text: str):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_folder(tmp_path):
    names = ["live/a/1.jpg", "live/2.PNG", "attack/print/3.jpg", "attack/4.webp", "attack/print/notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "live/folder.jpg").mkdir()
    found = {(s.path, s.label.value, s.attack_type) for s in from_folder(tmp_path)}
    assert found == {
        ("live/a/1.jpg", "live", "none"),
        ("live/2.PNG", "live", "none"),
        ("attack/print/3.jpg", "attack", "print"),
        ("attack/4.webp", "attack", "unknown"),
    }


def test_folders_of_people_name_subjects_where_that_is_asked_for(tmp_path):
    people = {"live/anna/1.jpg": "anna", "live/anna/day/2.jpg": "anna", "live/3.jpg": None,
              "attacks/print/anna/4.jpg": "anna", "attacks/print/5.jpg": None, "attacks/6.jpg": None}  # fmt: skip
    for name in people:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    own = {name: f"{tmp_path.name}/{name}" for name in people}
    assert {s.path: s.subject for s in from_folder(tmp_path)} == own
    found = read_source(tmp_path, people=True)
    assert {s.path: s.subject for s in found} == {name: person or own[name] for name, person in people.items()}
    assert {s.path: s.attack_type for s in found if s.label is Label.ATTACK} == {
        "attacks/print/anna/4.jpg": "print", "attacks/print/5.jpg": "print", "attacks/6.jpg": "unknown",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_images_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        from_folder(tmp_path / name)


def test_csv(tmp_path):
    rows = from_csv(
        csv(tmp_path, "path,label,attack_type,subject,split\na.jpg, LIVE ,,s1,train\nb.jpg,attack,print,,\n")
    )
    source, alone = str(tmp_path), f"{tmp_path.name}/b.jpg"
    assert rows == [
        Sample("a.jpg", Label.LIVE, subject="s1", split=Split.TRAIN, source=source),
        Sample("b.jpg", Label.ATTACK, "print", subject=alone, source=source),
    ]


def test_csv_without_label_is_a_face_collection(tmp_path):
    assert [s.label for s in from_csv(csv(tmp_path, "path\na.jpg\nb.jpg\n"))] == [Label.LIVE] * 2


def test_csv_of_a_spreadsheet_with_a_byte_order_mark(tmp_path):
    assert len(from_csv(csv(tmp_path, "\ufeffpath,label\na.jpg,live\n"))) == 1


BAD = {
    "label number": "path,label\na.jpg,1\n",
    "empty label, which must not pass for live": "path,label\na.jpg,\n",
    "missing cell": "path,label\na.jpg\n",
    "surplus cell": "path,label\na.jpg,live,x\n",
    "no path": "path,label\n,live\n",
    "no path column": "file,label\na.jpg,live\n",
    "nearly a column": "path,label,subject_id\na.jpg,live,7\n",
    "a column twice": "path,label,Label\na.jpg,live,attack\n",
    "no label, and a column that may be it": "path,spoof\na.jpg,1\n",
    "short row of a face collection": "path,subject\na.jpg\n",
    "one file under two names": "path,label\na.jpg,live\n./sub/../a.jpg,attack\n",
    "neither true nor false": "path,label,simulated\na.jpg,live,perhaps\n",
    "twice": "path,label\na.jpg,live\na.jpg,attack\n",
    "live with an attack type": "path,label,attack_type\na.jpg,live,print\n",
    "unknown split": "path,label,split\na.jpg,live,third\n",
    "both sides of its split": "path,label,subject,split\na.jpg,live,s,train\nb.jpg,live,s,test\n",
    "header only": "path,label\n",
    "empty": "",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_csv_is_refused(tmp_path, name):
    with pytest.raises(InputError):
        from_csv(csv(tmp_path, BAD[name]))


def test_unreadable_csv_is_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes(b"path,label\n\xe9.jpg,live\n")
    for name in ("missing.csv", ".", "latin.csv"):
        with pytest.raises(InputError):
            from_csv(tmp_path / name)


@pytest.mark.parametrize("text", ["0", "1", "spoof", "", "real", "true"])
def test_only_two_words_are_labels(text):
    with pytest.raises(InputError, match="write the word"):
        parse_label(text)


def test_a_row_survives_the_way_through_json():
    sample = Sample("a/b.jpg", Label.ATTACK, "print", "s", "office", Split.TEST)
    assert Sample.from_row(sample.as_row()) == sample


def test_a_subject_on_both_sides_is_an_error():
    one = [Sample("a.jpg", Label.LIVE, subject="s1", domain="d")]
    refuse_shared_subjects(one, [Sample("b.jpg", Label.LIVE, subject="s2", domain="d")])
    refuse_shared_subjects(one, [Sample("b.jpg", Label.LIVE, subject="s1", domain="other")])
    with pytest.raises(InputError, match="'s1'"):
        refuse_shared_subjects(one, [Sample("b.jpg", Label.ATTACK, "print", subject="s1", domain="d")])


# what is wrong -> (CSV, what the error names: the line, and how to mend it)
WHERE = {
    "typo in a label": ("path,label\na.jpg,live\nb.jpg,atack\n", "line 3.*'atack'.*write the word"),
    "twice": ("path,label\na.jpg,live\nb.jpg,live\na.jpg,live\n", "line 4.*after line 2.*Remove one"),
    "both sides": (
        "path,label,subject,split\na.jpg,live,s,train\nb.jpg,live,t,test\nc.jpg,live,s,test\n",
        "line 4.*'s' is in test, and in train at line 2.*Move",
    ),
    "no path column": ("file,label\na.jpg,live\n", "no column `path`|unknown column 'file'"),
    "unknown column": ("path,lable\na.jpg,live\n", "'lable'.*Rename or remove"),
    "unknown split": ("path,label,split\na.jpg,live,train\nb.jpg,live,third\n", "line 3.*'third'.*validation"),
    "a cell over two lines before it": ('path,label\n"a\nb.jpg",live\nc.jpg,1\n', "line 4"),
}


@pytest.mark.parametrize("name", WHERE)
def test_errors_name_file_line_and_remedy(tmp_path, name):
    text, words = WHERE[name]
    with pytest.raises(InputError, match=f"labels.csv.*(?:{words})"):
        from_csv(csv(tmp_path, text))


def test_one_person_in_two_domains_is_two_people(tmp_path):
    text = "path,label,subject,domain,split\na.jpg,live,1,x,train\nb.jpg,live,1,y,test\n"
    assert len(from_csv(csv(tmp_path, text))) == 2


def test_videos_in_a_folder_are_samples(tmp_path):
    for name in ("live/a.mp4", "attack/replay/b.MOV", "attack/replay/c.avi.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [s.path for s in from_folder(tmp_path)] == ["live/a.mp4", "attack/replay/b.MOV"]


def test_parquet_is_read_as_csv_is(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow, the extra `parquet`, is not installed")
    from pyarrow import parquet

    text = "path,label,attack_type,subject,split\na.jpg,live,,7,train\nb.jpg,attack,print,,\n"
    columns = {
        "path": ["a.jpg", "b.jpg"], "label": ["live", "attack"], "attack_type": [None, "print"], "subject": [7, None],
        "split": ["train", None],
    }  # fmt: skip
    parquet.write_table(arrow.table(columns), tmp_path / "labels.parquet")
    assert from_parquet(tmp_path / "labels.parquet") == from_csv(csv(tmp_path, text))
    assert read_source(tmp_path / "labels.parquet") == read_source(tmp_path / "labels.csv")
    parquet.write_table(arrow.table({"path": ["a", "b"], "label": ["live", "spoof"]}), tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="bad.parquet, row 2.*spoof"):
        from_parquet(tmp_path / "bad.parquet")


def test_a_file_that_is_no_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow, the extra `parquet`, is not installed")
    (tmp_path / "text.parquet").write_text("path,label\n")
    for name in ("text.parquet", "missing.parquet"):
        with pytest.raises(InputError, match=name):
            from_parquet(tmp_path / name)


def test_without_pyarrow_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"despoof\[parquet\]"):
        from_parquet(tmp_path / "labels.parquet")


def test_a_source_says_where_its_paths_begin(tmp_path):
    (tmp_path / "live").mkdir()
    (tmp_path / "live/a.png").touch()
    (sample,) = read_source(tmp_path, domain="office")
    assert (sample.domain, sample.file) == ("office", str(tmp_path / "live/a.png"))
    (sample,) = read_source(csv(tmp_path, "path,label\na.jpg,live\n"))
    assert sample.file == str(tmp_path / "a.jpg")


TABLE = "Path, Label ,attack_type,Subject,camera,\na.jpg,Live,,s1,front,0\nb.jpg,ATTACK,print,s2,back,1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_as_spreadsheets_and_pandas_write_them(tmp_path, encoding, delimiter):
    """Their delimiters and encodings, capitals and spaces in the header, an index column without a name."""
    path = tmp_path / "labels.csv"
    path.write_bytes(TABLE.replace(",", delimiter).replace("s1", "ü").encode(encoding))
    one, two = from_csv(path)
    assert (one.path, one.label, one.subject, one.labels) == ("a.jpg", Label.LIVE, "ü", (("camera", "front"),))
    assert (two.label, two.attack_type, dict(two.labels)) == (Label.ATTACK, "print", {"camera": "back"})


def test_an_absolute_path_a_detour_and_a_relative_path_are_one_file(tmp_path):
    for name in ("./a.jpg", "x/../a.jpg", str(tmp_path / "a.jpg"), f"{tmp_path}/x//../a.jpg"):
        (sample,) = from_csv(csv(tmp_path, f"path,label\n{name},live\n"))
        assert (sample.path, sample.file) == ("a.jpg", str(tmp_path / "a.jpg"))
        with pytest.raises(InputError, match="line 3 lists a.jpg again"):
            from_csv(csv(tmp_path, f"path,label\na.jpg,attack\n{name},live\n"))
    (sample,) = from_csv(csv(tmp_path, "path,label\n/elsewhere/a.jpg,live\n"))
    assert (sample.file, sample.source) == ("/elsewhere/a.jpg", "")


def test_a_path_written_on_windows(tmp_path):
    (sample,) = from_csv(csv(tmp_path, "path,label\nsub\\a.jpg,live\n"))
    assert sample.path == "sub/a.jpg"
    (tmp_path / "odd\\name.jpg").touch()
    (sample,) = from_csv(csv(tmp_path, "path,label\nodd\\name.jpg,live\n"))
    assert sample.path == "odd\\name.jpg"


@pytest.mark.parametrize("species", ["", "none"])
def test_an_attack_of_no_type_is_of_an_unknown_one(tmp_path, species):
    (sample,) = from_csv(csv(tmp_path, f"path,label,attack_type\na.jpg,attack,{species}\n"))
    assert sample.attack_type == "unknown"


@pytest.mark.parametrize(("word", "split"), [("Train", "train"), ("dev", "validation"), ("held-out", "test")])
def test_what_others_call_a_split(tmp_path, word, split):
    (sample,) = from_csv(csv(tmp_path, f"path,label,split\na.jpg,live,{word}\n"))
    assert sample.split is Split(split)


def test_files_that_are_left_out_are_counted(tmp_path):
    for name in (
        "live/a.png",
        "live/b.heic",
        "live/notes.txt",
        "attack/print/c.CR2",
        "attack/.DS_Store",
        "other/d.gpx",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert left_out(tmp_path) == {".txt": 1, ".cr2": 1}
    assert [sample.path for sample in from_folder(tmp_path)] == ["live/a.png", "live/b.heic"]
