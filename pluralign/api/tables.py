"""Many people's numbers as one choice: rewards aggregated, opinions pooled, utilities weighed, preferences matched."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pluralign.api.frames import Frame, number_table, opinions_of
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.shown import Page, Shown, bars, finite_or_text, plotted
from sim.algorithms import axioms as axiom_tests
from sim.algorithms import von_neumann as winners
from sim.algorithms.aggregation import aggregate as aggregate_rewards
from sim.algorithms.aggregation import aggregate_weights
from sim.algorithms.mechanism import Mechanism, best_misreports
from sim.algorithms.orderings import Ordering, aggregation_rule
from sim.algorithms.pooling import pool_opinions
from sim.algorithms.rules import as_rule, find_rule
from sim.arguments import float_array
from sim.counted import counted
from sim.environments.preference_tables import PreferenceCounts
from sim.errors import InputError, short
from sim.files.number_tables import NumberTable
from sim.files.opinion_files import Question
from sim.preferences import FloatArray
from sim.streams import Stream
from sim.tables.welfare import WelfareAnswer, parse_rule, solve_welfare

# Of utilities and costs, as parts of their size.
_ROUNDING = 1e-12


def alpha_given(name: str, value: Any) -> float:
    """A power as a number; InputError for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise InputError(f"{name}: expected a number, -inf or inf, got {short(value)}", fix="give one, for example 1.0")
    return number


class Aggregate(Shown):
    """One number a response.  values (n_responses,); choice: the best one; shares (n_annotators,) at the choice."""

    def __init__(self, table: NumberTable, alpha: float) -> None:
        self.alpha, self._table = float(alpha), table
        self.values = aggregate_rewards(table.values, alpha)
        self._best = int(self.values.argmax())
        self.shares = aggregate_weights(table.values, alpha)[:, self._best]

    @property
    def choice(self) -> str:
        return self._table.columns[self._best]

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign aggregate --json` prints."""
        favours = "worse off" if self.alpha < 0 else "better off" if self.alpha > 0 else "nobody"
        return {
            "alpha": finite_or_text(self.alpha),
            "aggregate": self.values.tolist(),
            "choice": self.choice,
            "responses": list(self._table.columns),
            "annotators": list(self._table.rows),
            "weights_at_choice": self.shares.tolist(),
            "favours": favours,
        }

    @property
    def rewards_of_choice(self) -> FloatArray:
        """(n_annotators,)."""
        return np.asarray(self._table.values[:, self._best])

    def page(self) -> Page:
        rows = [(name, float(value), "<- choice" if name == self.choice else "")
                for name, value in zip(self._table.columns, self.values, strict=True)]  # fmt: skip
        return Page(f"aggregate of {counted(len(self._table.rows), 'annotators')} at alpha = {self.alpha:g}",
                    ("response", "aggregate", ""), rows)  # fmt: skip

    def plot(self) -> Any:
        """Axes: the aggregate by response."""
        title = f"aggregate at alpha = {self.alpha:g}"
        return bars(title, {"aggregate": self.values.tolist()}, self._table.columns, "reward")


@plain_numbers
def aggregate(rewards: Frame, alpha: float = 0.0) -> Aggregate:
    """Agg_alpha(r) = (1 / alpha) log((1 / N) sum_i exp(alpha r_i)), response by response, and the best response.

    [arXiv 2405.00254, eq. (4.1)]  alpha 0: the mean, -inf the minimum, inf the maximum.  rewards: a row an annotator, a
    column a response: a path (CSV), a 2-D array, or a data frame; on one scale with one zero.
    """
    alpha = alpha_given("alpha", alpha)
    return Aggregate(number_table(rewards, "rewards", row="annotator", column="response", entry="the reward"), alpha)


class Pool(Shown):
    """Consensus by prompt and candidate; with a mechanism, costs and the most a misreport gains, by annotator."""

    def __init__(self, questions: Sequence[Question], alpha: float, source: str) -> None:
        self.alpha, self.questions = float(alpha), tuple(questions)
        self.consensus: dict[str, dict[str, float]] = {}
        self.vetoed: dict[str, list[str]] = {}
        self.mechanism: dict[str, Any] = {}
        for question in questions:
            try:
                pooled = pool_opinions(question.opinions, alpha)
            except ValueError as error:
                raise InputError(
                    f"prompt '{question.prompt}': {error}", file=source,
                    fix="give positive probabilities, or alpha above 0",
                ) from error  # fmt: skip
            self.consensus[question.prompt] = dict(zip(question.candidates, pooled.tolist(), strict=True))
            if alpha <= 0 and (question.opinions == 0).any():
                zero = (question.opinions == 0).any(axis=0)
                vetoed = [name for name, out in zip(question.candidates, zero, strict=True) if out]
                self.vetoed[question.prompt] = vetoed

    @property
    def costs(self) -> dict[str, float]:
        """By annotator, nats; empty without a mechanism."""
        return dict(self.mechanism.get("costs", {}))

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign pool --json` prints."""
        return {"alpha": finite_or_text(self.alpha), "consensus": self.consensus, "vetoed": self.vetoed,
                **self.mechanism}  # fmt: skip

    def page(self) -> Page:
        notes = []
        if self.vetoed:
            notes.append(f"one zero vetoes a candidate; it did for {len(self.vetoed)} of {len(self.consensus)} prompts")
        if self.mechanism:
            gain = max(self.mechanism["best_misreport_gain"].values())
            notes.append(f"costs {sum(self.costs.values()):.4g} nats in all; the best misreport gains {gain:.2g}")
        rows = [(prompt, name, value) for prompt, pooled in self.consensus.items() for name, value in pooled.items()]
        return Page(f"pool at alpha = {self.alpha:g}, {len(self.consensus)} prompts",
                    ("prompt", "candidate", "probability"), rows, notes)  # fmt: skip

    def plot(self) -> Any:
        """Axes: opinions and consensus of the first prompt."""
        first = self.questions[0]
        few = list(zip(first.annotators, first.opinions, strict=True))[:7]
        series = {name: own.tolist() for name, own in few}
        series["consensus"] = [self.consensus[first.prompt][name] for name in first.candidates]
        return bars(f"{first.prompt}: pool at alpha = {self.alpha:g}", series, first.candidates, "probability")


# Long for its docstring.
@plain_numbers
def pool(
    opinions: Frame,
    alpha: float = 1.0,
    *,
    mechanism: bool = False,
    distance_alpha: float | None = None,
    charged: bool = True,
    seed: int = 0,
) -> Pool:
    """Pool probabilistic opinions, prompt by prompt: P(a) proportional to (sum_i P_i(a)^alpha)^(1 / alpha).

    [arXiv 2405.00254, eq. (5.1)]  alpha 1: linear, 0: geometric, -inf: minimum, inf: maximum.
    opinions: a path (Parquet, JSONL, CSV), a frame with an opinion a row (`annotator_id`, `prompt_id`, `candidates`,
    `probs`) or a probability a row (`candidate`, `prob`), or a matrix with a row an annotator, a column a candidate.
    mechanism: also costs under which truth is best, and the most each annotator could gain by misreporting (searched
    with `seed`).  distance_alpha: costs by the distance of another alpha.  charged False: nobody pays, as a comparison.
    """
    alpha = alpha_given("alpha", alpha)
    distance_alpha = None if distance_alpha is None else alpha_given("distance_alpha", distance_alpha)
    if mechanism and np.isinf(alpha) and distance_alpha is None:
        raise InputError(
            "mechanism: no distance has the min or the max rule as its barycentre, so no cost makes truth best",
            fix="give a finite alpha, or distance_alpha to see by how much",
        )
    if distance_alpha is not None and np.isinf(distance_alpha):
        raise InputError("distance_alpha: expected a finite number", fix="give one, for example 1")
    if not mechanism and (distance_alpha is not None or not charged):
        raise InputError("distance_alpha and charged belong to mechanism=True", fix="give it, or leave them out")
    questions = opinions_of(opinions, "opinions")
    source = str(opinions) if isinstance(opinions, str) or hasattr(opinions, "__fspath__") else type(opinions).__name__
    found = Pool(questions, alpha, source)
    if mechanism:
        found.mechanism = _mechanism(questions, Mechanism(alpha, distance_alpha=distance_alpha, charged=charged), seed)
    return found


def _mechanism(questions: Sequence[Question], rules: Mechanism, seed: int) -> dict[str, Any]:
    """Costs, utilities and best misreports, summed over prompts: utility is separable."""
    costs: dict[str, float] = {}
    gains: dict[str, float] = {}
    bounds: dict[str, float] = {}
    utilities: dict[str, float] = {}
    by_prompt: dict[str, dict[str, float]] = {}
    misreports: dict[str, dict[str, Any]] = {}
    for question in questions:
        rules.require_payable(question.opinions)
        found = best_misreports(rules, question.opinions, stream=Stream(seed, "pool"), starts=2)
        outcome, utility = rules.outcome(question.opinions), rules.utilities(question.opinions)
        by_prompt[question.prompt] = dict(zip(question.annotators, outcome.costs.tolist(), strict=True))
        for i, name in enumerate(question.annotators):
            costs[name] = costs.get(name, 0.0) + float(outcome.costs[i])
            gain, most = float(found.gain[i]), float(found.bound[i])
            # A gain is a difference of utilities and costs: what rounding leaves of it is no gain beyond the largest.
            rounding = _ROUNDING * (1.0 + abs(float(utility[i])) + abs(float(outcome.costs[i])))
            gains[name] = gains.get(name, 0.0) + (most if most < gain <= most + rounding else gain)
            bounds[name] = bounds.get(name, 0.0) + most
            utilities[name] = utilities.get(name, 0.0) + float(utility[i])
            if found.gain[i] > 1e-8:
                report = dict(zip(question.candidates, found.report[i].tolist(), strict=True))
                misreports.setdefault(name, {})[question.prompt] = report
    return {
        "mechanism": {"distance_alpha": rules.distance, "charged": rules.charged, "truthful": rules.truthful},
        "costs": costs,
        "costs_by_prompt": by_prompt,
        "utilities": utilities,
        "best_misreport_gain": gains,
        "misreport_gain_at_most": bounds,
        "misreports": misreports,
    }


class Welfare(Shown):
    """A choice, or a lottery over options, with what it gives whom and its certificates.  answer: the whole of it."""

    def __init__(self, answer: WelfareAnswer) -> None:
        self.answer, self._content = answer, answer.as_json()

    @property
    def choice(self) -> str | None:
        """The option; None for a lottery."""
        return None if self.answer.mixed else str(self._content["choice"])

    @property
    def lottery(self) -> FloatArray:
        """(n_options,) probabilities; a choice is a lottery on it."""
        return self.answer.lottery

    @property
    def utilities(self) -> FloatArray:
        """(n_parties,) in the table's own units."""
        return np.asarray(self.answer.table.values @ self.answer.lottery)

    @property
    def pareto_efficient(self) -> bool:
        return self.answer.pareto.efficient

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign welfare --json` prints."""
        return dict(self._content)

    def page(self) -> Page:
        own = self._content
        if self.choice is None:
            played = [(name, p) for name, p in zip(own["options"], own["lottery"], strict=True) if p > 5e-5]
            said = ", ".join(f"{name} {p:.3f}" for name, p in played)
        else:
            said = self.choice
        # Of a loss there is no share.
        shares = ["-" if share is None else share for share in own["share_of_maximum"]]
        rows = list(zip(own["parties"], own["utilities"], shares, strict=True))
        efficient = "Pareto efficient" if self.pareto_efficient else "NOT Pareto efficient"
        ties = [f"tied with {', '.join(own['ties'])}"] if own["ties"] else []
        return Page(f"{own['rule']}: {said}", ("party", "utility", "share of its maximum"), rows, [efficient, *ties])

    def plot(self) -> Any:
        """Axes: each party's share of its maximum."""
        own = self._content
        shares = [np.nan if share is None else share for share in own["share_of_maximum"]]
        return bars(self.page().title, {"share": shares}, own["parties"], "share of its maximum")


def welfare(utilities: Frame, rule: str = "nash", *, lottery: bool = False, zero: str = "none") -> Welfare:
    """Choose an option, or a lottery over options, for parties that disagree.  [arXiv 2403.05006, section 4]

    utilities: a row a party, a column an option: a path (CSV), a 2-D array, or a data frame.  rule: nash, utilitarian,
    leximin, or alpha=A with sum u^A, A <= 1.  lottery: choose probabilities.  zero: where gains start: none (the
    table's 0), worst (each party's worst option), or an option, the status quo.
    """
    table = number_table(utilities, "utilities", row="party", column="option", entry="the utility")
    return Welfare(solve_welfare(table, parse_rule(rule), lottery=lottery, zero=zero))


class VonNeumann(Shown):
    """A lottery that no other beats by more than `gap`.  policy (S, A), value (S,), gap (S,); winner: all of it."""

    def __init__(self, winner: winners.VonNeumannWinner, names: Sequence[str]) -> None:
        self.winner, self.names = winner, tuple(names)

    @property
    def policy(self) -> FloatArray:
        return self.winner.policy

    @property
    def value(self) -> FloatArray:
        return self.winner.value

    @property
    def gap(self) -> FloatArray:
        return self.winner.gap

    def as_dict(self) -> dict[str, Any]:
        return {"actions": list(self.names), "policy": self.policy.tolist(), "value": self.value.tolist(),
                "gap": self.gap.tolist()}  # fmt: skip

    def page(self) -> Page:
        rows = [(f"state {s + 1}", *map(float, row), float(value))
                for s, (row, value) in enumerate(zip(self.policy, self.value, strict=True))]  # fmt: skip
        if len(rows) > 1:
            return Page("von Neumann winner", ("", *self.names, "value"), rows)
        played = [(name, float(p)) for name, p in zip(self.names, self.policy[0], strict=True)]
        title = f"von Neumann winner: guarantees {self.value[0]:.4g}, nothing more than {self.gap[0]:.1g} above it"
        return Page(title, ("action", "probability"), played)

    def plot(self) -> Any:
        """Axes: probabilities by action, a colour a state."""
        series = {f"state {s + 1}": row.tolist() for s, row in enumerate(self.policy)}
        return bars("von Neumann winner", series, self.names, "probability")


@plain_numbers
def von_neumann(
    preferences: Frame = None, *, wins: Any = None, stance: winners.Stance = "pessimistic", delta: float = 0.1
) -> VonNeumann:
    """argmax_p min_q p' N q in each state, with a certificate.  [arXiv 2403.05006, Algorithm 2]

    preferences: N[a, b] = 2 P(a beats b) - 1, (A, A) or (S, A, A), or a path (CSV) or a data frame of (A, A); between
    -1 and 1, and N[b, a] = -N[a, b].
    wins: instead, how often annotator m preferred a to b, (M, S, A, A) or (M, A, A): N - B with B the width of what the
    counts leave open at level delta (stance pessimistic), N (plain) or N + B (optimistic).
    """
    if (preferences is None) == (wins is None):
        raise InputError("preferences or wins must be given, and not both", fix="give one of them")
    if wins is not None:
        counts = np.asarray(wins, dtype=np.float64)
        counts = counts[:, None] if counts.ndim == 3 else counts
        found = winners.von_neumann_winner(PreferenceCounts(counts), delta=delta, stance=stance)
        return VonNeumann(found, [f"action {a + 1}" for a in range(found.policy.shape[1])])
    if np.ndim(preferences) == 3:
        matrices = float_array("preferences", preferences, ("S", "A", "A"))
        _require_preferences(matrices, "preferences", [f"action {a + 1}" for a in range(matrices.shape[2])])
        found = winners.solve_matrices(matrices)
        return VonNeumann(found, [f"action {a + 1}" for a in range(found.policy.shape[1])])
    table = number_table(preferences, "preferences", row="action", column="action", entry="the preference")
    _require_preferences(table.values[None], table.source, table.columns)
    return VonNeumann(winners.solve_matrices(table.values[None]), table.columns)


def _require_preferences(matrices: FloatArray, source: str, names: Sequence[str]) -> None:
    """2 P(a beats b) - 1 of some P: between -1 and 1, and that of b over a the negative."""
    if matrices.shape[1] != matrices.shape[2]:
        return
    for wrong, words, fix in (
        (np.abs(matrices) > 1.0 + 1e-9, "lie between -1 and 1", "give 2 P(a beats b) - 1"),
        (np.abs(matrices + matrices.swapaxes(1, 2)) > 1e-9, "be minus what it is the other way round",
         "give N[b, a] = -N[a, b], 0 on the diagonal"),
    ):  # fmt: skip
        if wrong.any():
            s, a, b = np.argwhere(wrong)[0]
            there = f"of '{names[a]}' over '{names[b]}'" + (f" in state {s + 1}" if len(matrices) > 1 else "")
            raise InputError(
                f"the preference {there} must {words}, got {matrices[s, a, b]:g} and {matrices[s, b, a]:g}",
                file=source, fix=fix,
            )  # fmt: skip


class Axioms(Shown):
    """Which axioms rules obey.  satisfied: rule -> axiom -> share of profiles that obey; witnesses: likewise."""

    def __init__(self, results: Sequence[axiom_tests.AxiomResult], trials: int, n_annotators: int) -> None:
        self.trials, self.n_annotators = trials, n_annotators
        names = list(axiom_tests.AXIOMS)
        self._rows = [
            dict(zip(names, results[place : place + len(names)], strict=True))
            for place in range(0, len(results), len(names))
        ]

    def _by_rule(self, value: Callable[[axiom_tests.AxiomResult], Any]) -> dict[str, dict[str, Any]]:
        return {next(iter(row.values())).rule: {name: value(own) for name, own in row.items()} for row in self._rows}

    @property
    def satisfied(self) -> dict[str, dict[str, float]]:
        return self._by_rule(lambda own: own.score)

    @property
    def witnesses(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Profiles that break an axiom, where any did."""
        found = self._by_rule(lambda own: own.witness)
        return {rule: {name: own for name, own in row.items() if own} for rule, row in found.items()}

    def as_dict(self) -> dict[str, Any]:
        """What `pluralign axioms --json` prints."""
        rules = [
            {"rule": next(iter(row.values())).rule, "satisfied": {name: own.score for name, own in row.items()},
             "witnesses": {name: own.witness for name, own in row.items() if own.witness}}
            for row in self._rows
        ]  # fmt: skip
        return {"trials": self.trials, "annotators": self.n_annotators, "rules": rules}

    def page(self) -> Page:
        rows = [(name, *(row[name].score for row in self._rows)) for name in axiom_tests.AXIOMS]
        return Page(f"share of {self.trials} profiles of {self.n_annotators} annotators that obey",
                    ("axiom", *(next(iter(row.values())).rule for row in self._rows)), rows)  # fmt: skip

    def plot(self) -> Any:
        """Axes: a row an axiom, a column a rule, the share that obeys as a colour."""

        def draw() -> None:
            from sim.files.figure_files import subplots

            shares = np.array([[row[name].score for row in self._rows] for name in axiom_tests.AXIOMS])
            _, axis = subplots(figsize=(2.8 + 0.6 * shares.shape[1], 4.2), layout="constrained")
            axis.imshow(shares, aspect="auto", cmap="RdYlBu", vmin=0.0, vmax=1.0)
            axis.set_xticks(
                range(shares.shape[1]), [next(iter(row.values())).rule for row in self._rows], rotation=60, ha="right"
            )
            axis.set_yticks(range(len(shares)), list(axiom_tests.AXIOMS))
            for place, share in np.ndenumerate(shares):
                axis.text(place[1], place[0], f"{share:.2g}", ha="center", va="center", fontsize=7)

        return plotted(draw)


@plain_numbers
def axioms(*rules: Any, trials: int = 3000, n_annotators: int = 4, seed: int = 0) -> Axioms:
    """Test rules of aggregation against the axioms, with counter-examples.  [arXiv 2405.00254, section 4]

    rules: functions of one's own, rewards (n, n_annotators) -> welfare (n,), numbers alpha for Agg_alpha, or names of
    rules, module:NAME among them; Agg along its range and known others if none.  A share of 1 over 3,000 trials means
    violations rarer than about 1 in 1,000.
    """
    chosen = [_rule(rule) for rule in rules] or list(axiom_tests.known_rules())
    names = [rule.name for rule in chosen]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"rules: '{twice}' stands twice", fix="name each rule once, or give one another name")
    found = axiom_tests.axiom_table(chosen, Stream(seed, "axioms"), trials=trials, n_annotators=n_annotators)
    return Axioms(found, trials, n_annotators)


def _rule(rule: Any) -> Ordering:
    if isinstance(rule, str):
        return find_rule(rule)
    if isinstance(rule, int | float) and not isinstance(rule, bool):
        return aggregation_rule(rule)
    return as_rule(rule, str(getattr(rule, "__name__", type(rule).__name__)))
