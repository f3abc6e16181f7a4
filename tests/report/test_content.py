"""What a report says, against error rates counted by hand: a figure in the wrong place would be published."""

import pytest

from despoof.data.sample import Label, Sample
from despoof.errors import InputError
from despoof.evaluation.scores import ScoreFile, ScoreRow
from despoof.evaluation.tables import SOURCE_COLUMNS, TARGET_COLUMNS
from despoof.report.content import SOURCE_TABLES, report_sections, words
from despoof.report.page import page_html, page_markdown
from score_files import toy_scores

pytest.importorskip("matplotlib", reason="curves need the extra `report`")

PNG = b"\x89PNG\r\n\x1a\n"


def _file(*, domain="a", **given):
    return toy_scores(domain=domain, prefix="anna-", reason="no_face: nobody in it", **given)


def _sections(files, **options):
    return {section.title.partition(":")[0]: section for section in report_sections(files, rounds=0, **options)}


def _rows(section, place=0):
    """The rows of a table as dicts from column to text."""
    head, *body = section.tables[place].rows
    return [dict(zip(head, row, strict=True)) for row in body]


@pytest.fixture(scope="module")
def one():
    return _sections([_file()])


def test_it_begins_by_saying_that_it_certifies_nothing():
    text = page_markdown("t", report_sections([_file()], rounds=0))
    assert text.index(words()["about"]["no_certification"]) < text.index("|")
    assert "no certification" in page_html("t", report_sections([_file()], rounds=0))


def test_both_kinds_of_threshold_show_hand_counted_figures_beside_their_counts(one):
    (row,) = _rows(one["Thresholds from the sources"])
    assert [row[name] for name in ("model", "cell", "seeds", "live", "attacks")] == ["m", "to-a", "1", "5", "7"]
    assert row["HTER @ source_eer"] == "37.50"  # three of six attacks pass, one of four live is refused
    assert row["APCER max @ source_eer"].startswith("100.00 (")
    assert (row["APNRR"][:5], row["BPNRR"][:5]) == ("14.29", "20.00")  # one of seven, one of five
    (row,) = _rows(one["Thresholds from the test scores"])
    assert row["HTER @ oracle_target_eer"] == "20.83"  # one of six and one of four
    assert row["AUC"] == "83.33"


def test_every_column_of_a_threshold_source_stands_in_exactly_one_table(one):
    assert sorted(name for names in SOURCE_TABLES.values() for name in names) == sorted(SOURCE_COLUMNS)
    shown = [name for place in range(3) for name in one["Thresholds from the sources"].tables[place].rows[0][5:]]
    assert sorted(shown) == sorted(SOURCE_COLUMNS)
    assert set(one["Thresholds from the test scores"].tables[0].rows[0][5:]) == set(TARGET_COLUMNS)


def test_species_are_told_apart(one):
    rows = {row["species"]: row["APCER @ source_eer"] for row in _rows(one["By attack species"])}
    assert (rows["display"][:6], rows["print"][:5]) == ("100.00", "25.00")


def test_domains_of_one_cell_are_told_apart_and_those_without_a_class_named():
    first, second = _file(), _file(domain="b", shift=0.3)
    only_live = ScoreRow("c/1.jpg", "s", "c", Label.LIVE, "none", 0.9)
    rows = _sections([ScoreFile((*first.rows, *second.rows, only_live), first.facts)])["By domain"]
    found = {row["cell"]: row["BPCER @ source_eer"][:5] for row in _rows(rows)}
    assert found == {"to-a, on a": "25.00", "to-a, on b": "0.00 "}  # raised by 0.3, the lowest live reads 0.7
    assert "c." in rows.paragraphs[1]


def test_counts_come_with_the_rule_of_three_and_warnings_where_they_are_small():
    many = [
        ScoreRow(f"{label}-{i}", f"s{i % 20}", "a", label, species, 0.5 + 0.001 * i)
        for label, species, count in ((Label.LIVE, "none", 600), (Label.ATTACK, "print", 150))
        for i in range(count)
    ]
    section = _sections([ScoreFile(tuple(many), _file().facts)])["How far the counts reach"]
    rows = {row["what"]: row for row in _rows(section)}
    assert rows["live"]["allowed, by presentations"] == "0.5"  # 3 / 600
    assert rows["live"]["allowed, by subjects"] == "15.0"  # 3 / 20
    assert rows["attack, print"]["presentations"] == "150"
    (warning,) = section.points
    assert "attack, print: 150 presentations are few" in warning
    assert "2.0 %" in warning


def test_few_subjects_are_a_warning_of_their_own(one):
    assert any("live: 5 subjects are few" in point for point in one["How far the counts reach"].points)


def test_reasons_of_non_response_are_counted_once_for_models_that_agree():
    rows = _rows(_sections([_file(), _file(model="n")])["How far the counts reach"], 1)
    assert [(row["class"], row["reason"], row["presentations"], row["models"]) for row in rows] == [
        ("attack", "no_face", "1", "m, n"),
        ("live", "no_face", "1", "m, n"),
    ]


def test_scores_that_are_no_probability_have_no_reliability_diagram():
    section = _sections([_file(), _file(model="n", shift=0.2)])["Calibration"]
    assert [picture.title for picture in section.pictures] == ["Reliability: m, to-a, seed 0"]
    assert "no probability: n." in section.paragraphs[1]


def test_pictures_say_in_words_what_they_show(one):
    roc, det = one["Curves"].pictures
    assert "m 0.833" in roc.words
    assert "m 20.8 %" in det.words
    (scores,) = one["Scores"].pictures
    assert "live 0.750" in scores.words  # median of 0.9, 0.8, 0.7, 0.4
    assert "Threshold: 0.500" in scores.words
    names = [picture.name for section in one.values() for picture in section.pictures]
    assert len(set(names)) == len(names) == 4


def test_people_are_shown_only_where_a_sheet_was_handed_over(one):
    assert words()["cases"]["not_shown"] in one["Best and worst cases"].paragraphs
    assert not one["Best and worst cases"].pictures
    asked = []
    shown = _sections([_file()], sheet=lambda path: asked.append(path) or PNG)["Best and worst cases"]
    assert words()["cases"]["shown"] in shown.paragraphs
    assert len(shown.pictures) == len(asked) == 8
    assert not any(picture.name for picture in shown.pictures)  # no file of its own


def test_cases_are_named_by_a_hash_and_no_path_is_in_the_report():
    text = page_markdown("t", report_sections([_file()], rounds=0))
    assert "anna" not in text
    assert Sample("a/anna-none-0.jpg", Label.LIVE).key in text


def test_cells_of_several_protocols_are_kept_apart():
    sections = _sections([_file(), _file(protocol="q")])
    assert {row["cell"] for row in _rows(sections["Thresholds from the sources"])} == {"p: to-a", "q: to-a"}
    assert {row["cell"] for row in _rows(sections["Thresholds from the test scores"])} == {"p: to-a", "q: to-a"}


def test_models_are_compared_with_the_one_that_was_chosen():
    files = [_file(), _file(model="n", shift=0.3), _file(model="o")]
    section = {part.title: part for part in report_sections(files, rounds=20, model="n")}["Difference between models"]
    rows = {row["other model"]: row for row in _rows(section)}
    assert set(rows) == {"m", "o"}
    assert rows["m"]["HTER @ source_eer"].startswith("-12.50 (")  # one live of four fewer is refused
    assert "in twenty" in section.paragraphs[0]


def test_origin_of_every_threshold_is_told_and_seeds_share_a_row():
    section = _sections([_file(), _file(seed=1)])["What this was made from"]
    (row,) = _rows(section)
    assert row["seed: source_eer"] == "0: 0.5; 1: 0.5"
    assert row["config_hash"] == "–"
    assert "sources" in section.paragraphs[0]


def test_no_files_and_an_unknown_model_are_refused():
    with pytest.raises(InputError, match="despoof evaluate"):
        report_sections([])
    with pytest.raises(InputError, match="expected one of m"):
        report_sections([_file()], rounds=0, model="other")
