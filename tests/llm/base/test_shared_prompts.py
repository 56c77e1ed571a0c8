"""Responses behind one prompt: the same log-probabilities and gradients as each alone, over fewer tokens."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import CONFIGURATIONS, save_architecture  # noqa: E402

from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.shared_prompts import behind_their_prompts, longest_shared, may_share, place  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.answer_objectives import objective_of  # noqa: E402
from sim.answer_kinds.response_choices import choices_of_pairs  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Log-probabilities of some ten tokens; float32 products differ by shape in the last bits.
TOLERANCE = 2e-4
# ALiBi counts distances in the sequence: their responses stay alone.
ALONE = ("falcon", "bloom")
# Positions of their own, or layers that read from left to right: a probe of eight tokens may not see it.
OTHERS = {
    "GPTNeo": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
               "window_size": 16, "max_position_embeddings": 64},
    "Lfm2": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "layer_types": ["conv", "full_attention"]},
    "Qwen3Next": {"hidden_size": 16}, "Jamba": {}, "FalconH1": {}, "Doge": {"keep_window_size": 16},
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("architectures")
    return {name: save_architecture(name, root / name) for name in CONFIGURATIONS}


def _open(folder, dtype=torch.float32, **options):
    model, tokenizer = load_base(folder)
    return SharedBase(
        model.to(dtype), TokenStore(), pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id,
        lora=LoraSettings(rank=2), **options,
    )  # fmt: skip


def _shaken(base, name="one"):
    base.add_adapter(name, Stream(1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))


def _rows(base, prompts=3, each=4, long=0):
    """Each of the prompts with `each` responses; in no order."""
    stream = Stream(5)

    def tokens(number, low, high):
        own = stream.at(replicate=number)
        return (3 + own.integers(250, low + int(own.child("n").uniforms(1)[0] * (high - low)))).tolist()

    contexts = base.store.add_all([tokens(j, 2, 4 + long) for j in range(prompts)])
    responses = base.store.add_all([tokens(100 + j, 1, 5) for j in range(prompts * each)])
    order = Stream(6).permutation(prompts * each)
    return np.repeat(contexts, each)[order], responses[order]


def _alone(base, name, contexts, responses):
    shares, base.scorer.shares = base.scorer.shares, False
    found = base.score(name, contexts, responses)
    base.scorer.shares = shares
    return found


def _seen(base, call):
    """(what the call gives, shapes of the decoder's inputs)."""
    shapes = []
    hook = base.model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        return call(), shapes
    finally:
        hook.remove()


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_scores_behind_a_prompt_are_those_alone(architecture, folders):
    base = _open(folders[architecture])
    assert base.scorer.shares == (architecture not in ALONE)
    _shaken(base)
    contexts, responses = _rows(base)
    for name in (None, "one"):
        wanted = _alone(base, name, contexts, responses)
        found, shapes = _seen(base, lambda name=name: base.score(name, contexts, responses))
        assert found == pytest.approx(wanted, abs=TOLERANCE)
        assert np.std(wanted) > 1, "rows that cannot be told apart test nothing"
        # Sliding windows of 8 tokens hold a prompt and two or three responses at most.
        sequences = sum(shape[0] for shape in shapes)
        assert sequences == {True: 12, False: 3}[architecture in ALONE] or (base.scorer.window == 8 and sequences < 12)


def test_a_prompt_goes_through_the_model_once_for_a_pair(folders):
    base = _open(folders["llama"])
    base.add_adapter("one", Stream(1))
    store = base.store
    prompts = store.add_all([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
    chosen, rejected = store.add_all([[11, 12], [13, 14]]), store.add_all([[15, 16, 17], [18, 19, 20]])
    pairs = PreferencePairs(prompts, chosen, rejected, np.arange(2), 2)
    objective = objective_of(base, pairs, np.ones(2), 0.1)
    assert objective.lengths.tolist() == [10, 10]
    assert objective.sequences.tolist() == [1, 1]
    with base.using("one"):
        _, shapes = _seen(base, lambda: objective(np.arange(2), 2))
    assert shapes == [(2, 10)], "p + |y| + |y'| tokens a pair"


@pytest.mark.parametrize("kind", ["pairs", "choices"])
@pytest.mark.parametrize("architecture", ["mistral", "gemma2", "gpt2", "mixtral"])
def test_losses_and_gradients_are_those_of_rows_alone(architecture, kind, folders):
    base = _open(folders[architecture])
    _shaken(base)
    contexts, responses = _rows(base, prompts=4, each=2)
    at = np.argsort(contexts, kind="stable").reshape(4, 2)
    pairs = PreferencePairs(contexts[at[:, 0]], responses[at[:, 0]], responses[at[:, 1]], np.arange(4) % 2, 2)
    # The first pair twice, the other way round: its responses are computed once.
    pairs = PreferencePairs(
        np.append(pairs.contexts, pairs.contexts[0]), np.append(pairs.chosen, pairs.rejected[0]),
        np.append(pairs.rejected, pairs.chosen[0]), np.arange(5) % 2, 2,
    )  # fmt: skip
    answers = pairs if kind == "pairs" else choices_of_pairs(pairs)
    parameters = base.parameters_of("one")

    def gradients(shares):
        base.scorer.shares = shares
        objective = objective_of(base, answers, np.array([1.0, 2.0, 0.5, 1.0, 3.0]), 0.1)
        with base.using("one"):
            for value in parameters.values():
                value.requires_grad_(True)
            rows = np.arange(5) if base.scorer.window is None else np.flatnonzero(objective.lengths <= 30)
            (loss, margin), shapes = _seen(base, lambda: objective(rows, 5))
            return loss.item(), margin, torch.autograd.grad(loss, list(parameters.values())), shapes

    before = base.scorer.window
    base.scorer.window = None if before is None else 64  # all of these rows lie inside the layers' own windows
    if architecture == "gemma2":
        base.scorer.window = before
    loss, margin, plain, alone = gradients(False)
    shared_loss, shared_margin, shared, behind = gradients(True)
    assert shared_loss == pytest.approx(loss, abs=1e-5)
    assert torch.allclose(margin, shared_margin, atol=1e-5)
    for name, a, b in zip(parameters, plain, shared, strict=True):
        assert torch.allclose(a, b, atol=1e-4 * max(float(a.abs().max()), 1e-3)), name
    if architecture != "gemma2":
        assert (alone[0][0], behind[0][0]) == (8, 4)


def test_rows_longer_than_a_sliding_window_stay_alone(folders):
    """A mask that is given replaces the layers' own: a longer sequence would lose the window."""
    base = _open(folders["gemma2"])
    assert base.scorer.window == 8
    contexts, responses = _rows(base, prompts=6, each=3, long=8)
    lengths = base.store.lengths(contexts) + base.store.lengths(responses)
    assert lengths.max() > 8 > lengths.min(), "rows on both sides of the window"
    found, shapes = _seen(base, lambda: base.score(None, contexts, responses))
    assert found == pytest.approx(_alone(base, None, contexts, responses), abs=TOLERANCE)
    assert len(shapes) == 2, "those that share and those alone"
    assert shapes[0][1] <= 8
    assert not base.scorer.shares_up_to(9)
    assert base.scorer.shares_up_to(8)


def test_a_model_that_ignores_positions_or_masks_shares_nothing(folders):
    for ignored in ("position_ids", "attention_mask"):
        model, tokenizer = load_base(folders["llama"])
        decoder = model.get_decoder()
        plain = decoder.forward

        def deaf(*args, _plain=plain, _ignored=ignored, **kwargs):
            return _plain(*args, **{name: value for name, value in kwargs.items() if name != _ignored})

        decoder.forward = deaf
        base = SharedBase(model, TokenStore(), pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id)
        assert base.scorer.direct
        assert not base.scorer.shares, ignored


def test_scores_that_must_not_tell_their_company_are_each_alone(folders):
    base = _open(folders["llama"])
    contexts, responses = _rows(base)

    def sequences():
        return sum(shape[0] for shape in _seen(base, lambda: base.score(None, contexts, responses))[1])

    def stopped():
        with base.scorer.each_alone():
            assert sequences() == 12
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert sequences() == 3


@pytest.mark.parametrize("kind", OTHERS)
def test_configurations_that_go_by_the_sequence_share_nothing(kind):
    import transformers

    assert not may_share(getattr(transformers, f"{kind}Config")(**OTHERS[kind]))


def test_a_window_of_any_name_is_one():
    from transformers import LlamaConfig

    assert longest_shared(LlamaConfig()) is None
    assert longest_shared(LlamaConfig(sliding_window=64, attention_chunk_size=32)) == 32
    assert longest_shared(LlamaConfig(window_size=7)) == 7


def test_a_zero_adapter_is_the_reference_bit_by_bit_in_bfloat16(folders):
    base = _open(folders["llama"], torch.bfloat16)
    assert base.scorer.shares
    base.add_adapter("one", Stream(1))
    contexts, responses = _rows(base)
    policy = AdapterPolicy(base, "one", beta=0.1)
    assert (policy.log_ratio(contexts, responses) == 0).all()
    assert (base.score("one", contexts, responses) == base.score(None, contexts, responses)).all()


def test_float32_scores_of_a_bfloat16_base_are_those_of_the_float32_model(folders):
    short = _open(folders["llama"], torch.bfloat16, scoring="float32")
    model, tokenizer = load_base(folders["llama"])
    model = model.to(torch.bfloat16).float()
    whole = SharedBase(model, short.store, pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id)
    contexts, responses = _rows(short)
    found, shapes = _seen(short, lambda: short.score(None, contexts, responses))
    assert sum(shape[0] for shape in shapes) == 3
    assert (found == whole.score(None, contexts, responses)).all()


def test_sequences_hold_every_row_once_and_no_more_tokens_than_asked():
    stream = Stream(3)
    for trial in range(40):
        own = stream.at(replicate=trial)
        n = 1 + int(own.integers(30, 1)[0])
        contexts = own.child("c").integers(5, n)
        prompt, response = 2 + contexts, 1 + own.child("r").integers(9, n)
        for most, above in ((12, None), (30, None), (30, 9)):
            found = behind_their_prompts(contexts, prompt, response, most, above)
            assert sorted(np.concatenate(found).tolist()) == list(range(n))
            for rows in found:
                assert len(set(contexts[rows].tolist())) == 1
                total = prompt[rows[0]] + response[rows].sum()
                assert len(rows) == 1 or total <= min(most, above or most)
            # Never more sequences than pairs of neighbours would take, where those fit.
            assert len(found) <= n
    lengths = np.array([16, 15, 1, 2, 14, 3, 13, 4])
    packed = behind_their_prompts(np.zeros(8, dtype=int), np.full(8, 20), lengths, 37)
    assert [lengths[rows].sum() for rows in packed] == [17] * 4, "the long with the short"


def test_places_of_tokens_by_hand():
    store = TokenStore()
    contexts = store.add_all([[3, 4], [3, 4], [5]])
    responses = store.add_all([[6, 7], [8], [9]])
    ids, positions, part, row, sequence, before, wanted = place(
        store, contexts, responses, [np.array([2]), np.array([0, 1])], 0
    )
    assert ids.tolist() == [[5, 9, 0, 0, 0], [3, 4, 6, 7, 8]]
    assert positions.tolist() == [[0, 1, 0, 0, 0], [0, 1, 2, 3, 2]]
    assert part.tolist() == [[0, 1, 2, 2, 2], [0, 0, 1, 1, 2]]
    assert row.tolist() == [0, 1, 1, 2]
    assert sequence.tolist() == [0, 1, 1, 1]
    assert before.tolist() == [0, 1, 2, 1], "the first token of each response is predicted by the prompt's last"
    assert wanted.tolist() == [9, 6, 7, 8]


def _first_fit(contexts, prompt, response, most):
    """As it is defined: longest first, each in the first sequence that has room."""
    found = {context: [] for context in contexts.tolist()}
    for row in sorted(range(len(contexts)), key=lambda row: -response[row]):
        own = found[contexts[row]]
        room = [one for one in own if prompt[row] + sum(response[r] for r in one) + response[row] <= most]
        (room[0].append(row) if room else own.append([row]))
    return [sorted(rows) for own in found.values() for rows in own]


def test_sequences_are_those_of_first_fit_decreasing():
    draws = np.random.default_rng(0)
    for n, contexts, longest in ((40, 1, 60), (200, 3, 9), (60, 60, 30), (150, 2, 200)):
        own = draws.integers(0, contexts, n)
        prompt, response = draws.integers(1, 30, contexts)[own], draws.integers(1, longest, n)
        found = behind_their_prompts(own, prompt, response, 120)
        assert [rows.tolist() for rows in found] == _first_fit(own, prompt, response, 120)
