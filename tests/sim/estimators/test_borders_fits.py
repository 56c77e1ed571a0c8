"""What a fit is given is checked before its kernel sees it, and the message begins with the argument that is wrong."""

import numpy as np
import pytest

from sim.estimators.bradley_terry import fit_bradley_terry, fit_bradley_terry_batch, is_separable
from sim.estimators.ideal_points import fit_ideal_points
from sim.estimators.latent_encoder import fit_latent_encoder
from sim.estimators.low_rank import (
    fit_full_rank,
    fit_full_rank_batch,
    fit_low_rank,
    fit_low_rank_batch,
    spectral_start,
)
from sim.estimators.low_rank_descent import balanced_factors, descend
from sim.estimators.low_rank_rankings import fit_low_rank_rankings, pairs_of_rankings
from sim.estimators.prototypes import fit_prototype_weights, fit_prototypes
from sim.estimators.shared_representation import fit_head, fit_shared, fit_shared_batch, representation_error
from sim.estimators.user_clusters import assign_users, cluster_users, cluster_users_batch
from sim.estimators.variational_latent import fit_latent_rewards, latent_evidence, latent_posterior
from sim.streams import Stream

_DRAWN = Stream(70, "borders").generator()
_N, _USERS = 12, 4


def _numbers(*shape):
    return _DRAWN.normal(size=shape)


_X, _Z, _FLAT = _numbers(_N, 3), _numbers(_N, 4), _numbers(_N, 5)
_USER = np.arange(_N) % _USERS
_PAIR = {"contexts": _X, "differences": _Z}
_PAIRS = {"contexts": _numbers(2, _N, 3), "differences": _numbers(2, _N, 4)}
_OF_USERS = {"differences": _FLAT, "annotator": _USER, "n_annotators": _USERS}
_ITEMS = np.arange(_N) % 6
_ABOUT_ITEMS = {
    "features": _numbers(6, 5), "chosen": _ITEMS, "rejected": (_ITEMS + 1) % 6, "annotator": _USER,
    "n_annotators": _USERS,
}  # fmt: skip
_FACTORS = {"left": _numbers(3, 2), "right": _numbers(4, 2)}
_RANKED = {"contexts": _X, "ranked": _numbers(_N, 3, 4)}
_BASIS = np.linalg.qr(_numbers(5, 2))[0]

# Arguments each function is content with.
SOUND = {
    fit_bradley_terry: {"differences": _FLAT},
    fit_bradley_terry_batch: {"differences": _numbers(2, _N, 5)},
    is_separable: {"differences": _FLAT},
    fit_low_rank: {**_PAIR, "rank": 2},
    fit_low_rank_batch: {**_PAIRS, "rank": 2},
    fit_full_rank: _PAIR,
    fit_full_rank_batch: _PAIRS,
    spectral_start: _PAIR,
    balanced_factors: {"theta": _numbers(3, 4), "rank": 2},
    descend: {**_PAIR, **_FACTORS, "max_rounds": 3},
    fit_low_rank_rankings: {**_RANKED, "rank": 2},
    pairs_of_rankings: _RANKED,
    fit_shared: {**_OF_USERS, "rank": 2},
    fit_shared_batch: {"differences": _numbers(2, _USERS, 3, 5), "rank": 2},
    fit_head: {"differences": _FLAT, "subspace": _BASIS},
    representation_error: {"subspace": _BASIS, "estimate": _BASIS},
    cluster_users: {**_OF_USERS, "n_clusters": 2, "stream": Stream(71)},
    cluster_users_batch: {"differences": _numbers(2, _USERS, 3, 5), "n_clusters": 2, "stream": Stream(71)},
    assign_users: {**_OF_USERS, "theta": _numbers(2, 5)},
    fit_prototypes: {**_OF_USERS, "n_prototypes": 2, "stream": Stream(71)},
    fit_prototype_weights: {**_OF_USERS, "prototypes": _numbers(2, 5)},
    fit_ideal_points: {**_ABOUT_ITEMS, "n_prototypes": 2, "dimension": 2, "stream": Stream(71)},
    fit_latent_rewards: {**_OF_USERS, "dimension": 2},
    fit_latent_encoder: {
        "chosen": _FLAT,
        "rejected": _numbers(_N, 5),
        "annotator": _USER,
        "n_annotators": _USERS,
        "dimension": 2,
        "stream": Stream(71),
    },
    latent_evidence: {
        **_OF_USERS,
        "common": _numbers(5),
        "decoder": _numbers(5, 2),
        "mean": _numbers(_USERS, 2),
        "covariance": np.tile(np.eye(2), (_USERS, 1, 1)),
    },
    latent_posterior: {**_OF_USERS, "common": _numbers(5), "decoder": _numbers(5, 2)},
}
_BASELINES = [
    fit_prototypes,
    fit_prototype_weights,
    fit_ideal_points,
    fit_latent_rewards,
    fit_latent_encoder,
    latent_evidence,
    latent_posterior,
]
_WEIGHTED = [
    fit_bradley_terry, fit_low_rank, fit_full_rank, descend, fit_shared, fit_head, cluster_users, assign_users,
    *_BASELINES,
]  # fmt: skip
_SHIFTED = [fit_low_rank, fit_full_rank, descend, fit_shared, fit_head, cluster_users, assign_users, *_BASELINES]
_POSITIVE_RIDGE = [
    fit_bradley_terry, fit_bradley_terry_batch, fit_shared, fit_shared_batch, fit_head, cluster_users,
    cluster_users_batch, fit_prototypes, fit_ideal_points, fit_latent_rewards, fit_latent_encoder,
]  # fmt: skip
_RIDGE = [fit_low_rank, fit_low_rank_batch, fit_full_rank, fit_full_rank_batch, descend, fit_low_rank_rankings]
_RANKS = [
    fit_low_rank, fit_low_rank_batch, balanced_factors, fit_low_rank_rankings, fit_shared, fit_shared_batch,
]  # fmt: skip
_INDEXED = [fit_shared, cluster_users, assign_users, *_BASELINES]


def _spoilt(values, value):
    out = np.array(values, dtype=np.float64)
    out[(-1,) * out.ndim] = value
    return out


def _cases():
    for call, sound in SOUND.items():
        for name, values in sound.items():
            if name != "annotator" and isinstance(values, np.ndarray):
                yield call, name, _spoilt(values, np.nan)
                yield call, name, _spoilt(values, -np.inf)
                yield call, name, values[..., 0]
    for call in _WEIGHTED:
        for weights in (np.ones(_N - 1), np.ones((_N, 1)), _spoilt(np.ones(_N), -1.0), _spoilt(np.ones(_N), np.nan)):
            yield call, "weights", weights
    for weights in (np.ones((3, _N)), np.ones(_N - 1), -np.ones((2, _N)), np.full((2, _N), np.nan)):
        yield fit_bradley_terry_batch, "weights", weights
    for call in (fit_low_rank, fit_full_rank, descend):
        yield call, "weights", np.zeros(_N)
    for call in _SHIFTED:
        for offset in (np.zeros(_N + 1), _spoilt(np.zeros(_N), np.inf)):
            yield call, "offset", offset
    for call in _POSITIVE_RIDGE:
        yield call, "ridge", 0.0
    for call in _POSITIVE_RIDGE + _RIDGE:
        for ridge in (-1.0, np.nan, np.inf):
            yield call, "ridge", ridge
    for call in _RANKS:
        for rank in (0, 9, 1.5):
            yield call, "rank", rank
    for call in _INDEXED:
        for user in (_USER + 1, _USER - 1, _USER[:-1], _USER * 1.0):
            yield call, "annotator", user
        yield call, "n_annotators", 0
    for call in (cluster_users, cluster_users_batch):
        yield call, "n_clusters", 0
        yield call, "n_clusters", 5
        yield call, "restarts", 0
    for name in ("n_prototypes", "restarts", "max_rounds"):
        yield fit_prototypes, name, 0
        yield fit_ideal_points, name, 0
    for name in ("chosen", "rejected"):
        for items in (_ITEMS + 1, _ITEMS - 1, _ITEMS * 1.0):
            yield fit_ideal_points, name, items
    yield fit_ideal_points, "rejected", _ITEMS[:-1]
    yield fit_prototype_weights, "max_rounds", 1.5
    for dimension in (0, 6, 1.5):
        yield fit_latent_rewards, "dimension", dimension
        yield fit_ideal_points, "dimension", dimension
        yield fit_latent_encoder, "dimension", dimension
    for name in ("hidden", "max_rounds"):
        yield fit_latent_encoder, name, 0
    yield fit_latent_rewards, "tolerance", -1.0
    yield fit_latent_rewards, "max_rounds", 0
    yield latent_posterior, "rounds", 0
    yield fit_shared, "start", np.ones((2, 5))
    yield fit_low_rank, "start", np.ones((4, 3))
    yield fit_low_rank, "start", np.full((3, 4), np.nan)
    yield fit_low_rank, "start", "nowhere"
    yield fit_low_rank, "method", "newton"
    yield fit_low_rank, "max_rounds", 0
    yield fit_low_rank, "tolerance", -1.0
    yield fit_full_rank, "max_steps", 0
    yield descend, "max_rounds", 0
    yield descend, "step", 0.0
    yield descend, "balance", -0.5
    yield fit_bradley_terry, "max_steps", -1


_CASES = list(_cases())


@pytest.mark.parametrize(
    ("call", "name", "value"), _CASES, ids=[f"{call.__name__}-{name}-{i}" for i, (call, name, _) in enumerate(_CASES)]
)
def test_the_wrong_argument_is_named(call, name, value):
    with pytest.raises(ValueError, match=rf"^{name} ") as refused:
        call(**{**SOUND[call], name: value})
    assert "--" not in str(refused.value)


@pytest.mark.parametrize("call", SOUND, ids=lambda call: call.__name__)
def test_sound_arguments_pass(call):
    call(**SOUND[call])


@pytest.mark.parametrize("call", [fit_low_rank, fit_full_rank, spectral_start, descend])
def test_rows_that_differ_in_number(call):
    with pytest.raises(ValueError, match=r"contexts has 11 rows and differences 12"):
        call(**{**SOUND[call], "contexts": _X[:-1]})


def test_replicates_that_differ_in_answers():
    for call in (fit_low_rank_batch, fit_full_rank_batch):
        with pytest.raises(ValueError, match=r"differences must be \(2, 12\)"):
            call(**{**SOUND[call], "differences": _numbers(2, _N - 1, 4)})
