"""quantecon's simplex in our kernels: its numbers, without its package."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sim.compiled import jit
from sim.compiled.matrix_games import solve


def test_the_package_is_not_imported():
    """It compiles as it is imported: 2 s with an empty cache, .6 s with a full one."""
    code = (
        "import sys, sim.compiled.simplex; print([name for name in sys.modules if name.split('.')[0] == 'quantecon'])"
    )
    places = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=places, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_games_are_solved_as_the_package_solves_them():
    """The same vertex, up to rounding."""
    from quantecon.optimize import minmax

    draws = np.random.default_rng(0)
    for A in (2, 5, 12):
        games = draws.normal(size=(20, A, A))
        games -= games.transpose(0, 2, 1)
        games[3], games[4] = 0.0, np.round(games[4])
        rows, columns = np.empty((2, 20, A))
        solve(games, rows, columns)
        for game, row, column in zip(games, rows, columns, strict=True):
            _, p, q = minmax(game / (np.abs(game).max() or 1.0))
            np.testing.assert_allclose(row, p, rtol=0, atol=1e-13)
            np.testing.assert_allclose(column, q, rtol=0, atol=1e-13)


def test_kernels_are_compiled_again_when_what_they_borrow_has_changed(tmp_path, monkeypatch):
    before = jit.cache_folder()
    other = tmp_path / "pivoting.py"
    other.write_bytes(jit.simplex_files()[0].read_bytes() + b"\n")
    changed = [other, *jit.simplex_files()[1:]]
    monkeypatch.setattr(jit, "simplex_files", lambda: changed)
    assert jit.cache_folder() != before
