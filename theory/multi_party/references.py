"""What Algorithms 1 and 2 (arXiv 2403.05006) rest on, each written out a second time and compared from both sides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from sim.algorithms.fairness import pareto_option, pigou_dalton_option
from sim.algorithms.pessimistic_welfare import statewise_policy, welfare_value
from sim.algorithms.von_neumann import Stance, comparison_bonus, von_neumann_winner
from sim.algorithms.welfare import LEXIMIN, NASH, WelfareRule
from sim.environments.preference_tables import bradley_terry_matrices, collect_counts, uniform_pairs
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV, DERIVED
from theory.multi_party.fairness import transfer_table
from theory.multi_party.winners import skew_matrices


@dataclass(frozen=True)
class SaddleSetting(Setting):
    """stance: which matrix the policy is solved for."""

    replicates: int = 130
    stance: Stance = "pessimistic"


class WinnerSaddle(Theorem[SaddleSetting]):
    """Algorithm 2, step 3: the policy is argmax_p min_q p' (N - B) q, with N = mean_m (wins - losses) / comparisons and
    B = sqrt(2 log(4 M S A^2 / delta) / min_m n_m) off the diagonal, both written out here pair by pair. Two parties,
    one state, four actions, 3,000 comparisons. Value: what a linear program of its own guarantees in N - B minus what
    the policy does, or what the opponent's lottery lets through minus it, the larger. Control: the plain policy, which
    takes no bonus off."""

    claim_id, paper, source = "winner-saddle", PAPER.name, f"{ARXIV}, Algorithm 2, steps 2 and 3"
    statement = "The pessimistic von Neumann winner is the saddle point of N - B."
    SETTINGS = {"as_stated": Variant(SaddleSetting())}

    def bound(self, setting: SaddleSetting) -> Bound:
        return EveryDraw(1e-6)

    def draw(self, setting: SaddleSetting, stream: Stream) -> float:
        from scipy.optimize import linprog

        M, A, delta = 2, 4, 0.1
        true = skew_matrices(M, 1, A, stream.child("preferences"))
        counts = collect_counts(true, 3000, uniform_pairs(A), np.ones(1), stream)
        game = np.zeros((A, A))
        for a in range(A):
            for b in range(A):
                if a != b:
                    won, lost = counts.wins[:, 0, a, b], counts.wins[:, 0, b, a]
                    width = np.sqrt(2 * np.log(4 * M * A**2 / delta) / (won + lost).min())
                    game[a, b] = max(((won - lost) / (won + lost)).mean() - width, -1.0)
        solved = linprog(
            np.append(np.zeros(A), -1.0),
            A_ub=np.column_stack([-game.T, np.ones(A)]),
            b_ub=np.zeros(A),
            A_eq=np.append(np.ones(A), 0.0)[None],
            b_eq=[1.0],
            bounds=[(0, None)] * A + [(None, None)],
        )
        found = von_neumann_winner(counts, delta=delta, stance=setting.stance)
        policy, opponent = found.policy[0], found.opponent[0]
        return float(max(-solved.fun - (policy @ game).min(), (game @ opponent).max() + solved.fun))

    def control(self, setting: SaddleSetting) -> tuple[Control[SaddleSetting], ...]:
        return (Control("the plain policy", replace(setting, stance="plain")),)


@dataclass(frozen=True)
class CountSetting(Setting):
    """swapped: the share of answers recorded the wrong way round."""

    replicates: int = 300
    swapped: float = 0.0


class CountsMean(Theorem[CountSetting]):
    """Counted preferences are unbiased: E (wins - losses) / comparisons = N*. One pair with Bradley-Terry rewards log 4
    and 0, which is preferred in four of five answers, N* = .6; 1,000 answers, so that the mean of 300 draws has a
    standard error of .0015. Value: the counted preference. Control: 5 % of the answers swapped, E N = .54."""

    claim_id, paper, source = "counts-mean", PAPER.name, f"{DERIVED}, for Algorithm 2, step 1"
    statement = "The mean of counted preferences is the preference."
    SETTINGS = {"as_stated": Variant(CountSetting())}

    def bound(self, setting: CountSetting) -> Bound:
        return Equivalent(0.6, 0.015)

    def draw(self, setting: CountSetting, stream: Stream) -> float:
        true = (1.0 - 2.0 * setting.swapped) * bradley_terry_matrices(np.array([np.log(4.0), 0.0]))
        return float(
            collect_counts(true[None, None], 1000, uniform_pairs(2), np.ones(1), stream).matrices()[0, 0, 0, 1]
        )

    def control(self, setting: CountSetting) -> tuple[Control[CountSetting], ...]:
        return (Control("5 % of the answers swapped", replace(setting, swapped=0.05)),)


@dataclass(frozen=True)
class BonusSetting(Setting):
    """times: how many times the answers the bonus is told of."""

    replicates: int = 4500
    times: float = 1.0


class BonusWidth(Theorem[BonusSetting]):
    """The share of the bonus that the error takes, from both sides: for one indifferent pair |N - N*| is close to
    |Z| / sqrt(n), so that E |N - N*| / B = sqrt(2 / pi) / sqrt(2 log(4 M S A^2 / delta)) = .250 at A = 2, delta = .1.
    n = 1,000. Value: |N - N*| / B. Control: a third more answers behind B than behind N."""

    claim_id, paper, source = "bonus-width", PAPER.name, f"{ARXIV}, Algorithm 2, step 2"
    statement = "The mean error of a preference is the stated share of its bonus."
    SETTINGS = {"as_stated": Variant(BonusSetting())}

    def bound(self, setting: BonusSetting) -> Bound:
        share = float(np.sqrt(2 / np.pi) / np.sqrt(2 * np.log(4 * 4 / 0.1)))
        return Equivalent(share, 0.08 * share)

    def draw(self, setting: BonusSetting, stream: Stream) -> float:
        counts = collect_counts(np.zeros((1, 1, 2, 2)), 1000, uniform_pairs(2), np.ones(1), stream)
        bonus = comparison_bonus(setting.times * counts.total, 0.1)
        return float(abs(counts.matrices()[0, 0, 0, 1]) / bonus[0, 0, 1])

    def control(self, setting: BonusSetting) -> tuple[Control[BonusSetting], ...]:
        return (Control("a third more answers behind the bonus", replace(setting, times=4.0 / 3.0)),)


@dataclass(frozen=True)
class OptionSetting(Setting):
    """which: the option compared is the best of those enumerated, or the first."""

    replicates: int = 200
    which: str = "best"


def _pareto(table: FloatArray, option: int) -> list[float]:
    """The gains v_k(a) / v_k(option) - 1 of each option that weakly improves all and strictly somebody."""
    own, found = table[:, option], []
    for a in range(table.shape[1]):
        ratios = table[:, a] / own
        if (ratios >= 1.0).all() and (ratios > 1.0).any():
            found.append(float(ratios.max() - 1.0))
    return found


class ParetoEnumerated(Theorem[OptionSetting]):
    """Definition 1 from both sides: tau is the largest gain over every option that dominates, enumerated one by one.
    Three parties, 40 options with utilities 1 ... 6, so that many dominate. Value: the difference in absolute value.
    Control: the first that dominates in place of the best."""

    claim_id, paper, source = "pareto-enumerated", PAPER.name, f"{ARXIV}, Definition 1"
    statement = "tau is the largest share that any dominating option gains."
    # Both divide the same whole numbers: the difference is 0 itself in each draw.
    constant = True
    SETTINGS = {"as_stated": Variant(OptionSetting())}

    def bound(self, setting: OptionSetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: OptionSetting, stream: Stream) -> float:
        table = 1.0 + stream.child("table").integers(6, 120).reshape(3, 40).astype(np.float64)
        found = _pareto(table, 0) or [0.0]
        return abs(pareto_option(table, 0).tau - (max(found) if setting.which == "best" else found[0]))

    def control(self, setting: OptionSetting) -> tuple[Control[OptionSetting], ...]:
        return (Control("the first that dominates", replace(setting, which="first")),)


class TransferEnumerated(Theorem[OptionSetting]):
    """Definition 5 from both sides: in a table whose option 0 has nine equalising moves of known amounts, the best of
    them raises the product by max e (x - y - e) times the third's utility. Value: difference in absolute value.
    Control: the first move in place of the best."""

    claim_id, paper, source = "transfer-enumerated", PAPER.name, f"{ARXIV}, Definition 5"
    statement = "The best equalising transfer is the best of all of them."
    SETTINGS = {"as_stated": Variant(OptionSetting())}

    def bound(self, setting: OptionSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: OptionSetting, stream: Stream) -> float:
        table = transfer_table(stream)
        own, rises = table[:, 0], []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            apart = abs(float(own[i] - own[j]))
            rises += [share * (1.0 - share) * apart**2 * float(own[3 - i - j]) for share in (0.2, 0.5, 0.8)]
        found = pigou_dalton_option(table, 0, table.prod(axis=0)).best
        return abs(found - (max(rises) if setting.which == "best" else rises[0]))

    def control(self, setting: OptionSetting) -> tuple[Control[OptionSetting], ...]:
        return (Control("the first move", replace(setting, which="first")),)


class LeximinLevels(Theorem[OptionSetting]):
    """Leximin goes on where the worst off are level: the choice's sorted utilities are the largest in dictionary order.
    Three parties, six options with utilities 0, 1, 2, so that minima tie. Value: 1 where the order of lists finds a
    larger one. Control: the first option of largest minimum."""

    claim_id, paper, source = "leximin-levels", PAPER.name, f"{DERIVED}, for section 4 (Leximin)"
    statement = "Among options with the same minimum leximin takes the one whose second worst off is best."
    # Lists of whole numbers are equal or they are not: 0 in each draw.
    constant = True
    SETTINGS = {"as_stated": Variant(OptionSetting())}

    def bound(self, setting: OptionSetting) -> Bound:
        return EveryDraw(0.5)

    def draw(self, setting: OptionSetting, stream: Stream) -> float:
        table = stream.child("table").integers(3, 18).reshape(3, 6).astype(np.float64)
        chosen = int(LEXIMIN.best(table)) if setting.which == "best" else int(table.min(axis=0).argmax())
        lists = [sorted(column) for column in table.T.tolist()]
        return float(lists[chosen] != max(lists))

    def control(self, setting: OptionSetting) -> tuple[Control[OptionSetting], ...]:
        return (Control("the first of largest minimum", replace(setting, which="first")),)


@dataclass(frozen=True)
class PolicySetting(Setting):
    """rule: alpha of the rule that chooses; the welfare that is compared is Nash's."""

    replicates: int = 130
    rule: float = 0.0


class StatewiseBest(Theorem[PolicySetting]):
    """J(pi) = sum_s law(s) prod_m v_m(s, pi(s)) and the policy that maximises it, from both sides: the best of all A^S
    policies, each product and sum written out. Three parties, three states of a random law, three actions, gains .1 to
    1.1. Value: the value of the state-wise policy minus that, in absolute value. Control: the Utilitarian policy."""

    claim_id, paper, source = "statewise-best", PAPER.name, f"{ARXIV}, Algorithm 1, step 4"
    statement = "Choosing state by state finds the policy of largest Nash welfare, and its value."
    SETTINGS = {"as_stated": Variant(PolicySetting())}

    def bound(self, setting: PolicySetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: PolicySetting, stream: Stream) -> float:
        v = 0.1 + stream.child("gains").uniforms((3, 3, 3))
        law = stream.child("law").generator().dirichlet(np.ones(3))
        most = 0.0
        for policy in product(range(3), repeat=3):
            value = sum(law[s] * v[0, s, a] * v[1, s, a] * v[2, s, a] for s, a in enumerate(policy))
            most = max(most, float(value))
        chosen = statewise_policy(v, WelfareRule(setting.rule))
        return abs(welfare_value(v, law, chosen, NASH) - most)

    def control(self, setting: PolicySetting) -> tuple[Control[PolicySetting], ...]:
        return (Control("the Utilitarian policy", replace(setting, rule=1.0)),)


THEOREMS = (
    WinnerSaddle(),
    CountsMean(),
    BonusWidth(),
    ParetoEnumerated(),
    TransferEnumerated(),
    LeximinLevels(),
    StatewiseBest(),
)
