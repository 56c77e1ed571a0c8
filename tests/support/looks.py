"""What every result of the API must look like."""

import json

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib.axes import Axes


def looks(result, tmp_path, *, plot=True, **asked):
    """Short and narrow as text, escaped as HTML, JSON as a dict, axes as a plot that writes nothing."""
    lines = repr(result).splitlines()
    assert 1 <= len(lines) <= 15
    assert max(map(len, lines)) <= 80
    assert str(result) == repr(result)
    page = result._repr_html_()
    assert page.count("<table>") == page.count("</table>")
    assert "<script" not in page
    json.dumps(result.as_dict())
    if plot:
        before, backend = sorted(tmp_path.rglob("*")), mpl.get_backend()
        axes = result.plot(**asked)
        assert all(isinstance(axis, Axes) for axis in np.atleast_1d(axes))
        assert sorted(tmp_path.rglob("*")) == before
        assert mpl.get_backend() == backend
        import matplotlib.pyplot as plt

        assert np.atleast_1d(axes)[0].figure.number in plt.get_fignums()
        plt.close("all")
