"""EM, games, lotteries and mechanisms refuse what they cannot work on: no index beyond an array reaches a kernel."""

import numpy as np
import pytest
from borders import assert_refuses, assert_works, border, cases

from sim.algorithms.em_log_linear import em_log_linear, em_log_linear_batch, responsibilities_of
from sim.algorithms.hedge import default_step, game_value, hedge, hedge_batch, hedge_bound
from sim.algorithms.lotteries import best_lotteries, relative_gap
from sim.algorithms.mechanism import Mechanism, best_collusion, best_misreports, pivotal_choice
from sim.algorithms.von_neumann import (
    comparison_bonus,
    exploitability,
    mean_preferences,
    regret_matching,
    solve_exactly,
    solve_matrices,
    von_neumann_winner,
)
from sim.algorithms.welfare import NASH
from sim.environments.preference_tables import PreferenceCounts
from sim.streams import Stream

S = Stream(0, "borders")
NAN = float("nan")
D = S.normals((20, 3))
ANNOTATOR = np.repeat(np.arange(5), 4)
START = np.full((1, 5, 2), 0.5)
GAME = S.child("game").uniforms((2, 3))
TABLES = S.child("tables").uniforms((2, 3, 4)) + 0.1
OPINIONS = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
SKEW = np.array([[[0.0, 0.4, -0.2], [-0.4, 0.0, 0.3], [0.2, -0.3, 0.0]]])
COUNTS = PreferenceCounts(np.full((2, 1, 3, 3), 3.0) - np.eye(3) * 3.0)
NO_COUNT = (0, -1, 1.5)

BORDERS = [
    border(
        em_log_linear,
        {"differences": D, "annotator": ANNOTATOR, "n_annotators": 5, "n_types": 2, "weights": np.ones(20),
         "start": START, "centre": np.zeros(3), "ridge": 0.1, "tolerance": 1e-6, "max_rounds": 5, "newton_steps": 1,
         "estep": "soft"},
        differences="nan short axis", annotator="short index minus axis", n_annotators=(0,), n_types=(0, 6),
        weights="nan short minus", start="nan narrow axis", centre="nan short", ridge=(0.0, NAN), tolerance=(-1.0, NAN),
        max_rounds=(-1, 0.5), newton_steps=NO_COUNT, estep=("firm",),
    ),
    border(
        em_log_linear_batch,
        {"differences": np.stack([D, D]), "annotator": ANNOTATOR, "n_annotators": 5, "n_types": 2,
         "streams": [Stream(1), Stream(2)], "restarts": 2, "max_rounds": 5},
        differences="nan axis", annotator="short index minus", streams=([Stream(1)],), restarts=NO_COUNT,
    ),
    border(
        responsibilities_of,
        {"theta": np.ones((2, 3)), "mixture": np.array([0.4, 0.6]), "differences": D, "annotator": ANNOTATOR,
         "n_annotators": 5, "weights": np.ones(20)},
        theta="nan axis", mixture="nan short", differences="nan narrow", annotator="short index minus",
        weights="nan short minus",
    ),
    border(hedge, {"regret": GAME, "rounds": 5}, regret="nan axis", rounds=NO_COUNT),
    border(
        hedge_batch, {"regrets": GAME[None], "rounds": 5, "step": 0.1, "step_rows": 0.1, "record": (1, 5)},
        regrets="nan axis", rounds=NO_COUNT, step=(0.0, NAN, np.ones(3)), step_rows=(-1.0, np.ones(3)),
        record=((0,), (6,)),
    ),
    border(default_step, {"regret": GAME}, regret="nan"),
    border(hedge_bound, {"n_columns": 2, "n_rows": 3, "step": 0.1, "rounds": 5},
           n_columns=NO_COUNT, n_rows=NO_COUNT, step=(0.0, NAN), rounds=NO_COUNT),
    border(game_value, {"regret": GAME}, regret="nan axis"),
    border(
        best_lotteries, {"tables": TABLES, "rule": NASH, "method": "default", "tolerance": 1e-6, "max_iterations": 50},
        tables="nan axis", method=("fast",), tolerance=(-1.0, NAN), max_iterations=(-1, 1.5),
    ),
    border(relative_gap, {"table": TABLES[0], "probabilities": np.full(4, 0.25), "alpha": 0.0},
           table="nan axis", probabilities="nan short"),
    border(Mechanism(1.0).gain_of, {"opinions": OPINIONS, "reports": OPINIONS, "agent": 0, "report": OPINIONS[1]},
           reports="short", agent=(3, -1)),
    border(Mechanism(1.0).largest_gain, {"opinions": OPINIONS, "reports": OPINIONS}, reports="short"),
    border(best_misreports,
           {"mechanism": Mechanism(1.0), "opinions": OPINIONS, "reports": OPINIONS, "stream": S, "starts": 1},
           opinions="nan axis", reports="short", starts=(-1, 0.5)),
    border(best_collusion, {"mechanism": Mechanism(1.0), "opinions": OPINIONS, "pair": (0, 1), "stream": S},
           opinions="nan axis", pair=((0, 0), (0, 3), (-1, 0))),
    border(pivotal_choice, {"values": OPINIONS}, values="nan axis"),
    border(comparison_bonus, {"total": COUNTS.total, "delta": 0.1}, total="nan narrow axis", delta=(0.0, 1.5, NAN)),
    border(von_neumann_winner, {"counts": COUNTS, "delta": 0.1, "stance": "plain"}, delta=(0.0, NAN), stance=("bold",)),
    border(solve_matrices, {"matrices": SKEW}, matrices="nan narrow axis"),
    border(solve_exactly, {"matrices": SKEW}, matrices="nan narrow axis"),
    border(mean_preferences, {"rewards": SKEW}, rewards="nan axis"),
    border(regret_matching, {"matrices": SKEW, "rounds": 10}, matrices="nan narrow axis", rounds=NO_COUNT),
    border(exploitability, {"matrices": SKEW, "policy": np.full((1, 3), 1 / 3)},
           matrices="nan narrow", policy="nan narrow"),
]  # fmt: skip


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_annotators_of_more_or_fewer_answers_than_there_are():
    """Read beyond an array, or ended CONVERGED on a part of the answers."""
    rng = np.random.default_rng(0)
    annotator, differences = np.repeat(np.arange(100), 20), rng.normal(size=(2000, 4))
    for rows in (1999, 1000):
        with pytest.raises(ValueError, match=f"differences has {rows} answers and annotator 2000"):
            em_log_linear(differences[:rows], annotator, 100, 2)
    with pytest.raises(ValueError, match="differences has 2000 answers and annotator 1000"):
        em_log_linear(differences, annotator[:1000], 100, 2)
    with pytest.raises(ValueError, match="differences must be finite"):
        em_log_linear(differences * np.nan, annotator, 100, 2)
