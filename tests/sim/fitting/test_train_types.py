"""The types of train passengers that docs/choices.md has."""

from __future__ import annotations

import numpy as np
import pytest
from real_files import real_file

from sim.converters.converter import find_converter
from sim.files.preference_files import table_of_rows
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings


def test_what_things_are_worth_to_each_type():
    """Guilders an hour, a change and a class of comfort; prices are in cents, times in minutes."""
    made = find_converter("choices").answers([real_file("choices/train.csv.gz")], "choices")
    report = fit(table_of_rows(made.rows, "train"), FitSettings(n_types=5, ridge=0.003))
    found = report.as_json()
    assert found["mixture"] == pytest.approx([0.48, 0.25, 0.09, 0.09, 0.09], abs=0.006)
    gain = found["differences"]["dpo"]["known_users"]
    assert gain["log_likelihood"] == pytest.approx(0.145, abs=0.002)
    theta = np.asarray(report.model.theta) / report.prepared.scales.scale
    assert report.prepared.feature_names == ("price", "time", "change", "comfort")
    worth = theta[:, 1:] * [60.0, 1.0, 1.0] / (100.0 * theta[:, :1])
    expected = [[8.0, 0.8, 1.9], [8.9, 1.9, 13.2], [79.8, 17.8, 67.5], [254.6, -6.8, 24.1], [12.1, 23.5, 8.7]]
    np.testing.assert_allclose(worth, expected, atol=0.06)
