"""Adjusted p-values against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from sim.streams import Stream
from theory.engine.multiplicity import benjamini_yekutieli, holm


def _families():
    """Of every size to thirty, with ties, zeros, ones and numbers of every magnitude."""
    stream = Stream(0, "multiplicity")
    for number in range(200):
        own = stream.at(replicate=number)
        n = 1 + number % 30
        p = own.child("p").uniforms(n) ** (1 + number % 9)
        kind = own.child("kind").integers(6, n)
        p = np.where(kind == 0, 0.0, np.where(kind == 1, 1.0, np.where(kind == 2, p[0], p)))
        yield p


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_yekutieli, "fdr_by")])
def test_equals_statsmodels(ours, theirs, monkeypatch):
    # Holm's asks for garbage to be collected at each call: with all other tests in memory, a fifth of a second.
    monkeypatch.setattr("gc.collect", lambda *generation: 0)
    for p in _families():
        assert ours(p) == pytest.approx(multipletests(p, method=theirs)[1], abs=1e-12)
        assert (ours(p) >= p - 1e-15).all()
