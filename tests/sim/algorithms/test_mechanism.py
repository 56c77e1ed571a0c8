"""The mechanism: costs by brute force, the compiled attack against SciPy's, certificates, and where it breaks."""

import numpy as np
import pytest
from alone import in_python
from scipy.optimize import minimize, minimize_scalar

from sim.algorithms.mechanism import FLOOR, Mechanism, best_collusion, best_misreports, floored, pivotal_choice
from sim.algorithms.opinion_distances import opinion_distance
from sim.algorithms.pooling import pool_opinions
from sim.compiled.misreports import Judge, Pooling, Room, _loss
from sim.streams import Stream

RANDOM = np.random.default_rng(5)
PROFILES = RANDOM.dirichlet(np.full(3, 1.5), size=(30, 4))
REPORTS = RANDOM.dirichlet(np.full(3, 1.5), size=(30, 4))
ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_costs_are_the_harm_done_to_the_others(alpha):
    """Two candidates, so that the others' best point is a one-dimensional search with no algebra of ours."""
    P = RANDOM.dirichlet([2.0, 2.0], size=3)
    outcome = Mechanism(alpha).outcome(P)
    for i in range(3):
        others = np.delete(P, i, axis=0)

        def harm(x, others=others):
            return float(opinion_distance(others, np.array([x, 1 - x]), alpha).sum())

        least = minimize_scalar(harm, bounds=(1e-6, 1 - 1e-6), method="bounded", options={"xatol": 1e-12}).fun
        assert outcome.costs[i] == pytest.approx(harm(outcome.consensus[0]) - least, abs=1e-8)
        assert outcome.costs[i] >= 0


def test_a_case_by_hand():
    """Linear pool and KL: P = (1/4, 3/4), (3/4, 1/4), x = (1/2, 1/2); alone the other one is her own consensus."""
    P = np.array([[0.25, 0.75], [0.75, 0.25]])
    outcome = Mechanism(1.0).outcome(P)
    divergence = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    assert outcome.costs == pytest.approx([divergence, divergence], abs=1e-15)
    assert Mechanism(1.0).utilities(P) == pytest.approx([-2 * divergence, -2 * divergence], abs=1e-15)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("charged", [True, False])
def test_kernel_loss_is_minus_utility_up_to_a_constant(alpha, charged):
    mechanism, truth = Mechanism(alpha, charged=charged), PROFILES[0]
    others = REPORTS[0]
    log_others = np.log(others[1:])
    summed = log_others.sum(axis=0) if alpha == 0 else np.exp(alpha * log_others).sum(axis=0)
    own = np.log(truth[0]) if alpha == 0 else truth[0] ** alpha
    judged = own + summed if charged else own
    gaps = []
    for z in RANDOM.normal(size=(6, 2)):
        report = np.exp(np.append(z, 0.0))
        reports = others.copy()
        reports[0] = report / report.sum()
        loss = in_python(_loss)(
            z,
            Judge(summed, 4, judged, 4.0 if charged else 1.0),
            Pooling(alpha, alpha, charged, np.log(FLOOR)),
            Room(np.empty(3), np.empty(3), np.empty((3, 2))),
        )
        gaps.append(loss + mechanism.utilities(np.vstack([truth[0], others[1:]]), reports)[0])
    assert np.ptp(gaps) < 1e-9


@pytest.mark.parametrize("alpha", ALPHAS)
def test_truth_is_best_and_proved_to_be(alpha):
    found = best_misreports(Mechanism(alpha), PROFILES, REPORTS, stream=Stream(1))
    assert found.gain.max() <= 1e-8
    assert found.bound.max() <= 1e-9


@pytest.mark.parametrize("broken", [{"charged": False}, {"distance_alpha": 2.0}])
def test_the_attack_finds_what_scipy_finds(broken):
    mechanism = Mechanism(1.0, **broken)
    found = best_misreports(mechanism, PROFILES[:5], REPORTS[:5], stream=Stream(1))
    for b in range(5):

        def loss(z, b=b):
            report = np.exp(np.append(z, 0.0) - max(z.max(), 0.0))
            return -float(mechanism.gain_of(PROFILES[b], REPORTS[b], 0, report / report.sum()))

        starts = [np.zeros(2), *RANDOM.normal(size=(5, 2)) * 2]
        best = -min(minimize(loss, start, method="Nelder-Mead").fun for start in starts)
        assert found.gain[b, 0] >= best - 1e-6
    assert (found.gain <= found.bound + 1e-9).all(), "the bound holds for every mechanism"
    assert (found.gain.max(axis=1) > 1e-3).any()
    who = np.unravel_index(found.gain.argmax(), found.gain.shape)
    again = mechanism.gain_of(PROFILES[who[0]], REPORTS[who[0]], who[1], found.report[who])
    assert again == pytest.approx(found.gain[who], abs=1e-12), "the report is the witness"


def test_infinite_alpha_needs_a_named_distance_and_is_not_truthful():
    with pytest.raises(ValueError, match="name distance_alpha"):
        Mechanism(-np.inf)
    mechanism = Mechanism(-np.inf, distance_alpha=0.0)
    assert not mechanism.truthful
    assert best_misreports(mechanism, PROFILES, REPORTS, stream=Stream(1)).gain.max() > 1e-2


def test_two_together_gain_and_one_does_not():
    assert best_collusion(Mechanism(1.0), PROFILES[0], (0, 1), stream=Stream(1)) > 1e-3


def test_alone_and_unanimous():
    P = np.array([[0.3, 0.7]])
    assert Mechanism(1.0).outcome(P).costs.tolist() == [0.0]
    assert np.abs(Mechanism(0.5).outcome(np.tile(P, (3, 1))).costs).max() < 1e-14


def test_zeros_are_raised_to_the_floor():
    P = floored(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert P.min() >= FLOOR * 0.999
    assert np.isfinite(Mechanism(0.0).utilities(np.array([[1.0, 0.0], [0.5, 0.5]]))).all()


def test_refused():
    with pytest.raises(ValueError, match="nothing can be misreported"):
        best_misreports(Mechanism(1.0), np.ones((2, 1)), stream=Stream(1))
    with pytest.raises(ValueError, match="must have the shape of opinions"):
        best_misreports(Mechanism(1.0), PROFILES[0], REPORTS, stream=Stream(1))


def test_pivotal_choice_by_hand():
    """Values (3, 0), (0, 2), (0, 2): the second wins by 4 to 3; annotators 2 and 3 are pivotal and pay 3 - 2 = 1."""
    outcome = pivotal_choice(np.array([[3.0, 0.0], [0.0, 2.0], [0.0, 2.0]]))
    assert outcome.choice == 1
    assert outcome.costs.tolist() == [0.0, 1.0, 1.0]


def test_pool_of_reports_is_what_the_kernel_uses():
    """The consensus at the floor: a report of exactly zero moves the geometric pool as 1e-9 does."""
    P = floored(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert Mechanism(0.0).outcome(P).consensus == pytest.approx(pool_opinions(P, 0.0), abs=1e-12)
