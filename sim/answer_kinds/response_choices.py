"""Answers of any kind about responses whose rewards a policy computes: what EM over policies is given beside pairs.

The same choices as in `sim.answer_kinds.events`, whose rewards are linear in features; here a reward is whatever a
policy says of a response, and a row is two responses and how much of their difference it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from sim.answer_kinds.kinds import Likelihood
from sim.answer_kinds.levels import Levels, best_thresholds, levels_of
from sim.choice_sets import choice_log_likelihood
from sim.errors import InputError
from sim.files.pair_table import SCALE, Offered, PairTable
from sim.preferences import AnyArray, FloatArray, IntArray, PreferencePairs

# The tie's constant is looked for within these: e^8 ties for each answer that says which is better, and back.
_TIE_RANGE = (-8.0, 8.0)


@dataclass(frozen=True, eq=False)
class ResponseChoices:
    """n answers, made of E choices, about S distinct (context, response): contexts (S,), responses (S,).

    Row m of a choice says how far the alternative that was taken is above another:

        z_m = scale_m (r[first_m] - r[second_m]) + tie_m nu + offset_m,      r[-1] = 0

    and answer j has the log-likelihood  constant_j - sum_{e of j} weight_e log(1 + sum_{m of e} exp(-z_m)), nats.
    first, second, scale, tie: (m,).  starts: (E + 1,).  answer: (E,) ascending.  weight: (E,).  annotator: (n,);
    weights: (n,) or None.  levels: of ordered answers; offsets and constants then follow from their thresholds.
    constants: what all policies share beside rewards: thresholds, or nu alone where there are ties (Davidson), or none.
    """

    contexts: IntArray
    responses: IntArray
    first: IntArray
    second: IntArray
    scale: FloatArray
    tie: FloatArray
    starts: IntArray
    answer: IntArray
    weight: FloatArray
    annotator: IntArray
    n_annotators: int
    weights: FloatArray | None = None
    levels: Levels | None = None
    constants: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.annotator)

    def pair_weights(self) -> FloatArray:
        """(n,) weights, ones where none were given."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def select(self, rows: AnyArray) -> Self:
        """The answers at `rows` (a mask, or ascending indices) and the responses they are about; annotators keep their
        numbers."""
        mask = np.zeros(len(self), dtype=np.bool_)
        mask[rows] = True
        kept, sizes = mask[self.answer], np.diff(self.starts)
        of_rows = np.repeat(kept, sizes)
        first, second = self.first[of_rows], self.second[of_rows]
        used = np.unique(np.concatenate([first, second[second >= 0]]))
        place = np.full(len(self.contexts) + 1, -1, dtype=np.int64)
        place[used] = np.arange(len(used))
        return replace(
            self, contexts=self.contexts[used], responses=self.responses[used], first=place[first],
            second=place[second], scale=self.scale[of_rows], tie=self.tie[of_rows],
            starts=np.concatenate([[0], np.cumsum(sizes[kept])]), answer=(np.cumsum(mask) - 1)[self.answer[kept]],
            weight=self.weight[kept], annotator=self.annotator[mask],
            weights=None if self.weights is None else self.weights[mask],
            levels=None if self.levels is None else self.levels.of(mask),
        )  # fmt: skip

    @property
    def answer_of_row(self) -> IntArray:
        """(m,) the answer that each row belongs to."""
        return np.repeat(self.answer, np.diff(self.starts))

    def offset(self, constants: FloatArray | None = None) -> FloatArray:
        """(m,) of the rows, the tie's constant in it."""
        own = self.constants if constants is None else constants
        if self.levels is None:
            return self.tie * own[0] if len(own) else np.zeros(len(self.first))
        return _bounds(self.levels, own)[0]

    def constant(self, constants: FloatArray | None = None) -> FloatArray:
        """(n,) what is added to each answer's log-likelihood."""
        if self.levels is None:
            return np.zeros(len(self))
        return _bounds(self.levels, self.constants if constants is None else constants)[1]

    def differences(self, rewards: FloatArray) -> FloatArray:
        """(m, ...) from rewards (S, ...) of the responses: scale (r[first] - r[second])."""
        alone = (self.second < 0).reshape(-1, *[1] * (rewards.ndim - 1))
        other = np.where(alone, 0.0, rewards[self.second])
        return self.scale.reshape(-1, *[1] * (rewards.ndim - 1)) * (rewards[self.first] - other)

    def folded(self, rewards: FloatArray, constants: FloatArray | None = None) -> FloatArray:
        """Log-likelihoods of the answers under rewards (S, ...); (n, ...), nats."""
        shape = (-1, *[1] * (rewards.ndim - 1))
        margins = self.differences(rewards) + self.offset(constants).reshape(shape)
        found = choice_log_likelihood(margins, self.starts) * self.weight.reshape(shape)
        first = np.searchsorted(self.answer, np.arange(len(self)))
        total = np.add.reduceat(found, first, axis=0) if len(self) else found
        return np.asarray(total + self.constant(constants).reshape(shape))

    def by_coin(self) -> FloatArray:
        """Log-likelihood of each answer where every outcome is as likely as another; (n,), nats."""
        own = self.levels
        if own is None:
            # Davidson's nu of 0 makes a tie as likely as either side.
            return self.folded(np.zeros(len(self.contexts)), np.zeros(len(self.constants)))
        outcomes = 2 * own.n - own.ties if own.around_zero else own.n
        return np.full(len(self), -np.log(outcomes))

    def rewards_of(self, policy: Any) -> FloatArray:
        """(S,) implicit rewards of the responses under a policy."""
        return np.asarray(policy.implicit_reward(self.contexts, self.responses))

    def refined(self, policies: Sequence[Any], answer_weights: FloatArray) -> Self:
        """With the constants that make these answers most likely under the policies as they are.

        argmax_c sum_k sum_j answer_weights[j, k] log p_k(answer j; c): the conditional M-step of ECM (Meng & Rubin
        1993), which never lowers the likelihood.  answer_weights: (n, K).
        """
        if not len(self.constants):
            return self
        rewards = np.stack([self.rewards_of(policy) for policy in policies], axis=1)
        return self.refitted(rewards, answer_weights)

    def refitted(self, rewards: FloatArray, answer_weights: FloatArray) -> Self:
        """The same from rewards (S, K)."""
        if not len(self.constants):
            return self
        if self.levels is not None:

            def score(at: FloatArray) -> float:
                return float((answer_weights * self.folded(rewards, at)).sum())

            return replace(self, constants=best_thresholds(self.levels, score, self.constants))
        from scipy.optimize import minimize_scalar

        def loss(nu: float) -> float:
            return -float((answer_weights * self.folded(rewards, np.array([nu]))).sum())

        found = minimize_scalar(loss, bounds=_TIE_RANGE, method="bounded", options={"xatol": 1e-6})
        return replace(self, constants=np.array([float(found.x)]))

    def names(self) -> tuple[str, ...]:
        """Of the constants."""
        if self.levels is None:
            return ("tie",) * len(self.constants)
        ends = zip(self.levels.names, self.levels.names[1:], strict=False)
        return tuple(f"{low} | {high}" for low, high in ends)[: len(self.constants)]


def _bounds(levels: Levels, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Offsets (m,) of the rows of ordered answers, in the order of `response_choices`, and constants (n,)."""
    events = levels.events(np.zeros((len(levels.code), 1)), thresholds)
    return events.offset, events.constant


def choices_of_pairs(pairs: PreferencePairs) -> ResponseChoices:
    """Plain pairs in this form: log sigma(r[chosen] - r[rejected])."""
    n = len(pairs)
    rows = np.concatenate([np.stack([pairs.contexts, column], axis=1) for column in (pairs.chosen, pairs.rejected)])
    slots, back = np.unique(rows, axis=0, return_inverse=True)
    back = back.reshape(-1)
    return ResponseChoices(
        slots[:, 0], slots[:, 1], back[:n], back[n:], np.ones(n), np.zeros(n), np.arange(n + 1), np.arange(n),
        np.ones(n), pairs.annotator, pairs.n_annotators, pairs.weights,
    )  # fmt: skip


def response_choices(table: PairTable, likelihood: Likelihood) -> ResponseChoices:
    """The answers of a table, whose contexts are its prompts and responses its items, by number.

    likelihood: as `likelihood_of` found it, which has also taken out of the table what it has no place for.
    """
    levels = levels_of(table, likelihood)
    own = _offered(table)
    if own.none >= 0:
        raise InputError(
            "somebody chose none of the responses offered, which no policy writes", file=table.source, field="choice",
            fix="leave these answers out",
        )  # fmt: skip
    sizes = np.diff(own.starts)
    choice = np.repeat(np.arange(len(own.taken)), sizes)
    if levels is not None:
        choice, scale = _two_plain(levels)
        taken, other, tie = own.taken[choice], own.others[choice], np.zeros(len(choice))
        starts, answer, weight = np.arange(len(choice) + 1), own.answer[choice], own.weight[choice]
        constants = levels.start()
    else:
        taken, other, scale, tie = own.taken[choice], own.others, np.ones(len(choice)), np.zeros(len(choice))
        starts, answer, weight, constants = own.starts, own.answer, own.weight, np.zeros(0)
        if likelihood == "davidson":
            taken, other = np.repeat(taken, 2), np.repeat(other, 2)
            # Taken against the other, then against the tie; a tie against the first, then against the second.
            scale = np.stack([np.where(own.tie, -0.5, 1.0), np.full(len(own.tie), 0.5)], axis=1).ravel()
            tie = np.stack([own.tie * 1.0, np.where(own.tie, 1.0, -1.0)], axis=1).ravel()
            starts, constants = 2 * starts, np.zeros(1)
    prompt = table.prompt[np.repeat(answer, np.diff(starts))]
    alone = np.array([label == SCALE for label in table.items])[other]
    rows = np.concatenate([np.stack([prompt, taken], axis=1), np.stack([prompt, other], axis=1)[~alone]])
    slots, back = np.unique(rows, axis=0, return_inverse=True)
    back = back.reshape(-1)
    second = np.full(len(taken), -1, dtype=np.int64)
    second[~alone] = back[len(taken) :]
    return ResponseChoices(
        slots[:, 0], slots[:, 1], back[: len(taken)], second, scale, tie, starts.astype(np.int64), answer, weight,
        table.annotator, table.n_annotators, table.weights, levels, constants,
    )  # fmt: skip


def _offered(table: PairTable) -> Offered:
    if table.offered is not None:
        return table.offered
    n = len(table)
    tie = np.zeros(n, dtype=np.bool_) if table.tie is None else table.tie
    return Offered(np.arange(n), table.chosen, np.arange(n + 1), table.rejected, np.ones(n), tie)


def _two_plain(levels: Levels) -> tuple[IntArray, FloatArray]:
    """(answer, sign) of the rows of ordered answers: sigma(z - a) and sigma(b - z), one at the ends of the scale."""
    low, high = levels.bounds(levels.start())
    finite = np.isfinite(np.stack([low, high], axis=1)).ravel()
    n = len(low)
    return np.repeat(np.arange(n), 2)[finite], np.tile([1.0, -1.0], n)[finite]
