"""Theorems 4 and 9 notice the faults that they let through when no draw of theirs could contradict them."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from sim.algorithms import von_neumann
from sim.algorithms.fairness import Pareto, pareto_option
from sim.estimators.party_confidence import PartyConfidence
from theory.engine.checks import check_theorem, stream_of
from theory.engine.registry import find
from theory.engine.verdicts import Verdict
from theory.multi_party import efficiency, ex_post


def _checked(name):
    (check,) = check_theorem(find(name), "quick", seed=0)
    return check


@pytest.mark.parametrize("name", ["pareto-bound", "ex-post-bound"])
def test_every_draw_could_have_contradicted_the_theorem(name):
    theorem = find(name)
    setting = replace(theorem.SETTINGS["as_stated"].setting, replicates=30)
    measured = theorem.measure(setting, stream_of(theorem, setting, 4))
    assert (measured.untested, measured.values.min() > 0.0) == (0, True)


def _bounds(sign):
    def bounds(self, features):
        """max over a' of <theta, D> + sign * radius ||D||, written out."""
        gap = features[:, :, None] - features[:, None]
        width = np.sqrt(np.einsum("sabi,mij,sabj->msab", gap, np.linalg.inv(self.covariance), gap, optimize=True))
        mean = np.einsum("md,sabd->msab", self.theta, gap)
        return np.maximum((mean + sign * self.radius[:, None, None, None] * width).max(axis=-1), 0.0)

    return bounds


@pytest.mark.parametrize("sign", [0.0, 1.0])
def test_pareto_bound_notices_estimates_and_optimism(sign, monkeypatch):
    theorem = find("pareto-bound")
    setting = theorem.SETTINGS["as_stated"].setting
    stream = stream_of(theorem, setting, 0)
    monkeypatch.setattr(PartyConfidence, "gain_bounds", _bounds(-1.0))
    assert theorem.measure(setting, stream).values.max() <= 1.0
    monkeypatch.setattr(PartyConfidence, "gain_bounds", _bounds(sign))
    assert theorem.measure(setting, stream).values.max() > 1.0


def test_pareto_bound_notices_a_bound_of_nothing_and_one_four_times_as_large(monkeypatch):
    def scaled(share):
        def option(table, chosen):
            found = pareto_option(table, chosen)
            return replace(found, tau=share * found.tau)

        return option

    # tau_actual over a bound `1 / share` times as large; over next to none at all.
    monkeypatch.setattr(efficiency, "pareto_option", scaled(0.25))
    assert not _checked("pareto-bound").as_expected
    monkeypatch.setattr(efficiency, "pareto_option", scaled(1e6))
    assert _checked("pareto-bound").verdict is Verdict.VIOLATED


@pytest.mark.parametrize("stance", ["optimistic", "plain"])
def test_ex_post_bound_notices_another_stance(stance, monkeypatch):
    monkeypatch.setattr(ex_post, "von_neumann_winner", lambda counts, **_: von_neumann.von_neumann_winner(
        counts, stance=stance))  # fmt: skip
    check = _checked("ex-post-bound")
    assert check.verdict is {"optimistic": Verdict.VIOLATED, "plain": Verdict.INCONCLUSIVE}[stance]


@pytest.mark.parametrize("factor", [0.5, 2.0, 300.0])
def test_ex_post_bound_notices_another_bonus(factor, monkeypatch):
    bonus = von_neumann.comparison_bonus
    monkeypatch.setattr(von_neumann, "comparison_bonus", lambda *a, **k: factor * bonus(*a, **k))
    assert not _checked("ex-post-bound").as_expected


@pytest.mark.parametrize("factor", [0.01, 2.0])
def test_ex_post_bound_notices_another_tau(factor, monkeypatch):
    bound = ex_post.winner_bound
    monkeypatch.setattr(ex_post, "winner_bound", lambda *a: factor * bound(*a))
    assert not _checked("ex-post-bound").as_expected


def test_the_coverage_of_what_the_winner_plays_by_hand():
    """C* = 1 / P(b, c) = 10, as the winner is c and b its least compared opponent."""
    theorem = find("ex-post-bound")
    setting = theorem.SETTINGS["as_stated"].setting
    eps = 8 * 3 * np.log(4 * 2 * 9 / 0.1) * np.sqrt(10.0 / setting.n)
    assert theorem.bound(setting).limit == pytest.approx(np.sqrt(eps / np.tanh(1.0)))


def test_the_worst_case_over_strengths_meets_the_rate_of_theorem_nine():
    theorem = find("ex-post-rate")
    setting = replace(theorem.SETTINGS["as_stated"].setting, replicates=6)
    mean = theorem.measure(setting, stream_of(theorem, setting, 1)).values.mean(axis=0)
    slope = np.polyfit(np.log(theorem.grid(setting)), np.log(mean), 1)[0]
    assert -0.35 < slope < -0.15


@pytest.mark.parametrize(
    "name",
    ["nash-chain", "nash-relative-bound", "leximin-bound", "mdp-bound", "winner-sure", "ex-post-sure",
     "gain-bound-exact", "joint-above-statewise"],
)  # fmt: skip
def test_draws_of_sure_inequalities_that_lose_nothing_are_left_out(name):
    """A zero stood for those: no value is one, and most draws have one."""
    theorem = copy.copy(find(name))
    setting = replace(theorem.SETTINGS["as_stated"].setting, replicates=12)
    measured = theorem.measure(setting, stream_of(theorem, setting, 3))
    assert np.count_nonzero(measured.values == 0.0) == 0
    assert len(measured.values) >= 8


def test_an_efficient_choice_is_no_evidence(monkeypatch):
    monkeypatch.setattr(efficiency, "pareto_option", lambda *_: Pareto(True, 0.0))
    theorem = copy.copy(find("pareto-bound"))
    variant = theorem.SETTINGS["as_stated"]
    theorem.SETTINGS = {"as_stated": replace(variant, setting=replace(variant.setting, replicates=3))}
    (check,) = check_theorem(theorem, "quick", seed=0)
    assert (check.verdict, check.tested) == (Verdict.INCONCLUSIVE, 0)
