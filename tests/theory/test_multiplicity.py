"""Adjusted p-values against statsmodels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from theory.engine.multiplicity import benjamini_yekutieli, holm


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_yekutieli, "fdr_by")])
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_equals_statsmodels(ours, theirs, p):
    p = np.array(p)
    assert ours(p) == pytest.approx(multipletests(p, method=theirs)[1], abs=1e-12)
    assert (ours(p) >= p - 1e-15).all()
