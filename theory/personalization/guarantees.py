"""What pessimism promises, it keeps (arXiv 2405.00254, Algorithms 1 in contexts, 4 and 7).

The sets' sizes are fixed beforehand, so that they hold the truth in about half of the draws: it is then not far from
their edge, where a promise is hardest to keep. Of the other draws the claims say nothing, and they are not counted:
there are twice as many replicates as the verdict needs.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.aggregation import aggregate
from sim.algorithms.maximin_policy import maximin_policy
from sim.algorithms.pessimistic_aggregation import pessimistic_aggregate_policy
from sim.algorithms.pessimistic_policy import likelihood_pessimistic_policy
from sim.environments.contextual_pool import ContextualPool
from sim.environments.trajectory_pool import TrajectoryPool
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.confidence import Ellipsoid, answer_covariance
from sim.estimators.likelihood_set import LikelihoodSet
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.personalization import PAPER
from theory.personalization._instances import DERIVED, simplex_points


@dataclass(frozen=True)
class GuaranteeSetting(Setting):
    """greedy: the best policy for the estimate, promising what the estimate says."""

    replicates: int = 360
    greedy: bool = False


def _ellipsoid(x: FloatArray, radius: float) -> Ellipsoid:
    """radius: times the number of answers."""
    return Ellipsoid(fit_bradley_terry(x, ridge=1e-2).theta, answer_covariance(x, 1e-3), radius / len(x))


# What a policy that is the reference promises and keeps, of rewards of size 1.
_ROUNDING = 1e-9


class _Guarantee(Theorem[GuaranteeSetting]):
    """Value: what the policy promises over the reference minus what it keeps, in the true rewards; none where the set
    does not hold the truth, or where the policy is the reference, which promises nothing and keeps it."""

    paper = PAPER.name
    cost = 3.0

    def bound(self, setting: GuaranteeSetting) -> Bound:
        return EveryDraw(1e-4)

    @abc.abstractmethod
    def _promise(self, setting: GuaranteeSetting, stream: Stream) -> tuple[float, float] | None:
        """(promised, kept), reward units; None where the set does not hold the truth."""
        ...

    def draw(self, setting: GuaranteeSetting, stream: Stream) -> float | None:
        found = self._promise(setting, stream)
        return None if found is None or max(map(abs, found)) < _ROUNDING else found[0] - found[1]

    def witness(self, setting: GuaranteeSetting, stream: Stream) -> Json:
        found = self._promise(setting, stream)
        return {} if found is None else {"promised": found[0], "kept": found[1]}

    def control(self, setting: GuaranteeSetting) -> tuple[Control[GuaranteeSetting], ...]:
        return (Control("greedy policy", replace(setting, greedy=True)),)


class LikelihoodGuarantee(_Guarantee):
    """Algorithm 7: if the true reward's likelihood is inside the set (a drop of 1.25 nats), the pessimistic policy
    keeps what it promises. 10 trajectories, 3 dimensions, 60 answers. Control: greedy."""

    claim_id, source = "likelihood-guarantee", f"{DERIVED}, Algorithm 7 and Theorem F.1"
    statement = "Over a likelihood set that holds the truth, the pessimistic policy keeps its promise."
    SETTINGS = {"as_stated": Variant(GuaranteeSetting())}

    def _promise(self, setting: GuaranteeSetting, stream: Stream) -> tuple[float, float] | None:
        psi, theta = stream.child("features").normals((10, 3)), stream.child("theta").normals(3)
        law = simplex_points((1, 10), stream.child("law"))[0]
        x = TrajectoryPool(psi, law, law).collect(theta[None], 60, stream.child("answers"))[0]
        rewards = LikelihoodSet(x, 1.25, ridge=1e-2)
        if not rewards.contains(theta):
            return None
        if setting.greedy:
            policy = np.eye(10)[int((psi @ rewards.estimate).argmax())]
            promised = float((policy - law) @ psi @ rewards.estimate)
        else:
            found = likelihood_pessimistic_policy(psi, law, rewards, tolerance=1e-3)
            policy, promised = found.policy, found.value
        return promised, float((policy - law) @ psi @ theta)


class AggregateGuarantee(_Guarantee):
    """Algorithm 4: two annotators' rewards, each in its ellipsoid, pinned at a reference trajectory; alpha = 0, -1, 1
    in turn. 6 trajectories, 2 dimensions, 60 answers each. Control: greedy for the aggregated estimates."""

    claim_id, source = "aggregate-guarantee", f"{DERIVED}, Algorithm 4 and Theorem 4.1"
    statement = "Over ellipsoids that hold the true rewards, the pessimistic aggregated policy keeps its promise."
    SETTINGS = {"as_corrected": Variant(GuaranteeSetting())}

    def _promise(self, setting: GuaranteeSetting, stream: Stream) -> tuple[float, float] | None:
        alpha = (0.0, -1.0, 1.0)[stream.replicate % 3]
        law = simplex_points((1, 6), stream.child("law"))[0]
        pool = TrajectoryPool(stream.child("features").normals((6, 2)), law, law, reference=0)
        theta, psi = stream.child("theta").normals((2, 2)), pool.pinned
        answers = pool.collect(theta, 60, stream.child("answers"))
        sets = [_ellipsoid(x, 28.0) for x in answers]
        if not all(own.contains(true) for own, true in zip(sets, theta, strict=True)):
            return None
        if setting.greedy:
            estimated = aggregate(np.stack([e.estimate for e in sets]) @ psi.T, alpha)
            policy = np.eye(6)[int(estimated.argmax())]
            promised = float((policy - law) @ estimated)
        else:
            found = pessimistic_aggregate_policy(psi, law, sets, alpha, stream, starts=0, tolerance=1e-2)
            policy, promised = found.policy, found.value
        return promised, float((policy - law) @ aggregate(theta @ psi.T, alpha))


class ContextualGuarantee(_Guarantee):
    """Algorithm 1 in contexts: policies are occupancies law(s) pi(a|s). 3 contexts, 4 actions, 3 dimensions, 60
    answers. Control: greedy in every context."""

    claim_id, source = "contextual-guarantee", f"{DERIVED}, Algorithm 1"
    statement = "In contexts too, over a set that holds the truth, the pessimistic policy keeps its promise."
    SETTINGS = {"as_stated": Variant(GuaranteeSetting())}

    def _promise(self, setting: GuaranteeSetting, stream: Stream) -> tuple[float, float] | None:
        law = simplex_points((1, 3), stream.child("law"))[0]
        first, second = simplex_points((2, 3, 4), stream.child("actions"))
        pool = ContextualPool(stream.child("features").normals((3, 4, 3)), law, first, second)
        theta = stream.child("theta").normals(3)
        ellipsoid = _ellipsoid(pool.collect(theta[None], 60, stream.child("answers"))[0], 26.0)
        if not ellipsoid.contains(theta):
            return None
        psi, context = pool.pinned.reshape(12, 3), np.repeat(np.arange(3), 4)
        reference = (law[:, None] * second).ravel()
        if setting.greedy:
            best = np.eye(4)[(pool.pinned @ ellipsoid.estimate).argmax(axis=1)]
            occupancy = (law[:, None] * best).ravel()
            promised = float((occupancy - reference) @ psi @ ellipsoid.estimate)
        else:
            found = maximin_policy(lambda w: psi @ ellipsoid.worst(w @ psi), reference, context=context)
            occupancy, promised = found.policy, found.value
        kept = pool.value(theta[None], occupancy.reshape(3, 4) / law[:, None]) - pool.value(theta[None], second)
        return promised, float(kept[0])


THEOREMS = (LikelihoodGuarantee(), AggregateGuarantee(), ContextualGuarantee())
