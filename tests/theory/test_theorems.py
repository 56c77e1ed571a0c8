"""The claims themselves: complete, replayable, and with the verdict that is stated."""

import dataclasses
import json

import numpy as np
import pytest

from theory.engine.checks import CAUGHT, check_theorem, stream_of
from theory.engine.registry import all_theorems, papers
from theory.engine.theorem import Control, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.engine.witnesses import replay, save

THEOREMS = all_theorems()
BY_ID = [pytest.param(theorem, id=theorem.claim_id) for theorem in THEOREMS]
# At another seed than `make check` has them all; how often the longer ones miss, `check --seeds` counts.
CHEAP = [pytest.param(theorem, id=theorem.claim_id) for theorem in THEOREMS if theorem.cost <= 1.0]


def test_claims_have_names_of_their_own():
    names = [theorem.claim_id for theorem in THEOREMS]
    assert len(set(names)) == len(names) >= 100
    assert {theorem.paper for theorem in THEOREMS} == set(papers())


@pytest.mark.parametrize("theorem", BY_ID)
def test_claims_are_complete(theorem):
    assert theorem.statement.endswith(".")
    assert papers()[theorem.paper].source in theorem.source
    assert len(type(theorem).__doc__) > 80
    assert set(theorem.SETTINGS) <= {"as_stated", "as_printed", "as_read", "as_corrected"}
    for variant in theorem.SETTINGS.values():
        assert isinstance(variant, Variant)
        controls = theorem.control(variant.setting)
        assert controls
        assert all(isinstance(control, Control) and control.name for control in controls)
        assert len({control.setting.key() for control in controls}) == len(controls)
    if "as_printed" in theorem.SETTINGS:
        assert "as_corrected" in theorem.SETTINGS


@pytest.mark.parametrize("theorem", BY_ID)
def test_one_draw_is_one_row_of_the_measurement(theorem):
    """A batched measurement and a single replayed draw agree, or witnesses would not replay."""
    for variant in theorem.SETTINGS.values():
        setting = variant.setting
        if setting.replicates > 1:
            # One more than a draw where the measurement is a batch of its own.
            batched = type(theorem).measure is not Theorem.measure
            setting = dataclasses.replace(setting, replicates=2 if batched else 1)
        stream = stream_of(theorem, setting, 11)
        measured = theorem.measure(setting, stream)
        while not len(measured.values):  # This draw tests nothing.
            setting = dataclasses.replace(setting, replicates=setting.replicates + 1)
            measured = theorem.measure(setting, stream_of(theorem, setting, 11))
        last = len(measured.values) - 1
        again = theorem.draw(setting, stream_of(theorem, setting, 11).at(replicate=measured.number(last)))
        assert np.asarray(again) == pytest.approx(measured.values[last], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("theorem", CHEAP)
def test_verdict_is_the_one_stated_and_controls_are_caught(theorem, tmp_path):
    for check in check_theorem(theorem, "quick", seed=1):
        assert check.as_expected, (check.variant, check.verdict, check.attained)
        assert check.power >= 0.8
        for control in check.controls:
            assert control.caught, control.name
            assert control.verdict in CAUGHT
        json.dumps(check.as_json(), allow_nan=False)
        if check.verdict is Verdict.VIOLATED:
            assert replay(save(tmp_path, check)).reproduced
