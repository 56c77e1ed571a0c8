"""What a study keeps of what it ran with, mistakes of its experiment's table and figure, and whose folder it takes."""

import json
import sys

import pytest
from click.testing import CliRunner
from own_modules_text import coins_module

import pluralign as pl
from pluralign.commands.study import command
from sim.errors import InputError

LAST = """
def table(results, factors):
    return "coins: " + means_table(results, factors)

COINS = Experiment(Coins, run, {"coins": Figure(draw, needs=("n",))}, table=table)"""


@pytest.fixture
def coins(tmp_path, monkeypatch, request):
    """The study file of an experiment in a module of its own, both in the folder `work`, where we are."""
    name = "kept_" + "".join(mark for mark in request.node.name if mark.isalnum())[-30:]
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (work / f"{name}.py").write_text(coins_module("FACTOR = 2.0", LAST))
    (work / "coins.yaml").write_text(
        f"experiment: {name}:COINS\ntitle: Coins\nreplicates: 3\ngrid: {{n: [1, 4]}}\nfigure: coins\n"
    )
    yield work / "coins.yaml", work / f"{name}.py"
    sys.modules.pop(name, None)


def _edit(file, was, now):
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, now))


@pytest.mark.parametrize("change", ["edit", "remove", "settings", "all gone"])
def test_what_it_ran_with_is_kept_whatever_comes_after(coins, tmp_path, change):
    study, module = coins
    pl.run_study(study, workers=1).save(tmp_path / "at_once")
    result = pl.run_study(study, workers=1)
    if change == "edit":
        _edit(module, "FACTOR = 2.0", "FACTOR = 3.0")
        _edit(module, '"coins: "', '"other coins: "')
        _edit(module, "n: int = 1", "n: int = 1\n    more: int = 7")
    if change in ("remove", "all gone"):
        module.unlink()
    if change in ("settings", "all gone"):
        study.unlink()
    assert result.overview.startswith("coins: ")
    assert result.as_dict()["study"]["settings"] == {}
    result.save(tmp_path / "later")
    for name in ("study.json", "summary.md", "coins.svg"):
        assert (tmp_path / "later" / name).exists()
    one, two = (json.loads((tmp_path / folder / "study.json").read_text()) for folder in ("at_once", "later"))
    assert one == two
    assert "more" not in two["settings"]


def test_an_edited_study_file_is_another_code(coins, tmp_path):
    """In one process, which reads our own sources once."""
    study, _ = coins
    pl.run_study(study, workers=1, out=tmp_path / "one")
    study.write_text(study.read_text() + "# another line\n")
    pl.run_study(study, workers=1, out=tmp_path / "two")
    one, two = (json.loads((tmp_path / folder / "study.json").read_text())["code"] for folder in ("one", "two"))
    assert one != two


MISTAKES = {
    "table": ('return "coins: "', 'return 1 / 0, "coins: "', r"table raised ZeroDivisionError \({file}, line 23\)"),
    "no text": ('return "coins: " + means', 'return len, means', "table must return a text"),
    "figure": ("figure, axes = panels(1)", "1 / 0", r"figure 'coins' raised ZeroDivisionError \({file}, line 18\)"),
    "no files": ("return finish(", "return print(", "figure 'coins' must return the files that it wrote"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_a_table_or_a_figure_loses_no_run(coins, tmp_path, kind):
    study, module = coins
    was, now, message = MISTAKES[kind]
    _edit(module, was, now)
    message = f"experiment '{module.stem}:COINS': " + message.format(file=module.name)
    result = pl.run_study(study, workers=1)
    assert "6 rows" in result.page().title
    with pytest.raises(InputError, match=message):
        result.plot() if kind in ("figure", "no files") else result.overview
    with pytest.raises(InputError, match=message + ".*; the numbers are in .*saved"):
        result.save(tmp_path / "saved")
    with pytest.raises(InputError, match=message):
        pl.run_study(study, workers=1, out=tmp_path / "ran")
    done = CliRunner().invoke(command, [str(study), "--engine", "local", "--out", str(tmp_path / "typed")])
    assert isinstance(done.exception, InputError)
    for folder in ("saved", "ran", "typed"):
        again = pl.load_study(tmp_path / folder)
        assert again.results["value"] == result.results["value"]
        assert "heads" in (tmp_path / folder / "summary.md").read_text()
    # It is mended, and drawn of the numbers that are there.
    _edit(module, now, was)
    assert pl.load_study(tmp_path / "ran").overview.startswith("coins: ")
    pl.load_study(tmp_path / "ran").plot()


def test_a_study_is_not_saved_over_another_one(coins, tmp_path):
    study, _ = coins
    mine = pl.run_study(study, workers=1)
    mine.save(tmp_path / "out")
    mine.save(tmp_path / "out")
    before = (tmp_path / "out" / "results.parquet").read_bytes()
    other = pl.run_study(study, workers=1, settings={"title": "Other coins"})
    with pytest.raises(InputError, match=r"out: holds another study, 'Coins' of kept_.*; name another folder"):
        other.save(tmp_path / "out")
    assert (tmp_path / "out" / "results.parquet").read_bytes() == before


def test_what_draws_a_study_that_was_read_is_what_ran_it(coins, tmp_path, monkeypatch):
    study, module = coins
    pl.run_study(study, workers=1).save(tmp_path / "sent")
    pl.run_study(study, workers=1, out=tmp_path / "out")
    # From elsewhere, as long as the module is loaded.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for folder in ("sent", "out"):
        pl.load_study(tmp_path / folder).plot()
        assert pl.load_study(tmp_path / folder).overview.startswith("coins: ")
    # Of another module of that name nothing is run, however it comes to lie there.
    message = rf"'{module.stem}:COINS' cannot be imported here .*; draw where the study"
    sys.modules.pop(module.stem)
    sys.path[:] = [place for place in sys.path if place != str(module.parent)]
    (elsewhere / module.name).write_text("raise SystemExit('ran')")
    for folder in ("sent", "out"):
        with pytest.raises(InputError, match=message):
            pl.load_study(tmp_path / folder).plot()
        assert "heads" in pl.load_study(tmp_path / folder).overview
    assert module.stem not in sys.modules


def test_a_study_file_below_where_we_are_finds_the_module_beside_it(coins, tmp_path, monkeypatch):
    study, module = coins
    pl.run_study(study, workers=1, out=tmp_path / "out")
    sys.modules.pop(module.stem)
    monkeypatch.chdir(tmp_path)
    sys.path[:] = [place for place in sys.path if place != str(module.parent)]
    pl.load_study(tmp_path / "out").plot()
