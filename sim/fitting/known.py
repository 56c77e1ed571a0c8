"""What is known of annotators beside their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array
from sim.estimators.unidentified import Screened
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


def standard_contexts(values: object, mean: FloatArray, scale: FloatArray, kept: FloatArray) -> FloatArray:
    """Intercept, then the kept columns of (values - mean) / scale; scale 0 marks a column without variation."""
    found = float_array("annotator_features", values, ("n", len(mean)))
    varies = scale > 0
    standard = np.where(varies, (found - mean) / np.where(varies, scale, 1.0), 0.0)
    return np.hstack([np.full((len(found), 1), INTERCEPT), standard[:, kept]])
