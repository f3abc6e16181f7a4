"""A profile opens doors: what is unknown, missing, out of order or of other weights must be refused, never guessed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from despoof.errors import ArtefactError, ConfigError
from despoof.profile import Profile, Rate, read_profile, write_profile

RATE = Rate(1, 40, 40, 0.0006, 0.1316)
PROFILE = Profile(
    name="door",
    attack_below=0.2,
    live_from=0.7,
    weights={"detector": "ab", "generator": "cd"},
    preprocessing={"face_size": 256, "gate": {"least": 0.5}},
    wanted_bpcer=0.05,
    bpcer=RATE,
    photos=30,
    clips=10,
    apcer={"print": {"errors": 0, "presented": 9, "trials": 9, "low": 0.0, "high": 0.34}},
)


def test_a_file_gives_the_same_profile(tmp_path):
    write_profile(tmp_path / "p.json", PROFILE)
    assert read_profile(tmp_path / "p.json") == PROFILE
    assert PROFILE.label.startswith("door@")
    assert replace(PROFILE, live_from=0.71).label != PROFILE.label


def write(path: Path, change) -> Path:
    write_profile(path, PROFILE)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(live_from=float("nan")),
        lambda v: v.update(live_from=1.2),
        lambda v: v.update(live_from=0.1),  # below attack_below
        lambda v: v.update(live_from=0.0, attack_below=0.0),
        lambda v: v.update(live_from="0.7"),
        lambda v: v.update(surprise=1),
        lambda v: v.pop("live_from"),
        lambda v: v.pop("weights"),
        lambda v: v.update(weights={}),
        lambda v: v.update(format="despoof-profile/2"),
        lambda v: v["bpcer"].update(errors=50),
        lambda v: v["apcer"]["print"].update(low=0.9),
        lambda v: v.update(photos=31),
        lambda v: v.update(name="two\nlines"),
    ],
)
def test_what_is_not_right_is_refused(tmp_path, change):
    with pytest.raises(ArtefactError):
        read_profile(write(tmp_path / "p.json", change))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    write_profile(tmp_path / "p.json", PROFILE)
    text = (tmp_path / "p.json").read_text().strip()
    (tmp_path / "p.json").write_text(text[:-1] + ', "live_from": 0.01}')
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
    ("weights", "preprocessing"),
    [
        ({"detector": "ab"}, PROFILE.preprocessing),
        ({"detector": "ab", "generator": "xx"}, PROFILE.preprocessing),
        (PROFILE.weights, {"face_size": 256, "gate": {"least": 0.4}}),
    ],
)
def test_other_weights_or_preprocessing_are_refused(weights, preprocessing):
    PROFILE.must_fit(PROFILE.weights, PROFILE.preprocessing)
    with pytest.raises(ArtefactError, match="alibrate again"):
        PROFILE.must_fit(weights, preprocessing)


def test_an_impossible_profile_cannot_be_made():
    with pytest.raises(ConfigError, match="above live_from"):
        replace(PROFILE, attack_below=0.8)
