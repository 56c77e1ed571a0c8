"""Why faults of the sample that nothing noticed cannot be noticed, one by one; a fault's id is a digest of its change.

Two kinds: what computes the same or ends in the same place, and numbers that a claim is not about (the size of a random
world, how badly a control breaks its premise, a tolerance far above rounding): it holds as well for the other number.
"""

from __future__ import annotations

from collections.abc import Mapping

_WORLD = "another random world of the same kind, for which the claim holds as well"
_SIZE = "a sample of another size, for which the claim holds as well"
_CONTROL = "the control breaks its premise by another amount, and is caught as surely"
_ROUNDING = "the value is exact but for rounding, orders of magnitude below either tolerance"
_SEARCH = "a line search that accepts or tries other steps ends at the same optimum"

ARGUED: Mapping[str, str] = {
    "comparison-54c3552106": "one run from either kind of start misses the optimum, the best of ten finds it",
    "comparison-a8d2403282": "a radius is never equal to the trivial one",
    "constant-024686c294": _CONTROL,
    "constant-08899217a8": _ROUNDING,
    "constant-0bf0a205f2": _ROUNDING,
    "constant-16fb0c4047": _CONTROL,
    "constant-1d70e255ee": "overwritten before the fit returns",
    "constant-290861127a": "the sharpness of answers, which this claim draws none of",
    "constant-5ecc9694f9": _SEARCH,
    "constant-639fcd1034": _WORLD,
    "constant-65e36b13e1": _CONTROL,
    "constant-6f6cbf7283": _WORLD,
    "constant-6f73095045": "heads are fitted to twice a tolerance of a thousand-millionth of a nat",
    "constant-74f8dcef34": _SEARCH,
    "constant-923bbcc327": "words of a witness, computed by nobody",
    "constant-a00043038b": _ROUNDING,
    "constant-a68ba721cf": "with one feature twice as long the smallest loss is larger still",
    "constant-bb195785a0": _CONTROL,
    "constant-c7c30e4e79": "another inexact M-step",
    "constant-c9c3fedb21": "another ridge, for which the estimates are stationary as well",
    "constant-d9f9e2d463": "rewards are nudged by one to three thousand-millionths in place of minus to plus one",
    "constant-e3ed278b18": _ROUNDING,
    "constant-e9d44e26d4": _WORLD,
    "constant-efc15b6812": "questions from a wider range identify the two types as well",
    "constant-f13f383a41": "a branch that only the control takes, and is caught by",
    "constant-f64ebb5f33": "weights of the min-max ensemble do not depend on beta, which scales all regrets",
    "constant-f9452f91df": _ROUNDING,
    "off-by-one-01962547fe": "the start of the search loses a few answers; it ends at the same optimum",
    "off-by-one-16e743117d": _CONTROL,
    "off-by-one-1c122b1e67": _SIZE,
    "off-by-one-1cfc7f878e": "the limit moves by less than the smallest departure that the claim names",
    "off-by-one-1dfc7c8c30": _SIZE,
    "off-by-one-2a793ad3da": "beside exp(700) neither one nor two is anything",
    "off-by-one-421566c34f": "the limit moves by less than the smallest departure that the claim names",
    "off-by-one-4af96b80a1": _SIZE,
    "off-by-one-4d3afafeed": "hard EM climbs with four types as with three",
    "off-by-one-540a9fed64": "errors are scaled by a constant, which neither a slope nor a ratio sees",
    "off-by-one-5b1c529199": _SIZE,
    "off-by-one-5ecc942306": _WORLD,
    "off-by-one-88a8e7d157": _SIZE,
    "off-by-one-8e55f55a46": _WORLD,
    "off-by-one-90a05fd5c3": _WORLD,
    "off-by-one-9aba6302a0": _WORLD,
    "off-by-one-9b27ec88bb": _SIZE,
    "off-by-one-a13e2906f9": "the printed variant's pairs of arms, some of which are still not reversed",
    "off-by-one-b2476af8a2": "2 sigma(u), at most 1, has sigma's odd part: all that a fit to symmetric features sees",
    "off-by-one-b803b12c09": _WORLD,
    "off-by-one-b91f878f21": _WORLD,
    "off-by-one-c5793791e4": _SIZE,
    "off-by-one-cd9b49fdb7": "more clusters never fit worse from one to three to four as well",
    "off-by-one-d0889634e1": "the scale of the search's start; it ends at the same optimum",
    "off-by-one-9811060cab": "a square matrix has as many columns as rows",
    "off-by-one-d65a951fa1": _SIZE,
    "off-by-one-df21a40145": _SIZE,
    "off-by-one-d5bb57de9d": "another sample by which the constants are computed beforehand",
    "off-by-one-e940c17b7e": _SIZE,
    "off-by-one-e98d4a2b8b": _WORLD,
    "off-by-one-ed5a62483f": _SIZE,
    "off-by-one-ee3acfb741": "the chance of the second of two alternatives in the place of the first's",
    "off-by-one-f1ecaaffb1": _SIZE,
    "off-by-one-f6bd162655": "a fit of one direction more has the same rate",
    "off-by-one-f788f7aea1": "a work array with a row that nobody reads",
    "off-by-one-fb99e7a1b3": "a work array with a place that nobody reads",
    "off-by-one-fd5d7d4573": _WORLD,
    "sign-460366be8d": "where a sum is taken anew to save its last digits",
    "sign-1d48eece8f": _SIZE,
    "sign-34e8fe6870": "work arrays wider than what is read of them",
    "sign-50a4bccc56": "exp(700) either way, where it is cut off",
    "sign-a5b1482418": "the search stops later, at the same optimum",
    "sign-be9d300cba": "both orders of the two actions are turned round, and differ as before",
    "sign-d3f8730106": "a slice that ends beyond what is written into it",
    "sign-e2f0967e3f": "shares are divided by their sum, whatever they are scaled by",
}
