"""Published figures: means are recomputed and conventions kept apart, since a copied mean or a mixed rank misleads."""

from dataclasses import replace

import pytest

from despoof.data.sample import Label
from despoof.errors import ArtefactError, InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.published.own import own_results
from despoof.published.ranking import by_convention, rank
from despoof.published.registry import Convention, PublishedFigure, read_registry


@pytest.fixture(scope="module")
def registry():
    return read_registry()


def _row(registry, protocol, method):
    found = [row for row in registry.of(protocol) if row.method == method]
    assert found, f"{method} is not in {protocol}"
    return found[0]


def test_cells_of_ag_fas_are_those_of_its_table(registry):
    row = _row(registry, "mcio", "AG-FAS")
    assert [str(row.figure(cell, "hter")) for cell in "MCIO"] == ["5.71", "5.44", "6.71", "9.43"]
    assert row.mean("hter") == pytest.approx((5.71 + 5.44 + 6.71 + 9.43) / 4)
    assert row.mean("auc") == pytest.approx((98.03 + 98.55 + 98.23 + 96.62) / 4)
    assert row.mean("tpr_at_fpr1") is None  # not found, so not guessed
    assert row.disagreements() == {}


def test_every_mean_is_recomputed_and_the_known_disagreements_are_the_only_ones(registry):
    found = {(row.method, name): pair for row in registry.results for name, pair in row.disagreements().items()}
    assert found == {
        ("ViTAF*, 5-shot", "hter"): (pytest.approx((2.92 + 1.40 + 1.64 + 5.39) / 4), 3.31),
        ("SA-FAS", "hter"): (pytest.approx((5.95 + 8.78 + 6.58 + 10.00) / 4), 3.60),
        ("SA-FAS", "auc"): (pytest.approx((96.55 + 95.37 + 97.54 + 96.23) / 4), 99.00),
    }


def test_one_missing_cell_leaves_no_mean(registry):
    row = _row(registry, "mcio", "TeG-DG")
    assert row.figure("O", "auc") == PublishedFigure(97.92)
    assert row.figure("M", "auc") is None
    assert row.mean("auc") is None


def test_disagreement_begins_beyond_rounding_of_the_digits_printed(registry):
    row = _row(registry, "mcio", "AG-FAS")  # its cells give 6.8225
    for stated, decimals, agrees in ((6.82, 2, True), (6.83, 2, False), (6.8, 1, True), (6.9, 1, False)):
        changed = replace(row, stated_mean={"hter": PublishedFigure(stated, decimals=decimals)})
        assert (changed.disagreements() == {}) == agrees


def test_clean_rows_and_rows_with_further_sources_are_not_ranked_together(registry):
    rows = [_row(registry, "mcio", "SSDG-R"), _row(registry, "mcio", "FLIP-MCL")]
    with pytest.raises(InputError, match="differ in training"):
        rank(rows, "hter")
    mixed = rank(rows, "hter", mixed=True)
    assert [row.method for row in mixed.results] == ["FLIP-MCL", "SSDG-R"]
    assert "not comparable" in mixed.warning


def test_what_was_not_found_equals_nothing_not_even_itself(registry):
    rows = [_row(registry, "mcio", name) for name in ("PatchNet", "DiVT-M")]
    assert rows[0].convention == rows[1].convention
    with pytest.raises(InputError, match="threshold, selection, unit was not found"):
        rank(rows, "hter")


def test_every_group_without_unknowns_is_ranked_and_by_the_better_side(registry):
    groups = [rows for how, rows in by_convention(registry.of("mcio")).items() if not how.unknown and len(rows) > 1]
    assert groups
    for rows in groups:
        errors = [row.mean("hter") for row in rank(rows, "hter").results]
        areas = [row.mean("auc") for row in rank(rows, "auc").results]
        assert errors == sorted(errors)
        assert areas == sorted(areas, reverse=True)


def test_several_protocols_and_unknown_names_are_refused(registry):
    rows = [_row(registry, "mcio", "SSDG-R"), _row(registry, "single-source", "FLIP-MCL")]
    with pytest.raises(InputError, match="several protocols"):
        rank(rows, "hter", mixed=True)
    with pytest.raises(InputError, match="expected one of hter"):
        rank(rows, "accuracy")
    with pytest.raises(InputError, match="expected one of mcio"):
        registry.of("other")


def test_polarity_of_the_large_protocol_is_in_the_names_of_its_metrics(registry):
    assert all(name.startswith("attack_") for name in registry.protocols["ssan-large"].metrics)


SMALL = """
format = "despoof-published/1"
missing = []
[words]
training = { sources = "s" }
threshold = { target-eer = "t" }
selection = { best = "b" }
unit = { image = "i" }
[sources]
paper = "text of a paper"
[protocols.p]
title = "two sets"
cells = ["A", "B"]
metrics = ["hter", "auc"]
held_out = "dataset"
[[results]]
protocol = "p"
method = "m"
venue = "v"
training = ["sources"]
threshold = "target-eer"
selection = "best"
unit = "image"
cells = { A = "1.5±0.25/90", B = "–/80" }
sources = ["paper"]
"""


def test_cells_are_read_with_deviation_decimals_and_gaps(tmp_path):
    (tmp_path / "a.toml").write_text(SMALL, encoding="utf-8")
    (row,) = read_registry(tmp_path / "a.toml").results
    assert row.figure("A", "hter") == PublishedFigure(1.5, 0.25, 1)
    assert str(row.figure("A", "auc")) == "90"
    assert (row.figure("B", "hter"), row.mean("hter"), row.mean("auc")) == (None, None, 85)
    assert row.convention == Convention(("sources",), "target-eer", "best", "image")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("despoof-published/1", "despoof-published/2"),
        ('selection = "best"\nunit', 'selection = "worst"\nunit'),
        ('training = ["sources"]', 'training = ["web"]'),
        ('sources = ["paper"]', 'sources = ["hearsay"]'),
        ('sources = ["paper"]', "sources = []"),
        ('metrics = ["hter", "auc"]', 'metrics = ["hter", "accuracy"]'),
        ("A = ", "C = "),
        ("/90", "/190"),
        ("/90", "/90/3"),
        ('venue = "v"', 'vanue = "v"'),
    ],
)
def test_a_row_with_anything_undeclared_is_refused(tmp_path, before, after):
    assert before in SMALL
    (tmp_path / "a.toml").write_text(SMALL.replace(before, after), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"a\.toml"):
        read_registry(tmp_path / "a.toml")


SETS = ("msu-mfsd", "casia-fasd", "replay-attack", "oulu-npu")
ATTACKS = (0.1, 0.2, 0.3, 0.8)


def _file(target="msu-mfsd", *, seed=0, lowest=0.4, **facts):
    """At 0.5 one live of four is refused if its lowest reads 0.4, and one attack of four passes."""
    rows = [
        ScoreRow(f"l{i}", f"s{i}", target, Label.LIVE, "none", value) for i, value in enumerate((0.9, 0.7, 0.6, lowest))
    ]
    rows += [ScoreRow(f"a{i}", f"s{i}", target, Label.ATTACK, "print", value) for i, value in enumerate(ATTACKS)]
    about = {"protocol": "loo-mcio", "cell": f"to-{target}", "model": "m", "seed": seed, "split": "test"}
    about |= {"target": target, "sources": [name for name in SETS if name != target], "unit": "video mean"}
    about |= {"selection": "last step", "thresholds": {"source_eer": {"value": 0.5, "origin": "sources"}}}
    return ScoreFile(tuple(rows), about | facts)


def test_own_run_gives_a_row_per_threshold_source_with_hand_counted_cells(registry):
    files = [_file(name) for name in SETS]
    target, sources = own_results(files, registry.protocols["mcio"])
    assert (target.method, target.own, target.convention.threshold) == ("m", True, "target-eer")
    assert sources.convention == Convention(
        ("part held out", "sources"), "source-validation", "source-validation", "video mean"
    )
    assert sources.mean("hter") == pytest.approx(25)
    assert target.mean("hter") == pytest.approx(25)
    assert target.mean("auc") == pytest.approx(100 * (4 + 3 + 3 + 3) / 16)  # 0.8 lies above three of four live
    assert target.figure("M", "tpr_at_fpr1") == PublishedFigure(25.0)  # only 0.9 lies above every attack


def test_own_cells_are_means_over_seeds_with_their_deviation(registry):
    files = [_file(), _file(seed=1, lowest=0.55)]
    sources = own_results(files, registry.protocols["mcio"])[1]
    assert sources.figure("M", "hter").value == pytest.approx((25 + 12.5) / 2)
    assert sources.figure("M", "hter").sd == pytest.approx(12.5 / 2**0.5)
    assert sources.mean("hter") is None  # of four cells one was run


def test_own_generator_counts_as_training_on_real_faces(registry):
    assert (
        "real-faces" in own_results([_file(counterparts="abc-t501")], registry.protocols["mcio"])[0].convention.training
    )


def test_a_run_on_other_data_or_other_sources_gives_no_row(registry):
    files = [_file("office"), _file(sources=["casia-fasd"]), _file(sources=[*SETS])]
    assert own_results(files, registry.protocols["mcio"]) == []
    assert own_results([_file()], registry.protocols["single-source"]) == []


def test_two_cells_on_one_data_set_are_refused(registry):
    with pytest.raises(InputError, match="one data set"):
        own_results([_file(), _file(cell="again")], registry.protocols["mcio"])


def test_files_that_do_not_say_how_they_were_selected_cannot_be_ranked(registry):
    row = own_results([_file(selection="not found")], registry.protocols["mcio"])[0]
    assert row.convention.unknown == ["selection"]
