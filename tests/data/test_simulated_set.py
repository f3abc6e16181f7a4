"""Simulated sets are balanced, named as simulated, and go on after a cut: a mislabelled one would poison training."""

from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from despoof.data.manifest import from_csv
from despoof.data.sample import Label, Sample
from despoof.data.simulation.dataset import EVERY, write_captures, write_recaptures
from despoof.errors import ArtefactError, InputError


def _portraits(folder, people) -> list[Sample]:
    samples = []
    for i in range(8):
        Image.fromarray(people[i % len(people)]).save(folder / f"{i}.png")
        samples.append(Sample(f"{i}.png", Label.LIVE, subject=f"s{i}", source=str(folder)))
    return samples


def test_half_is_live_and_all_say_that_they_are_simulated(tmp_path, people):
    portraits = _portraits(tmp_path, people)
    rows = from_csv(write_captures(portraits, tmp_path / "out", workers=1))
    assert Counter((row.label, row.attack_type) for row in rows) == {
        (Label.LIVE, "none"): 4,
        (Label.ATTACK, "print"): 2,
        (Label.ATTACK, "display"): 2,
    }
    assert {row.domain for row in rows} == {"simulated"}
    assert all(row.simulated and not row.origin for row in rows)
    assert [row.subject for row in rows] == [portrait.subject for portrait in portraits]
    assert all((tmp_path / "out" / row.path).stat().st_size for row in rows)


def test_a_run_cut_short_goes_on_to_the_same_bytes(tmp_path, people):
    portraits = _portraits(tmp_path, people)
    whole = write_captures(portraits, tmp_path / "whole", workers=1).parent
    part = write_captures(portraits, tmp_path / "part", workers=1).parent
    for name in ("labels.csv", "images/00003.jpg", "images/00007.jpg"):
        (part / name).unlink()
    write_captures(portraits, part, workers=1)
    for path in sorted(whole.rglob("*.*")):
        assert path.read_bytes() == (part / path.relative_to(whole)).read_bytes()


def test_each_live_capture_is_shown_on_every_medium_in_a_domain_of_its_own(tmp_path, people):
    live = [replace(each, domain="office") for each in _portraits(tmp_path, people)[:2]]
    Image.new("RGB", (9, 9)).save(tmp_path / "small.png")
    live.append(replace(live[0], path="small.png", subject="tiny"))  # cannot be shown
    rows = from_csv(write_recaptures(live, tmp_path / "out", workers=1))
    assert [(row.subject, row.label, row.attack_type) for row in rows] == [
        (subject, label, species)
        for subject in ("s0", "s1")
        for label, species in zip(
            (Label.LIVE, *[Label.ATTACK] * 3), ("none", "display", "print", "paper_mask"), strict=True
        )
    ]
    assert len(EVERY) == 4
    assert {row.domain for row in rows} == {"office-simulated"}
    assert len({(tmp_path / "out" / row.path).read_bytes() for row in rows}) == 8
    assert all(row.simulated and row.origin == "office" for row in rows)


def test_captures_without_room_around_the_face_are_not_recaptured(tmp_path, people):
    """Nothing of a medium's edge would be in them; portraits are taken all the same."""
    live = [replace(each, domain="office") for each in _portraits(tmp_path, people)[:3]]
    boxes = iter([(20, 10, 200, 220), None, (60, 60, 120, 120)])

    def find(image):
        return next(boxes)

    rows = from_csv(write_recaptures(live, tmp_path / "out", species=("print",), find=find, workers=1))
    assert [row.subject for row in rows] == ["s2"]
    with pytest.raises(InputError, match="--room 0"):
        write_recaptures(live[:1], tmp_path / "none", find=lambda image: (20, 10, 200, 220), workers=1)
    rows = from_csv(write_captures(live, tmp_path / "all", find=lambda image: (20, 10, 200, 220), workers=1))
    assert len(rows) == 3


def test_a_folder_of_other_pictures_is_refused(tmp_path, people):
    """Old pictures must not stand under new rows, whose subjects would then cross splits."""
    portraits = _portraits(tmp_path, people)
    write_captures(portraits[:4], tmp_path / "out", workers=1)
    other = [replace(each, subject=f"other {each.subject}") for each in portraits[:4]]
    for wrong in (other, portraits[4:], portraits):
        with pytest.raises(ArtefactError, match="another run"):
            write_captures(wrong, tmp_path / "out", workers=1)
    with pytest.raises(ArtefactError, match="another run"):
        write_recaptures([replace(portraits[0], domain="d")], tmp_path / "out", workers=1)
    Image.fromarray(people[5]).save(tmp_path / "0.png")  # equal names and rows, another picture
    with pytest.raises(ArtefactError, match="another run"):
        write_captures(portraits[:4], tmp_path / "out", workers=1)
    (tmp_path / "out/about.json").unlink()
    with pytest.raises(ArtefactError, match=r"no about\.json"):
        write_captures(portraits[:4], tmp_path / "out", workers=1)


def test_portraits_and_recaptures_share_no_seed(tmp_path, monkeypatch):
    """However many there are: a camera drawn for both would link an attack to a portrait."""
    seeds = []

    def noted(function, jobs, workers):
        seeds.append({job.seed for job, _ in jobs})
        return []

    monkeypatch.setattr("despoof.data.simulation.dataset.in_processes", noted)
    live = [Sample(f"{i}.png", Label.LIVE, subject=f"s{i}", domain="d") for i in range(12_000)]
    write_captures(live, tmp_path / "portraits")
    write_recaptures(live, tmp_path / "recaptures")
    assert [len(each) for each in seeds] == [12_000, 48_000]
    assert not seeds[0] & seeds[1]


def test_recaptures_without_a_domain_are_refused(tmp_path, people):
    with pytest.raises(InputError, match="--domain"):
        write_recaptures(_portraits(tmp_path, people), tmp_path / "out")
