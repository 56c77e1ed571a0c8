"""What is known of annotators beside their answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array
from sim.counted import counted
from sim.errors import InputError
from sim.estimators.unidentified import Screened
from sim.files.pair_table import PairTable
from sim.preferences import FloatArray

# The context's first column. The ridge holds what a person's context changes in her reward to zero, and would hold the
# reward common to all there too: through a column of tens it weighs a hundred times less on that part, and Theta stays
# one matrix of low rank, as the paper has it. By held-out training people of two MovieLens splits columns of 3, 10 and
# 30 are within .002 nats of each other, a column of ones loses .005 to .010.
INTERCEPT = 10.0


@dataclass(frozen=True, eq=False)
class Known:
    """contexts (n_annotators, d_x): an intercept of tens, then what is known of each annotator, standardised over those
    with training answers.  names (d_x,).  people, items: columns that training answers do not identify.

    mean, scale: (d_file,) of the file's columns, whose names are file_names.
    """

    contexts: FloatArray
    names: tuple[str, ...]
    people: Screened
    items: Screened
    file_names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray


def require_groups(method: str, table: PairTable, people: Iterable[int] | None = None) -> None:
    """InputError where the groups of these people are not known; None: where nobody's is."""
    own = table.group or ("",) * table.n_annotators
    missing = [i for i in range(len(own)) if not own[i]] if people is None else [i for i in people if not own[i]]
    if people is None and len(missing) < len(own):
        return
    if missing:
        some = f"everybody's group, and there is none of {counted(len(missing), 'annotators')}"
        what = "known groups, and there are none" if len(missing) == len(own) else some
        raise InputError(
            f"method: '{method}' needs {what}", file=table.source, field="group_id",
            fix="give each annotator a group_id",
        )  # fmt: skip


def standard_contexts(values: object, mean: FloatArray, scale: FloatArray, kept: FloatArray) -> FloatArray:
    """Intercept, then the kept columns of (values - mean) / scale; scale 0 marks a column without variation."""
    found = float_array("annotator_features", values, ("n", len(mean)))
    varies = scale > 0
    standard = np.where(varies, (found - mean) / np.where(varies, scale, 1.0), 0.0)
    return np.hstack([np.full((len(found), 1), INTERCEPT), standard[:, kept]])
