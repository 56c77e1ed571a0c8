"""Min-max regret: games between groups and policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pluralign.api.estimators import Types
from pluralign.api.frames import Frame, is_path, number_table
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars, plotted
from sim.algorithms import hedge as hedge_games
from sim.algorithms import minmax_dpo as ensembles
from sim.algorithms import regret as regrets
from sim.arguments import probability_array, require_positive
from sim.files.number_tables import NumberTable
from sim.named_columns import in_order, names_of_columns
from sim.policies.finite import draw_actions
from sim.policies.protocol import FinitePolicy, ScoredPolicy
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream
from sim.tables.regrets import RegretSolution, RegretTable, solve_regret_table


class MinMax(Shown):
    """Weights of the ensemble whose worst group regrets least, and their certificate.  solution: the whole of it."""

    def __init__(self, solution: RegretSolution) -> None:
        self.solution = solution

    @property
    def weights(self) -> FloatArray:
        """(n_policies,), sum 1."""
        return self.solution.weights

    @property
    def value(self) -> float:
        """Worst weighted regret."""
        return self.solution.value

    @property
    def gap(self) -> float:
        return self.solution.gap

    @property
    def lp_value(self) -> float:
        """The game's exact value; value - lp_value lies in [0, gap] up to rounding."""
        return self.solution.lp_value

    @property
    def regret_per_group(self) -> FloatArray:
        """(n_groups,) each group's own regret."""
        return self.solution.regret_per_group

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign minmax --json` prints."""
        return self.solution.as_json()

    def page(self) -> Page:
        own = self.solution
        rows = [("weight of", name, float(value)) for name, value in zip(own.table.policies, own.weights, strict=True)]
        rows += [
            ("regret of", name, float(value))
            for name, value in zip(own.table.groups, own.regret_per_group, strict=True)
        ]
        return Page(f"worst weighted regret {own.value:.6g} (exact {own.lp_value:.6g} by LP, gap {own.gap:.2g})",
                    ("", "policy or group", "value"), rows)  # fmt: skip

    def plot(self) -> Any:
        """Axes: regret by group, and weights by policy."""
        own = self.solution
        return _two(own.table.groups, own.regret_per_group, own.table.policies, own.weights)


@plain_numbers
def minmax(regret: Frame, *, priorities: Sequence[float] | str | None = None, rounds: int = 100_000) -> MinMax:
    """min_w max_z c_z (R w)_z on a regret matrix of one's own, by optimistic Hedge, with the LP's value beside it.

    regret: a row a group, a column a policy: a path (CSV), a 2-D array, or a data frame.  priorities: c, one positive
    number a group; ones if None.  Regrets may be negative; no zero row is added.
    """
    table = number_table(regret, "regret", row="group", column="policy", entry="the regret")
    game = RegretTable(table.values, table.rows, table.columns, table.source)
    priorities = in_order("priorities", priorities, table.rows, what="the groups")
    return MinMax(solve_regret_table(game, priorities=priorities, rounds=rounds))


class HedgePlay(Shown):
    """Averaged play of a zero-sum matrix game.  weights (columns), adversary (rows); upper >= value >= lower.

    play: every field of the run; lp_value: the exact value.
    """

    def __init__(self, table: NumberTable, play: hedge_games.HedgeResult, lp_value: float) -> None:
        self.play, self.lp_value, self._table = play, lp_value, table

    @property
    def weights(self) -> FloatArray:
        return self.play.weights

    @property
    def adversary(self) -> FloatArray:
        return self.play.adversary

    @property
    def value(self) -> float:
        """max_z (R w)_z of the averaged weights."""
        return self.play.upper

    @property
    def gap(self) -> float:
        return self.play.gap

    def as_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist(), "adversary": self.adversary.tolist(), "value": self.value,
                "lower": self.play.lower, "gap": self.gap, "lp_value": self.lp_value, "rounds": self.play.rounds,
                "step": self.play.step}  # fmt: skip

    def page(self) -> Page:
        rows = [("column", name, float(w)) for name, w in zip(self._table.columns, self.weights, strict=True)]
        rows += [("row", name, float(p)) for name, p in zip(self._table.rows, self.adversary, strict=True)]
        return Page(f"value {self.value:.6g} (exact {self.lp_value:.6g}), gap {self.gap:.2g} after "
                    f"{self.play.rounds} rounds", ("", "name", "played"), rows)  # fmt: skip

    def plot(self) -> Any:
        """Axes: duality gap of the averaged play by round, beside 1 / T."""

        def draw() -> None:
            from sim.files.figure_files import subplots
            from sim.files.palette import BLUE

            at, gap = self.play.trace_rounds, np.maximum(self.play.trace_gap, 1e-16)
            _, axis = subplots(figsize=(5.4, 3.6), layout="constrained")
            axis.loglog(at, gap, "o-", color=BLUE, markersize=3.5, label="gap of the average")
            axis.loglog(at, gap[0] * at[0] / at, "--", color="0.4", linewidth=1, label="slope -1")
            axis.set_xlabel("round (log scale)")
            axis.set_ylabel("duality gap (log scale)")
            axis.grid(color="0.92")
            axis.legend(fontsize=8)

        return plotted(draw)


@plain_numbers
def hedge(regret: Frame, *, rounds: int = 10_000, step: float | None = None, optimistic: bool = True) -> HedgePlay:
    """Optimistic Hedge (arXiv 2405.15065, Algorithm 2), or plain Hedge: columns minimise, rows maximise p' R w.

    w_t proportional to w_{t-1} exp(-h (2 R'p_{t-1} - R'p_{t-2})), p_t likewise; step: h, None: 1 / (max R - min R).
    regret: a path (CSV), a 2-D array, or a data frame.
    """
    table = number_table(regret, "regret", row="row", column="column", entry="the payoff")
    recorded = sorted({int(t) for t in np.geomspace(1, max(rounds, 1), 30)}) if rounds >= 1 else ()
    play = hedge_games.hedge(table.values, rounds, step=step, optimistic=optimistic, record=tuple(recorded))
    return HedgePlay(table, play, hedge_games.game_value(table.values).value)


class _TablePolicy:
    """Probabilities (S, A) over arms in numbered contexts, beside a reference."""

    def __init__(self, probabilities: FloatArray, reference: FloatArray) -> None:
        self._log, self._reference = np.log(probabilities), np.log(reference)

    def log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return np.asarray(self._log[contexts])

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        return np.asarray(self._reference[contexts])

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        return np.asarray((self._log - self._reference)[contexts, responses])

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        return draw_actions(self._log[contexts], stream)


def _policies(
    policies: Any, contexts: AnyArray | None, reference: Any, beta: float
) -> tuple[Sequence[ScoredPolicy], AnyArray, tuple[str, ...]]:
    """Policies, the contexts they are compared in, and their names."""
    if isinstance(policies, Types):
        own: Sequence[ScoredPolicy] = policies.policies(beta)
        # The items are offered all at once.
        return own, np.zeros(1, np.int64) if contexts is None else contexts, _numbered("type", len(own))
    named = None
    if _is_frame(policies):
        named = number_table(policies, "policies", row="policy", column="candidate", entry="the probability")
        policies = named.values
        if reference is not None:
            reference = np.asarray(in_order("reference", reference, named.columns, what="policies")).ravel()
    if isinstance(policies, np.ndarray) or (len(policies) and isinstance(policies[0], Sequence | np.ndarray)):
        table = np.asarray(policies, dtype=np.float64)
        table = table[:, None] if table.ndim == 2 else table
        table = probability_array("policies", table, ("K", "S", "A"))
        _, S, A = table.shape
        even = np.full((S, A), 1.0 / A)
        base = even if reference is None else np.broadcast_to(np.asarray(reference, dtype=np.float64), (S, A))
        base = probability_array("reference", base, (S, A))
        if (table <= 0).any() or (base <= 0).any():
            raise ValueError("policies and reference must be positive: where one is 0, log(pi / pi_ref) is undefined")
        tables = [_TablePolicy(own, base) for own in table]
        names = _numbered("policy", len(tables)) if named is None else named.rows
        return tables, np.arange(S) if contexts is None else contexts, names
    if contexts is None:
        raise ValueError("contexts must be given with policies of one's own: they are compared in these")
    return tuple(policies), contexts, _numbered("policy", len(policies))


def _is_frame(policies: Any) -> bool:
    """A path, a table or rows by name, which `number_table` reads; not arrays, and not policies of one's own."""
    rows = isinstance(policies, list | tuple) and len(policies) > 0 and isinstance(policies[0], Mapping)
    by_name = rows or isinstance(policies, Mapping) or names_of_columns(policies) is not None
    return by_name or is_path(policies) or hasattr(policies, "iloc")


def _numbered(name: str, n: int) -> tuple[str, ...]:
    return tuple(f"{name} {k + 1}" for k in range(n))


class RegretMatrix(Shown):
    """R[1 + z, k] = beta c_z (L[z, z] - L[z, k]), row 0 zero; values (K + 1, K).  matrix: with L and its errors."""

    def __init__(self, matrix: regrets.RegretMatrix, names: Sequence[str]) -> None:
        self.matrix, self.names = matrix, tuple(names)

    @property
    def values(self) -> FloatArray:
        """(K + 1, K), the zero row first."""
        return self.matrix.values

    @property
    def discrepancy(self) -> FloatArray:
        """L[z, k] = E_x E_{y ~ pi_k} log(pi_z / pi_ref); (K, K)."""
        return self.matrix.discrepancy

    def as_dict(self) -> dict[str, Any]:
        return {"values": self.values.tolist(), "discrepancy": self.discrepancy.tolist(), "beta": self.matrix.beta,
                "priorities": self.matrix.priorities.tolist(), "names": list(self.names)}  # fmt: skip

    def page(self) -> Page:
        rows = [(f"regret of {name}", *map(float, row)) for name, row in zip(self.names, self.values[1:], strict=True)]
        return Page(f"regret matrix at beta = {self.matrix.beta:g}, reward units", ("under", *self.names), rows)

    def plot(self) -> Any:
        """Axes: regret of each group (bars of a colour) under each policy."""
        series = {f"of {name}": row.tolist() for name, row in zip(self.names, self.values[1:], strict=True)}
        return bars("regret of groups", series, [f"under {name}" for name in self.names], "regret (reward units)")


# Long for its docstring.
@plain_numbers
def regret_matrix(
    policies: Any,
    contexts: AnyArray | None = None,
    *,
    beta: float = 1.0,
    priorities: Sequence[float] | None = None,
    reference: Any = None,
    context_probabilities: Any = None,
    samples: int | None = None,
    seed: int = 0,
) -> RegretMatrix:
    """What each group regrets under each group's policy (arXiv 2405.15065, Algorithm 2 and Appendix E).

    R[1 + z, k] = beta c_z (L[z, z] - L[z, k]),  L[z, k] = E_x E_{y ~ pi_k} log(pi_z / pi_ref)(y | x).
    policies: what `em_dpo` or `cluster_dpo` found (over its items), probabilities (K, A) or (K, S, A) with a
    `reference` (S, A) (uniform if None), or policies of one's own with `contexts`; probabilities (K, A) may be a path
    (CSV) or a data frame, a row a policy, and are then called as its rows are.  samples: None for exact
    expectations, else responses sampled a context.
    """
    require_positive(beta=beta)
    own, where, names = _policies(policies, contexts, reference, beta)
    error = None
    if samples is None:
        finite = [policy for policy in own if isinstance(policy, FinitePolicy)]
        if len(finite) < len(own):
            raise ValueError("samples must be given: exact regrets need policies over finitely many actions")
        found = regrets.discrepancy(finite, where, _shares(context_probabilities))
    else:
        sampled = regrets.discrepancy_sampled(own, where, Stream(seed, role="regret"), samples)
        found, error = sampled.estimate, sampled.regret_error
    return RegretMatrix(regrets.regret_matrix(found, beta, priorities, error), names)


class MinMaxEnsemble(Shown):
    """The ensemble of policies whose worst group regrets least.  result: with the policy to sample from."""

    def __init__(self, result: ensembles.MinMaxResult, names: Sequence[str]) -> None:
        self.result, self.names = result, tuple(names)

    @property
    def policy(self) -> Any:
        """The mixture itself: `sample`, `log_ratio` and, over finitely many actions, `log_probabilities`."""
        return self.result.policy

    @property
    def weights(self) -> FloatArray:
        return self.result.weights

    @property
    def value(self) -> float:
        """Worst weighted regret, reward units."""
        return self.result.value

    @property
    def gap(self) -> float:
        return self.result.gap

    @property
    def regret_per_group(self) -> FloatArray:
        return self.result.group_regret

    def as_dict(self) -> dict[str, Any]:
        own = self.result
        return {"weights": own.weights.tolist(), "value": own.value, "lp_value": own.lp_value, "gap": own.gap,
                "rounds": own.hedge.rounds, "regret_per_group": own.group_regret.tolist(),
                "priorities": own.regret.priorities.tolist(), "beta": own.regret.beta,
                "groups": list(self.names), "policies": list(self.names)}  # fmt: skip

    def page(self) -> Page:
        own = self.result
        rows = [
            (name, float(w), float(r)) for name, w, r in zip(self.names, own.weights, own.group_regret, strict=True)
        ]
        return Page(f"worst weighted regret {own.value:.6g} (exact {own.lp_value:.6g} by LP, gap {own.gap:.2g})",
                    ("type", "weight of its policy", "its regret"), rows)  # fmt: skip

    def plot(self) -> Any:
        """Axes: regret by group, and weights by policy."""
        return _two(self.names, self.regret_per_group, self.names, self.weights)


# Long for its docstring.
@plain_numbers
def minmax_dpo(
    policies: Any,
    contexts: AnyArray | None = None,
    *,
    beta: float = 1.0,
    priorities: Sequence[float] | None = None,
    reference: Any = None,
    context_probabilities: Any = None,
    rounds: int = 10_000,
    samples: int | None = None,
    seed: int = 0,
) -> MinMaxEnsemble:
    """min_w max_z c_z E[R_z(pi_z) - R_z(sum_k w_k pi_k)]^+ by optimistic Hedge (arXiv 2405.15065, Algorithm 2).

    policies, contexts, reference, context_probabilities, samples: as in `regret_matrix`.  priorities: c, one positive
    number a group.  rounds: of Hedge; the answer comes with its duality gap and the exact value from a linear program.
    """
    require_positive(beta=beta)
    own, where, names = _policies(policies, contexts, reference, beta)
    result = ensembles.minmax_dpo(
        own, where, beta=beta, priorities=priorities, context_probabilities=_shares(context_probabilities),
        rounds=rounds, samples=samples, stream=Stream(seed, role="minmax"),
    )  # fmt: skip
    return MinMaxEnsemble(result, names)


def _shares(values: Any) -> FloatArray | None:
    return None if values is None else np.asarray(values, dtype=np.float64)


def _two(groups: Sequence[str], regret: FloatArray, policies: Sequence[str], weights: FloatArray) -> Any:
    def draw() -> None:
        from sim.files.figure_files import subplots
        from sim.files.palette import BLUE, ORANGE

        high = 1.2 + 0.3 * max(len(groups), len(policies))
        _, axes = subplots(1, 2, figsize=(9.0, high), layout="constrained")
        parts = ((groups, regret, ORANGE, "regret"), (policies, weights, BLUE, "weight in the ensemble"))
        for axis, (names, values, colour, label) in zip(axes, parts, strict=True):
            axis.barh(range(len(names)), values, color=colour, height=0.7)
            axis.set_yticks(range(len(names)), list(names))
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.set_xlabel(label)
            axis.axvline(0.0, color="0.3", linewidth=0.8)
            axis.grid(axis="x", color="0.92")
            axis.set_axisbelow(True)

    return plotted(draw)
