"""What a fit refuses before the work, and what it keeps to where a method of one's own goes its own ways."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from opposed import opposed_types
from tastes import rows_of_tastes

from sim.errors import InputError
from sim.files.preference_files import table_of_rows
from sim.fitting import methods
from sim.fitting.compare import PLAIN
from sim.fitting.diagnostics import spectrum
from sim.fitting.figures import group_figure
from sim.fitting.low_rank_choice import ranks_up_to
from sim.fitting.method import Grid, Group, Method, Problem
from sim.fitting.methods import METHODS, TAKEN, find_method
from sim.fitting.methods.low_rank import LowRank
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings
from sim.likelihoods import log_sigmoid


class Sign(Method):
    """Each annotator weighs one feature; what it needs beside that is None."""

    name, beside, per_annotator = "sign", ("pooled",), ("weights",)

    def grid(self, problem):
        return Grid((0,), (0.5, 1.0), untried=1.0)

    def fit(self, answers, size, ridge, task):
        weights = np.zeros((answers.n_annotators, answers.differences.shape[1]))
        for i in answers.answered:
            mean = np.sign(answers.differences[answers.of(i)]).mean(axis=0)
            best = np.abs(mean).argmax()
            weights[i, best] = np.sign(mean[best]) * ridge
        return weights

    def log_likelihood(self, model, answers):
        return log_sigmoid((model[answers.annotator] * answers.differences).sum(axis=1))

    def adapt(self, model, answers):
        return self.fit(answers, 0, 1.0, None)

    def describe(self, model, prepared, centre, stream):
        return ()

    def parameters(self, model):
        return {"weights": model, "width": np.array(model.shape[1]), "never": None}

    def restore(self, parameters):
        assert parameters["never"] is None
        return parameters["weights"]


def _named(title, **own):
    """module:NAME of a subclass of `Sign` with these attributes."""
    vars(sys.modules[__name__])[title] = type(title, (Sign,), {"name": title.lower(), **own})
    return f"{__name__}:{title}"


@pytest.fixture(scope="module")
def table():
    return opposed_types(groups=False, n_annotators=24, answers=20)


def _sizes(report, method):
    return sorted({c.size for c in report.fits.choice.tried if c.method == method})


def test_parameters_that_are_none_are_kept_as_none(table, tmp_path):
    report = fit(table, FitSettings(_named("WithNone")))
    save_fit(tmp_path / "fit", report)
    read = load_fit(tmp_path / "fit")
    assert np.array_equal(read.model, report.model)
    assert json.loads((tmp_path / "fit" / "parameters.json").read_text())["width"] == 3

    def forgotten(self, parameters):
        return parameters["forgotten"]

    _named("WithNone", restore=forgotten)
    with pytest.raises(InputError, match=r"method \w+: restore raised KeyError.*forgotten"):
        load_fit(tmp_path / "fit")


def test_parameters_that_are_objects_are_refused(table, tmp_path):
    whole = _named("Objects", parameters=lambda self, model: {"weights": np.array([{"a": 1}], dtype=object)})
    report = fit(table, FitSettings(whole))
    with pytest.raises(ValueError, match="parameters of objects: 'weights' must hold numbers or texts"):
        save_fit(tmp_path / "fit", report)
    assert not list(tmp_path.iterdir())


def test_what_a_reader_finds_does_not_hang_on_the_number_of_features(tmp_path):
    """24 features and 24 annotators: the subspace was taken for a row an annotator, and left out."""
    table = opposed_types(groups=False, n_annotators=24, answers=20)
    more = np.random.default_rng(0).normal(size=(80, 21))
    object.__setattr__(table, "features", np.hstack([table.features, more]))
    object.__setattr__(table, "feature_names", tuple(f"f{j}" for j in range(24)))
    report = fit(table, FitSettings("shared", n_types=2))
    report.save(tmp_path / "fit")
    told = json.loads((tmp_path / "fit" / "parameters.json").read_text())
    assert np.array(told["subspace"]).shape == (24, 2)
    assert np.array(told["centre"]).shape == (24,)
    assert not {"theta", "label"} & set(told)
    assert "theta" not in told["beside"]["personal"]


@pytest.mark.parametrize("name", ["coin", "length", "full-rank", "popularity", "low-rank-on-popularity"])
def test_names_of_what_stands_beside_are_taken(table, name):
    whole = _named("Taken", name=name)
    with pytest.raises(InputError, match=f"has the name '{name}' of one of ours"):
        fit(table, FitSettings(whole))


def test_extra_methods_have_names_of_their_own_and_what_they_take_over(table):
    for name in ("pooled", "personal", "coin", "length"):
        with pytest.raises(InputError, match=f"extra: there is one called '{name}' already"):
            fit(table, FitSettings("pooled"), extra=(type("X", (Sign,), {"name": name})(),))
    with pytest.raises(InputError, match="extra: 'x' takes over the size of 'shared', which is not fitted with dpo"):
        fit(table, FitSettings("dpo"), extra=(type("X", (Sign,), {"name": "x", "like": "shared"})(),))


def test_every_method_that_nobody_asks_for_is_named():
    inner = set()
    for path in Path(methods.__file__).parent.glob("[a-z]*.py"):
        module = __import__(f"sim.fitting.methods.{path.stem}", fromlist=["x"])
        for value in vars(module).values():
            if isinstance(value, type) and Method in value.__mro__ and value.__module__ == module.__name__:
                inner.add(getattr(value, "name", None))
    # The network's method lives in another room.
    assert inner - set(METHODS.ours) - {None} | set(PLAIN) | {"shared-network"} == set(TAKEN)


@pytest.mark.parametrize("beside", [(), ("alone",)])
def test_a_method_needs_a_reward_common_to_all_beside_it(table, beside):
    with pytest.raises(InputError, match="let `beside` begin with pooled or dpo"):
        fit(table, FitSettings(_named("Alone", beside=beside)))


def test_a_method_none_of_whose_sizes_could_be_tried(table):
    """It had another method's size and ridge: here pooled's, 0 and some hundredths."""

    def grid(self, problem):
        return Grid((problem.n_annotators + self.more,), (0.5, 1.0), untried=0.7)

    found = {}

    def kept(self, answers, size, ridge, task):
        if task is not None and task.final:
            found["fitted"] = size, ridge
        return Sign.fit(self, answers, size, ridge, task)

    with pytest.raises(InputError, match=r"method: 'toolarge' tries \d+ dozens at least, and \d+ is the most"):
        fit(table, FitSettings(_named("TooLarge", grid=grid, more=100, counts="dozens")))
    with pytest.raises(InputError, match="method: 'nosize' tries no size at all"):
        fit(table, FitSettings(_named("NoSize", grid=lambda self, problem: Grid((), (0.5,), untried=0.5))))
    # All of whom are needed, some of whom are held out.
    bare = opposed_types(groups=False, n_annotators=12, answers=3, n_items=1000)
    train = len(fit(bare, FitSettings(_named("Small"))).prepared.trained)
    whole = _named("AllOfThem", grid=lambda self, problem: Grid((train,), (0.5, 1.0), untried=0.7), fit=kept)
    report = fit(bare, FitSettings(whole))
    chosen = report.fits.choice.chosen["allofthem"]
    assert not report.fits.choice.of("allofthem")
    assert found["fitted"] == (chosen.size, chosen.ridge) == (train, 0.7)


def test_a_grid_may_say_how_large_a_size_is_possible(table):
    """Sizes that count no annotators: of 100 leaves, say."""
    whole = _named("Leaves", grid=lambda self, problem: Grid((100, 200), (0.5,), untried=0.5, largest=150))
    report = fit(table, FitSettings(whole))
    assert _sizes(report, "leaves") == [100]
    with pytest.raises(InputError, match="n_types: 151 sizes and at most 150 are possible here"):
        fit(table, FitSettings(whole, n_types=151))


def test_a_group_without_traits_is_drawn():
    groups = [Group(1, 0.5, ()).as_json(), {"group": 2, "share": None, "against_pooled": [
        {"feature": "a", "coefficient": 1.0, "standard_error": 0.1}]}]  # fmt: skip
    assert group_figure({"groups": groups}) is not None
    assert group_figure({"groups": groups[:1]}) is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "pooled", "n_types": 5}, "n_types: pooled has no number of its own to choose"),
        ({"method": "personal", "n_types": 5}, "n_types: personal has no number"),
        ({"method": "dpo", "n_types": 5}, "n_types: dpo has no number"),
        ({"method": "personal", "priorities": (1.0, 2.0)}, "priorities: only policies of groups have them"),
        ({"method": "low-rank", "priorities": (1.0, 2.0)}, "priorities: only policies of groups have them"),
        (
            {"method": "em-dpo", "n_types": 2, "priorities": (1.0, 2.0, 3.0)},
            "priorities: expected 2 numbers, one a type",
        ),
        ({"method": "dpo", "priorities": (1.0, 2.0)}, "priorities: expected 1 numbers"),
        ({"method": "em-dpo", "shift": "plot>0"}, "shift: belongs to method low-rank"),
        ({"method": "OWN", "shift": "plot>0"}, "shift: belongs to method low-rank"),
    ],
)
def test_settings_a_method_would_not_heed_are_refused(table, settings, message):
    if settings["method"] == "OWN":
        settings = {**settings, "method": _named("ByContext", wants_contexts=True)}
    with pytest.raises(InputError, match=message):
        fit(table, FitSettings(**settings))


@pytest.mark.parametrize("priorities", [(1, -2), (), (float("nan"),), (0.0,), (float("inf"), 1.0)])
def test_priorities_are_positive_numbers(priorities):
    with pytest.raises(InputError, match="priorities: expected positive numbers"):
        FitSettings("personal", priorities=priorities)


def test_one_type_of_one_policy_for_all_may_be_asked_for(table):
    assert fit(table, FitSettings("dpo", n_types=1, priorities=(2.0,))).n_types == 1


def test_the_largest_size_to_try_holds_for_every_grid(table, tmp_path, monkeypatch):
    report = fit(table, FitSettings("shared", max_types=2))
    assert _sizes(report, "shared") == [1, 2]
    assert _sizes(report, "cluster") == [2]
    wide = Problem(100, 100)
    assert find_method("shared").grid(wide).sizes == (1, 2, 3, 4, 6, 8)
    assert find_method("cluster").grid(wide).sizes == (2, 4, 6, 8)
    assert find_method("cluster").grid(Problem(100, 100, largest=1)).sizes == (1,)
    assert (ranks_up_to(3), ranks_up_to(8)) == ((1, 2, 3), (1, 2, 3, 4, 6, 8, 12))
    assert LowRank().grid(Problem(100, 100, largest=3)).sizes == (1, 2, 3)
    monkeypatch.setattr(spectrum, "PERMUTATIONS", 3)
    tastes = table_of_rows(rows_of_tastes(people=20, answers=15), tmp_path / "pairs.jsonl")
    assert _sizes(fit(tastes, FitSettings("low-rank", max_types=2)), "low-rank") == [1, 2]
