"""bfloat16 and what it may change: a zero adapter is the reference, float32 scores are float32's, restarts repeat."""
# ruff: noqa: F811  # fixtures are imported

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from saved_runs import FAST, contents, interrupted, refused, train_command  # noqa: E402, F401
from sklearn.metrics import adjusted_rand_score  # noqa: E402
from tiny_architectures import CONFIGURATIONS, new_model  # noqa: E402
from tiny_llm import open_tiny, random_rows, tiny, write_pairs  # noqa: E402, F401

from llm.base.float32_arithmetic import float32_arithmetic  # noqa: E402
from llm.base.journal import Journal  # noqa: E402
from llm.base.sequences import collate, distinct_rows  # noqa: E402
from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.planning.plan import plan  # noqa: E402
from llm.planning.plan_settings import PlanSettings  # noqa: E402
from llm.runs.adapter_mixtures import token_average_log_ratios  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from sim.algorithms.em_dpo import soft_posterior  # noqa: E402
from sim.likelihoods import log_sigmoid  # noqa: E402
from sim.settings import read_settings  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Float32 arithmetic on the same weights, in batches of the same shape or of another.
FLOAT32 = 2e-4
# The least that rounding to bfloat16 does to such scores: what a control must show.
BFLOAT16 = 5e-3


def _shaken(base, name, seed, size=0.05):
    """Random parameters, the same whatever the dtype of the base: what PEFT draws is rounded to it."""
    base.add_adapter(name, Stream(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            assert value.dtype == torch.float32
            value.copy_(size * torch.randn(value.shape, generator=generator))
    return AdapterPolicy(base, name, beta=0.1)


@pytest.fixture(scope="module")
def settings(tiny, tmp_path_factory):
    data = write_pairs(tmp_path_factory.mktemp("answers") / "pairs.jsonl", annotators=3, answers=8, unseen=1)
    return read_settings(RunSettings, None, [*FAST, f"model={tiny}", f"data.train={data}", "dtype=bfloat16"])


@pytest.fixture
def short(tiny):
    """The tiny model in bfloat16."""
    return open_tiny(tiny, dtype=torch.bfloat16)[0]


def _as_float32(base):
    """The same weights in a float32 model; before any adapter is added."""
    return SharedBase(copy.deepcopy(base.model).float(), base.store, pad=base.pad, end=base.end, lora=base.lora)


def test_a_zero_adapter_is_the_reference_in_any_batch(short):
    contexts, responses = (np.concatenate([column, column[:10]]) for column in random_rows(short, 60))
    short.add_adapter("zero", Stream(1))
    for number, size in enumerate((30, 90, 300, 5_000)):
        short.eval_tokens = size
        for rows in (slice(None), Stream(number).permutation(70), np.arange(17), np.arange(3)):
            # One that was asked before remembers.
            policy = AdapterPolicy(short, "zero", beta=0.1)
            assert (policy.log_ratio(contexts[rows], responses[rows]) == 0).all()
        assert (token_average_log_ratios([policy], np.ones((1, 1)), contexts, responses) == 0).all()
    alone = [short.score(None, contexts[j : j + 1], responses[j : j + 1])[0] for j in range(60)]
    elsewhere = AdapterPolicy(short, "zero", beta=0.1).log_probability(contexts, responses)[:60] - alone
    assert np.abs(elsewhere).max() > BFLOAT16, "other batches would be seen"


def test_a_set_of_rows_has_one_order_whatever_their_numbers():
    rows = [[3, 4], [5], [6, 7, 8], [9, 3]]
    found = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        store = TokenStore()
        store.add_all([rows[j] for j in order])
        contexts = store.add_all([rows[j] for j in (0, 2, 0, 1, 0)])
        responses = store.add_all([rows[j] for j in (1, 3, 1, 3, 2)])
        distinct, place = distinct_rows(store, contexts, responses)
        assert len(distinct) == 4
        assert (distinct[place] == np.stack([contexts, responses], axis=1)).all()
        found.append([(store[c].tolist(), store[r].tolist()) for c, r in distinct.tolist()])
    assert found[0] == found[1]
    nothing = np.zeros(0, dtype=np.int64)
    assert [len(part) for part in distinct_rows(store, nothing, nothing)] == [0, 0]


def test_float32_scores_are_those_of_a_float32_model(short):
    exact = _as_float32(short)
    policy, plain = (_shaken(base, "one", 1) for base in (short, exact))
    contexts, responses = random_rows(short, 40)
    before = dict(short.model.named_parameters())
    for name in (None, "one"):
        wanted = exact.score(name, contexts, responses)
        short.scoring = "same"
        assert np.abs(short.score(name, contexts, responses) - wanted).max() > BFLOAT16
        short.scoring = "float32"
        assert short.score(name, contexts, responses) == pytest.approx(wanted, abs=1e-5)
        short.scorer.direct = False
        assert short.score(name, contexts, responses) == pytest.approx(wanted, abs=FLOAT32)
        short.scorer.direct = True
    assert policy.log_ratio(contexts, responses) == pytest.approx(plain.log_ratio(contexts, responses), abs=FLOAT32)
    short.scoring = "same"
    trained_on = short.score(None, contexts, responses)
    short.scoring = "float32"
    assert (short.reference(contexts, responses) == trained_on).all(), "training subtracts what training computes"
    tokens = [token_average_log_ratios([p], np.ones((1, 1)), contexts, responses) for p in (policy, plain)]
    assert tokens[0] == pytest.approx(tokens[1], abs=FLOAT32)
    after = dict(short.model.named_parameters())
    assert all(after[key] is value for key, value in before.items()), "the weights are the objects they were"


def test_weights_come_back_after_an_error(short):
    before = dict(short.model.named_parameters())

    def fail(module, inputs, output):
        raise KeyError("stopped")

    hook = short.model.get_decoder().layers[1].mlp.down_proj.register_forward_hook(fail)
    with pytest.raises(KeyError), float32_arithmetic(short.model):
        short.model(input_ids=torch.ones(1, 3, dtype=torch.long))
    hook.remove()
    assert all(value is before[key] for key, value in short.model.named_parameters())
    assert short.model(input_ids=torch.ones(1, 3, dtype=torch.long)).logits.dtype == torch.bfloat16


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_every_architecture_computes_in_float32(architecture):
    if "images" in architecture:
        pytest.skip("opened as its language part, which is here too")
    model = new_model(architecture).to(torch.bfloat16)
    base = SharedBase(model, TokenStore(), pad=0, end=2, lora=LoraSettings(rank=2), scoring="float32")
    exact = _as_float32(base)
    contexts, responses = random_rows(base, 8)
    for own in (base, exact):
        _shaken(own, "one", 1)
    for name in (None, "one"):
        wanted = exact.score(name, contexts, responses)
        assert base.score(name, contexts, responses) == pytest.approx(wanted, abs=FLOAT32)


def test_tokens_are_summed_in_float64(short):
    contexts, responses = random_rows(short, 20)
    with torch.inference_mode():
        batch = collate(short.store, contexts, responses, short.pad)
        tokens, total = short.scorer.tokens(batch).numpy(), short.scorer(batch, torch.float64).numpy()
    assert total == pytest.approx(np.bincount(batch.row.numpy(), weights=tokens.astype(float)), abs=1e-12)
    short.eval_tokens = 10**6
    wide = short.score(None, contexts, responses)
    assert (wide != wide.astype(np.float32)).any()


@pytest.mark.parametrize(("size", "beta"), [(0.05, 0.5), (0.0075, 20.0)], ids=["far apart", "near the reference"])
def test_responsibilities_and_groups_of_planted_answers(short, size, beta):
    """Two policies, 40 annotators of each, 30 answers on shared pairs: bfloat16 moves margins, and hardly gamma.

    Where the same margins are small log-ratios times a large beta, rounding is as large as they are, and is seen.
    """
    policies = [_shaken(short, name, 1, size) for name in ("one", "two")]
    for policy in policies:
        policy.beta = beta
    with torch.no_grad():
        # To first order the opposite taste.
        for key, value in short.parameters_of("two").items():
            value.mul_(-1 if "lora_B" in key else 1)
    n, people = 60, np.arange(80)
    contexts, _ = random_rows(short, n)
    sides = random_rows(short, n, 5)[1], random_rows(short, n, 6)[1]
    group, pair = people % 2, Stream(7).integers(n, (80, 30))

    def margins():
        for policy in policies:
            policy.changed()
        own = [p.implicit_reward(contexts, sides[0]) - p.implicit_reward(contexts, sides[1]) for p in policies]
        return np.stack(own)

    short.scoring = "float32"
    truth = margins()
    assert truth.std() > 0.4, "tastes are seen"
    first = Stream(8).uniforms((80, 30)) < 1 / (1 + np.exp(-truth[group[:, None], pair]))
    sign = np.where(first, 1.0, -1.0)

    def responsibilities(own):
        answers = log_sigmoid((sign * own[:, pair]).reshape(2, -1)).T
        return soft_posterior(answers, np.repeat(people, 30), 80, np.full(2, 0.5)).responsibilities

    exact = responsibilities(truth)
    assert adjusted_rand_score(group, exact.argmax(axis=1)) > 0.6
    assert (responsibilities(margins()) == exact).all(), "float32 repeats"
    short.scoring = "same"
    rounded = margins()
    assert np.abs(rounded - truth).max() > 0.1 * BFLOAT16
    change = np.abs(responsibilities(rounded) - exact)
    agreement = adjusted_rand_score(exact.argmax(axis=1), responsibilities(rounded).argmax(axis=1))
    if size == 0.05:
        assert change.mean() < 0.006
        assert agreement == 1.0
    else:
        assert change.mean() > 0.02
        assert agreement < 1.0


def test_scores_are_kept_under_all_they_depend_on(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("llm.training.adapter_policy.WORTH_KEEPING", 1)

    def log_ratios(scores=True, **changes):
        base = open_tiny(tiny, dtype=changes.pop("dtype", torch.bfloat16))[0]
        for name, value in changes.items():
            setattr(base, name, value)
        contexts, responses = random_rows(base, 30)
        policy = _shaken(base, "one", 1)
        policy.journal = Journal(tmp_path)
        if not scores:
            base.score = None  # what was kept is never computed again
        return policy.log_ratio(contexts, responses)

    def kept():
        return [len(list(tmp_path.glob(f"{kind}-*"))) for kind in ("score", "beside")]

    found = log_ratios()
    assert kept() == [1, 1]
    assert (log_ratios(scores=False) == found).all()
    log_ratios(eval_tokens=77)
    assert kept() == [2, 2]
    log_ratios(scoring="float32")
    assert kept() == [3, 3]
    log_ratios(dtype=torch.float32)
    assert kept() == [4, 3], "a float32 base needs no reference of its own batches"


def test_a_bfloat16_run_goes_on_to_the_same_bytes(settings, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("llm.training.adapter_policy.WORTH_KEEPING", 1)
    train_run(settings, tmp_path / "whole")
    interrupted(settings, tmp_path / "cut", monkeypatch, "beside")
    said = refused(*train_command(settings, tmp_path / "cut"), "--set", "dtype=bfloat16", "--set", "scoring=float32")
    assert "begun in bfloat16 on cpu, and this is in bfloat16 on cpu, scored in float32" in said
    train_run(settings, tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_run_says_in_what_it_was_scored(settings, tmp_path, refused):
    assert RunSettings().scoring == "same"
    settings = replace(settings, scoring="float32")
    train_run(settings, tmp_path / "run")
    origin = json.loads((tmp_path / "run" / "run.json").read_text())["origin"]
    assert (origin["dtype"], origin["scoring"]) == ("bfloat16", "float32")
    assert "other settings (scoring)" in refused(*train_command(settings, tmp_path / "run"))


def test_a_plan_counts_float32_scores(tmp_path):
    shape = {"model_type": "mistral", "vocab_size": 512, "hidden_size": 512, "intermediate_size": 4_096,
             "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 8}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape))
    same, wide = (
        plan(PlanSettings(model=str(tmp_path), device="h200", types=1, scoring=scoring, eval_tokens=60)).memory_bytes
        for scoring in ("same", "float32")
    )
    # One response takes little room: what is left is the largest module, 512 x 4,096, and not a second model.
    largest, more = 4 * 512 * 4_096, wide.evaluation_peak - same.evaluation_peak
    assert 0.8 * largest < more < 1.5 * largest < same.weights / 4, (more, largest, same.weights)
    assert (wide.weights, wide.training_peak) == (same.weights, same.training_peak)
