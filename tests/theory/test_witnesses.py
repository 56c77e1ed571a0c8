"""Counter-examples that replay, and files that are no witnesses."""

import json

import pytest

from sim.errors import InputError
from theory.engine.checks import check_theorem
from theory.engine.registry import find
from theory.engine.witnesses import read, replay, save


@pytest.fixture(scope="module")
def check():
    return next(c for c in check_theorem(find("regret-beta"), "quick", 5) if c.variant == "as_printed")


def _changed(tmp_path, check, **changes):
    path = save(tmp_path, check)
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    return path


def test_replays(tmp_path, check):
    result = replay(save(tmp_path, check))
    assert result.reproduced
    assert result.recomputed[0] > result.limit
    assert "true_regret" in result.payload


def test_a_changed_value_is_not_reproduced(tmp_path, check):
    assert not replay(_changed(tmp_path, check, value=check.witness.value * 1.001)).reproduced
    assert not replay(_changed(tmp_path, check, seed=6)).reproduced


def test_checks_that_hold_leave_no_witness(tmp_path):
    holding = next(c for c in check_theorem(find("regret-beta"), "quick", 5) if c.variant == "as_corrected")
    assert save(tmp_path, holding) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": ...}, "field 'seed': is missing"),
        ({"replicate": "three"}, "field 'replicate': has the wrong type"),
        ({"replicate": -1}, "expected a number from 0"),
        ({"claim_id": "regret-bta"}, "did you mean 'regret-beta'"),
        ({"variant": "as_wished"}, "no variant 'as_wished'"),
        ({"profile": "slow"}, "expected quick or full"),
        ({"setting": "replicates=2"}, "setting has changed"),
    ],
)
def test_malformed_witnesses_get_one_line(tmp_path, check, changes, expected):
    with pytest.raises(InputError) as caught:
        replay(_changed(tmp_path, check, **changes))
    assert expected in str(caught.value)


def test_no_witness_at_all(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    for name, expected in (
        ("broken.json", "is not JSON"),
        ("list.json", "one JSON object"),
        ("none", "cannot be read"),
    ):
        with pytest.raises(InputError, match=expected):
            read(tmp_path / name)
