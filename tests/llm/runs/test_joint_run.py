"""Runs whose groups share forward passes: as those of one group after the other, and resumed as themselves."""
# ruff: noqa: F811  # fixtures are imported

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from saved_runs import FAST, contents, interrupted, pairs, settings  # noqa: E402, F401
from test_two_processes import require_alike  # noqa: E402
from tiny_llm import tiny  # noqa: E402, F401

from llm.runs import number_of_types  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training import joint_policies  # noqa: E402

NOTE = "note: a step's answers of all groups go through the model together"


@pytest.fixture(scope="module")
def together(settings):
    return replace(settings, training=replace(settings.training, together=True, epochs=2))


@pytest.fixture(scope="module")
def whole(together, tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("whole") / "run", []
    train_run(together, folder, said.append)
    assert NOTE in said
    return folder


def test_groups_together_are_groups_one_after_the_other(together, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(number_of_types, "fits_together", lambda *arguments: False)
    said = []
    train_run(together, tmp_path / "run", said.append)
    assert "note: a training step of all groups does not fit into memory: they are fitted one by one" in said
    assert NOTE not in said
    require_alike(tmp_path / "run", whole)


@pytest.mark.parametrize("kind", ["part", "fit", "scores"])
def test_a_killed_run_ends_in_the_same_bytes(together, whole, tmp_path, monkeypatch, kind):
    # Scores are kept from so many rows.
    monkeypatch.setattr(joint_policies, "WORTH_KEEPING", 1)
    interrupted(together, tmp_path / "run", monkeypatch, kind, times=1)
    train_run(together, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(whole)
    assert json.loads((whole / "config.json").read_text())["training"]["together"] is True
