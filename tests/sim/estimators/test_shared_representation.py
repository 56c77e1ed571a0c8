"""The shared-representation MLE against SciPy on the same loss, against per-user fits where both must agree, and by
what its optimum has to satisfy."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.shared_representation import fit_head, fit_shared, fit_shared_batch, representation_error
from sim.likelihoods import log_sigmoid
from sim.populations.shared_representation import shared_population
from sim.streams import Stream

N, D, K, NP = 12, 7, 2, 60


def _answers(replicate=0, n=N, d=D, k=K, per_user=NP):
    stream = Stream(2, "shared", replicate)
    people = shared_population(n, d, k, stream)
    return people, people.answers(per_user, stream)


def _flat(x):
    n, per_user, d = x.shape
    return x.reshape(-1, d), np.repeat(np.arange(n), per_user)


def _penalised(x, user, subspace, heads, ridge, weights=1.0, offset=0.0):
    margin = offset + (x * (heads @ subspace.T)[user]).sum(axis=1)
    return float(-(weights * log_sigmoid(margin)).sum() + 0.5 * ridge * (heads**2).sum())


def _scipy_loss(x, user, n, k, ridge, weights, offset, start):
    """L-BFGS on (U, V), U free: the ridge on the product's heads is |V R|^2 with U = Q R."""
    d = x.shape[1]

    def loss(z):
        U, V = z[: d * k].reshape(d, k), z[d * k :].reshape(n, k)
        Q, R = np.linalg.qr(U)
        return _penalised(x, user, Q, V @ R.T, ridge, weights, offset)

    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-6, "maxiter": 400})
    return found.fun


@pytest.mark.parametrize("ridge", [1e-3, 2.0])
def test_against_scipy_on_the_same_loss(ridge):
    _, x = _answers(n=5, d=4, per_user=40)
    rows, user = _flat(x)
    weights = 0.5 + Stream(9, "weights").uniforms(len(rows))
    offset = 0.3 * Stream(9, "offset").normals(len(rows))
    ours = fit_shared(rows, user, 5, 2, weights=weights, offset=offset, ridge=ridge)
    assert ours.loss == pytest.approx(
        _penalised(rows, user, ours.subspace, ours.heads, ridge, weights, offset), rel=1e-12
    )
    starts = np.random.default_rng(0).normal(size=(3, 4 * 2 + 5 * 2))
    best = min(_scipy_loss(rows, user, 5, 2, ridge, weights, offset, start) for start in starts)
    assert ours.loss <= best + 1e-5 * abs(best)


def test_gradient_vanishes_on_the_tangent_space():
    _, x = _answers()
    rows, user = _flat(x)
    fitted = fit_shared(rows, user, N, K, ridge=0.5, tolerance=1e-14)
    assert fitted.subspace.T @ fitted.subspace == pytest.approx(np.eye(K), abs=1e-12)
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction = rng.normal(size=(D, K))
        direction -= fitted.subspace @ (fitted.subspace.T @ direction)
        values = []
        for step in (1e-5, -1e-5):
            moved, R = np.linalg.qr(fitted.subspace + step * direction)
            values.append(_penalised(rows, user, moved, fitted.heads @ R.T, 0.5))
        # heads at their optimum: the profiled and the partial derivative are one
        assert abs(values[0] - values[1]) / 2e-5 < 1e-3 * np.linalg.norm(direction)


def test_full_rank_is_one_fit_a_user():
    _, x = _answers(n=6, d=4, k=2)
    rows, user = _flat(x)
    fitted = fit_shared(rows, user, 6, 4, ridge=0.1)
    alone = np.stack([fit_bradley_terry(own, ridge=0.1).theta for own in x])
    assert fitted.theta == pytest.approx(alone, abs=1e-6)


def test_batch_single_and_order_agree():
    data = np.stack([_answers(r)[1] for r in range(3)])
    batch = fit_shared_batch(data, K)
    assert (batch.status == 0).all()
    shuffled = np.random.default_rng(0).permutation(N * NP)
    for b in range(3):
        rows, user = _flat(data[b])
        one = fit_shared(rows, user, N, K)
        assert one.theta == pytest.approx(batch.theta[b], abs=1e-9)
        mixed = fit_shared(rows[shuffled], user[shuffled], N, K)
        assert mixed.theta == pytest.approx(batch.theta[b], abs=1e-5)
    again = fit_shared_batch(data[1:2], K)
    assert np.array_equal(again.theta[0], batch.theta[1]), "a replicate does not depend on its neighbours"


def test_uneven_users_and_one_without_answers():
    _, x = _answers()
    rows, user = _flat(x)
    keep = (user != 3) & ((user != 5) | (np.arange(len(user)) % NP < 4))
    fitted = fit_shared(rows[keep], user[keep], N, K, ridge=0.3)
    assert fitted.heads[3].tolist() == [0.0] * K
    assert np.isfinite(fitted.theta).all()
    head = fit_head(rows[keep & (user == 5)], fitted.subspace, ridge=0.3)
    assert head == pytest.approx(fitted.heads[5], abs=1e-6), "a head is the fit of its own answers"


@pytest.mark.parametrize("ridge", [30.0, 300.0, 3e4])
def test_a_strong_ridge_where_the_profiled_loss_is_concave_at_the_start(ridge):
    """Small heads: -|U' g|^2 / (2 ridge) dominates, every diagonal entry of the Hessian is negative."""
    _, x = _answers()
    rows, user = _flat(x)
    fitted = fit_shared(rows, user, N, K, ridge=ridge)
    start = np.linalg.qr(np.random.default_rng(0).normal(size=(D, K)))[0]
    other = fit_shared(rows, user, N, K, ridge=ridge, start=start)
    assert fitted.loss <= _penalised(rows, user, fitted.subspace, np.zeros((N, K)), ridge) + 1e-9
    assert fitted.loss == pytest.approx(other.loss, rel=1e-6)
    # Newton, with the manifold's curvature in its Hessian; without it 200 rounds are not enough.
    assert fitted.status == 0
    assert fitted.rounds < 30


def test_start_is_kept_and_checked():
    people, x = _answers()
    rows, user = _flat(x)
    warm = fit_shared(rows, user, N, K, start=people.subspace)
    cold = fit_shared(rows, user, N, K)
    assert warm.loss == pytest.approx(cold.loss, rel=1e-9)
    with pytest.raises(ValueError, match="start must be"):
        fit_shared(rows, user, N, K, start=people.subspace.T)


def test_representation_error():
    people, _ = _answers()
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(K, K)))[0]
    assert representation_error(people.subspace, people.subspace @ rotation) == pytest.approx(0.0, abs=1e-12)
    # Subspaces at a right angle: 2k - 0.
    basis = np.eye(6)
    assert representation_error(basis[:, :2], basis[:, 2:4]) == pytest.approx(4.0)
    # One principal angle t: 2 - 2 cos t.
    tilted = np.stack([basis[:, 0], np.cos(0.3) * basis[:, 1] + np.sin(0.3) * basis[:, 2]], axis=1)
    assert representation_error(basis[:, :2], tilted) == pytest.approx(2 - 2 * np.cos(0.3))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("what", ["both orders", "both orders, in floats", "no difference", "one person's"])
def test_answers_that_pull_nowhere_leave_heads_of_zero(what, rank):
    """With both orders answered, the likelihood of each pair, s(z) s(-z), is largest at z = 0: no head has anything to
    gain.  The damping that was to make a Hessian of zeros positive grew from zero for ever."""
    x, user = np.random.default_rng(rank).normal(size=(24, 3)), np.repeat(np.arange(4), 6)
    if what == "both orders":
        x = np.random.default_rng(rank).integers(-3, 4, size=(24, 3)).astype(float)
        x[1::2] = -x[::2]
    elif what == "both orders, in floats":
        # Sums of these are zero up to rounding only.
        x = np.concatenate([np.concatenate([own[:3], -own[:3][::-1]]) for own in x.reshape(4, 6, 3)])
    elif what == "no difference":
        x[:] = 0.0
    else:
        x[user > 0] = 0.0
    fitted = fit_shared(x, user, 4, rank, ridge=1.0)
    batch = fit_shared_batch(x.reshape(1, 4, 6, 3), rank, ridge=1.0)
    assert fitted.status == batch.status[0] == 0
    # Directions to choose from there are always three, those that no answer pulls along among them.
    assert fitted.subspace.T @ fitted.subspace == pytest.approx(np.eye(rank), abs=1e-12)
    if what == "one person's":
        alone = fit_bradley_terry(x[:6], ridge=1.0, tolerance=1e-12)
        assert fitted.theta[0] == pytest.approx(alone.theta, abs=1e-4)
        assert not fitted.theta[1:].any()
    else:
        assert not fitted.heads.any()
        assert not batch.heads.any()
        assert fitted.loss == pytest.approx(24 * np.log(2), rel=1e-12)


def test_what_is_out_of_range_ends():
    """Sums of squares overflow: no damping makes such a Hessian positive, and the fit says that it did not converge."""
    x = np.random.default_rng(0).normal(size=(24, 3)) * 1e160
    fitted = fit_shared(x, np.repeat(np.arange(4), 6), 4, 1, ridge=1.0, start=np.eye(3)[:, :1])
    assert fitted.status != 0


def test_learning_beats_every_user_alone():
    people, x = _answers(n=40, d=20, per_user=200)
    shared = ((fit_shared_batch(x[None], K).theta[0] - people.theta) ** 2).sum(axis=1).mean()
    alone = np.stack([fit_bradley_terry(own, ridge=1e-3).theta for own in x])
    assert shared < 0.3 * ((alone - people.theta) ** 2).sum(axis=1).mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 9}, "rank must lie in 1..7"),
        ({"rank": 0}, "rank must lie"),
        ({"ridge": 0.0}, "ridge must be positive"),
    ],
)
def test_refused(change, message):
    _, x = _answers()
    rows, user = _flat(x)
    arguments = {"rank": K, "ridge": 1e-3, **change}
    with pytest.raises(ValueError, match=message):
        fit_shared(rows, user, N, arguments["rank"], ridge=arguments["ridge"])
    with pytest.raises(ValueError, match=r"annotator must lie in 0\.\."):
        fit_shared(rows, user + 1, N, K)


@pytest.mark.parametrize("unit", [0.3, 1e-8, 1e-50])
@pytest.mark.parametrize(("d", "rank"), [(4, 2), (130, 2)])
def test_a_unit_of_the_features_does_not_matter(unit, d, rank):
    """With the ridge in units of the features' squares it is the same fit, of many features too."""
    stream = Stream(8)
    x, who = stream.normals((400, d)), np.arange(400) % 20
    x *= np.where(np.einsum("nd,nd->n", x, stream.child("theta").normals((20, d))[who]) > 0, 1.0, -1.0)[:, None]
    plain = fit_shared(x, who, 20, rank, ridge=0.5)
    found = fit_shared(x * unit, who, 20, rank, ridge=0.5 * unit**2)
    assert (found.loss, found.status) == (pytest.approx(plain.loss, rel=1e-6), plain.status)
    assert found.theta * unit == pytest.approx(plain.theta, abs=2e-3 * np.abs(plain.theta).max())
    head = fit_head(x[:50], plain.subspace, ridge=0.5)
    assert fit_head(x[:50] * unit, plain.subspace, ridge=0.5 * unit**2) * unit == pytest.approx(head, rel=1e-6)
    few = fit_head(x[:3], None, ridge=0.5)
    assert fit_head(x[:3] * unit, None, ridge=0.5 * unit**2) * unit == pytest.approx(few, rel=1e-6)


def test_units_of_replicates_do_not_matter_either():
    """The same fits in any unit, also beside replicates in another; of ordinary features the same bits."""
    stream = Stream(9)
    x = stream.normals((3, 20, 30, 4))
    x *= np.where(np.einsum("bnpd,bnd->bnp", x, stream.child("theta").normals((3, 20, 4))) > 0, 1.0, -1.0)[..., None]
    plain = fit_shared_batch(x, 2, ridge=0.5)
    for unit in (0.3, 1e-8, 1e-50, 1e8):
        found = fit_shared_batch(x * unit, 2, ridge=0.5 * unit**2)
        assert (found.status == plain.status).all()
        assert found.loss == pytest.approx(plain.loss, rel=1e-6)
        assert found.theta * unit == pytest.approx(plain.theta, abs=1e-3 * np.abs(plain.theta).max())
    mixed = fit_shared_batch(x * np.array([1.0, 1e-8, 1.0])[:, None, None, None], 2, ridge=0.5)
    assert np.array_equal(mixed.theta[[0, 2]], plain.theta[[0, 2]])
    assert np.array_equal(mixed.theta[1], fit_shared_batch(x[1:2] * 1e-8, 2, ridge=0.5).theta[0])
