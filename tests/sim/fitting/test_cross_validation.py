"""Cross-validation over people: equal to fits that were split by hand, and refused where it cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pluralign.__main__ import command
from sim.errors import InputError
from sim.estimators.bootstrap import cluster_interval
from sim.files.pair_table import SPLITS
from sim.files.preference_files import read_pairs, write_pairs
from sim.fitting.compare import held_out_by
from sim.fitting.cross_validation import FEW_PEOPLE, folds_of
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.fitting.text import fit_text
from sim.streams import Stream

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def table():
    return read_pairs(EXAMPLES / "pairs.jsonl.gz")


def _fold_by_hand(table, number, folds, settings):
    """The fit of one fold as anybody would make it: a column `split` in the file."""
    fold = folds_of(table, folds, Stream(settings.seed, cell="fit").child("folds"))
    codes = np.where(fold[table.annotator] == number, SPLITS.index("unseen"), SPLITS.index("train"))
    return fit(replace(table, split=codes), replace(settings, folds=None))


@pytest.mark.parametrize(("method", "size"), [("em-dpo", 2), ("pooled", None), ("cluster", 2)])
def test_equals_fits_that_were_split_by_hand(table, method, size):
    settings = FitSettings(method=method, n_types=size, ridge=0.01, restarts=2, folds=3)
    found = fit(table, settings).cross_validation
    by_hand = [_fold_by_hand(table, number, 3, settings) for number in range(3)]
    for name, score in found.test.items():
        parts = [
            (report.comparison.test if name == method else report.comparison.baselines[name])["unseen_users"]
            for report in by_hand
        ]
        counts = np.array([part.n_pairs for part in parts])
        assert score.n_pairs == counts.sum() == len(table)
        assert score.n_annotators == table.n_annotators
        assert score.log_likelihood == pytest.approx(counts @ [part.log_likelihood for part in parts] / counts.sum())
        assert score.accuracy == pytest.approx(counts @ [part.accuracy for part in parts] / counts.sum())
    rows = [report.comparison.new_annotators for report in by_hand]
    assert [row.answers_shown for row in found.new_annotators] == [row.answers_shown for row in min(rows, key=len)]
    for place, row in enumerate(found.new_annotators):
        for name, own in row.by_method.items():
            parts = [fold[place].by_method[name] for fold in rows]
            counts = np.array([part.score.n_pairs for part in parts])
            assert own.score.n_pairs == counts.sum()
            gains = [part.gain_over_pooled for part in parts]
            assert own.gain_over_pooled == pytest.approx(counts @ gains / counts.sum())


def test_intervals_are_over_people(table):
    settings = FitSettings(method="personal", ridge=0.01, folds=3)
    found = fit(table, settings).cross_validation
    by_hand = [_fold_by_hand(table, number, 3, settings) for number in range(3)]
    key = Stream(settings.seed, cell="fit").child("pooled").child("bootstrap")
    for name, score in found.test.items():
        if name not in by_hand[0].fits.fitted:
            continue
        each = [held_out_by(*report.fits.fitted[name], report.prepared).unseen_users for report in by_hand]
        who = np.concatenate([report.prepared.annotator[report.prepared.unseen] for report in by_hand])
        own = np.concatenate(each)
        assert score.log_likelihood_interval == pytest.approx(cluster_interval(own, who, key))
        assert score.accuracy_interval == pytest.approx(cluster_interval((own > np.log(0.5)).astype(float), who, key))


def test_the_fit_itself_is_as_without(table):
    settings = FitSettings(method="em-dpo", n_types=2, ridge=0.01, restarts=2)
    plain, beside = fit(table, settings).as_json(), fit(table, replace(settings, folds=2)).as_json()
    assert beside.pop("cross_validation")["folds"] == 2
    assert plain["settings"].pop("folds") is None
    assert beside["settings"].pop("folds") == 2
    assert plain == beside


def test_everybody_is_in_one_fold(table):
    for folds in (2, 5, 7):
        found = folds_of(table, folds, Stream(3))
        sizes = np.bincount(found, minlength=folds)
        assert sizes.sum() == table.n_annotators
        assert np.ptp(sizes) <= 1
        assert (found == folds_of(table, folds, Stream(3))).all()
    some = table.select(table.annotator > 3)
    assert (folds_of(some, 2, Stream(3))[:4] == -1).all()


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("rankings.jsonl.gz", {"n_types": 2}),
        ("strengths.jsonl.gz", {"n_types": 2}),
        ("text_pairs.jsonl.gz", {"method": "dpo", "features": "words"}),
    ],
)
def test_other_answers_and_texts(file, options):
    found = fit(read_pairs(EXAMPLES / file), FitSettings(ridge=0.01, restarts=2, folds=2, **options))
    own = found.cross_validation.test[found.fits.asked.name]
    assert own.n_annotators == len(np.unique(found.prepared.table.annotator)) or own.n_annotators > 10
    if own.n_annotators > 12:  # a dozen with opposed tastes say nothing of a stranger
        assert own.log_likelihood > found.cross_validation.test["coin"].log_likelihood
    json.dumps(found.as_json(), allow_nan=False)


def test_what_is_refused(table):
    settings = FitSettings(method="pooled", folds=5)
    with pytest.raises(InputError, match="folds: the file has a split of its own"):
        fit(replace(table, split=np.zeros(len(table), dtype=np.int64)), settings)
    with pytest.raises(InputError, match="folds: 8 annotators are too few for 5"):
        fit(table.select(table.annotator < 8), settings)
    with pytest.raises(ValueError, match="folds"):
        FitSettings(folds=1)


def test_from_the_command_line(tmp_path):
    arguments = ["fit", str(EXAMPLES / "pairs.jsonl.gz"), "--method", "pooled", "--out", str(tmp_path / "fit")]
    few = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "with folds everybody is scored as somebody new" in few.stdout
    told = CliRunner().invoke(command, [*arguments, "--folds", "2"], catch_exceptions=False)
    assert "cross-validation: 36 people, each scored by the one of 2 fits" in told.stdout
    assert "with folds everybody" not in told.stdout
    made = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert made["cross_validation"]["test"]["pooled"]["n_annotators"] == 36
    refused = CliRunner().invoke(command, [*arguments, "--folds", "30"])
    assert refused.exit_code != 0


def test_few_people_are_said_only_where_there_are_few(table):
    fitted = fit(table, FitSettings(method="pooled", ridge=0.01)).as_json()
    assert "with folds" in fit_text(fitted, "out")
    fitted["test"]["unseen_users"]["n_annotators"] = FEW_PEOPLE
    assert "with folds" not in fit_text(fitted, "out")


def test_folds_are_spoken_of_only_where_they_are_possible(table, tmp_path):
    """A hint that is followed is not refused: `folds_of` wants no split of the file's own, and two people a fold."""
    hint, settings = "with folds", FitSettings(method="pooled", ridge=0.01)

    def told(own):
        found = fit(own, settings)
        return fit_text(found.as_json(), "out"), found.as_json()["counts"]["own_split"]

    parts = np.where(table.annotator < 4, SPLITS.index("unseen"), np.where(np.arange(len(table)) % 5, 0, 1))
    split = replace(table, split=parts)
    text, own_split = told(split)
    assert own_split
    assert hint not in text
    assert "held out: what the column `split` says" in text
    with pytest.raises(InputError, match="a split of its own"):
        fit(split, replace(settings, folds=2))
    text, own_split = told(table)
    assert not own_split
    assert hint in text
    assert "column `split` says" not in text
    for people in (3, 4):
        write_pairs(tmp_path / "few.jsonl", table.select(table.annotator < people))
        few = read_pairs(tmp_path / "few.jsonl")
        made = fit(few, settings)
        assert made.as_json()["test"]["unseen_users"]["n_annotators"]
        assert (hint in told(few)[0]) == (people == 4)
        if people == 3:
            with pytest.raises(InputError, match="too few for 2"):
                fit(few, replace(settings, folds=2))
        else:
            assert fit(few, replace(settings, folds=2)).cross_validation is not None


@pytest.mark.parametrize("own_split", [False, True])
def test_a_split_of_ours_is_not_the_files(own_split):
    """Features of texts are learned on a split that is made before the fit's."""
    table = read_pairs(EXAMPLES / "text_pairs.jsonl.gz")
    assert table.split is None
    if own_split:
        table = replace(table, split=np.where(table.annotator % 3, 0, SPLITS.index("unseen")))
    found = fit(table, FitSettings(method="pooled", ridge=0.01, features="words")).as_json()
    assert found["counts"]["own_split"] is own_split


def test_a_fold_with_a_heavy_annotator_keeps_its_others(table):
    """Whoever has 100 answers decides how many can be shown in her fold, not who is scored in it."""
    rng = np.random.default_rng(0)
    counts = np.array([100, *[40] * 11])
    who = np.repeat(np.arange(12), counts)
    rows = rng.integers(0, len(table), len(who))
    some = replace(
        table, prompt=table.prompt[rows], chosen=table.chosen[rows], rejected=table.rejected[rows], annotator=who,
        annotators=tuple(f"a{i}" for i in range(12)), group=None, annotator_features=None, annotator_feature_names=(),
    )  # fmt: skip
    found = fit(some, FitSettings(method="personal", ridge=0.01, folds=2, hold_out="answers")).cross_validation
    assert [row.answers_shown for row in found.new_annotators][-1] == 20
    for row in found.new_annotators:
        assert row.by_method["personal"].score.n_annotators >= 8
