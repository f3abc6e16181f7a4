"""Means and shares with their intervals against hand counts, and tables of any dataclass."""

from dataclasses import dataclass

import numpy as np
import pytest

from despoof.studies.tables import Estimate, Share, table


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    mean, half = Estimate.of_mean(np.array([1.0, 2.0, 3.0, 4.0])), 1.96 * np.sqrt(5 / 3) / 2  # variance 5/3 over n - 1
    assert (mean.value, mean.low, mean.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    assert np.isnan(Estimate.of_mean(np.array([1.0])).low)
    assert np.isnan(Estimate.of_mean(np.array([])).value)


def test_the_interval_of_a_share_is_exact() -> None:
    assert str(Share(1, 20)) == "1 of 20 (0.1–24.9 %)"  # Clopper-Pearson, tables


def test_a_table_has_a_column_for_each_field_and_key() -> None:
    @dataclass
    class Row:
        some_name: str
        auc: dict[str, float]
        share: Share

    lines = table([Row("x", {"a": 0.5, "b": 1.0}, Share(1, 20))] * 2).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["some name", "auc a", "auc b", "share"]
    assert cells[2] == cells[3] == ["x", "0.500", "1.000", "1 of 20 (0.1–24.9 %)"]
