"""Names that files and folders give, beside names of ours."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from llm.runs.sampled_tables import scorers_of_groups  # noqa: E402
from llm.runs.table_rows import OWN_ROWS, table_rows  # noqa: E402
from sim.errors import InputError  # noqa: E402


def _run(folder, method, n):
    adapters = tuple(f"group_{k}" for k in range(n))
    mixture = SimpleNamespace(method=method, adapters=adapters, mixture=(1 / n,) * n)
    return SimpleNamespace(folder=folder, mixture=mixture, policies=tuple(f"{method} {k}" for k in range(n)))


def test_runs_in_folders_called_as_rows_of_ours_are_refused(tmp_path):
    run, other = _run(tmp_path, "em-dpo", 2), _run(tmp_path, "dpo", 1)
    policies, ensembles, grouping = table_rows(run, {"dpo": other})
    assert list(policies) == ["em-dpo/group_0", "em-dpo/group_1", "dpo"]
    assert grouping == {"em-dpo": ["em-dpo/group_0", "em-dpo/group_1"], "dpo": ["dpo"]}
    assert [row.name for row in ensembles] == ["em-dpo by shares"]
    for name in (*OWN_ROWS, "em-dpo by shares"):
        with pytest.raises(InputError, match=f"two rows of the tables would be called '{name}'"):
            table_rows(run, {name: other})


def test_a_group_called_as_an_adapter_is_not_that_adapter():
    scorers = {name: SimpleNamespace(name=f"scorer of {name}") for name in ("group_1", "bad")}
    adapters = ("group_0", "group_1")
    assert scorers_of_groups(scorers, {0: "group_1", 1: "group_0"}, adapters) == ["scorer of group_1", ""]
    assert scorers_of_groups(scorers, {0: "bad", 1: "good"}, adapters) == ["scorer of bad", "scorer of group_1"]
    assert scorers_of_groups(scorers, {0: "group 0", 1: "group 1"}, adapters) == ["", "scorer of group_1"]
