"""A claim of one's own: `pluralign check skeleton:CLAIMS`.

This one: the mean of n answers of one annotator misses her true share of yes by at most sqrt(1 / (4 n)) on average
(Jensen's inequality on the variance). Put your theorem in its place.
"""

from dataclasses import dataclass, replace

import numpy as np

import pluralign as pl


@dataclass(frozen=True)
class Coins(pl.Setting):
    """The dials of the claim. replicates: independent draws in the quick profile (full takes five times as many)."""

    replicates: int = 200
    n: int = 50
    share: float = 0.3
    dependent: bool = False  # a broken premise, for the control: every answer repeats the first


class MeanMisses(pl.Theorem[Coins]):
    """Derivation: E |m - p| <= sqrt(Var m) = sqrt(p (1 - p) / n) <= sqrt(1 / (4 n)) for independent answers."""

    claim_id = "skeleton-mean"  # small letters, digits and hyphens: it names files
    paper = "skeleton"  # p-values are corrected for multiplicity within it
    source = "your paper, Theorem 1"
    statement = "The mean of n answers misses the true share by at most sqrt(1 / (4 n)) on average."

    # Readings of the claim: as_stated; or as_printed (with the paper's slip, expected VIOLATED) and as_corrected.
    SETTINGS = {"as_stated": pl.Variant(Coins())}

    def premises(self, setting, stream):
        """What the theorem assumes and a setting can break; measured. None here can fail before the draw."""
        return (pl.Premise("a share", 0 <= setting.share <= 1, setting.share, "in [0, 1]"),)

    def bound(self, setting):
        """The claim's number, by the paper's constants alone, and how draws are judged against it (`pl.judges`)."""
        return pl.judges.MeanAtMost(np.sqrt(1 / (4 * setting.n)))

    def draw(self, setting, stream):
        """One replicate: all randomness from `stream`, so that it can be replayed. It never sees the bound."""
        yes = stream.uniforms(setting.n) < setting.share
        if setting.dependent:
            yes[:] = yes[0]
        return abs(yes.mean() - setting.share)

    def largest_possible(self, setting):
        """The most that can be measured at all: a bound at or above it says nothing, and the verdict is VACUOUS."""
        return max(setting.share, 1 - setting.share)

    def control(self, setting):
        """A broken version that the same check must catch: without one a check shows nothing."""
        return (pl.Control("answers all alike", replace(setting, dependent=True)),)

    def witness(self, setting, stream):
        """Numbers of one replicate by which a reader sees a violation by hand."""
        return {"missed_by": float(self.draw(setting, stream)), "n": setting.n}


CLAIMS = (MeanMisses(),)
