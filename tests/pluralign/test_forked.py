"""Calls in processes that were forked after a fit: a sentence, or the result itself, and nobody waits for ever."""

import os
import re
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, sys
import pluralign as pl

def fitted(seed):
    return str(pl.{call})

if __name__ == "__main__":
    pairs = pl.simulate(n_annotators=20, answers=8, seed=1)
    pl.fit(pairs, n_types=2, restarts=2)
    own = fitted(1)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            print("equal", pool.apply_async(fitted, (1,)).get(timeout=120) == own)
        except pl.InputError as error:
            print("refused:", error)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is Linux's")


@pytest.mark.parametrize(
    ("layer", "call", "said"),
    [
        ("omp", "fit(pairs, n_types=2, restarts=2, seed=seed)", "refused: fit: this process was forked .*'spawn'"),
        ("omp", "em_dpo(pairs, 2, seed=seed)", "refused: an estimator: this process was forked"),
        ("omp", "hedge([[0.0, 1.0], [1.0, 0.0]])", "refused: kernel play_blocks: this process was forked"),
        ("omp", "check('hedge-rate', workers=1)", "refused: kernel .*: this process was forked"),
        ("omp", "welfare({'a': [1, 2], 'b': [2, 1]})", "equal True"),
        ("workqueue", "hedge([[0.0, 1.0], [1.0, 0.0]])", "equal True"),
        ("workqueue", "fit(pairs, n_types=2, restarts=2, seed=seed)", "equal True"),
    ],
)
def test_a_forked_process_says_what_to_do(tmp_path, layer, call, said):
    (tmp_path / "forks.py").write_text(SCRIPT.format(call=call))
    env = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "forks.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout), done.stdout + done.stderr
