"""Verdicts made up, to be shown and not believed."""

from dataclasses import replace

from theory.engine.checks import Check, ControlResult, Curve, Witness
from theory.engine.theorem import Premise
from theory.engine.verdicts import Verdict

CHECK = Check(
    claim_id="made-up", paper="unobserved_types", source="a source", statement="It holds.", variant="as_stated",
    expected=Verdict.HOLDS, verdict=Verdict.HOLDS, bound=1.0, relation="mean <=", measured=0.5, interval=(0.4, 0.6),
    interval_of="mean", standard_error=0.05, p_value=0.001, power=0.97, replicates=200,
    premises=(Premise("coverage", True, 0.25, "at least .2"),),
    controls=(ControlResult("no coverage", Verdict.VIOLATED, True, 2.0, 0.97),),
)  # fmt: skip


def printed_and_corrected(claim="regret-beta"):
    """A slip as it is printed, with its witness, and as it holds."""
    witness = Witness(claim, "unobserved_types", "as_printed", "quick", 3, "replicates=200", 17, 14.25, 1e-12,
                      "every draw <=", {"beta": 1.0, "by_hand": [[0.0, 2.5], [1.5, 0.0]]})  # fmt: skip
    printed = replace(
        CHECK, claim_id=claim, variant="as_printed", statement="R = L - L'.", expected=Verdict.VIOLATED,
        verdict=Verdict.VIOLATED, measured=14.25, bound=1e-12, relation="every draw <=", interval=(0.98, 1.0),
        interval_of="violation frequency", witness=witness,
    )  # fmt: skip
    corrected = replace(printed, variant="as_corrected", statement="R = beta (L - L').", expected=Verdict.HOLDS,
                        verdict=Verdict.HOLDS, measured=5e-16, interval=(0.0, 0.018), witness=None)  # fmt: skip
    return [printed, corrected]


def rate(claim="hedge-rate"):
    """A rate with its curve."""
    curve = Curve([100.0, 1000.0, 10000.0], [0.5, 0.05, 0.005], [0.02, 0.002, 0.0002])
    return replace(CHECK, claim_id=claim, relation="slope <=", bound=-0.95, measured=-1.0, interval=(-1.05, -0.97),
                   interval_of="slope", curve=curve, axes=("rounds T", "gap"))  # fmt: skip
