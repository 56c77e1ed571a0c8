"""An experiment of one's own: module:NAME in the study file, with every engine, its sources in the fingerprint."""

import html
import json
import sys

import pytest
from click.testing import CliRunner
from own_modules_text import coins_module

from pluralign.commands.report import command as report
from pluralign.commands.study import command
from sim.errors import InputError
from sim.studies.cells import run_study
from sim.studies.spec import load_spec

LAST = """
COINS = Experiment(Coins, run, {"coins": Figure(draw, needs=("n",))})
NOT_ONE = 3"""


def _own(folder, name):
    (folder / f"{name}.py").write_text(coins_module(f"from {name}_numbers import FACTOR", LAST))
    (folder / f"{name}_numbers.py").write_text("FACTOR = 2.0\n")
    path = folder / "study.yaml"
    path.write_text(f"experiment: {name}:COINS\nreplicates: 6\ngrid: {{n: [1, 4]}}\nfigure: coins\n")
    return path


def test_every_engine_finds_it(tmp_path):
    spec = load_spec(_own(tmp_path, "own_coins"))
    runs = [
        run_study(spec, {}, cells=tmp_path / engine, workers=2, engine=engine) for engine in ("local", "joblib", "dask")
    ]
    assert runs[0].results["value"] == runs[1].results["value"] == runs[2].results["value"]
    assert runs[0].tasks == 12
    assert runs[0].results["seed_key"][0] == "0/study/own_coins:COINS/0"


def test_its_sources_decide_what_is_taken_from_before(tmp_path):
    spec = load_spec(_own(tmp_path, "other_coins"))
    assert {path.name for path in spec.sources.files} == {"other_coins.py", "other_coins_numbers.py"}
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local").resumed == 0
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local").resumed == 12
    before = run_study(spec, {}, cells=tmp_path / "cells", engine="local").results["value"]
    (tmp_path / "other_coins_numbers.py").write_text("FACTOR = 3.0\n")
    again = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert again.resumed == 0
    assert again.results["value"] == pytest.approx([1.5 * value for value in before]), "the new numbers, in one process"


def test_workers_that_are_used_again_see_an_edit(tmp_path):
    """joblib keeps its processes: an edited module must not be the one they have imported."""
    spec = load_spec(_own(tmp_path, "edited_coins"))
    before = run_study(spec, {}, cells=tmp_path / "cells", workers=2).results["value"]
    (tmp_path / "edited_coins_numbers.py").write_text("FACTOR = 4.0\n")
    after = run_study(spec, {}, cells=tmp_path / "cells", workers=2)
    assert after.resumed == 0
    assert after.results["value"] == pytest.approx([2.0 * value for value in before])


def test_two_folders_may_have_a_module_of_one_name(tmp_path):
    """In one process and in workers that know the other folder's."""
    values = {}
    for number, folder in enumerate(("one", "two"), start=1):
        (tmp_path / folder).mkdir()
        path = _own(tmp_path / folder, "same_coins")
        (tmp_path / folder / "same_coins_numbers.py").write_text(f"FACTOR = {number}.0\n")
        for workers in (1, 2):
            run = run_study(load_spec(path), {}, cells=tmp_path / f"{folder}{workers}", workers=workers)
            values[folder, workers] = run.results["value"]
    assert values["one", 1] == values["one", 2]
    assert values["two", 1] == values["two", 2] == pytest.approx([2.0 * value for value in values["one", 1]])


def test_sources_that_change_while_it_runs_stop_it(tmp_path):
    spec = load_spec(_own(tmp_path, "torn_coins"))
    numbers = tmp_path / "torn_coins_numbers.py"

    def edit(counts):
        if counts.done >= 3:
            numbers.write_text("FACTOR = 5.0\n")

    with pytest.raises(InputError, match="its sources changed while the study ran"):
        run_study(spec, {}, cells=tmp_path / "cells", engine="local", on_progress=edit)
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local").resumed == 0


def test_a_folder_that_was_sent_chooses_no_code(tmp_path, monkeypatch):
    """`report` looks for the experiment where it is run, not where study.json might say."""
    (tmp_path / "work").mkdir()
    path, out = _own(tmp_path / "work", "sent_coins"), tmp_path / "out"
    assert CliRunner().invoke(command, [str(path), "--engine", "local", "--out", str(out)]).exit_code == 0
    study = json.loads((out / "study.json").read_text())
    (out / "sent_payload.py").write_text("raise SystemExit('ran')")
    (out / "study.json").write_text(json.dumps({**study, "experiment": "sent_payload:X", "folder": str(out)}))
    (out / "checksums.json").unlink()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(out)])
    shown = CliRunner().invoke(report, [str(out)])
    assert shown.exit_code == 0, shown.output
    assert "sent_payload" not in sys.modules
    assert "'sent_payload:X' cannot be imported here" in html.unescape((out / "report.html").read_text())


def test_the_commands_run_and_draw_it_again(tmp_path, monkeypatch):
    path, out = _own(tmp_path, "third_coins"), tmp_path / "out"
    done = CliRunner().invoke(command, [str(path), "--engine", "local", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert (out / "coins.svg").stat().st_size > 5000
    (out / "coins.svg").unlink()
    monkeypatch.chdir(tmp_path)
    again = CliRunner().invoke(report, [str(out), "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["study"]["figure"] == "coins"
    assert (out / "coins.svg").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coinz", "choose one of bandit, representation, .*types, .*, or module:NAME of your own"),
        ("no_such_module:COINS", "No module named 'no_such_module'"),
        ("fourth_coins:COIN", "module fourth_coins has no COIN"),
        ("fourth_coins:NOT_ONE", "must be an Experiment"),
        ("[1]", "expected a name"),
    ],
)
def test_what_is_no_experiment_is_said(tmp_path, name, message):
    path = _own(tmp_path, "fourth_coins")
    path.write_text(path.read_text().replace("fourth_coins:COINS", name))
    with pytest.raises(InputError, match=message) as error:
        load_spec(path)
    assert str(path) in str(error.value)


def test_a_figure_needs_its_factors(tmp_path):
    path = _own(tmp_path, "fifth_coins")
    assert load_spec(path).figure == "coins"
    text = path.read_text()
    path.write_text(text.replace("figure: coins\n", ""))
    assert load_spec(path).figure == "coins", "the first the grid has the factors for"
    path.write_text(text.replace("grid: {n: [1, 4]}", "settings: {n: 4}"))
    with pytest.raises(InputError, match="figure 'coins' is drawn against n, which the grid does not vary"):
        load_spec(path)
    path.write_text(text.replace("figure: coins", "figure: coin"))
    with pytest.raises(InputError, match="did you mean 'coins'"):
        load_spec(path)


def test_many_tasks_are_few_files(tmp_path):
    path = _own(tmp_path, "sixth_coins")
    run = run_study(load_spec(path, ["replicates=300"]), {}, cells=tmp_path / "cells", engine="local")
    assert run.tasks == 600
    assert len(list((tmp_path / "cells").iterdir())) == 1
