"""The network behind the shared-representation interface: it learns what a matrix cannot, and repeats itself."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch")

from llm.networks.shared_network import NetworkSettings, fit_shared_network  # after the skip
from pluralign.__main__ import main
from sim.estimators.shared_representation import SharedRewards, fit_shared
from sim.likelihoods import log_sigmoid
from sim.streams import Stream

N, NP = 20, 120


@pytest.fixture(scope="module")
def data():
    """Rewards v_i1 tanh(2 phi_1 phi_2) + v_i2 |phi_3|: two dimensions that no linear map of phi holds."""
    stream = Stream(1, "network")
    features = stream.child("features").normals((300, 3))
    psi = np.stack([np.tanh(2 * features[:, 0] * features[:, 1]), np.abs(features[:, 2])], axis=1)
    rewards = 3.0 * stream.child("heads").normals((N, 2)) @ psi.T
    user = np.repeat(np.arange(N), NP)
    a, b = stream.child("pairs").integers(300, (2, N * NP))
    first = stream.child("wins").uniforms(N * NP) < 1 / (1 + np.exp(rewards[user, b] - rewards[user, a]))
    held = stream.child("held").uniforms(N * NP) < 0.3
    return features, np.where(first, a, b), np.where(first, b, a), user, held


def _score(fitted, features, chosen, rejected, user):
    rewards = fitted.rewards(features)
    return float(log_sigmoid(rewards[user, chosen] - rewards[user, rejected]).mean())


def test_beats_the_linear_map_where_it_should(data):
    features, chosen, rejected, user, held = data
    settings = NetworkSettings(epochs=40, batch=128, rate=1e-2)
    network = fit_shared_network(
        features, chosen, rejected, user, N, 2, Stream(2), ridge=0.3, settings=settings, held=held
    )
    x = (features[chosen] - features[rejected])[~held]
    linear = fit_shared(x, user[~held], N, 2, ridge=0.3)
    test = chosen[held], rejected[held], user[held]
    assert _score(network, features, *test) > _score(linear, features, *test) + 0.05
    assert _score(network, features, *test) > np.log(0.5) + 0.05
    assert network.held_out[-1] == pytest.approx(_score(network, features, *test), abs=1e-5)
    for fitted in (network, linear):
        protocol: SharedRewards = fitted
        assert protocol.rewards(features) == pytest.approx(protocol.heads @ protocol.represent(features).T)


def test_same_seed_same_fit_and_held_answers_unread(data):
    features, chosen, rejected, user, held = data
    settings = NetworkSettings(epochs=2)
    arguments = {"settings": settings, "held": held, "ridge": 1.0}
    first = fit_shared_network(features, chosen, rejected, user, N, 2, Stream(2), **arguments)
    swapped = np.where(held, rejected, chosen), np.where(held, chosen, rejected)
    second = fit_shared_network(features, *swapped, user, N, 2, Stream(2), **arguments)
    assert np.array_equal(first.heads, second.heads)
    assert first.held_out != second.held_out
    other = fit_shared_network(features, chosen, rejected, user, N, 2, Stream(3), **arguments)
    assert not np.array_equal(first.heads, other.heads)


def test_the_trace_counts_an_answer_as_often_as_its_weight_says(data):
    features, chosen, rejected, user, held = data
    weights = np.random.default_rng(4).integers(1, 4, len(chosen)).astype(float)
    fitted = fit_shared_network(
        features, chosen, rejected, user, N, 2, Stream(2), weights=weights, held=held,
        settings=NetworkSettings(epochs=1),
    )  # fmt: skip
    again = np.repeat(np.flatnonzero(held), weights[held].astype(int))
    wanted = _score(fitted, features, chosen[again], rejected[again], user[again])
    assert fitted.held_out[-1] == pytest.approx(wanted, abs=1e-5)
    assert abs(wanted - _score(fitted, features, chosen[held], rejected[held], user[held])) > 1e-4


def test_as_typed(tmp_path, monkeypatch, capsys, data):
    features, chosen, rejected, user, _ = data
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(
        json.dumps({"chosen": f"i{c}", "rejected": f"i{r}", "annotator_id": f"u{u}",
                    "chosen_features": features[c].tolist(), "rejected_features": features[r].tolist()}) + "\n"
        for c, r, u in zip(chosen.tolist(), rejected.tolist(), user.tolist(), strict=True) if c != r
    ))  # fmt: skip
    words = ["pluralign", "fit", str(path), "--method", "shared", "--types", "2", "--network", "--json"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "out")])
    assert main() == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["baselines"]["shared-network"]["known_users"]["n_pairs"] > 100
    assert "shared-network" in answer["new_users"][0]
    monkeypatch.setattr(sys, "argv", ["pluralign", "fit", str(path), "--method", "dpo", "--network"])
    assert main() == 2
    assert "--network: belongs to --method shared" in capsys.readouterr().err
