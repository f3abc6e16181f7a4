"""Folders and CSV files become samples, or an InputError; a wrong label or split here spoils every figure after it."""

import pytest

from despoof.data.sample import Label, Sample, Split, parse_label
from despoof.data.source import from_csv, from_folder, refuse_shared_subjects
from despoof.errors import InputError


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


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_images_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        from_folder(tmp_path / name)


def test_csv(tmp_path):
    rows = from_csv(
        csv(tmp_path, "path,label,attack_type,subject,split\na.jpg, LIVE ,,s1,train\nb.jpg,attack,print,,\n")
    )
    assert rows == [
        Sample("a.jpg", Label.LIVE, subject="s1", split=Split.TRAIN),
        Sample("b.jpg", Label.ATTACK, "print", subject="b.jpg"),
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
    "unknown column": "path,label,colour\na.jpg,live,red\n",
    "twice": "path,label\na.jpg,live\na.jpg,attack\n",
    "live with an attack type": "path,label,attack_type\na.jpg,live,print\n",
    "unknown split": "path,label,split\na.jpg,live,training\n",
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
