"""Simulated sets are balanced, named as simulated, and go on after a cut: a mislabelled one would poison training."""

from collections import Counter

from PIL import Image

from despoof.data.sample import Label, Sample
from despoof.data.simulated_set import write_captures
from despoof.data.source import from_csv


def _portraits(folder, people) -> list[Sample]:
    samples = []
    for i in range(8):
        Image.fromarray(people[i % len(people)]).save(folder / f"{i}.png")
        samples.append(Sample(f"{i}.png", Label.LIVE, subject=f"s{i}"))
    return samples


def test_half_is_live_and_all_say_that_they_are_simulated(tmp_path, people):
    portraits = _portraits(tmp_path, people)
    rows = from_csv(write_captures(portraits, tmp_path, tmp_path / "out", workers=1))
    assert Counter((row.label, row.attack_type) for row in rows) == {
        (Label.LIVE, "none"): 4,
        (Label.ATTACK, "simulated_print"): 2,
        (Label.ATTACK, "simulated_replay"): 2,
    }
    assert {row.domain for row in rows} == {"simulated"}
    assert [row.subject for row in rows] == [portrait.subject for portrait in portraits]
    assert all((tmp_path / "out" / row.path).stat().st_size for row in rows)


def test_a_run_cut_short_goes_on_to_the_same_bytes(tmp_path, people):
    portraits = _portraits(tmp_path, people)
    whole = write_captures(portraits, tmp_path, tmp_path / "whole", workers=1).parent
    part = write_captures(portraits[:3], tmp_path, tmp_path / "part", workers=1).parent
    write_captures(portraits, tmp_path, part, workers=1)
    for path in sorted(whole.rglob("*.*")):
        assert path.read_bytes() == (part / path.relative_to(whole)).read_bytes()
