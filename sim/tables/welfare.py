"""Welfare on a user's own table of utilities: the choice or lottery, what it gives whom, and its certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.algorithms.fairness import (
    Pareto,
    PigouDalton,
    pareto_lottery,
    pareto_option,
    pigou_dalton_lottery,
    pigou_dalton_option,
    smallest_share,
)
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import RULES, TIE, WelfareRule, rounding, share_of_maximum
from sim.errors import InputError
from sim.files.number_tables import NumberTable
from sim.preferences import BoolArray, FloatArray

# One linear program a pair of parties: beyond this many the test of lotteries is left out.
_MOST_PARTIES_FOR_TRANSFERS = 40


def parse_rule(text: str) -> WelfareRule:
    """nash, utilitarian, leximin or alpha=A with A <= 1 or -inf."""
    if text in RULES:
        return RULES[text]
    name, equals, value = text.partition("=")
    if name.strip() == "alpha" and equals:
        try:
            return WelfareRule(float(value))
        except ValueError as error:
            raise InputError(f"rule='{text}': {error}", fix="give a number of at most 1, or -inf") from error
    raise InputError(f"rule: unknown rule '{text}'", fix="choose nash, utilitarian, leximin or alpha=A (A <= 1)")


@dataclass(frozen=True, eq=False)
class Gains:
    """Utilities counted from the zero that was asked for.

    values: (M, A).  heard: parties that are not indifferent between all options.  allowed: options worse for nobody
    than the status quo.
    """

    values: FloatArray
    heard: BoolArray
    allowed: BoolArray


def gains_of(table: NumberTable, zero: str) -> Gains:
    """zero: 'none' (the table's own), 'worst' (each party's worst option), or the name of a status-quo column."""
    values = table.values
    allowed: BoolArray = np.ones(values.shape[1], dtype=bool)
    if zero == "worst":
        values = values - values.min(axis=1, keepdims=True)
    elif zero != "none":
        if zero not in table.columns:
            raise InputError(
                f"zero: no option '{zero}'", file=table.source, fix=f"choose none, worst, or one of {_some(table)}"
            )
        values = values - values[:, [table.columns.index(zero)]]
        allowed = np.asarray((values >= 0).all(axis=0))
    return Gains(values, (values[:, allowed] != 0).any(axis=1), allowed)


@dataclass(frozen=True, eq=False)
class WelfareAnswer:
    """lottery (A,), a single option as a lottery on it; utilities in the table's own units; gains from the zero."""

    table: NumberTable
    rule: WelfareRule
    zero: str
    mixed: bool
    gains: Gains
    lottery: FloatArray
    ties: tuple[int, ...]
    optimality_gap: float
    pareto: Pareto
    transfers: PigouDalton | None
    others: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        names, parties = self.table.columns, self.table.rows
        gained = self.gains.values @ self.lottery
        own = self.gains.values[self.gains.heard][:, self.gains.allowed]
        share, certified = smallest_share(own, self.lottery[self.gains.allowed])
        pareto: dict[str, Any] = {"tau": _finite(self.pareto.tau), "better": None}
        if isinstance(self.pareto.better, np.ndarray):
            pareto["better"] = dict(zip(names, self.pareto.better.tolist(), strict=True))
        elif self.pareto.better is not None:
            pareto["better"] = names[self.pareto.better]
        if self.pareto.weights is not None:
            pareto["supporting_weights"] = self.pareto.weights.tolist()
        return {
            "rule": self.rule.name,
            **({"lottery": self.lottery.tolist()} if self.mixed else {"choice": names[int(self.lottery.argmax())]}),
            "options": list(names),
            "parties": list(parties),
            "zero": self.zero,
            "utilities": (self.table.values @ self.lottery).tolist(),
            "gains": gained.tolist(),
            "share_of_maximum": _defined(share_of_maximum(self.gains.values[:, self.gains.allowed], gained)),
            "pareto_efficient": self.pareto.efficient,
            "pareto": pareto,
            "pigou_dalton": self._transfers_as_json(),
            "smallest_share": {"share": None if np.isnan(share) else share,
                               "one_over_m": 1.0 / max(int(self.gains.heard.sum()), 1), "certified": certified},
            "ties": [names[a] for a in self.ties],
            "indifferent": [parties[m] for m in np.flatnonzero(~self.gains.heard)],
            "left_out": [names[a] for a in np.flatnonzero(~self.gains.allowed)],
            "optimality_gap": self.optimality_gap,
            "other_rules": list(self.others),
        }  # fmt: skip

    def _transfers_as_json(self) -> dict[str, Any] | None:
        if self.transfers is None:
            return None
        found, parties = self.transfers, np.array(self.table.rows)
        witness = None
        if found.witness is not None:
            witness = {**found.witness, "giver": str(parties[self.gains.heard][found.witness["giver"]]),
                       "receiver": str(parties[self.gains.heard][found.witness["receiver"]])}  # fmt: skip
            if "option" in witness:
                witness["option"] = self.table.columns[witness["option"]]
        return {"available": found.available, "holds": found.available == 0, "witness": witness}


def solve_welfare(table: NumberTable, rule: WelfareRule, *, lottery: bool = False, zero: str = "none") -> WelfareAnswer:
    """The rule's choice (or lottery) and its certificates; see `pluralign welfare`."""
    gains = gains_of(table, zero)
    if gains.allowed.sum() == 1 < len(gains.allowed):
        raise InputError(
            f"every other option is worse than '{zero}' for some party: the status quo stays", file=table.source,
            fix=f"use something else than zero='{zero}'",
        )  # fmt: skip
    if not gains.heard.any():
        raise InputError(
            "every party is indifferent between all options",
            file=table.source,
            fix="any option will do; check the table",
        )
    p, ties, gap = _choose(table, gains, rule, lottery, zero)
    own = gains.values[gains.heard]
    if lottery:
        left, played = own[:, gains.allowed], p[gains.allowed]
        pareto = _on_all_options(pareto_lottery(left, played), gains.allowed)
        few = len(own) <= _MOST_PARTIES_FOR_TRANSFERS
        transfers = pigou_dalton_lottery(left, played) if few else None
        if transfers is not None and transfers.witness is not None:
            transfers.witness["lottery"] = _spread(transfers.witness["lottery"], gains.allowed).tolist()
    else:
        places = np.flatnonzero(gains.allowed)
        left, option = own[:, places], int(np.flatnonzero(places == p.argmax())[0])
        found = pareto_option(left, option)
        better = None if found.better is None else int(places[int(found.better)])
        pareto = Pareto(found.efficient, found.tau, better)
        transfers = pigou_dalton_option(left, option, rule.equivalent(left))
        if transfers.witness is not None:
            transfers.witness["option"] = int(places[transfers.witness["option"]])
    others = tuple(_other(table, gains, other, lottery, zero) for other in RULES.values() if other != rule)
    return WelfareAnswer(table, rule, zero, lottery, gains, p, ties, gap, pareto, transfers, others)


def _choose(
    table: NumberTable, gains: Gains, rule: WelfareRule, lottery: bool, zero: str
) -> tuple[FloatArray, tuple[int, ...], float]:
    own, places = gains.values[gains.heard][:, gains.allowed], np.flatnonzero(gains.allowed)
    if rule.needs_positive and (own < 0).any():
        m, a = np.argwhere(gains.values < 0)[0]
        raise InputError(
            f"{rule.name} needs utilities of at least 0, counted from a zero; got {table.values[m, a]:g}",
            file=table.source, row=table.lines[m], field=table.columns[a],
            fix="count from each party's worst option (zero='worst') or from a status quo (zero=OPTION)",
        )  # fmt: skip
    if rule.alpha <= 0.0 and np.isfinite(rule.alpha) and not (own.max(axis=1) > 0).all():
        raise InputError(
            "a party gets 0 from every option left", file=table.source, fix=f"use something else than zero='{zero}'"
        )
    if lottery:
        found = best_lotteries(own[None], rule)
        p = np.zeros(len(gains.allowed))
        p[places] = found.probabilities[0]
        return p, (), float(found.optimality_gap[0])
    best = int(rule.best(own))
    if best < 0:
        ways = "lottery=True" if zero == "worst" else "lottery=True, zero='worst' or zero=OPTION"
        raise InputError(
            f"every option gives some party 0: {rule.name} cannot tell them apart", file=table.source, fix=f"use {ways}"
        )
    return np.eye(len(gains.allowed))[places[best]], tuple(places[a] for a in _tied(own, rule, best)), 0.0


def _tied(own: FloatArray, rule: WelfareRule, best: int) -> list[int]:
    """Other options of the same welfare (for leximin, of the same sorted utilities)."""
    if np.isneginf(rule.alpha):
        order = np.argsort(own, axis=0, kind="stable")
        ordered, off = (np.take_along_axis(part, order, axis=0) for part in (own, rounding(own)))
        same = (np.abs(ordered - ordered[:, [best]]) <= np.maximum(off, off[:, [best]])).all(axis=0)
    elif rule.alpha == 1.0:
        value, size = rule.equivalent(own), float(np.abs(own).max()) or 1.0
        same = np.abs(value - value[best]) <= TIE * size
    else:
        # Welfare of powers may be far below the table's entries, and is compared as `rule.best` does.
        same = np.abs(rule.advantage(own, best)) <= TIE
    return [int(a) for a in np.flatnonzero(same) if a != best]


def _other(table: NumberTable, gains: Gains, rule: WelfareRule, lottery: bool, zero: str) -> dict[str, Any]:
    """What another rule does with the same table, or why it cannot."""
    try:
        p, _, _ = _choose(table, gains, rule, lottery, zero)
    except InputError as error:
        return {"rule": rule.name, "cannot": str(error).split(": ", 1)[-1]}
    gained = gains.values[gains.heard] @ p
    return {
        "rule": rule.name,
        **({"lottery": p.tolist()} if lottery else {"choice": table.columns[int(p.argmax())]}),
        "utilities": (table.values @ p).tolist(),
        "mean_gain": float(gained.mean()),
        "least_gain": float(gained.min()),
    }


def _on_all_options(pareto: Pareto, allowed: BoolArray) -> Pareto:
    if not isinstance(pareto.better, np.ndarray):
        return pareto
    return Pareto(pareto.efficient, pareto.tau, _spread(pareto.better, allowed), pareto.weights)


def _spread(lottery: FloatArray, allowed: BoolArray) -> FloatArray:
    """A lottery over the allowed options as one over all."""
    whole = np.zeros(len(allowed))
    whole[allowed] = lottery
    return whole


def _finite(value: float) -> float | str:
    return value if np.isfinite(value) else "inf"


def _defined(shares: FloatArray) -> list[float | None]:
    """Null where a party loses whatever is chosen."""
    return [None if np.isnan(share) else float(share) for share in shares]


def _some(table: NumberTable) -> str:
    shown = ", ".join(table.columns[:6])
    return shown if len(table.columns) <= 6 else shown + ", ..."
