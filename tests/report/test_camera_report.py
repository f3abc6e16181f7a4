"""The report of folds over cameras: its figures are those of the tables, and a missing fold is said."""

import pytest

from despoof.data.sample import Sample
from despoof.errors import InputError
from despoof.evaluation import cameras
from despoof.evaluation.crossfit import cross_fitted
from despoof.faces.store import StoredSample
from despoof.report.content import report_sections
from despoof.report.page import page_html, page_markdown
from score_files import random_folds, toy_scores

pytest.importorskip("matplotlib", reason="dots need the extra `report`")


def _sections(files, **options):
    return {section.title: section for section in report_sections(files, rounds=20, **options)}


def test_the_page_has_the_tables_over_cameras_and_a_dot_for_each():
    files = random_folds(0) + random_folds(1, model="other")
    for file in files[4:]:  # both models saw the same presentations
        assert file.presented == files[files.index(file) - 4].presented
    found = _sections(files, model="other")
    tables = found["Cameras that no model saw"].tables
    models = [cameras.on_cameras(each, rounds=20) for each in cross_fitted(files)]
    assert [table.rows for table in tables] == [tuple(rows) for rows in cameras.all_tables(models, "other").values()]
    (picture,) = found["HTER of each camera"].pictures
    for each in models:
        assert f"{each.judged.model} {100 * each.mean(each.figures[cameras.HTER]).value:.1f} %" in picture.words
    assert "Thresholds from the sources" not in found
    assert "Groups of live presentations" not in found
    origin = found["What this was made from"].tables[0].rows
    assert {row[-1] for row in origin[1:]} == {"0: cross-fitted"}
    for page in (page_html("t", list(found.values())), page_markdown("t", list(found.values()))):
        assert "worst AUC" in page


def test_groups_need_the_store():
    files = random_folds(0)
    stored = [
        StoredSample(Sample(row.path, row.label, row.attack_type), "face", quality={"luma": float(i % 9)})
        for i, row in enumerate(row for file in files for row in file.rows)
    ]
    section = _sections(files, stored=stored)["Groups of live presentations"]
    assert [row[2].partition(" third")[0] for row in section.tables[0].rows[1:]] == [
        "luma, darkest", "luma, middle", "luma, brightest",
    ]  # fmt: skip
    assert section.points


def test_a_run_that_is_not_whole_is_named_and_left_out():
    files = random_folds(0) + random_folds(1, model="half")[:3]
    section = _sections(files)["Cameras that no model saw"]
    assert any("half" in text and "expected all folds" in text for text in section.paragraphs)
    assert {row[1] for row in section.tables[0].rows[1:]} == {"m"}
    with pytest.raises(InputError, match="no model has all its folds"):
        report_sections(files[4:], rounds=0)


def test_domains_and_cameras_stand_in_one_report():
    found = _sections([*random_folds(0), toy_scores()])
    assert {"Cameras that no model saw", "Thresholds from the sources"} <= set(found)
    with pytest.raises(InputError, match="expected one of m"):
        report_sections([toy_scores()], model="n")
