"""EM-DPO for log-linear types over choices out of sets, rankings and ties: `em_log_linear`, its answers `ChoiceSets`.

Tested equal to `em_log_linear` on sets of two, and to brute force on larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sim.algorithms.em_log_linear import EXACT, EMSettings, LogLinearEM, LogLinearEMBatch, best_of, starting_splits
from sim.arguments import float_array, probability_array
from sim.choice_sets import ChoiceSets, choice_sets
from sim.compiled.tiles import TILE, padded, row_length
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

if TYPE_CHECKING:
    from sim.compiled.choice_pass import ChoiceAnswers

# From this many numbers on, one restart is shared between threads instead of one thread a restart.
_PARALLEL_FROM = 1 << 21


def em_choices(
    rows: FloatArray,
    starts: IntArray,
    annotator: IntArray,
    n_annotators: int,
    n_types: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
    mass_scaled: bool = True,
    restarts: int = 10,
    max_rounds: int = 200,
    tolerance: float = 1e-8,
    estep: Literal["soft", "hard"] = "soft",
    newton_steps: int = 1,
    stream: Stream | None = None,
    start: FloatArray | None = None,
    centre: FloatArray | None = None,
) -> LogLinearEM:
    """Fit K log-linear types to choices by EM and keep the best of several restarts.

    rows: (m, d) features of the alternative taken minus each other one; starts: (E + 1,), choice e has the rows
    starts[e]:starts[e + 1]; annotator, weights: (E,).  offset: (m,) added to the rows' margins, for all types.
    Type k gives choice e the probability 1 / (1 + sum_j exp(-o_j - <theta_k, x_j>)) (McFadden 1974); a ranking is the
    product of its choices from those not yet placed (Plackett-Luce).  [arXiv 2405.15065, Algorithm 1; K-wise answers in
    its later version]  The rest as in `em_log_linear`.
    """
    return em_choice_sets(
        choice_sets(rows, starts, annotator, n_annotators, weights, offset), n_types, ridge=ridge,
        mass_scaled=mass_scaled, restarts=restarts, max_rounds=max_rounds, tolerance=tolerance, estep=estep,
        newton_steps=newton_steps, stream=stream, start=start, centre=centre,
    )  # fmt: skip


def em_choice_sets(
    choices: ChoiceSets,
    n_types: int,
    *,
    ridge: float = 1e-3,
    mass_scaled: bool = True,
    restarts: int = 10,
    max_rounds: int = 200,
    tolerance: float = 1e-8,
    estep: Literal["soft", "hard"] = "soft",
    newton_steps: int = 1,
    stream: Stream | None = None,
    start: FloatArray | None = None,
    centre: FloatArray | None = None,
) -> LogLinearEM:
    """`em_choices` of choices that are checked already."""
    from sim.compiled.em import Rules, State
    from sim.compiled.em_choices import em_choices as kernel
    from sim.compiled.em_choices import em_choices_batch, em_choices_shared

    settings = EMSettings(ridge, mass_scaled, max_rounds, tolerance, estep, newton_steps)
    begin = starting_splits(start, restarts, choices.n_annotators, n_types, stream)
    m, d = choices.rows.shape
    R, most = len(begin), settings.max_rounds
    origin = np.zeros(padded(d))
    if centre is not None:
        origin[:d] = float_array("centre", centre, (d,))
    states = State(
        np.zeros((R, n_types, padded(d))), np.empty((R, n_types)), np.array(begin), np.empty((R, most + 1)),
        np.empty((R, most + 1)),
    )  # fmt: skip
    rounds, status = np.empty(R, np.int64), np.empty(R, np.int64)
    answers, rules, shared = laid_out(choices), Rules(*settings.rules), m * d >= _PARALLEL_FROM
    if shared or R == 1:
        run = em_choices_shared if shared else kernel
        for r in range(R):
            rounds[r], status[r] = run(rules, answers, origin, State(*(part[r] for part in states)))
    else:
        em_choices_batch(rules, answers, origin, states, rounds, status)
    batch = LogLinearEMBatch(
        states.theta[None, ..., :d], states.mixture[None], states.gamma[None], states.trace[None],
        states.likelihood_trace[None], rounds[None], status[None],
    )  # fmt: skip
    return best_of(batch, 0, choices.rows)


def fit_choices(
    choices: ChoiceSets, *, ridge: float = 1e-3, mass_scaled: bool = True, centre: FloatArray | None = None
) -> FloatArray:
    """One reward for all: argmax of the weighted log-likelihood - 0.5 lambda |theta - centre|^2, by Newton; (d,)."""
    found = em_choice_sets(
        choices, 1, ridge=ridge, mass_scaled=mass_scaled, max_rounds=0, newton_steps=EXACT, centre=centre
    )
    return np.asarray(found.theta[0])


def choice_responsibilities(theta: FloatArray, mixture: FloatArray, choices: ChoiceSets) -> FloatArray:
    """Posterior over types of (new) annotators from their choices; (n_annotators, K), the mixture for those without."""
    from sim.compiled.em_choices import choice_posterior

    theta = float_array("theta", theta, ("K", choices.rows.shape[1]))
    K, d = theta.shape
    mixture = probability_array("mixture", mixture, (K,))
    gamma = np.zeros((choices.n_annotators, K))
    wide = np.pad(theta, ((0, 0), (0, padded(d) - d)))
    choice_posterior(laid_out(choices), wide, np.log(np.maximum(mixture, 1e-300)), gamma)
    return gamma


@dataclass(frozen=True, eq=False)
class _Order:
    """choices and rows sorted by annotator."""

    choices: IntArray
    rows: IntArray
    events: IntArray


def _sorted(choices: ChoiceSets) -> _Order:
    order = np.argsort(choices.annotator, kind="stable")
    sizes = np.diff(choices.starts)[order]
    events = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    first = choices.starts[:-1][order]
    rows = np.repeat(first - events[:-1], sizes) + np.arange(events[-1])
    return _Order(order, rows, events)


def laid_out(choices: ChoiceSets) -> ChoiceAnswers:
    """As the kernels want them: rows as columns, sorted by annotator, in runs of whole annotators."""
    from sim.compiled.choice_pass import ChoiceAnswers

    m, d = choices.rows.shape
    order = _sorted(choices)
    counts = np.bincount(choices.annotator, minlength=choices.n_annotators)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns, tiles, start = order.events[offsets], [0], 0
    for i in range(choices.n_annotators):
        if i > start and columns[i + 1] - columns[start] > TILE:
            tiles.append(i)
            start = i
    tiles.append(choices.n_annotators)
    at = np.array(tiles, dtype=np.int64)
    width = row_length(max(TILE, int((columns[at[1:]] - columns[at[:-1]]).max())))
    features = np.zeros((padded(d), row_length(m)))
    features[:d, :m] = choices.rows[order.rows].T
    offset, weight = choices.offset[order.rows], choices.weights[order.choices]
    return ChoiceAnswers(features, offset, weight, order.events, offsets, at, width)
