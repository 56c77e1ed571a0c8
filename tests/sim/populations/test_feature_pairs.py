"""Pairs with random features: their definition word by word, their distribution, and any part again."""

import numba
import numpy as np
import pytest
from scipy import stats

from sim.compiled.philox import philox_block
from sim.estimators.bradley_terry import fit_bradley_terry, fit_bradley_terry_blocks
from sim.populations.feature_pairs import PairBlocks, sample_feature_pairs
from sim.streams import Stream


def _words(block, replicate, key):
    counter = [block & 0xFFFFFFFF, block >> 32, replicate & 0xFFFFFFFF, replicate >> 32]
    return philox_block(np.array(counter, np.uint64), np.array(key, np.uint64)).tolist()


def _by_definition(theta, index, stream, width):
    """Annotator, choice and difference of one pair, in Python integers."""
    d = theta.shape[1]
    half = (d + 1) // 2
    w = [_words(index * half + j, stream.replicate, stream.child("features").key) for j in range(half)]
    first, second = [b[0] for b in w] + [b[2] for b in w], [b[1] for b in w] + [b[3] for b in w]
    difference = width * (np.array(first[:d], float) - np.array(second[:d], float)) / 2**32
    a = _words(index, stream.replicate, stream.child("answers").key)
    luck, who = ((((a[i] << 32 | a[i + 1]) >> 11) + 0.5) / 2**53 for i in (0, 2))
    annotator = int(who * len(theta))
    chosen = luck < 1 / (1 + np.exp(-theta[annotator] @ difference))
    return annotator, chosen, difference if chosen else -difference


@pytest.mark.parametrize("d", [1, 2, 5, 32])
def test_equals_the_definition(d):
    stream = Stream(3, "pairs", 5 + (1 << 33), "here")
    theta = stream.child("theta").normals((7, d))
    for start in (0, 2**35 + 3):
        drawn = sample_feature_pairs(theta, 20, stream, start=start, width=1.5)
        for i in range(20):
            annotator, chosen, difference = _by_definition(theta, start + i, stream, 1.5)
            assert (drawn.annotator[i], drawn.first_chosen[i]) == (annotator, chosen)
            assert drawn.differences[i] == pytest.approx(difference, abs=1e-15)


def test_blocks_are_the_sample_and_share_their_memory():
    stream, theta = Stream(1, role="blocks"), Stream(2).normals((3, 5))
    whole = sample_feature_pairs(theta, 1000, stream, width=1.5).differences
    blocks = PairBlocks(theta, 1000, stream, width=1.5, block=300)
    assert [len(block) for block in blocks] == [300, 300, 300, 100]
    assert (np.concatenate([block.copy() for block in blocks]) == whole).all()
    assert (blocks[-1] == whole[900:]).all()
    assert np.shares_memory(blocks[0], blocks[2])
    with pytest.raises(TypeError, match="slice"):
        blocks[:2]
    with pytest.raises(IndexError):
        blocks[4]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_pairs": 2.5}, "n_pairs must be a whole number"), ({"block": 2.5}, "block must be a whole number"),
        ({"theta": np.array([np.nan])}, "theta must be finite"), ({"width": 0.0}, "width must be positive"),
    ],
    ids=str,
)  # fmt: skip
def test_blocks_are_checked_when_they_are_made(asked, message):
    whole = {"theta": np.ones(3), "n_pairs": 9, "stream": Stream(1), **asked}
    with pytest.raises(ValueError, match=message):
        PairBlocks(**whole)


def test_a_block_without_answers_is_none_of_all():
    x = Stream(1).normals((50, 2))
    found = fit_bradley_terry_blocks([x[:0], x], ridge=1.0)
    assert found.theta == pytest.approx(fit_bradley_terry(x, ridge=1.0).theta, abs=1e-7)


def test_a_fit_by_blocks_equals_one_of_all():
    """Begun at a sixteenth of the blocks, of another size than a sixteenth of the tiles: the same optimum."""
    stream, theta = Stream(1, role="blocks"), Stream(2).normals((1, 7))
    whole = sample_feature_pairs(theta, 100_000, stream).differences
    for block in (30_000, 2_000):
        blocks = PairBlocks(theta, 100_000, stream, block=block)
        for scaled in (False, True):
            one = fit_bradley_terry(whole, ridge=0.1, mass_scaled=scaled, tolerance=1e-10)
            parts = fit_bradley_terry_blocks(blocks, ridge=0.1, mass_scaled=scaled, tolerance=1e-10)
            assert parts.theta == pytest.approx(one.theta, abs=1e-8)
            assert (parts.status, parts.separable) == (one.status, False)
    separable = [np.abs(whole[:500]), np.abs(whole[500:900])]
    assert fit_bradley_terry_blocks(separable, ridge=1.0).separable
    assert not fit_bradley_terry_blocks([*separable, whole[:9]], ridge=1.0).separable


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "blocks must not be empty"), ([np.ones((0, 3)), np.ones((0, 3))], "blocks must hold an answer"),
        ([np.ones((4, 0))], "block 0 must have a feature"), ([np.full((4, 3), np.inf)], "block 0 must be finite"),
        ([np.ones((4, 3)), np.ones((4, 2))], r"block 1 must be \(n, 3\)"),
        ([np.ones((4, 3)), np.full((4, 3), np.nan)], "block 1 must be finite"),
    ],
    ids=["none", "no answers", "no features", "inf", "another width", "nan"],
)  # fmt: skip
def test_odd_blocks_are_named(blocks, message):
    with pytest.raises(ValueError, match=message):
        fit_bradley_terry_blocks(blocks)


def test_any_part_is_drawn_again_stored_or_not():
    stream, theta = Stream(1, role="parts"), Stream(2).normals((11, 9))
    whole = sample_feature_pairs(theta, 30_000, stream)
    bare = sample_feature_pairs(theta, 30_000, stream, store=False)
    assert bare.differences is None
    assert (bare.annotator == whole.annotator).all()
    assert (bare.first_chosen == whole.first_chosen).all()
    part = sample_feature_pairs(theta, 777, stream, start=12_345)
    assert (part.differences == whole.differences[12_345 : 12_345 + 777]).all()
    assert (part.annotator == whole.annotator[12_345 : 12_345 + 777]).all()
    out = np.empty((30_000, 9), np.float32)
    single = sample_feature_pairs(theta, 30_000, stream, dtype=np.float32, out=out)
    assert single.differences is out
    assert (out == whole.differences.astype(np.float32)).all()
    assert len(single) == 30_000


def test_same_bits_for_any_number_of_threads():
    theta = Stream(2).normals((3, 6))
    drawn = []
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        drawn.append(sample_feature_pairs(theta, 50_001, Stream(4)))
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all((drawn[0].differences == other.differences).all() for other in drawn)
    assert all((drawn[0].annotator == other.annotator).all() for other in drawn)


def test_distribution():
    n, theta = 400_000, np.array([[1.0, -2.0, 0.5]])
    drawn = sample_feature_pairs(theta, n, Stream(6))
    # A difference of two uniforms on [-1, 1): variance 2/3, triangular on [-2, 2]; the sign fold keeps |.|.
    size = np.abs(drawn.differences[:, 1])
    assert stats.kstest(size[:50_000], lambda t: 1 - (1 - np.clip(t, 0, 2) / 2) ** 2).pvalue > 1e-3
    free = drawn.differences * np.where(drawn.first_chosen, 1, -1)[:, None]
    assert np.abs(free.mean(axis=0)).max() < 4 * np.sqrt(2 / 3 / n)
    assert np.abs(np.corrcoef(free.T) - np.eye(3)).max() < 4 / np.sqrt(n)
    # The maximum-likelihood fit finds theta within four standard errors (Fisher information).
    fitted = fit_bradley_terry(drawn.differences, ridge=1e-9).theta
    p = 1 / (1 + np.exp(-free @ theta[0]))
    covariance = np.linalg.inv((free * (p * (1 - p))[:, None]).T @ free)
    assert (np.abs(fitted - theta[0]) < 4 * np.sqrt(np.diag(covariance))).all()


def test_annotators_are_uniform_and_their_own_theta_decides():
    theta = np.array([[30.0], [-30.0], [0.0]])
    drawn = sample_feature_pairs(theta, 60_000, Stream(7))
    assert stats.chisquare(np.bincount(drawn.annotator, minlength=3)).pvalue > 1e-3
    shares = [(drawn.differences[drawn.annotator == a, 0] > 0).mean() for a in range(3)]
    assert shares[0] > 0.95
    assert shares[1] < 0.05
    assert abs(shares[2] - 0.5) < 0.02


def test_bad_input_is_refused():
    theta, stream = np.ones((2, 3)), Stream()
    with pytest.raises(ValueError, match="theta must be finite"):
        sample_feature_pairs(np.array([[np.inf]]), 5, stream)
    with pytest.raises(ValueError, match="must not be negative"):
        sample_feature_pairs(theta, -1, stream)
    with pytest.raises(ValueError, match="dtype must be float64 or float32"):
        sample_feature_pairs(theta, 5, stream, dtype=np.int64)
    with pytest.raises(ValueError, match=r"out must be a writable C-ordered float64 array of shape \(5, 3\)"):
        sample_feature_pairs(theta, 5, stream, out=np.empty((3, 5)))
    with pytest.raises(ValueError, match="width must be positive"):
        sample_feature_pairs(theta, 5, stream, width=0.0)
    assert len(sample_feature_pairs(theta, 0, stream)) == 0
