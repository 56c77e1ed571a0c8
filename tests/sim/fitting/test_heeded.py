"""Settings that nothing reads are refused; where something reads them the fit is another, which is held against."""

import numpy as np
import pytest
from opposed import opposed_types
from typed_commands import typed

from sim.errors import InputError
from sim.fitting.heeded import require_heeded
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings

REFUSED = [
    ({"n_types": 2, "max_types": 3}, "^max_types: no number of types or clusters is chosen here: n_types says it"),
    ({"method": "dpo", "max_types": 3}, "^max_types: .*dpo has no number to choose"),
    ({"method": "low-rank", "n_types": 2, "max_types": 3}, "^max_types: "),
    ({"method": "dpo", "restarts": 3}, "^restarts: nothing in a fit of dpo starts at random"),
    ({"method": "low-rank", "restarts": 3}, "^restarts: "),
    ({"method": "em-dpo", "n_types": 1, "restarts": 3}, "^restarts: "),
    ({"method": "pooled", "beta": 0.2}, "^beta: pooled reports no policies"),
    ({"method": "low-rank", "beta": 0.2}, "^beta: "),
    ({"method": "group-dpo", "beta": 0.2}, "^beta: "),
    ({"method": "dpo", "beside": ("dpo",)}, "^beside: 'dpo' is the method itself"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_nobody_reads_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        require_heeded(FitSettings(**options))


@pytest.mark.parametrize("options", [
    {"max_types": 3}, {"n_types": 2, "restarts": 3}, {"beta": 0.2}, {"method": "dpo", "beta": 0.2},
    {"method": "maxmin-rlhf", "beta": 0.2}, {"method": "low-rank", "max_types": 3}, {"method": "cluster-dpo"},
    {"n_types": 2, "max_types": 3, "beside": ("pal",)}, {"method": "dpo", "restarts": 3, "beside": ("pal",)},
])  # fmt: skip
def test_what_somebody_reads_is_not(options):
    require_heeded(FitSettings(**options))


def test_restarts_and_the_largest_number_with_pooled_are_of_the_clusters_beside_it():
    """Refused they would be wrongly: the fit that stands beside is another."""
    require_heeded(FitSettings("pooled", max_types=2, restarts=1))
    table = opposed_types(n_annotators=20, answers=12)
    tried = []
    for largest in (2, 4):
        choice = fit(table, FitSettings("pooled", max_types=largest, restarts=1)).fits.choice
        tried.append({candidate.size for candidate in choice.of("cluster")})
    assert tried[0] == {2}
    assert tried[1] > tried[0]


@pytest.mark.parametrize(("options", "name"), [
    ({"method": "dpo"}, "restarts"), ({"method": "dpo"}, "max_types"), ({"n_types": 2, "ridge": 0.1}, "max_types"),
    ({"method": "pooled"}, "beta"),
])  # fmt: skip
def test_what_is_refused_would_change_nothing(options, name):
    table = opposed_types(n_annotators=12, answers=10)
    found = [fit(table, FitSettings(**options, **{name: value})).as_json() for value in (2, 3)]
    for one in found:
        del one["settings"]
    np.testing.assert_equal(found[0], found[1])


@pytest.mark.parametrize(("words", "said"), [
    (("fit", "--method", "dpo", "--restarts", 3), "--restarts: nothing in a fit of dpo"),
    (("fit", "--types", 2, "--max-types", 3), "--max-types: no number"),
    (("fit", "--method", "pooled", "--beta", 0.2), "--beta: pooled reports"),
    (("choice-model", "--draws", 8), "--draws belongs to --random"),
    (("choice-model", "--seed", 8), "--seed belongs to --random"),
])  # fmt: skip
def test_commands_name_the_option(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"chosen": "a", "rejected": "b", "annotator_id": "x"}\n')
    code, _, err = typed(monkeypatch, capsys, words[0], "a.jsonl", *words[1:])
    assert (code, said in err) == (2, True), err
