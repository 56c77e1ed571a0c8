"""rsLoRA, DoRA and dropout: the functions that papers say they are, the reference where adapters are zero, and training
by random numbers that belong to the step."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import save_architecture  # noqa: E402
from tiny_llm import random_rows, tiny  # noqa: E402, F401

from llm.base.journal import Journal  # noqa: E402
from llm.base.lora_settings import LoraSettings  # noqa: E402
from llm.base.processes import Processes, working_together  # noqa: E402
from llm.base.sequences import collate  # noqa: E402
from llm.base.shared_base import SharedBase  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.planning.plan import plan  # noqa: E402
from llm.planning.plan_settings import PlanSettings  # noqa: E402
from llm.runs.adapter_mixtures import merged_adapter  # noqa: E402
from llm.runs.run_folder import save_adapter  # noqa: E402
from llm.training.adapter_dropout import AdapterDropout  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

OPTIONS = {
    "lora": {}, "rslora": {"rslora": True}, "dora": {"dora": True}, "both": {"rslora": True, "dora": True},
}  # fmt: skip


def _open(folder, dtype=None, **options):
    torch.set_num_threads(1)
    model, tokenizer = load_base(folder)
    model = model if dtype is None else model.to(dtype)
    lora = LoraSettings(**{"rank": 4, "alpha": 8.0, **options})
    return SharedBase(model, TokenStore(), pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id, lora=lora)


def _shaken(base, name="one", seed=0):
    base.add_adapter(name, Stream(1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return AdapterPolicy(base, name, beta=0.1)


def _pairs(base, n=24):
    contexts, chosen = random_rows(base, n)
    return PreferencePairs(contexts, chosen, random_rows(base, n, 1)[1], np.arange(n) % 4, 4)


@pytest.fixture(scope="module", params=["mistral", "gpt2"])
def folder(request, tmp_path_factory):
    return save_architecture(request.param, tmp_path_factory.mktemp("options") / request.param)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_zero_adapter_is_the_reference(folder, options):
    for dtype in (None, torch.bfloat16):
        base = _open(folder, dtype, **options, dropout=0.3)
        contexts, responses = random_rows(base, 6)
        for name in ("one", "two"):
            base.add_adapter(name, Stream(1))
            assert (base.score(name, contexts, responses) == base.score(None, contexts, responses)).all()
        assert AdapterPolicy(base, "two", beta=0.1).log_ratio(contexts, responses) == pytest.approx(0.0, abs=0.0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_scores_are_those_of_the_weights_that_the_papers_say(folder, options):
    """s = alpha / r or alpha / sqrt(r); W + s B A, or m (W + s B A) / |W + s B A| by rows."""
    base = _open(folder, **options)
    contexts, responses = random_rows(base, 6)
    _shaken(base)
    found = base.score("one", contexts, responses)
    plain, _ = load_base(folder)
    weights, parts = dict(plain.named_parameters()), base.parameters_of("one")
    s = 8.0 / (4**0.5 if options.get("rslora") else 4)
    for path in base.adapted_layers.paths:
        key = next(name for name in parts if name.endswith(f"{path}.lora_A.weight")).removesuffix("lora_A.weight")
        weight, transposed = weights[f"{path}.weight"], base.adapted_layers.transposed
        with torch.no_grad():
            rows = weight.T if transposed else weight
            rows = rows + s * parts[f"{key}lora_B.weight"] @ parts[f"{key}lora_A.weight"]
            if options.get("dora"):
                length = parts[f"{key}lora_magnitude_vector.weight"]
                rows = length[:, None] * rows / rows.norm(dim=1, keepdim=True)
            weight.copy_(rows.T if transposed else rows)
    wanted = SharedBase(plain, base.store, pad=base.pad, end=base.end).score(None, contexts, responses)
    assert found == pytest.approx(wanted, abs=2e-4)
    assert np.abs(found - base.score(None, contexts, responses)).max() > 0.05


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_plain_peft_loads_what_was_saved(folder, options, tmp_path):
    from peft import PeftModel

    from llm.base.model_folder import wrapping

    base = _open(folder, **options, dropout=0.2)
    _shaken(base)
    save_adapter(base, "one", tmp_path / "one")
    ids = torch.arange(3, 11)[None]
    with base.using("one") as model, torch.no_grad():
        wanted = model(input_ids=ids).logits
    with wrapping():
        loaded = PeftModel.from_pretrained(load_base(folder)[0], str(tmp_path / "one")).eval()
    with torch.no_grad():
        assert (loaded(input_ids=ids).logits == wanted).all()


def test_scores_know_no_dropout(tiny, tmp_path):  # noqa: F811
    plain, dropped = _open(tiny), _open(tiny, dropout=0.5)
    contexts, responses = random_rows(plain, 9)
    dropped.store = plain.store
    for base in (plain, dropped):
        for name in ("one", "two"):
            _shaken(base, name)
    for name in ("one", "two"):
        assert (dropped.score(name, contexts, responses) == plain.score(name, contexts, responses)).all()
        save_adapter(dropped, name, tmp_path / name)
    loaded = _open(tiny)
    loaded.store = plain.store
    for name in ("two", "one"):
        loaded.load_adapter(name, tmp_path / name)
        assert (loaded.score(name, contexts, responses) == plain.score(name, contexts, responses)).all()
    merged = merged_adapter(loaded, [AdapterPolicy(loaded, name, beta=0.1) for name in ("one", "two")], [0.5, 0.5], "m")
    assert (loaded.score("m", contexts, responses) == loaded.score("m", contexts, responses)).all()
    assert merged.name == "m"


def _fitted(folder, journal=None, *, stop=None, dtype=None, **changes):
    lora = {key: value for key, value in changes.items() if key in ("rslora", "dora", "dropout")}
    base = _open(folder, dtype, **lora)
    training = {key: value for key, value in changes.items() if key not in lora}
    own = DPOTraining(**{"rate": 5e-3, "epochs": 2, "batch": 8, "checkpoint_steps": 2, "settled": 0.0, **training})
    base.add_adapter("zero", Stream(7))
    base.add_adapter("one", Stream(1))

    def on_step(step, total):
        if step == stop:
            raise KeyboardInterrupt

    policy = AdapterPolicy(
        base, "one", beta=0.1, training=own, journal=Journal(journal), stream=Stream(3, "fit"), on_step=on_step
    )
    pairs = _pairs(base)
    policy.fit(pairs, np.ones(len(pairs)))
    assert base.score("one", *random_rows(base, 3)) == pytest.approx(base.score("one", *random_rows(base, 3)), abs=0.0)
    return base, {key: value.detach().clone() for key, value in base.parameters_of("one").items()}


def test_every_step_drops_inputs_of_its_own(tiny):  # noqa: F811
    base = _open(tiny, dropout=0.5)
    _shaken(base)
    contexts, responses = random_rows(base, 4)
    batch, dropout = collate(base.store, contexts, responses, base.pad), AdapterDropout(base, "one", Stream(2))

    def scored(step):
        with base.using("one"), torch.no_grad(), dropout.of_step(step):
            return base.scorer(batch)

    first = scored(0)
    assert (scored(0) == first).all()
    assert (scored(1) != first).all()
    assert (scored(0) == first).all(), "whatever was drawn in between"


def test_every_process_drops_inputs_of_its_own(tiny):  # noqa: F811
    """Both of two dropped the same places, of other answers."""
    base = _open(tiny, dropout=0.5)
    _shaken(base)
    contexts, responses = random_rows(base, 4)
    batch = collate(base.store, contexts, responses, base.pad)

    def scored(rank, joint):
        with working_together(Processes(rank, 2)):
            dropout = AdapterDropout(base, "one", Stream(2))
        if joint:
            drop = dropout.as_function(3)
            return torch.stack([drop(torch.ones(4, 50)) for _ in range(2)])
        with base.using("one"), torch.no_grad(), dropout.of_step(3):
            return base.scorer(batch)

    alone = AdapterDropout(base, "one", Stream(2))
    with base.using("one"), torch.no_grad(), alone.of_step(3):
        assert (scored(0, joint=False) == base.scorer(batch)).all()
    for joint in (False, True):
        assert (scored(1, joint) == scored(1, joint)).all()
        assert (scored(1, joint) != scored(0, joint)).any()
    # Of independent masks half of the places agree.
    agree = ((scored(1, joint=True) > 0) == (scored(0, joint=True) > 0)).float().mean()
    assert abs(float(agree) - 0.5) < 0.1


@pytest.mark.parametrize("options", [{}, {"dora": True}], ids=["lora", "dora"])
def test_a_killed_fit_with_dropout_ends_in_the_same_bytes(tiny, tmp_path, options):  # noqa: F811
    torch.manual_seed(0)
    _, wanted = _fitted(tiny, dropout=0.3, **options)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        _fitted(tiny, tmp_path, dropout=0.3, stop=5, **options)
    before = torch.random.get_rng_state()
    _, found = _fitted(tiny, tmp_path, dropout=0.3, **options)
    assert all((found[key] == wanted[key]).all() for key in wanted)
    assert (torch.random.get_rng_state() == before).all(), "a fit has numbers of its own"
    _, without = _fitted(tiny, **options)
    assert max(float((without[key] - wanted[key]).abs().max()) for key in wanted) > 1e-4
    if options:
        start = _start(tiny, options)
        moved = max(float((found[key] - start[key]).detach().abs().max()) for key in found if "magnitude" in key)
        assert moved > 1e-4, "lengths are learned"


def _start(folder, options):
    base = _open(folder, **options)
    base.add_adapter("one", Stream(1))
    return base.parameters_of("one")


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradient_checkpointing_drops_the_same_inputs(folder, options):
    base, wanted = _fitted(folder, dropout=0.3, epochs=1, **options)
    again, found = _fitted(folder, dropout=0.3, epochs=1, gradient_checkpointing=True, **options)
    for key, value in wanted.items():
        # Means: AdamW divides by the root of squared gradients; where these are nearly zero, rounding decides a sign.
        assert float((found[key] - value).abs().mean()) < 1e-4, key
    contexts, responses = random_rows(base, 5)
    again.store = base.store
    assert again.score("one", contexts, responses) == pytest.approx(base.score("one", contexts, responses), abs=1e-3)
    _, other = _fitted(folder, epochs=1, gradient_checkpointing=True, **options)
    assert max(float((other[key] - found[key]).abs().mean()) for key in wanted) > 1e-4, "dropout does something"


def test_one_adapter_for_a_weighted_mean_of_updates_scales_as_each_does(tiny):  # noqa: F811
    base = _open(tiny, rslora=True)
    policies = [_shaken(base, "one"), _shaken(base, "two", 5)]
    contexts, responses = random_rows(base, 6)
    alone = merged_adapter(base, policies, np.array([1.0, 0.0]), "alone")
    assert alone.log_ratio(contexts, responses) == pytest.approx(policies[0].log_ratio(contexts, responses), abs=1e-4)
    mean = merged_adapter(base, policies, np.array([0.5, 0.5]), "mean")
    parts = {name: base.parameters_of(name) for name in ("one", "two", "mean")}
    key = next(name for name in parts["one"] if name.endswith("lora_A.weight"))
    other = key.replace("lora_A", "lora_B")
    one, two, both = (own[other] @ own[key] for own in parts.values())
    # 4 is alpha / sqrt(r); the scaling of "mean" is one.
    assert both.detach().numpy() == pytest.approx((4.0 * (one + two) / 2).detach().numpy(), abs=1e-5)
    assert mean.log_ratio(contexts, responses).std() > 0
    dora = _open(tiny, dora=True)
    with pytest.raises(ValueError, match="must not be of DoRA"):
        merged_adapter(dora, [_shaken(dora)], np.ones(1), "no")


def test_a_plan_takes_the_same_options():
    def found(**options):
        return plan(PlanSettings(size="mini", types=2, lora=LoraSettings(**options)), flops=1e12)

    assert found(rslora=True).memory_bytes == found().memory_bytes
    assert found(dora=True, start="nowhere").adapter_parameters == found().adapter_parameters + 2 * (
        64 + 32 + 32 + 64 + 160 + 160 + 64
    )
    assert found(dropout=0.1).memory_bytes.training_peak > found().memory_bytes.training_peak
    assert found(dora=True).memory_bytes.training_peak > found().memory_bytes.training_peak


def test_what_was_fitted_before_the_options_keeps_its_name():
    plain = {"rank": 8, "alpha": 16.0, "layers": "all-linear"}
    assert LoraSettings().identity() == plain
    assert LoraSettings(start="here").identity() == plain
    for changes in ({"rslora": True}, {"dora": True}, {"dropout": 0.1}):
        assert replace(LoraSettings(), **changes).identity() == {**plain, **changes}
    with pytest.raises(ValueError, match=r"lora\.dropout must lie in \[0, 1\)"):
        LoraSettings(dropout=1.0)
