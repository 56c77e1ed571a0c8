"""The fast search for a misreport against the one that believes the mechanism object alone."""

import numpy as np
import pytest
from alone import alone

from sim.algorithms.mechanism import FLOOR, Mechanism, best_misreports, searched_misreports
from sim.compiled.misreports import Judge, Pooling, Room, _loss
from sim.streams import Stream
from theory.personalization._instances import simplex_points


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "broken", [{}, {"charged": False}, {"shifted": True}], ids=["truthful", "no costs", "another distance"]
)
def test_the_kernel_finds_what_the_public_object_gives(alpha, broken):
    distance = alpha + 1.0 if broken.get("shifted") else None
    mechanism = Mechanism(alpha, distance, broken.get("charged", True))
    opinions, reports = simplex_points((2, 6, 4, 3), Stream(3))
    fast = best_misreports(mechanism, opinions, reports, stream=Stream(4)).gain
    public = searched_misreports(mechanism, opinions, reports).gain
    # The pattern search takes eight rounds and reaches a little less than the simplex search does.
    np.testing.assert_array_less(public, fast + 1e-6 * (1.0 + fast))
    np.testing.assert_array_less(0.5 * fast, public + 1e-6)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("shift", [0.0, 1.0], ids=["own distance", "another distance"])
def test_the_kernel_judges_every_report_as_the_public_object_does(alpha, charged, shift):
    """Up to a constant, which no report moves."""
    beta, K = alpha + shift, 3
    mechanism = Mechanism(alpha, beta, charged)
    (opinion, *others), reports = simplex_points((4, K), Stream(5)), simplex_points((30, K), Stream(6))

    def sums(opinions, power):
        return (np.log(opinions) if power == 0.0 else np.asarray(opinions) ** power).sum(axis=0)

    judged = [opinion, *others] if charged else [opinion]
    judge = Judge(sums(others, alpha), 4, sums(judged, beta), float(len(judged)))
    room = Room(np.empty(K), np.empty(K), np.empty((3, K - 1)))
    pooling = Pooling(alpha, beta, charged, float(np.log(FLOOR)))
    logits = np.log(reports[:, :-1] / reports[:, -1:])
    kernel = np.array([-alone(_loss)(z, judge, pooling, room) for z in logits])
    profiles = np.stack([np.stack([report, *others]) for report in reports])
    truth = np.broadcast_to(np.stack([opinion, *others]), profiles.shape)
    public = mechanism.utilities(truth, profiles)[:, 0]
    assert np.ptp(kernel - public) < 1e-9 * (1.0 + np.ptp(public))
    assert np.ptp(public) > 1e-3
