"""Tables from small score files whose error rates are counted by hand: a wrong column would be published."""

import numpy as np
import pytest

from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile
from despoof.evaluation.tables import (
    SOURCE_COLUMNS,
    TARGET_COLUMNS,
    markdown,
    species_markdown,
    table_lines,
    table_markdown,
)
from despoof.metrics import proportion_interval
from score_files import toy_scores


def _file(*, cell="to-a", **given):
    return toy_scores(domain=cell, cell=cell, **given)


def _cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_figures_at_the_source_threshold_are_the_hand_counted_ones():
    (line,) = table_lines([_file()], rounds=50)
    values = {name: figure.value for name, figure in line.figures.items()}
    assert values.pop("ECE") > 0
    assert values == pytest.approx(
        {
            "HTER @ source_eer": (3 / 6 + 1 / 4) / 2,
            "APCER max @ source_eer": 1.0,
            "BPCER @ source_eer": 1 / 4,
            # Thresholds in (0.6, 0.7] refuse one live of four and pass one attack of six; no gap is smaller.
            "EER": (1 / 6 + 1 / 4) / 2,
            "AUC": 20 / 24,
            "HTER @ 0.5": (3 / 6 + 1 / 4) / 2,
            # Thresholds in (0.7, 0.75] refuse two live of four and pass one display of two: both rates are 1/2.
            "D-EER": 1 / 2,
            "BPCER @ APCER 10 %": 2 / 4,
            "BPCER @ APCER 5 %": 2 / 4,
            "BPCER @ APCER 1 %": 2 / 4,
            # No live may be refused, so the threshold is at most 0.4 and both displays pass.
            "APCER @ BPCER 10 %": 1.0,
            "APCER @ BPCER 5 %": 1.0,
            "APCER @ BPCER 1 %": 1.0,
            "APNRR": 1 / 7,
            "BPNRR": 1 / 5,
            "HTER @ oracle_target_eer": (1 / 6 + 1 / 4) / 2,
        }
    )
    assert (line.live, line.attack, line.seeds) == (5, 7, 1)
    assert {name: figure.value for name, figure in line.species.items()} == {"print": 0.25, "display": 1.0}


def test_target_threshold_reads_the_same_file_with_the_target_threshold():
    (line,) = table_lines([_file(threshold=0.0)], "target", rounds=0)
    assert {name: figure.value for name, figure in line.figures.items()} == pytest.approx(
        {"HTER @ oracle_target_eer": (1 / 6 + 1 / 4) / 2, "AUC": 20 / 24, "TPR @ FPR 1 %": 0.5}
    )


def test_only_columns_named_oracle_or_curve_ignore_the_source_threshold():
    before, after = (table_lines([_file(threshold=t)], rounds=0)[0].figures for t in (0.5, 0.65))
    changed = {name for name in before if before[name].value != pytest.approx(after[name].value)}
    assert changed == {"HTER @ source_eer", "APCER max @ source_eer"}
    assert all("source_eer" in name for name in changed)
    assert {name for name in TARGET_COLUMNS if "HTER" in name} == {"HTER @ oracle_target_eer"}


def test_counted_rates_have_clopper_pearson_intervals_of_their_own_presentations():
    (line,) = table_lines([_file()], rounds=20)
    assert line.figures["BPCER @ source_eer"].interval == proportion_interval(1, 4)
    assert line.figures["APCER max @ source_eer"].interval == proportion_interval(2, 2)
    assert line.figures["APNRR"].interval == proportion_interval(1, 7)
    assert line.species["print"].interval == proportion_interval(1, 4)
    hter = line.figures["HTER @ source_eer"]
    assert hter.interval.low <= hter.value <= hter.interval.high
    assert table_lines([_file()], rounds=0)[0].figures["AUC"].interval is None


def test_seeds_give_mean_and_sample_deviation_and_no_more_presentations():
    # Raised by 0.2, live reads 1.1, 1.0, 0.9, 0.6: none below 0.5.
    (line,) = table_lines([_file(), _file(seed=1, shift=0.2)], rounds=20)
    figure = line.figures["BPCER @ source_eer"]
    assert (figure.value, figure.sd) == pytest.approx((1 / 8, np.std([0.25, 0], ddof=1)))
    assert figure.interval == proportion_interval(0.5, 4)
    assert (line.seeds, line.live) == (2, 5)


def test_error_at_one_half_is_of_that_liveness_whatever_the_source_threshold_is():
    live_at_half = _file(threshold=0.9, shift=0.1)  # the lowest live is 0.5 and the highest 1.0: none is refused
    (line,) = table_lines([live_at_half], rounds=20)
    assert line.figures["HTER @ 0.5"].value == pytest.approx(3 / 6 / 2)
    assert line.figures["HTER @ 0.5"].interval is not None


def test_rates_at_a_fixed_bpcer_have_the_interval_of_the_species_that_passes_most():
    (line,) = table_lines([_file()], rounds=0)
    assert line.figures["APCER @ BPCER 10 %"].interval == proportion_interval(2, 2)
    assert line.figures["D-EER"].interval is None


def test_liveness_outside_0_to_1_has_no_calibration_error_and_no_error_at_one_half():
    (line,) = table_lines([_file(shift=0.2)], rounds=0)
    assert np.isnan(line.figures["ECE"].value)
    assert np.isnan(line.figures["HTER @ 0.5"].value)
    assert "–" in _cells(table_markdown([line]))[2]


def test_mean_over_cells_weighs_cells_alike_and_models_stay_apart():
    files = [_file(), _file(cell="to-b", threshold=0.35), _file(model="other")]
    lines = table_lines(files, rounds=0)
    assert [(line.model, line.cell) for line in lines] == [
        ("m", "to-a"),
        ("m", "to-b"),
        ("m", "mean"),
        ("other", "to-a"),
    ]
    # At 0.35 no live is refused and 3 of 6 attacks pass.
    assert lines[1].figures["HTER @ source_eer"].value == pytest.approx(0.25)
    assert lines[2].figures["HTER @ source_eer"].value == pytest.approx((0.375 + 0.25) / 2)
    assert lines[2].figures["HTER @ source_eer"].interval is None


def test_deviation_of_the_mean_is_over_seeds_and_not_over_cells():
    files = [_file(cell=cell, seed=seed) for cell in ("to-a", "to-b") for seed in (0, 1)]
    mean = table_lines(files, rounds=0)[-1]
    assert (mean.cell, mean.figures["AUC"].sd) == ("mean", 0)


def test_markdown_shows_counts_percent_deviation_and_interval():
    text = table_markdown(table_lines([_file(), _file(seed=1, shift=0.2)], rounds=20))
    head, rule, row = text.splitlines()
    assert [name.strip() for name in head.split("|")[1:7]] == ["protocol", "model", "cell", "seeds", "live", "attack"]
    assert head.count("|") == rule.count("|") == row.count("|") == len(SOURCE_COLUMNS) + 7
    low, high = (100 * end for end in (proportion_interval(0.5, 4).low, proportion_interval(0.5, 4).high))
    assert f"12.50 ± 17.68 ({low:.1f}–{high:.1f})" in row
    assert ["p", "m", "to-a", "1", "display", "100.00 (15.8–100.0)"] in _cells(
        species_markdown(table_lines([_file()], rounds=0))
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([_file(split="validation")], "validation file"),
        ([_file(), _file()], "one seed"),
        ([_file(), ScoreFile(_file().rows[1:], _file(seed=1).facts)], "other samples"),
        ([ScoreFile(_file().rows, _file().facts | {"thresholds": {}})], "source_eer"),
    ],
)
def test_files_that_do_not_make_one_line_are_refused(files, message):
    with pytest.raises(InputError, match=message):
        table_lines(files, rounds=0)


def test_an_unknown_threshold_source_and_no_files_are_refused():
    with pytest.raises(InputError, match="sources, target"):
        table_lines([_file()], "best")
    with pytest.raises(InputError, match="Run a protocol"):
        table_markdown(table_lines([]))


def test_cells_of_a_markdown_table_stand_as_given():
    text = markdown(["a", "b|c"], [["1e5", 0.10], ["007", "x|y"]])
    assert [line.replace(" ", "") for line in text.splitlines()[2:]] == ["|1e5|0.1|", "|007|x\\|y|"]
    assert text.splitlines()[0].count("\\|") == 1


def test_of_species_that_pass_alike_the_first_by_name_gives_the_interval():
    (line,) = table_lines([_file(threshold=0.95)], rounds=0)  # neither passes: 0 of 2 displays, 0 of 4 prints
    assert line.figures["APCER max @ source_eer"].interval == proportion_interval(0, 2)
