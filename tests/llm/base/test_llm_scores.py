"""Response log-probabilities: against the model's own logits, alone and in any batch, with and without adapters."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base.generation import Sampling  # noqa: E402
from llm.base.journal import Journal  # noqa: E402
from llm.base.sequences import ResponseScorer, collate, length_batches  # noqa: E402
from llm.runs.adapter_mixtures import AdapterMixture, merged_adapter, token_average_log_ratios  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.policies.protocol import PreferencePolicy, Restorable, ScoredPolicy  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Sums of float32 log-probabilities over up to 25 tokens; matrix products differ by shape in the last bits.
TOLERANCE = 2e-4


def _by_hand(model, prompt, response):
    ids = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))[None]
    with torch.no_grad():
        log_p = torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
    return sum(float(log_p[len(prompt) + t - 1, token]) for t, token in enumerate(response.tolist()))


def _shaken(base, name, seed=0):
    """Adapter parameters away from the reference."""
    base.add_adapter(name, Stream(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return AdapterPolicy(base, name, beta=0.1, sampling=Sampling(12))


def test_scores_are_the_models_own(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    contexts, responses = random_rows(base, 12)
    policy = _shaken(base, "first")
    for name in (None, "first"):
        with base.using(name) as model:
            wanted = [_by_hand(model, base.store[c], base.store[r]) for c, r in zip(contexts, responses, strict=True)]
        assert base.score(name, contexts, responses) == pytest.approx(wanted, abs=TOLERANCE)
    assert np.abs(policy.log_ratio(contexts, responses)).max() > 0.1
    ratio = base.score("first", contexts, responses) - base.score(None, contexts, responses)
    assert policy.log_ratio(contexts, responses) == pytest.approx(ratio, abs=1e-12)
    assert policy.implicit_reward(contexts, responses) == pytest.approx(0.1 * ratio, abs=1e-12)
    assert isinstance(policy, PreferencePolicy)
    assert isinstance(policy, Restorable)
    assert isinstance(policy, ScoredPolicy)


def test_same_number_alone_and_in_any_batch(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    contexts, responses = random_rows(base, 40)
    whole = base.score(None, contexts, responses)
    alone = [base.score(None, contexts[j : j + 1], responses[j : j + 1])[0] for j in range(40)]
    assert whole == pytest.approx(alone, abs=TOLERANCE)
    order = Stream(3).permutation(40)
    assert base.score(None, contexts[order], responses[order]) == pytest.approx(whole[order], abs=TOLERANCE)
    base.eval_tokens = 64
    assert base.score(None, contexts, responses) == pytest.approx(whole, abs=TOLERANCE)


def test_the_indirect_route_agrees(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    contexts, responses = random_rows(base, 10)
    direct = base.score(None, contexts, responses)
    assert base.scorer.direct
    base.scorer.direct = False
    assert base.score(None, contexts, responses) == pytest.approx(direct, abs=TOLERANCE)


def test_capped_logits_take_the_models_own_route(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    plain = base.model.forward

    def capped(*args, **kwargs):
        out = plain(*args, **kwargs)
        out.logits = 5.0 * torch.tanh(out.logits / 5.0)
        return out

    base.model.forward = capped
    scorer = ResponseScorer(base.model)
    assert not scorer.direct
    contexts, responses = random_rows(base, 3)
    with torch.no_grad():
        got = scorer(collate(base.store, contexts, responses, base.pad)).numpy()
    wanted = [_by_hand(base.model, base.store[c], base.store[r]) for c, r in zip(contexts, responses, strict=True)]
    assert got == pytest.approx(wanted, abs=TOLERANCE)


def test_pieces_of_logits_and_their_gradients(tiny, monkeypatch):  # noqa: F811
    base, _ = open_tiny(tiny)
    _shaken(base, "first")
    contexts, responses = random_rows(base, 6)
    batch = collate(base.store, contexts, responses, base.pad)
    parameters = list(base.parameters_of("first").values())

    def gradients():
        with base.using("first"):
            for parameter in parameters:
                parameter.requires_grad_(True)
            return torch.autograd.grad(base.scorer(batch).sum(), parameters)

    whole = gradients()
    monkeypatch.setattr("llm.base.sequences.LOGIT_ELEMENTS", 7 * 512)
    for a, b in zip(whole, gradients(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_length_batches_hold_every_row_once():
    lengths = Stream(1).integers(30, 50) + 1
    batches = list(length_batches(lengths, 90))
    assert sorted(np.concatenate(batches).tolist()) == list(range(50))
    assert all(len(b) == 1 or lengths[b].max() * len(b) <= 90 for b in batches)


def test_mixture_is_exact_and_its_baselines_differ(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    a, b = _shaken(base, "first", 1), _shaken(base, "second", 2)
    contexts, responses = random_rows(base, 8)
    weights = np.array([0.3, 0.7])
    mixture = AdapterMixture([a, b], weights)
    probability = 0.3 * np.exp(a.log_probability(contexts, responses)) + 0.7 * np.exp(
        b.log_probability(contexts, responses)
    )
    wanted = np.log(probability) - base.reference(contexts, responses)
    assert mixture.log_ratio(contexts, responses) == pytest.approx(wanted, abs=1e-9)
    average = 0.1 * (0.3 * a.log_ratio(contexts, responses) + 0.7 * b.log_ratio(contexts, responses))
    assert mixture.averaged_reward(contexts, responses) == pytest.approx(average, abs=1e-12)
    tokens = token_average_log_ratios([a, b], weights, contexts, responses)[0]
    assert np.abs(tokens - wanted).max() > 1e-3
    by_hand = []
    for c, r in zip(contexts, responses, strict=True):
        ids = torch.from_numpy(np.concatenate([base.store[c], base.store[r]]).astype(np.int64))[None]
        parts = []
        for name in ("first", "second"):
            with base.using(name) as model, torch.no_grad():
                parts.append(torch.softmax(model(input_ids=ids).logits[0].double(), dim=-1))
        mixed = 0.3 * parts[0] + 0.7 * parts[1]
        at = len(base.store[c]) - 1
        by_hand.append(sum(float(torch.log(mixed[at + t, k])) for t, k in enumerate(base.store[r].tolist())))
    assert tokens == pytest.approx(np.array(by_hand) - base.reference(contexts, responses), abs=TOLERANCE)
    twice = np.concatenate([contexts, contexts[::-1]]), np.concatenate([responses, responses[::-1]])
    many = token_average_log_ratios([a, b], np.array([[0.3, 0.7], [1.0, 0.0]]), *twice)
    assert many[0] == pytest.approx(np.concatenate([tokens, tokens[::-1]]), abs=1e-9)
    assert many[1] == pytest.approx(a.log_ratio(*twice), abs=TOLERANCE)
    merged = merged_adapter(base, [a, b], weights, "merged")
    assert np.abs(merged.log_ratio(contexts, responses) - wanted).max() > 1e-3
    one = merged_adapter(base, [a, b], np.array([1.0, 0.0]), "one")
    assert one.log_ratio(contexts, responses) == pytest.approx(a.log_ratio(contexts, responses), abs=TOLERANCE)


def test_samples_are_seeded_and_do_not_depend_on_their_batch(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    policy = _shaken(base, "first")
    contexts, _ = random_rows(base, 20)
    drawn = policy.sample(contexts, Stream(5))
    assert (policy.sample(contexts, Stream(5)) == drawn).all()
    assert (policy.sample(contexts, Stream(6)) != drawn).any()
    assert (policy.sample(contexts[:7], Stream(5)) == drawn[:7]).all()
    assert (base.store.lengths(drawn) <= 12).all()


def test_samples_come_from_the_policy(tiny):  # noqa: F811
    """First tokens of 4,000 samples against the model's probabilities (chi-square, 0.1 %)."""
    from scipy.stats import chisquare

    base, _ = open_tiny(tiny)
    policy = _shaken(base, "first")
    policy.sampling = Sampling(1, batch=500)
    context = random_rows(base, 1)[0]
    drawn = policy.sample(np.repeat(context, 4000), Stream(8))
    first = np.array([base.store[r][0] for r in drawn])
    ids = torch.from_numpy(base.store[context[0]].astype(np.int64))[None]
    with base.using("first") as model, torch.no_grad():
        p = torch.softmax(model(input_ids=ids).logits[0, -1].double(), dim=-1).numpy()
    common = p > 0.01
    counts = np.append([(first == k).sum() for k in np.flatnonzero(common)], (~common[first]).sum())
    expected = 4000 * np.append(p[common], p[~common].sum())
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


def test_reference_is_cached_and_refused_when_something_differs(tiny, tmp_path):  # noqa: F811
    base, _ = open_tiny(tiny)
    contexts, responses = random_rows(base, 9)
    hashes = {"base": "b", "tokenizer": "t", "data": "d"}
    path = tmp_path / "reference.safetensors"
    assert not base.prepare_reference(path, hashes, contexts, responses, Journal(None))
    wanted = base.reference(contexts, responses)
    again, _ = open_tiny(tiny)
    again.store = base.store
    again._scores = None  # a cached reference is never computed again
    assert again.prepare_reference(path, hashes, contexts, responses, Journal(None))
    assert (again.reference(contexts, responses) == wanted).all()
    for name in hashes:
        with pytest.raises(InputError, match=f"another {name}"):
            again.prepare_reference(path, {**hashes, name: "x"}, contexts, responses, Journal(None))
    path.write_bytes(b"broken")
    del again._scores
    said = []
    assert not again.prepare_reference(path, hashes, contexts, responses, Journal(None), said.append)
    assert f"note: {path} was damaged" in said[0]
    assert again.prepare_reference(path, hashes, contexts, responses, Journal(None))
    assert (again.reference(contexts, responses) == wanted).all()


def test_torch_keeps_its_threads_whatever_kernels_leave_it(tiny):  # noqa: F811
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        base, _ = open_tiny(tiny)
        torch.set_num_threads(3)
        with base.using(None):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
