"""How far two partitions of the same things agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.arguments import require_shape
from sim.preferences import AnyArray


def known_rand_index(group: Sequence[str], found: AnyArray) -> float | None:
    """`adjusted_rand_index` of those whose group is known ("" where it is not); None where nobody's is.

    group: (n,) names.  found: (n,) labels.
    """
    known = np.array([name != "" for name in group], dtype=np.bool_)
    if not known.any():
        return None
    return adjusted_rand_index(np.array(group)[known], np.asarray(found)[known])


def adjusted_rand_index(truth: AnyArray | Sequence[object], found: AnyArray | Sequence[object]) -> float:
    """Adjusted Rand index: 1 where both put the same things together, about 0 by chance, negative for less than that.

    [Hubert and Arabie 1985, Comparing partitions, equation 5]  Over all pairs of things, with tp together in both,
    tn in neither, fp only in `found` and fn only in `truth`:
    2 (tp tn - fn fp) / ((tp + fn)(fn + tn) + (tp + fp)(fp + tn)).  truth, found: (n,), labels of any kind that can be
    sorted.  1 where there is nothing to disagree about (one thing, or both have a part for all or one for each).

    In Python's integers, whose products do not overflow, until the one division, as in scikit-learn; its import takes
    longer than a small study.
    """
    rows, own_rows = np.unique(np.asarray(truth), return_inverse=True)
    columns, own_columns = np.unique(np.asarray(found), return_inverse=True)
    require_shape("found", own_columns, own_rows.shape)
    cells = np.bincount(own_rows * len(columns) + own_columns, minlength=len(rows) * len(columns))
    table = cells.reshape(len(rows), len(columns))
    n, both = len(own_rows), int((table**2).sum())
    in_truth, in_found = int((table.sum(axis=1) ** 2).sum()), int((table.sum(axis=0) ** 2).sum())
    tp, fn, fp = both - n, in_truth - both, in_found - both
    tn = n * n - in_truth - in_found + both
    if fn == fp == 0:
        return 1.0
    return 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn))
