"""Points for a camera never seen: each is judged by a detector that did not learn from it; rates counted by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

import despoof.detector.recipe as module
from despoof.data.sample import Label, Sample
from despoof.detector.config import PRESETS, PROBE, DetectorRecipe, HeadTraining, ProbeTraining
from despoof.detector.network import load_detector
from despoof.detector.points import UnseenLogits, crossed_facts, named_points
from despoof.detector.recipe import cross_fitted, train_on_store, train_recipe
from despoof.detector.scoring import fit_calibration, logits
from despoof.errors import ArtefactError, ConfigError, InputError
from despoof.faces.store import Store, StoredSample
from despoof.points import points_of
from toys import around, surrounded, toys

NETWORK = replace(
    PROBE, backbone="tiny_cnn", face_size=64, insertion="none", statistics=(4, 8), embedding=4, rectified=True,
    clamp=6.0, branches=("near",),
)  # fmt: skip
HEAD = HeadTraining(steps=12, batch=16, augmented=1, start="random", released="random")
RECIPE = DetectorRecipe(NETWORK, head=HEAD, folds=2)


def cameras(count: int = 40, *, simulated: bool = False) -> tuple:
    """Return samples of four cameras and their toys; camera d has one subject, and shows attacks alone."""
    gathered = surrounded(toys(count, 1))
    samples = []
    for i in range(count):
        camera = "abcd"[i * 4 // count]
        label = Label.LIVE if gathered.live[i] and camera != "d" else Label.ATTACK
        told = {"simulated": True, "origin": camera} if simulated and i % 10 == 0 else {}
        domain = "x" if told else camera
        species = "none" if label is Label.LIVE else ("print", "display")[i % 3 > 0]
        samples.append(Sample(f"{i}.png", label, species, f"s{i // 4}" if camera != "d" else "one", domain, **told))
    live = np.array([each.label is Label.LIVE for each in samples])
    return samples, gathered._replace(
        live=live,
        domain=np.array(["abcdx".index(each.domain) for each in samples]),
        simulated=np.array([each.simulated for each in samples]),
        species=np.array([each.attack_type for each in samples]),
    )


OPTIONS = {"seed": 0, "counterparts": None, "numbers": None}


def test_each_camera_is_judged_by_a_detector_that_never_saw_it(tmp_path, monkeypatch):
    samples, whole = cameras(simulated=True)
    seen, real = [], train_recipe

    def watched(recipe, train_set, validation, folder, **options):
        seen.append((set(train_set.keys), validation, recipe.folds))
        return real(recipe, train_set, validation, folder, **options)

    monkeypatch.setattr(module, "train_recipe", watched)
    found = cross_fitted(RECIPE, samples, whole, tmp_path, **OPTIONS)
    kept = [sample for sample in samples if not sample.simulated]
    assert found.camera.tolist() == [sample.domain for sample in kept]
    assert found.person.tolist() == [sample.subject for sample in kept]
    assert set(found.camera) == set("abcd")
    assert len(seen) == 2
    named = dict(zip(whole.keys, samples, strict=True))
    for number, (learned, validation, folds) in enumerate(seen):
        assert (validation, folds) == (None, 0)
        own = set(found.camera[found.fold == number])
        shown = {named[key].origin or named[key].domain for key in learned}
        assert not own & shown
        assert own | shown == set("abcd")
    # by hand, from the fold's own file
    detector = load_detector(tmp_path / "fold-0/detector.safetensors")
    picks = np.flatnonzero([not s.simulated and s.domain in set(found.camera[found.fold == 0]) for s in samples])
    expected = logits(detector, module.chosen(whole, picks))
    np.testing.assert_allclose(found.logit[found.fold == 0], expected, atol=1e-4)


def test_folds_that_were_judged_are_not_made_again_and_another_run_is_refused(tmp_path, monkeypatch):
    samples, whole = cameras()
    first = cross_fitted(RECIPE, samples, whole, tmp_path, **OPTIONS)
    monkeypatch.setattr(module, "train_recipe", lambda *given, **options: pytest.fail("made again"))
    again = cross_fitted(RECIPE, samples, whole, tmp_path, **OPTIONS)
    assert np.array_equal(first.logit, again.logit)
    with pytest.raises(ArtefactError, match="holds another run"):
        cross_fitted(RECIPE, samples, whole._replace(faces=whole.faces + 1), tmp_path, **OPTIONS)
    with pytest.raises(ArtefactError, match="seed was 0, now 1"):
        cross_fitted(RECIPE, samples, whole, tmp_path, **OPTIONS | {"seed": 1})


@pytest.mark.parametrize("recipe", [RECIPE, DetectorRecipe(
    replace(NETWORK, embedding=1, rectified=False, branches=()), probe=ProbeTraining(start="random"), folds=2
)])  # fmt: skip
def test_a_store_with_folds_is_learned_from_whole_and_its_points_are_crossed(tmp_path, recipe):
    store = Store(tmp_path / "store", about={})
    samples, whole = cameras()
    for i, sample in enumerate(samples):
        face = np.kron(whole.faces[i], np.ones((4, 4, 1))).astype(np.uint8)
        store.add(StoredSample(sample, "face"), face, around(face))
    train_on_store(recipe, store, None, tmp_path / "run")
    read = load_detector(tmp_path / "run/detector.safetensors")
    points = points_of(read.facts)  # as the guard reads them
    assert list(points) == ["strict", "balanced", "lenient"]
    assert points["strict"].live_from >= points["balanced"].live_from >= points["lenient"].live_from
    assert read.thresholds == points["balanced"].thresholds
    assert read.facts["validation"]["cross_fitted"]["cameras"] == 4
    assert read.facts["validation"]["live"] + read.facts["validation"]["attack"] == 40
    crossed = [json.loads(path.read_text())["logits"] for path in sorted((tmp_path / "run").glob("fold-*/logits.json"))]
    assert sum(map(len, crossed)) == 40
    live = {row.key: row.sample.label is Label.LIVE for row in store.rows}
    logit = np.array([value for each in crossed for value in each.values()])
    share = UnseenLogits(
        logit, np.array([live[key] for each in crossed for key in each]),
        np.array([row.sample.domain for each in crossed for key in each for row in store.rows if row.key == key]),
        *(np.full(40, "x"),) * 2, np.zeros(40, int),
    )  # fmt: skip
    assert (read.temperature, read.offset) == pytest.approx(fit_calibration(logit, share.live, share.share), rel=1e-4)
    if recipe.head is not None:
        assert list((tmp_path / "store/numbers").glob("near-*"))


# Rates, counted by hand


def judged(seed: int = 0, size: int = 300) -> tuple[np.ndarray, UnseenLogits]:
    """Return liveness of six cameras that differ; camera 0 has live alone, camera 5 attacks alone."""
    rng = np.random.default_rng(seed)
    camera = np.repeat(np.arange(6), [40, 60, 20, 80, 60, 40])
    live = (rng.random(size) < 0.5) & (camera != 5) | (camera == 0)
    liveness = 1 / (1 + np.exp(-(rng.normal(0, 1, size) + np.where(live, 1.2, -1.2) + 0.4 * (camera - 3))))
    species = np.where(live, "none", np.where(camera < 3, "print", "display"))
    person = np.array([f"p{i % 7}" for i in range(size)])
    return liveness, UnseenLogits(np.log(liveness), live, camera.astype(str), person, species, camera % 2)


def by_camera(mask: np.ndarray, errors: np.ndarray, told: UnseenLogits) -> float:
    return float(np.mean([errors[mask & (told.camera == c)].mean() for c in np.unique(told.camera[mask])]))


def test_points_keep_their_promises_on_the_mean_over_cameras():
    liveness, told = judged()
    points = named_points(liveness, told, rounds=50)
    attack = ~told.live

    def rates(threshold: float) -> tuple[float, float]:
        return by_camera(attack, liveness >= threshold, told), by_camera(told.live, liveness < threshold, told)

    apcer, bpcer = rates(points["strict"]["live_from"])
    assert apcer <= 0.07
    lower = np.sort(liveness[liveness < points["strict"]["live_from"]])[-2]
    assert rates(lower)[0] > 0.07 - 0.02  # no needlessly high threshold
    equal = rates(points["balanced"]["live_from"])
    assert abs(equal[0] - equal[1]) < 0.03
    assert rates(points["lenient"]["live_from"])[1] <= 0.05
    for name, point in points.items():
        told_rates = point["expected"]
        apcer, bpcer = rates(point["live_from"])
        assert told_rates["bpcer"]["value"] == pytest.approx(bpcer), name
        assert told_rates["apcer"]["mean"]["value"] == pytest.approx(apcer)
        for species in ("print", "display"):
            mask = attack & (told.species == species)
            expected = by_camera(mask, liveness >= point["live_from"], told)
            assert told_rates["apcer"][species]["value"] == pytest.approx(expected)
        unsure = (liveness >= point["attack_below"]) & (liveness < point["live_from"])
        assert told_rates["uncertain_live"]["value"] == pytest.approx(by_camera(told.live, unsure, told))
        assert rates(point["attack_below"])[1] <= 0.02
        assert told_rates["cameras"] == 6
        for rate in (told_rates["bpcer"], *told_rates["apcer"].values()):
            assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1


def test_intervals_are_of_cameras():
    """One camera refuses everybody and nine nobody: images are many, and the mean is uncertain all the same."""
    camera = np.repeat(np.arange(10), 200)
    live = np.arange(2000) % 2 == 0
    liveness = np.where(live & (camera > 0), 0.9, 0.1)
    person = np.array([f"p{i % 50}" for i in range(2000)])
    told = UnseenLogits(liveness, live, camera.astype(str), person, np.where(live, "none", "print"), camera)
    found = named_points(liveness, told)["balanced"]["expected"]["bpcer"]
    assert found["value"] == pytest.approx(0.1)
    assert found["low"] == 0
    # of ten draws of ten cameras, the share of the first: binomial(10, .1) / 10, whose 97.5 % quantile is .3
    assert found["high"] == pytest.approx(0.3, abs=0.1)


def test_points_stay_in_order_where_errors_are_rare():
    """At an equal error below both anchors, strict must not be laxer than balanced, nor lenient stricter."""
    live = np.arange(400) % 2 == 0
    liveness = np.where(live, 0.8, 0.2) + np.linspace(-0.1, 0.1, 400)
    camera = (np.arange(400) // 100).astype(str)
    told = UnseenLogits(liveness, live, camera, camera, np.where(live, "none", "print"), np.zeros(400, int))
    points = named_points(liveness, told, rounds=20)
    high = [points[name]["live_from"] for name in ("strict", "balanced", "lenient")]
    assert high == sorted(high, reverse=True)
    assert all(0 <= each["attack_below"] <= each["live_from"] <= 1 for each in points.values())


def test_cameras_weigh_alike_in_the_calibration():
    liveness, told = judged()
    facts = crossed_facts(told)
    twice = np.concatenate([np.arange(300), np.flatnonzero(told.camera == "3")])  # a camera with twice its images
    fields = ("logit", "live", "camera", "person", "species", "fold")
    more = UnseenLogits(*(getattr(told, name)[twice] for name in fields))
    other = crossed_facts(more)
    assert (facts["temperature"], facts["offset"]) == pytest.approx((other["temperature"], other["offset"]), rel=1e-3)
    assert facts["thresholds"] == {k: facts["points"]["balanced"][k] for k in ("attack_below", "live_from")}
    assert facts["validation"]["cross_fitted"]["worst_auc"] <= facts["validation"]["cross_fitted"]["auc"] < 1


def test_what_cannot_be_judged_is_refused():
    liveness, told = judged()
    for changes in ({"logit": np.full(300, np.nan)}, {"live": np.ones(300, bool)}):
        with pytest.raises(InputError, match="cross-fitted logits"):
            replace(told, **changes)
    with pytest.raises(ConfigError, match="folds is 1"):
        replace(RECIPE, folds=1)
    assert PRESETS["cameras"].folds > 1
    assert PRESETS["texture"].folds == 0
