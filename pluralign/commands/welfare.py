"""`pluralign welfare`: one policy for many parties, on a user's own table."""

from __future__ import annotations

import json
from typing import Any

import click

from pluralign.terminal import print_answer

_FLAGS = {"rule": "--rule", "zero": "--zero", "lottery": "--lottery"}


@click.command("welfare")
@click.argument("utilities", type=click.Path(dir_okay=False))
@click.option(
    "--rule", default="nash", show_default=True, metavar="nash|utilitarian|leximin|alpha=A",
    help="The welfare function; alpha=A is sum u^A, A <= 1: 1 is utilitarian, 0 Nash, -inf leximin.",
)  # fmt: skip
@click.option("--lottery", is_flag=True, help="Choose probabilities; utilities are then expectations.")
@click.option(
    "--zero", default="none", show_default=True, metavar="none|worst|OPTION",
    help="Where gains start: the table's 0, each party's worst option, or a status quo (a column).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print only JSON on standard output.")
def command(utilities: str, rule: str, lottery: bool, zero: str, as_json: bool) -> None:
    """Choose an option, or a lottery over options, for parties that disagree.

    UTILITIES is CSV, a row a party, a column an option; a header line and a first column of names are allowed. The
    answer has each party's utility and the share of its maximum, a Pareto certificate, the transfers from the better
    to the worse off that were left undone (Pigou-Dalton), a bound on what a better solver could gain, and what the
    other rules would do.

    Nash is the only rule that does not change when a party's utilities are multiplied; Utilitarian the only one that
    does not change when something is added. Nash needs gains over a zero: with --zero worst no party's scale or zero
    matters. Parties that are indifferent to everything are left out of the rule and named; with a status quo, options
    worse than it for somebody are left out and named. Ties go to the first column (leximin compares the sorted
    utilities from the worst off up) and are named. Where every option is somebody's 0, Nash has no choice: that is an
    error, not a product of zero; a lottery gives everybody something.

    Example: pluralign welfare utilities.csv --rule nash --lottery --zero worst
    """
    from pluralign.api.tables import welfare
    from pluralign.flags import in_flags, with_flags

    with with_flags(_FLAGS):
        answer = welfare(utilities, rule, lottery=lottery, zero=zero).as_dict()
    for other in answer["other_rules"]:
        if "cannot" in other:
            other["cannot"] = in_flags(other["cannot"], _FLAGS)
    print_answer(json.dumps(answer, indent=2, allow_nan=False) if as_json else _page(answer))


def _page(answer: dict[str, Any]) -> str:
    width = max(18, *(len(name) for name in (*answer["options"], *answer["parties"])))
    if "choice" in answer:
        lines = [f"{answer['rule']}: {answer['choice']}"]
    else:
        lines = [f"{'option':<{width}} probability  ({answer['rule']})"]
        pairs = zip(answer["options"], answer["lottery"], strict=True)
        lines += [f"{name:<{width}} {p:11.4f}" for name, p in pairs if p > 5e-5]
    lines += ["", f"{'party':<{width}}    utility  share of its maximum"]
    rows = zip(answer["parties"], answer["utilities"], answer["share_of_maximum"], strict=True)
    lines += [
        f"{name:<{width}} {u:10.4g}  {'-' if share is None else format(share, '.3f'):>20}" for name, u, share in rows
    ]
    lines.append("")
    among = "lotteries" if "lottery" in answer else "options"
    if answer["pareto_efficient"]:
        lines.append(f"Pareto efficient among the {among}")
    else:
        tau, better = answer["pareto"]["tau"], answer["pareto"]["better"]
        if isinstance(better, dict):
            better = "the lottery " + ", ".join(f"{name} {p:.3g}" for name, p in better.items() if p > 5e-4)
        gain = "from nothing" if tau == "inf" else f"{tau:.1%}"
        lines.append(f"NOT Pareto efficient: {better} is worse for nobody; somebody gains {gain}")
    lines.append(_transfer_line(answer["pigou_dalton"], among))
    share = answer["smallest_share"]
    if share["share"] is None:
        lines.append("no share of a maximum where every option is a loss; --zero worst counts from the worst option")
    else:
        lines.append(f"smallest share of a maximum {share['share']:.3f}; 1/M is {share['one_over_m']:.3f}")
    if "lottery" in answer:
        lines.append(f"no better solver could gain more than {answer['optimality_gap']:.1e} of the equivalent utility")
    for key, words in (("ties", "tied with"), ("indifferent", "left out, indifferent:"), ("left_out", "not allowed:")):
        if answer[key]:
            lines.append(f"{words} {', '.join(answer[key])}")
    shown = [(other, other.get("cannot") or _choice(answer["options"], other)) for other in answer["other_rules"]]
    wide = max(len("choice"), *(len(choice) for other, choice in shown if "cannot" not in other), 0)
    lines += ["", f"{'other rules':<14} {'choice':<{wide}} mean gain  least gain"]
    for other, choice in shown:
        gains = "" if "cannot" in other else f" {other['mean_gain']:9.4g}  {other['least_gain']:10.4g}"
        lines.append(f"{other['rule']:<14} {choice:<{wide}}{gains}")
    return "\n".join(lines)


def _choice(options: list[str], other: dict[str, Any]) -> str:
    if "choice" in other:
        return str(other["choice"])
    played = zip(options, other["lottery"], strict=True)
    return ", ".join(f"{name} {p:.2f}" for name, p in played if p > 5e-3)


def _transfer_line(found: dict[str, Any] | None, among: str) -> str:
    if found is None:
        return "Pigou-Dalton: not tested (more than 40 parties)"
    if found["available"] == 0:
        return f"Pigou-Dalton: no equalising transfer is left among the {among}"
    witness = found["witness"]
    to = f" (option {witness['option']})" if "option" in witness else ""
    return (
        f"Pigou-Dalton: {found['available']} equalising transfers left undone, one of {witness['amount']:.4g} "
        f"from {witness['giver']} to {witness['receiver']}{to}"
    )
