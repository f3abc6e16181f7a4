"""`despoof data` and `despoof prepare --dataset` as a user meets them: exit statuses that a script can trust."""

import pytest
from PIL import Image

from despoof.cli.app import build_app
from despoof.errors import InputError
from despoof.faces.store import Store


def run(*tokens: object) -> object:
    return build_app()([str(token) for token in tokens], result_action="return_value")


def exit_status(*tokens: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        run(*tokens)
    return stopped.value.code


@pytest.mark.parametrize("name", ["list", "check", "leaks"])
def test_help(name, capsys):
    run("data", name, "--help")
    assert capsys.readouterr().out.startswith("Usage: despoof data")


def test_list_has_every_dataset_and_marks_doubts(capsys):
    run("data", "list")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    assert any(line.startswith("oulu-npu") and " 4950 files" in line for line in lines)
    assert any(line.startswith("wmca") and " ? files" in line for line in lines)  # live alone is no total
    run("data", "list", "hkbu-mars")
    text = capsys.readouterr().out
    assert "live: 504" in text
    assert "NOT VERIFIED: which masks are Thatsmyface" in text


@pytest.fixture
def hkbu(tmp_path):
    """A whole HKBU-MARs by its names, as pictures: twelve people, seven cameras, six lights, real and mask."""
    Image.new("RGB", (40, 40)).save(tmp_path / "picture.png")
    data, root = (tmp_path / "picture.png").read_bytes(), tmp_path / "hkbu"
    for kind in ("real", "attack"):
        for person in range(1, 13):
            folder = root / kind / f"{person:02d}"
            folder.mkdir(parents=True)
            for camera, light in [(c, n) for c in range(1, 8) for n in range(1, 7)]:
                (folder / f"{camera:02d}_{light:02d}_{person:02d}.png").write_bytes(data)
    return root


def test_check_exits_zero_only_for_a_whole_dataset(hkbu, capsys):
    assert exit_status("data", "check", "hkbu-mars", hkbu, "--workers", 1) == 0
    assert "complete" in capsys.readouterr().out
    for path in sorted(hkbu.glob("real/05/01_*")):
        path.unlink()
    (hkbu / "real/05/02_01_05.png").write_bytes(b"")
    (hkbu / "real/holiday.png").write_bytes(b"")
    assert exit_status("data", "check", "hkbu-mars", hkbu, "--workers", 1) == 1
    text = capsys.readouterr().out
    for words in ("498  official 504", "extra: 1", "unreadable: 1", "not complete"):
        assert words in text, text


def test_check_of_an_unknown_name_or_folder(tmp_path):
    for tokens in (("data", "check", "oulu", tmp_path), ("data", "check", "oulu-npu", tmp_path)):
        with pytest.raises(InputError):
            run(*tokens)


@pytest.fixture
def manifest(tmp_path, people):
    for number in range(4):
        Image.fromarray(people[number]).save(tmp_path / f"{number}.png")
    rows = ["0.png,live,a,train", "1.png,live,b,train", "2.png,live,c,test"]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,subject,split", *rows]) + "\n")
    return tmp_path / "labels.csv"


def test_leaks_in_a_manifest(manifest, capsys):
    assert exit_status("data", "leaks", manifest) == 0
    assert "compared 3 of 3" in capsys.readouterr().out
    copy = Image.open(manifest.parent / "0.png").resize((200, 200))
    copy.save(manifest.parent / "copy.jpg")
    with manifest.open("a") as file:
        file.write("copy.jpg,live,d,test\nnone.png,live,e,test\n")
    assert exit_status("data", "leaks", manifest) == 1
    text = capsys.readouterr().out
    assert "different splits: 1" in text
    assert "0.png | copy.jpg" in text
    assert "compared 4 of 5" in text
    assert exit_status("data", "leaks", manifest, "--no-images") == 0
    with pytest.raises(InputError, match="limit 40"):
        run("data", "leaks", manifest, "--limit", 40)


def test_leaks_in_a_store(manifest, tmp_path, capsys):
    store = Store(tmp_path / "store", about={})
    from despoof.data.image import read_image
    from despoof.data.manifest import from_csv
    from despoof.faces.store import StoredSample

    for sample, picture in zip(from_csv(manifest), ("0.png", "1.png", "0.png"), strict=True):
        store.add(StoredSample(sample, "face"), read_image(tmp_path / picture))
    assert exit_status("data", "leaks", tmp_path / "store") == 1
    assert "0 bits: 0.png | 2.png" in capsys.readouterr().out


def test_a_dataset_is_prepared_from_its_root(tmp_path, people, capsys):
    pytest.importorskip("av", reason="PyAV, the extra `video`, is not installed")
    from miniatures import write_video

    for name in ("Train_files/1_1_01_1", "Train_files/1_3_01_2", "Test_files/1_3_36_4"):
        write_video(tmp_path / f"oulu/{name}.avi", [people[0]] * 9)
    source, store = tmp_path / "oulu", tmp_path / "store"
    run("prepare", source, store, "--dataset", "oulu-npu", "--protocol", 1, "--frames", "published:2", "--workers", 1)
    assert "oulu-npu" in capsys.readouterr().out
    rows = {row.sample.path: row.sample for row in Store(store).rows}
    assert set(rows) == {  # session 3 is for testing only in protocol 1
        "Train_files/1_1_01_1.avi#1", "Train_files/1_1_01_1.avi#6", "Test_files/1_3_36_4.avi#1",
        "Test_files/1_3_36_4.avi#6",
    }  # fmt: skip
    assert {(s.domain, s.split.value, s.subject) for s in rows.values()} == {
        ("oulu-npu", "train", "01"), ("oulu-npu", "test", "36"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [("--protocol", "1"), ("--dataset", "oulu-npu", "--domain", "x"), ("--frames", "some"), ("--dataset", "oulu")],
)
def test_options_that_make_no_sense_together(tmp_path, options):
    with pytest.raises(InputError):
        run("prepare", tmp_path, tmp_path / "store", *options)
