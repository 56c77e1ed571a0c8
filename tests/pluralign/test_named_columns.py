"""Columns with names go by them, whatever holds them: pandas, polars, Arrow, mappings; what is read once."""

from itertools import pairwise

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import pluralign as pl
from sim.errors import InputError
from sim.named_columns import in_order, names_of_columns

FRAMES = {
    "pandas": lambda own: own,
    "nullable": lambda own: own.convert_dtypes(),
    "objects": lambda own: own.astype(object),
    "polars": polars.from_pandas,
    "arrow": lambda own: pa.Table.from_pandas(own, preserve_index=False),
    "batch": lambda own: pa.RecordBatch.from_pandas(own, preserve_index=False),
    "columns": lambda own: own.to_dict("list"),
    "rows": lambda own: own.to_dict("records"),
}


@pytest.fixture(scope="module")
def pairs():
    made = pl.simulate("two_attributes", n_annotators=40, answers=12, seed=3)
    names = ("help", "harm", *made.feature_names[2:])
    return pl.read_pairs(
        chosen=pd.DataFrame(made.features[made.chosen], columns=names),
        rejected=pd.DataFrame(made.features[made.rejected], columns=names),
        annotator=[made.annotators[i] for i in made.annotator],
        annotator_features=pd.DataFrame(
            made.annotator_features[made.annotator], columns=["age", *made.annotator_feature_names[1:]]
        ),
    )


@pytest.fixture(scope="module")
def fit(pairs):
    return pl.fit(pairs, method="low-rank", n_types=2, seed=1)


def _frame(pairs, n=6):
    return pd.DataFrame(pairs.features[:n], columns=pairs.feature_names)


def _known(fit):
    return min(fit.usable.known)


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("turned", [False, True])
def test_scores_go_by_name(fit, pairs, kind, turned):
    own = _frame(pairs)
    given = FRAMES[kind](own[own.columns[::-1]] if turned else own)
    who = _known(fit)
    assert np.array_equal(fit.score_items(given, who), fit.score_items(own.to_numpy(), who))
    rewards = pl.bradley_terry(pairs)
    assert np.array_equal(rewards.score_items(given), rewards.score_items(own.to_numpy()))


@pytest.mark.parametrize("kind", FRAMES)
def test_chances_and_what_is_known_of_annotators_go_by_name(fit, pairs, kind):
    chosen, rejected = _frame(pairs), _frame(pairs).iloc[::-1]
    told = pd.DataFrame(pairs.annotator_features[:6], columns=pairs.annotator_feature_names)
    want = fit.predict_proba(chosen.to_numpy(), rejected.to_numpy(), annotator_features=told.to_numpy())
    turned = [FRAMES[kind](own[own.columns[::-1]]) for own in (chosen, rejected, told)]
    assert np.array_equal(fit.predict_proba(*turned[:2], annotator_features=turned[2]), want)
    # Some are known, whose rows of what is known are left out.
    names = [_known(fit), *["nobody"] * 5]
    by_name = fit.predict_proba(*turned[:2], names, annotator_features=turned[2], unknown="stranger")
    assert np.array_equal(by_name[1:], want[1:])


def test_assigning_goes_by_name(fit, pairs):
    chosen, rejected = _frame(pairs), _frame(pairs).iloc[::-1]
    told = pd.DataFrame(np.tile(pairs.annotator_features[:1], (6, 1)), columns=pairs.annotator_feature_names)
    plain = fit.usable.assign(chosen.to_numpy(), rejected.to_numpy(), ["new"] * 6, annotator_features=told.to_numpy())
    named = fit.usable.assign(
        chosen, rejected[rejected.columns[::-1]], ["new"] * 6, annotator_features=told[told.columns[::-1]]
    )
    assert np.array_equal(named.fit.score_items(chosen, "new"), plain.fit.score_items(chosen.to_numpy(), "new"))


def test_a_row_of_a_frame_goes_by_name(fit, pairs):
    own = _frame(pairs)
    who = _known(fit)
    assert fit.score_items(own[own.columns[::-1]].iloc[2], who) == pytest.approx(
        fit.score_items(own.to_numpy(), who)[2:3]
    )


@pytest.mark.parametrize("kind", FRAMES)
def test_names_of_nobody_go_by_place(fit, pairs, kind):
    own = _frame(pairs)
    other = own.set_axis([f"column {name}" for name in own.columns], axis=1)
    who = _known(fit)
    assert np.array_equal(fit.score_items(FRAMES[kind](other), who), fit.score_items(own.to_numpy(), who))
    with pytest.raises(ValueError, match=r"items must be \(n, 6\) \(got \(6, 5\)\)"):
        fit.score_items(FRAMES[kind](other.iloc[:, :5]))


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda own: own.drop(columns="harm"), r"missing: 'harm'\)"),
        (lambda own: own.assign(price=1.0), r"not among them: 'price'\)"),
        (lambda own: own.rename(columns={"harm": "Harm"}), r"missing: 'harm'; not among them: 'Harm'\)"),
    ],
)
def test_some_of_the_names_are_refused(fit, pairs, kind, change, said):
    with pytest.raises(InputError, match=f"^items: expected columns called as the 6 of the fit's features .*{said}"):
        fit.score_items(FRAMES[kind](change(_frame(pairs))))


def test_a_column_given_twice_is_refused(fit, pairs):
    own = _frame(pairs)
    with pytest.raises(InputError, match="given twice: 'help'"):
        fit.score_items(pd.concat([own, own[["help"]]], axis=1))


def test_texts_among_numbers_are_named(fit, pairs):
    with pytest.raises(InputError, match=r"items must hold numbers .* in column 'harm'"):
        fit.score_items(_frame(pairs).assign(harm="much"))


def test_missing_numbers_are_refused(fit, pairs):
    own = _frame(pairs).convert_dtypes()
    own.loc[3, "harm"] = pd.NA
    with pytest.raises(ValueError, match=r"items must be finite \(got nan at \(3, 1\)\)"):
        fit.score_items(own)


def test_pairs_of_frames_take_their_names(pairs):
    assert pairs.feature_names[:2] == ("help", "harm")
    assert pairs.annotator_feature_names[0] == "age"
    a, b = pd.DataFrame({"u": [1.0, 0.0], "v": [0.0, 2.0]}), pd.DataFrame({"v": [3.0, 1.0], "u": [0.0, 5.0]})
    read = pl.read_pairs(chosen=a, rejected=b, annotator=[1, 2])
    assert read.feature_names == ("u", "v")
    assert read.features[read.rejected].tolist() == [[0.0, 3.0], [5.0, 1.0]]
    with pytest.raises(InputError, match=r"rejected: expected columns .*missing: 'v'"):
        pl.read_pairs(chosen=a, rejected=b[["u"]], annotator=[1, 2])
    table = pl.read_pairs(chosen=[0, 1], rejected=[1, 0], annotator=[1, 2], features=b, feature_names=("u", "v"))
    assert table.features[table.chosen].tolist() == [[0.0, 3.0], [5.0, 1.0]]


def test_choices_of_a_frame_take_its_names():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(rng.normal(size=(60, 2)), columns=["price", "time"])
    plain = pl.conditional_logit(rows=rows.to_numpy(), starts=range(61), annotator=range(60))
    named = pl.conditional_logit(rows=rows, starts=range(61), annotator=range(60))
    assert (plain.features, named.features) == (("x1", "x2"), ("price", "time"))
    turned = pl.conditional_logit(
        rows=rows[["time", "price"]], starts=range(61), annotator=range(60), feature_names=("price", "time")
    )
    assert plain.theta.tolist() == named.theta.tolist() == turned.theta.tolist()


def test_only_frames_have_names():
    assert names_of_columns(pd.DataFrame(np.eye(2))) is None
    assert names_of_columns(np.eye(2)) is None
    array = np.eye(2)
    assert in_order("x", array, ("a", "b")) is array
    texts = pd.Series(["a", "b"])
    assert in_order("x", texts, ("a", "b")) is texts


P, REFERENCE = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.array([0.2, 0.3, 0.5])


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("game", [pl.minmax_dpo, pl.regret_matrix])
def test_policies_of_a_frame_are_those_of_an_array(kind, game):
    own = pd.DataFrame(P, columns=["a", "b", "c"])
    told = FRAMES[kind](pd.DataFrame([REFERENCE[::-1]], columns=["c", "b", "a"]))
    want, found = (game(given, reference=base).as_dict() for given, base in ((P, REFERENCE), (FRAMES[kind](own), told)))
    assert found == want


def test_policies_are_called_as_rows_are(tmp_path):
    own = pd.DataFrame(P, columns=["a", "b", "c"], index=["old", "young"])
    own.to_csv(tmp_path / "policies.csv")
    for given in (own, tmp_path / "policies.csv", polars.from_pandas(own.reset_index(names="policy"))):
        assert pl.minmax_dpo(given).names == ("old", "young")
    with pytest.raises(InputError, match=r"reference: expected columns .*missing: 'c'"):
        pl.minmax_dpo(own, reference=pd.DataFrame([[0.5, 0.5]], columns=["a", "b"]))
    with pytest.raises(InputError, match="probability"):
        pl.minmax_dpo(own.astype(object).replace(0.5, "half"))


def test_priorities_go_by_the_names_of_groups():
    regret = pd.DataFrame([[0.0, 1.0], [1.0, 0.0]], index=["g", "h"], columns=["p", "q"])
    for given in (pd.Series([3.0, 1.0], index=["h", "g"]), {"h": 3.0, "g": 1.0}):
        assert (
            pl.minmax(regret, priorities=given).weights.tolist()
            == pl.minmax(regret, priorities=[1, 3]).weights.tolist()
        )


def test_what_can_be_read_once_is_predicted(fit, pairs):
    items = [{"item": str(i), "features": dict(row)} for i, row in _frame(pairs).iterrows()]
    asked = [
        {"chosen": a["item"], "rejected": b["item"], "annotator_id": _known(fit), "chosen_features": a["features"],
         "rejected_features": b["features"]} for a, b in pairwise(items)
    ]  # fmt: skip
    for rows, who in ((items, [_known(fit)]), (asked, ())):
        want = fit.predict(rows, *who).value
        table = pa.Table.from_pylist(rows)
        stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
        for once in (iter(rows), (row for row in rows), map(dict, rows), stream):
            assert np.array_equal(fit.predict(once, *who).value, want)


def test_opinions_that_can_be_read_once_are_pooled():
    rows = [
        {"annotator_id": name, "prompt_id": "q", "candidates": ["a", "b"], "probs": probs}
        for name, probs in (("i", [0.2, 0.8]), ("j", [0.6, 0.4]))
    ]
    assert pl.pool(row for row in rows).consensus == pl.pool(rows).consensus
