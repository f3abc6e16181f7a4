"""Names of models: what cannot be made is refused before hours of others, and two recipes never share a file."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from despoof.detector.config import PRESETS, DetectorRecipe, TechniqueConfig
from despoof.detector.recipe import fitted
from despoof.errors import DespoofError
from despoof.evaluation.models import Material, label, named_models

TINY = PRESETS["tiny"]
STORE = Material(SimpleNamespace(with_face=list))


def changed(recipe: DetectorRecipe, **training) -> DetectorRecipe:
    return replace(recipe, training=replace(recipe.training, **training))


@pytest.mark.parametrize("name", ["nnoe", "none+dan", "none+dann+vrex", "minifasnet", "attention", "none+"])
def test_a_model_that_cannot_be_made_is_refused_with_the_others_unmade(name):
    with pytest.raises(DespoofError, match="expected|needs"):
        named_models(["none", name], TINY, STORE)


def test_without_names_all_that_the_material_allows_are_made(tmp_path):
    assert [model.name for model in named_models(None, TINY, STORE)] == [
        "none-tiny", "saturation", "sharpness", "statistics",
    ]  # fmt: skip


def test_a_probe_has_models_of_its_own(monkeypatch):
    monkeypatch.setattr("despoof.detector.recipe.start_hash", lambda *given: {"start": "hash"})  # no wheel is read
    assert [model.name for model in named_models(None, PRESETS["probe"], STORE)][0] == "none-probe"
    for name in ("attention", "none+dann"):
        with pytest.raises(DespoofError, match="none, dual, features, cue"):
            named_models([name], PRESETS["probe"], STORE)


def test_what_no_seed_changes_says_so(monkeypatch):
    monkeypatch.setattr("despoof.detector.recipe.start_hash", lambda *given: {"start": "hash"})
    kernel = PRESETS["kernel"]
    untrained = replace(kernel, kernel=replace(kernel.kernel, released="random"))
    recipes = {"probe": False, "kernel": False, "cameras": True}
    made = {name: named_models(["none"], PRESETS[name], STORE)[0].seeded for name in recipes}
    assert made == recipes
    assert named_models(["none"], untrained, STORE)[0].seeded


def test_a_name_says_what_is_not_the_presets():
    assert label(TINY) == "tiny"
    assert label(changed(TINY, steps=7)) == "tiny-steps=7"
    assert label(changed(TINY, start="/wheels/of/mine.pth", frozen_stages=0)) == "tiny-start=mine.pth"
    assert label(replace(TINY, members=2, real_members=2)) == "tiny-members=2-real_members=2"
    assert label(replace(TINY, network=replace(TINY.network, cue_form="absolute"))) == "tiny-cue_form=absolute"
    other = fitted(PRESETS["texture"], {"network": {"backbone": "mobilenet_v2"}})
    assert label(other) == "texture-backbone=mobilenet_v2"
    many = changed(TINY, steps=7, live_per_domain=9, attack_per_domain=9, average=0.25, evaluate_every=2)
    assert label(many).startswith("tiny-")
    assert len({label(many), label(changed(many, checkpoint_every=2)), label(changed(many, average=0.5))}) == 3


def test_techniques_and_mixed_styles_stand_in_the_name_and_in_the_config():
    plain, named = named_models(["none", "none+dann+mixstyle"], TINY, STORE, "source-validation")
    assert (plain.name, named.name) == ("none-tiny", "none+dann+mixstyle-tiny")
    other = changed(TINY, technique=TechniqueConfig("vrex"))
    assert named_models(["none"], other, STORE)[0].name == "none-tiny-technique.name=vrex"
    training = named.config["training"]
    assert training["technique"]["name"] == "dann"
    assert (training["style_mixing"], training["selection"]) == (0.5, "validation")
    assert plain.config["training"]["technique"]["name"] == TINY.training.technique.name


def test_another_start_of_the_same_recipe_is_another_model(tmp_path):
    """Weights that are given by a path are known by their content, whatever the file is called."""
    found = []
    for content in (b"one", b"two"):
        (tmp_path / "weights.pth").write_bytes(content)
        recipe = changed(PRESETS["mobilenet"], start=str(tmp_path / "weights.pth"))
        found += named_models(["none"], recipe, STORE)
    assert found[0].name == found[1].name
    assert found[0].parents != found[1].parents
