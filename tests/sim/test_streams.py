"""The random source: published vectors, distribution, independence, and the same bits everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import stats
from several_threads import on_threads

from sim.compiled.philox import fill_parallel, fill_serial, philox_block
from sim.streams import Stream

# Random123's known-answer file, philox4x32 with 10 rounds: counter, key, output.
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_published_vectors(counter, key, expected):
    block = philox_block(np.array(counter, np.uint64), np.array(key, np.uint64))
    assert block.tolist() == expected


@pytest.mark.parametrize("start", [0, 5, 2**40 + 1])
@pytest.mark.parametrize("fill", [fill_serial, fill_parallel])
def test_kernels_equal_the_definition(fill, start):
    """Number i: words 2 (i % 2) and 2 (i % 2) + 1 of the block with counter (i // 2, replicate), 53 bits."""
    compiled, expected, replicate, key = np.empty(33), [], (3 << 32) + 9, np.array([7, 11], np.uint64)
    fill(compiled, start, np.uint64(replicate), key[0], key[1])
    for i in range(start, start + 33):
        counter = [(i // 2) & 0xFFFFFFFF, (i // 2) >> 32, replicate & 0xFFFFFFFF, replicate >> 32]
        high, low = philox_block(np.array(counter, np.uint64), key)[2 * (i % 2) :][:2].tolist()
        expected.append((((high << 32 | low) >> 11) + 0.5) / 2**53)
    assert compiled.tolist() == expected


@pytest.mark.parametrize("start", [0, 1, 2, 7, 2**33 + 1])
def test_index_alone_decides_a_number(start):
    stream = Stream(1, "cell", 2, "role")
    whole = stream.uniforms(40, start=start)
    assert (stream.uniforms(11, start=start + 9) == whole[9:20]).all()
    assert (stream.uniforms((5, 8), start=start).ravel() == whole).all()


def test_moments():
    drawn = Stream(4, role="moments").uniforms(1_000_000)
    assert drawn.min() > 0
    assert drawn.max() < 1
    # Four standard errors of the mean and of the second moment.
    assert abs(drawn.mean() - 0.5) < 4 / np.sqrt(12e6)
    assert abs((drawn**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45) / 1e3
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3
    normal = Stream(4, role="normal").normals(200_000)
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    gumbel = Stream(4, role="gumbel").gumbels(200_000)
    assert stats.kstest(gumbel, "gumbel_r").pvalue > 1e-3


@pytest.mark.parametrize(
    "other",
    [
        Stream(1, "cell", 0, "role"),
        Stream(0, "cell2", 0, "role"),
        Stream(0, "cell", 1, "role"),
        Stream(0, "cell", 0, "role2"),
        Stream(0, "cel", 0, "lrole"),
    ],
)
def test_streams_that_differ_in_one_key_are_independent(other):
    n = 200_000
    a, b = Stream(0, "cell", 0, "role").uniforms(n), other.uniforms(n)
    assert len(np.intersect1d(a, b)) == 0
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(n)
    table = np.histogram2d(a, b, bins=16)[0]
    assert stats.chisquare(table.ravel()).pvalue > 1e-4


def test_serial_correlation():
    drawn = Stream(9).uniforms(400_000)
    for lag in (1, 2, 3, 4, 1000):
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 4 / np.sqrt(len(drawn))


def test_integers_choice_and_permutation():
    stream = Stream(5)
    counts = np.bincount(stream.integers(7, 70_000), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3
    shares = np.array([0.6, 0.3, 0.0, 0.1])
    drawn = np.bincount(stream.child("choice").choice(shares, 50_000), minlength=4)
    assert drawn[2] == 0
    assert stats.chisquare(drawn[[0, 1, 3]], 50_000 * shares[[0, 1, 3]]).pvalue > 1e-3
    assert sorted(stream.permutation(100)) == list(range(100))


def test_same_bits_for_any_number_of_threads():
    words = (np.uint64(3), np.uint64(7), np.uint64(11))
    serial = np.empty(300_001)
    fill_serial(serial, 1, *words)
    for _ in on_threads(1, 2, 4):
        parallel = np.empty(300_001)
        fill_parallel(parallel, 1, *words)
        assert (serial == parallel).all()


def test_four_threads_in_a_fresh_process():
    """More threads than cores is allowed only when numba is told before it starts."""
    code = "from sim.streams import Stream; print(float(Stream(3, 'x').uniforms(300000).sum()).hex())"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"NUMBA_NUM_THREADS": str(n), "PATH": "", "HOME": "/tmp", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in (1, 4)
    }
    assert len(answers) == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_same_bits_for_any_number_of_workers_and_any_order(workers):
    replicates = [3, 0, 2, 1]
    drawn = Parallel(n_jobs=workers)(delayed(_first)(r) for r in replicates)
    assert drawn == [_first(r) for r in replicates]


def _first(replicate: int) -> float:
    return float(Stream(7, "worker", replicate).uniforms(5)[3])


def test_generator_depends_on_every_key():
    base = Stream(1, "a", 2, "b")
    others = [Stream(2, "a", 2, "b"), base.at(cell="c"), base.at(replicate=3), base.at(role="d")]
    assert base.generator().random() == base.generator().random()
    assert len({s.generator().random() for s in [base, *others]}) == 5
    assert 0 <= base.integer_seed() < 2**31
