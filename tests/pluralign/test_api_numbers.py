"""Numbers given to the API: whole ones are whole, NumPy's are as good as Python's and are saved."""

import inspect
import json

import numpy as np
import pytest

import pluralign as pl
from pluralign.api.chosen import Choosing
from sim.arguments import whole_number
from sim.errors import InputError
from sim.streams import Stream

PUBLIC = [own for own in (getattr(pl, name) for name in pl.__all__) if inspect.isfunction(own)]
WHOLE = [
    (function, name)
    for function in (*PUBLIC, Choosing.distil)
    for name, own in inspect.signature(function).parameters.items()
    if str(own.annotation) in ("int", "int | None")
]


def _called(function, name, value):
    """With 1 or None for what has to be given: numbers are looked at before anything else."""
    needed = {
        other: 1 if own.annotation == "int" else None
        for other, own in inspect.signature(function).parameters.items()
        if own.default is own.empty and own.kind in (own.POSITIONAL_OR_KEYWORD, own.KEYWORD_ONLY)
    }
    return function(**{**needed, name: value})


def test_whole_numbers_are_found():
    named = {(function.__name__, name) for function, name in WHOLE}
    assert {("fit", "seed"), ("check", "seed"), ("simulate", "seed"), ("run_study", "seed"), ("convert", "seed"),
            ("fit", "folds"), ("em_dpo", "n_types"), ("axioms", "trials"), ("distil", "pairs")} <= named  # fmt: skip


@pytest.mark.parametrize(("function", "name"), WHOLE, ids=lambda own: getattr(own, "__name__", own))
@pytest.mark.parametrize("value", [True, np.True_, 1.5, 1.0, np.float64(1.0), "a", "1", [1]])
def test_what_is_no_whole_number_is_refused_by_name(function, name, value):
    needed = inspect.signature(function).parameters[name].default is inspect.Parameter.empty
    with pytest.raises(InputError, match=f"^{name} must be a whole number \\(got "):
        _called(function, name, value)
    if needed or not str(inspect.signature(function).parameters[name].annotation).endswith("None"):
        with pytest.raises(InputError, match=f"^{name} must be a whole number \\(got None"):
            _called(function, name, None)


def test_places_are_those_of_arguments_alone():
    rules = pl.axioms("leximin", "median", "Agg[0]", "Agg[1]", trials=5).as_dict()["rules"]
    assert [row["rule"] for row in rules] == ["leximin", "median", "Agg[0]", "Agg[1]"]
    with pytest.raises(InputError, match=r"^n_types must be a whole number \(got 1.5"):
        pl.em_dpo(None, 1.5)


@pytest.mark.parametrize("given", [np.int64(3), np.uint8(3), np.array(3), 3])
def test_a_whole_number_is_pythons(given):
    found = whole_number("n", given)
    assert type(found) is int
    assert found == 3


def test_streams_take_whole_numbers():
    assert Stream(np.int64(3)) == Stream(3)
    assert Stream(np.int64(3)).key == Stream(3).key
    for wrong in (True, 1.0, "1"):
        with pytest.raises(InputError, match="seed must be a whole number"):
            Stream(wrong)


def test_a_fit_by_numbers_of_numpy_is_saved_and_the_same(tmp_path):
    pairs = pl.simulate(n_annotators=np.int64(30), answers=np.int32(12), seed=np.int64(1))
    ours = {"n_types": 2, "restarts": 2, "ridge": 0.5, "beta": 1, "folds": 2, "seed": 7}
    numpys = {name: np.float32(value) if name == "ridge" else np.int64(value) for name, value in ours.items()}
    fit = pl.fit(pairs, method="em-dpo", **numpys)
    fit.save(tmp_path / "fit")
    again = pl.load_fit(tmp_path / "fit")
    kept = json.loads(json.dumps(again.as_dict()))["settings"]
    assert {name: kept[name] for name in ours} == ours
    plain = pl.fit(pl.simulate(n_annotators=30, answers=12, seed=1), method="em-dpo", **ours)
    assert np.array_equal(fit.model.theta, plain.model.theta)


def test_results_by_numbers_of_numpy_go_into_json(tmp_path):
    three = np.int64(3)
    checked = pl.check("maxmin-example", seed=three, workers=np.int64(1), engine="local", out=tmp_path / "check")
    for result in (
        checked,
        pl.axioms("leximin", trials=three * 10, n_annotators=three, seed=three),
        pl.hedge([[0.0, 1.0], [1.0, 0.0]], rounds=three, step=np.float32(0.5)),
        pl.em_dpo(pl.simulate(n_annotators=9, answers=6), np.int64(2), ridge=np.float32(0.5), seed=three),
    ):
        json.dumps(result.as_dict())


def _own_converter(tmp_path, options):
    (tmp_path / "seeded.py").write_text(
        "from pluralign import Converter\n"
        "def rows(files, seed=7):\n"
        "    yield {'chosen': f'seed {seed}', 'rejected': 'b', 'annotator_id': 'i'}\n"
        f"CONVERTER = Converter(rows, schema='any', licence='any', loses='nothing', options={options})\n"
    )
    (tmp_path / "any.csv").write_text("a\n1\n")


def test_a_converter_draws_by_its_own_seed_unless_another_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    _own_converter(tmp_path, {"seed": 7})
    assert pl.convert("seeded:CONVERTER", "any.csv").items[0] == "seed 7"
    assert pl.convert("seeded:CONVERTER", "any.csv", seed=0).items[0] == "seed 0"
    assert pl.convert("seeded:CONVERTER", "any.csv", seed=np.int64(5)).items[0] == "seed 5"


def test_a_seed_where_nothing_is_drawn_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="seed: converter 'hh' has no option of that name"):
        pl.convert("hh", "any.jsonl", seed=0)


@pytest.mark.parametrize("name", ["pairs_per_user", "min_ratings", "min_tag_films"])
@pytest.mark.parametrize("value", [True, 1.5, "5"])
def test_options_of_movielens_are_whole_numbers(name, value):
    with pytest.raises(InputError, match=f"^{name} must be a whole number"):
        pl.convert("movielens", ratings="ratings.csv", movies="movies.csv", **{name: value})
