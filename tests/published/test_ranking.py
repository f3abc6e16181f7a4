"""Tables of published figures: a rank across conventions, or a mean as its source states it, would mislead."""

import pytest

from despoof.errors import InputError
from despoof.published.ranking import NOTHING_OWN, RANKS, protocol_sections, registry_sections
from despoof.published.registry import read_registry
from despoof.report.page import page_markdown


@pytest.fixture(scope="module")
def registry():
    return read_registry()


def _column(table, name):
    return [row[table.rows[0].index(name)] for row in table.rows[1:]]


def test_every_protocol_is_listed_and_can_be_shown_by_each_of_its_metrics(registry):
    (section,) = registry_sections(registry)
    assert _column(section.tables[0], "protocol") == list(registry.protocols)
    for name in registry.protocols:
        for metric in {metric for row in registry.of(name) for metric in row.metrics}:
            text = page_markdown("t", protocol_sections(registry, name, metric=metric))
            assert all(row.method.replace("*", "\\*") in text for row in registry.of(name) if metric in row.metrics)


def test_ranks_stand_only_in_tables_of_one_known_convention(registry):
    rows = {(row.method, str(row.convention)): row for row in registry.of("mcio")}
    ranked = [part for part in protocol_sections(registry, "mcio") if part.title.startswith("One convention")]
    assert RANKS in ranked[0].paragraphs
    for section in ranked:
        convention = section.title.removeprefix("One convention. ")
        group = [rows[method, convention] for method in _column(section.tables[0], "method")]
        assert not group[0].convention.unknown
        means = [row.mean("hter") for row in group]
        assert means == sorted(means)
        assert _column(section.tables[0], "rank") == [str(i + 1) for i in range(len(group))]


def test_every_row_stands_once(registry):
    shown = [
        method
        for part in protocol_sections(registry, "mcio")
        for table in part.tables
        if "mean HTER" in table.rows[0]
        for method in _column(table, "method")
    ]
    assert sorted(shown) == sorted(row.method for row in registry.of("mcio"))


def test_a_mixed_ranking_is_made_only_when_asked_for_and_warns_first(registry):
    plain, mixed = (page_markdown("t", protocol_sections(registry, "mcio", mixed=asked)) for asked in (False, True))
    assert "WARNING" not in plain
    assert "WARNING. These rows are not comparable: they differ in training" in mixed
    assert mixed.index("WARNING") < mixed.index("| rank ")


def test_rows_of_mixed_conventions_show_what_they_were_trained_on(registry):
    for section in (
        next(part for part in protocol_sections(registry, "mcio") if part.title == "Rows without a rank"),
        protocol_sections(registry, "mcio", mixed=True)[1],
    ):
        training = dict(zip(_column(section.tables[0], "method"), _column(section.tables[0], "training"), strict=True))
        assert training["AG-FAS"] == "real-faces + sources"
        assert training["ViT, 0-shot"] == "celeba-spoof + sources"


def test_disagreements_gaps_and_sources_are_told(registry):
    text = page_markdown("t", protocol_sections(registry, "mcio"))
    assert "ViTAF\\*, 5-shot: its source states a mean HTER of 3.31; its cells give 2.84." in text
    assert "arXiv 2604.19196" in text  # looked for and not found
    assert "threshold, target-eer: chosen on the target's own scores, at equal error." in text


def test_a_stated_mean_without_cells_says_that_it_is_stated(registry):
    text = page_markdown("t", protocol_sections(registry, "mcio"))
    row = next(line for line in text.splitlines() if "CF-PAD" in line)
    assert "11.57 (stated; cells not found)" in row


def test_a_run_of_other_data_is_said_to_stand_nowhere(registry):
    from despoof.data.sample import Label
    from despoof.evaluation.scores import ScoreFile, ScoreRow

    rows = (
        ScoreRow("a", "s", "office", Label.LIVE, "none", 0.9),
        ScoreRow("b", "s", "office", Label.ATTACK, "print", 0.1),
    )
    facts = {"protocol": "p", "cell": "to-office", "model": "m", "seed": 0, "split": "test", "target": "office"}
    file = ScoreFile(rows, facts | {"thresholds": {"source_eer": {"value": 0.5, "origin": "sources"}}})
    assert NOTHING_OWN in protocol_sections(registry, "mcio", [file])[0].paragraphs
    assert NOTHING_OWN not in protocol_sections(registry, "mcio")[0].paragraphs


def test_unknown_protocols_and_metrics_are_refused(registry):
    with pytest.raises(InputError, match="expected one of mcio"):
        protocol_sections(registry, "other")
    with pytest.raises(InputError, match="expected one of auc, hter"):
        protocol_sections(registry, "mcio", metric="ece")
