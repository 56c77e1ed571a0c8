"""No kernel works on denormal numbers where weights, chances and responsibilities become hopeless.

The processor keeps a mark of every operation that met a denormal number (x86: the flag beside C99's of <fenv.h>) or
made one: runs are counted whose mark is set. Where processors are slow on such numbers the same runs took ten times
as long.
"""

import ctypes
import ctypes.util
import platform
import sys

import numba
import numpy as np
import pytest

from sim.algorithms.em_choices import em_choices
from sim.algorithms.em_log_linear import em_log_linear
from sim.algorithms.hedge import hedge_batch
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import WelfareRule
from sim.compiled import em, hedge, lottery
from sim.compiled import em_choices as em_choices_kernels
from sim.compiled.jit import FAST_PARALLEL
from sim.streams import Stream

# Of x86's status word: an operand was denormal; a result was too small and inexact.
_DENORMAL, _UNDERFLOW = 0x02, 0x10
pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux", reason="reads x86's marks by glibc"
)
STREAM = Stream(11, "denormals")


@pytest.fixture
def touched(monkeypatch):
    """How many of these runs met or made a denormal number in the kernels named, on one thread: the marks are the
    thread's own. They are read when a kernel returns, as NumPy wipes them."""
    marks = ctypes.CDLL(ctypes.util.find_library("m"))
    threads = numba.get_num_threads()
    numba.set_num_threads(1)

    def count(run, inputs, module, *names):
        seen = []

        def watched(kernel):
            def call(*arguments):
                marks.feclearexcept(_DENORMAL | _UNDERFLOW)
                answer = kernel(*arguments)
                seen.append(marks.fetestexcept(_DENORMAL | _UNDERFLOW) != 0)
                return answer

            return call

        found = 0
        for one in inputs:
            run(one)  # compiled, and what it needs loaded
            with monkeypatch.context() as patched:
                for name in names:
                    patched.setattr(module, name, watched(getattr(module, name)))
                seen.clear()
                run(one)
            assert seen
            found += any(seen)
        return found

    yield count
    numba.set_num_threads(threads)


@numba.njit(**{**FAST_PARALLEL, "cache": False})
def _halved(x):
    for i in numba.prange(x.size):
        for _ in range(30):
            x[i] *= 0.5


def test_the_count_sees_a_kernel_that_sinks(touched):
    this = sys.modules[__name__]
    assert touched(lambda size: this._halved(np.full(8, size)), [1e-305, 1e-320, 1.0], this, "_halved") == 2


def test_hedge_with_hopeless_actions(touched):
    games = STREAM.uniforms((6, 5, 8)) + 5.0 * (np.arange(8) > 3)
    assert touched(lambda game: hedge_batch(game[None], rounds=4000, step=0.2), games, hedge, "play_blocks") == 0


@pytest.mark.parametrize("answers", [300, 2500])
def test_em_with_certain_types(answers, touched):
    """Hundreds of answers an annotator: the other type's responsibility is e^-(their sum)."""
    people, d = 12, 3
    person = np.repeat(np.arange(people), answers)
    x = STREAM.normals((len(person), d))
    truth = np.where(person[:, None] % 2 == 0, 4.0, -4.0)
    x *= np.sign((x * truth).sum(axis=1))[:, None]
    # One answer in ten is a coin, so that rewards stay finite.
    x[::10] *= np.sign(x[::10, :1])

    def run(k):
        return em_log_linear(x, person, people, k, ridge=1e-3)

    assert touched(run, [2, 3], em, "em", "em_batch") == 0
    fit = run(2)
    np.testing.assert_allclose(sorted(fit.mixture), [0.5, 0.5])


def test_choices_with_certain_types(touched):
    people, each, d = 10, 400, 3
    person, truth = np.repeat(np.arange(people), each), np.array([4.0, -3.0, 2.0])
    x = STREAM.child("choices").normals((people * each, 3, d))
    utility = x @ truth * np.where(person % 2 == 0, 4.0, -4.0)[:, None]
    order = np.argsort(-utility, axis=1)
    best, rest = (np.take_along_axis(x, order[:, cut, None], axis=1) for cut in (slice(0, 1), slice(1, 3)))
    rows = (best - rest).reshape(-1, d)
    starts = np.arange(0, len(rows) + 1, 2)

    def run(k):
        return em_choices(rows, starts, person, people, k)

    assert touched(run, [2, 3], em_choices_kernels, "em_choices", "em_choices_batch") == 0


def test_lotteries_where_actions_never_help(touched):
    tables = STREAM.child("tables").uniforms((4, 3, 6)) + 0.1
    tables[:, :, 4:] *= 1e-2
    rule = WelfareRule(0.0)
    assert touched(lambda table: best_lotteries(table[None], rule), tables, lottery, "lotteries") == 0
    by_em = lambda table: best_lotteries(table[None], rule, method="em", tolerance=1e-15, max_iterations=4000)  # noqa: E731
    assert touched(by_em, tables, lottery, "lotteries") == 0
