"""Whether MinMax's rounds were enough: the weights' worst weighted regret beside the game's value."""

from __future__ import annotations

from collections.abc import Sequence


def unsolved(
    value: float, lp_value: float, priorities: Sequence[float], regret: Sequence[Sequence[float]], rounds: int
) -> str:
    """What to say of weights whose worst weighted regret (`value`) is far above the best (`lp_value`); "" of others.

    regret: (K + 1, K) of the game, its first row zero, the others c_z R_z.  Far: by more than a hundredth of the best
    and a thousandth of the largest |R_z|.  The gap is at most (log K + log (K + 1)) (max - min) / rounds of that matrix
    (`hedge_bound`), and priorities far from each other make its range large beside its value.
    """
    largest = max(abs(own) / c for c, row in zip(priorities, regret[1:], strict=True) for own in row)
    if value - lp_value <= 0.01 * abs(lp_value) + 1e-3 * largest:
        return ""
    asked = ",".join(f"{c:g}" for c in priorities)
    return (
        f"after {rounds} rounds the weights of priorities {asked} have a worst weighted regret of {value:.3g} where "
        f"the best have {lp_value:.3g}: give more --rounds, or priorities nearer each other"
    )
