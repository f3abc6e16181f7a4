"""A profile opens doors: what is unknown, missing, out of order or of other weights must be refused, never guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from despoof.errors import ArtefactError, ConfigError
from despoof.profile import Correction, Point, Profile, Rate, read_profile, write_profile

RATE = Rate(1, 40, 0.0006, 0.1316)
PROFILE = Profile(
    name="door",
    photos=Point(0.2, 0.7, RATE, 3, {"print": Rate(0, 9, 0.0, 0.34)}),
    clips=Point(0.3, 0.75),
    weights={"detector": "ab", "generator": "cd"},
    preprocessing={"face_size": 256, "gate": {"least": 0.5}},
    clip_rule={"parts": 3},
    wanted_bpcer=0.05,
    correction=Correction(((0.1, 1.0), (-0.2, 3.0)), (0.5, -0.25), 0.125, 1.0),
)


def test_a_file_gives_the_same_profile(tmp_path):
    write_profile(tmp_path / "p.json", PROFILE)
    assert read_profile(tmp_path / "p.json") == PROFILE
    assert PROFILE.label.startswith("door@")
    assert replace(PROFILE, clips=Point(0.3, 0.76)).label != PROFILE.label


def write(path: Path, change) -> Path:
    write_profile(path, PROFILE)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["photos"].update(live_from=float("nan")),
        lambda v: v["photos"].update(live_from=1.2),
        lambda v: v["clips"].update(live_from=0.1),  # below attack_below
        lambda v: v["photos"].update(live_from=0.0, attack_below=0.0),
        lambda v: v["photos"].update(live_from="0.7"),
        lambda v: v["photos"].update(bpcer=None),  # and so nothing was measured
        lambda v: v.update(surprise=1),
        lambda v: v["clips"].update(surprise=1),
        lambda v: v.pop("clips"),
        lambda v: v.pop("weights"),
        lambda v: v.update(weights={}),
        lambda v: v.update(format="despoof-profile/1"),
        lambda v: v["photos"]["bpcer"].update(errors=50),
        lambda v: v["photos"]["apcer"]["print"].update(low=0.9),
        lambda v: v["photos"].update(unanswered=-1),
        lambda v: v.update(name="two\nlines"),
        lambda v: v["correction"].update(width=0.0),
        lambda v: v["correction"].update(constant=float("inf")),
        lambda v: v["correction"].update(constant=1e9),
        lambda v: v["correction"]["weights"].pop(),
        lambda v: v["correction"]["points"][0].pop(),
        lambda v: v["correction"].update(points=[]),
        lambda v: v["correction"].update(points=[], weights=[], constant=1.01),  # live alone may not lift so far
        lambda v: v["correction"].update(weights=["0.5", -0.25]),
        lambda v: v["correction"].update(surprise=1),
        lambda v: v["correction"].pop("width"),
    ],
)
def test_what_is_not_right_is_refused(tmp_path, change):
    with pytest.raises(ArtefactError):
        read_profile(write(tmp_path / "p.json", change))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    write_profile(tmp_path / "p.json", PROFILE)
    text = (tmp_path / "p.json").read_text().strip()
    (tmp_path / "p.json").write_text(text[:-1] + ', "name": "again"}')
    with pytest.raises(ArtefactError, match="twice"):
        read_profile(tmp_path / "p.json")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_never_crash(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "p.json"
    path.write_bytes(data)
    with pytest.raises(ArtefactError):
        read_profile(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtefactError, match="despoof calibrate"):
        read_profile(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("here", "named"),
    [
        ({"weights": {"detector": "ab"}}, "weights.generator 'cd', now in use: None"),
        ({"weights": {"detector": "ab", "generator": "xx"}}, "weights.generator"),
        ({"preprocessing": {"face_size": 256, "gate": {"least": 0.4}}}, "preprocessing.gate.least 0.5"),
        ({"precision": "bfloat16"}, "precision 'float32'"),
        ({"clip_rule": {"parts": 1}}, "clip_rule.parts 3"),
    ],
)
def test_what_it_was_not_measured_with_is_refused(here, named):
    PROFILE.must_fit(**{key: getattr(PROFILE, key) for key in here})
    with pytest.raises(ArtefactError, match=f"{named}.*Calibrate again"):
        PROFILE.must_fit(**here)


def test_an_impossible_profile_cannot_be_made():
    with pytest.raises(ConfigError, match="above live_from"):
        replace(PROFILE, photos=Point(0.8, 0.7, RATE))
