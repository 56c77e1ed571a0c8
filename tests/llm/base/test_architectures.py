"""Scores, adapters, gradients and samples of random models of many architectures, against their own logits."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import CONFIGURATIONS, new_model, save_architecture  # noqa: E402
from tiny_llm import random_rows  # noqa: E402

from llm.base.dropout import require_no_randomness, silence_dropout  # noqa: E402
from llm.base.generation import Sampling, sample_responses  # noqa: E402
from llm.base.sequences import collate  # noqa: E402
from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.training.adapter_training import fit_adapter  # noqa: E402
from llm.training.passes import DPOTraining, start_gradient_checkpointing  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Log-probabilities of up to 24 tokens, some of them -10 nats; float32 products differ by shape in the last bits.
TOLERANCE = 2e-4

_SEPARATE = "q_proj k_proj v_proj o_proj"
_GATED = f"{_SEPARATE} gate_proj up_proj down_proj"
_NEOX = "query_key_value dense dense_h_to_4h dense_4h_to_h"
# Linear layers of one block, and those of them in attention, as the architecture's papers and code have them.
LAYERS = {
    **dict.fromkeys(
        [
            "mistral", "llama", "qwen2", "qwen3", "gemma2", "gemma3", "gemma3-images", "granite", "cohere",
            "mistral3-images",
        ],
        (_GATED, _SEPARATE),
    ),
    "phi3": ("qkv_proj o_proj gate_up_proj down_proj", "qkv_proj o_proj"),
    "gpt2": ("c_attn attn.c_proj c_fc mlp.c_proj", "c_attn attn.c_proj"),
    "gpt-neox": (_NEOX, "query_key_value dense"),
    "opt": ("q_proj k_proj v_proj out_proj fc1 fc2", "q_proj k_proj v_proj out_proj"),
    "falcon": (_NEOX, "query_key_value dense"),
    "bloom": (_NEOX, "query_key_value dense"),
    "mixtral": (_SEPARATE, _SEPARATE),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of each architecture's random model."""
    root = tmp_path_factory.mktemp("architectures")
    return {name: save_architecture(name, root / name) for name in CONFIGURATIONS}


@pytest.fixture(params=CONFIGURATIONS)
def architecture(request):
    return request.param


def _open(folder, layers="all-linear"):
    model, tokenizer = load_base(folder)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    return SharedBase(model, TokenStore(), pad=pad, end=end, lora=LoraSettings(rank=2, layers=layers))


def _shaken(base, name="one"):
    base.add_adapter(name, Stream(1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))


def _by_hand(model, prompt, response):
    ids = torch.from_numpy(np.concatenate([prompt, response]).astype(np.int64))[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0].double().numpy()
    total = 0.0
    for t, token in enumerate(response.tolist()):
        row = logits[len(prompt) + t - 1]
        total += row[token] - row.max() - np.log(np.exp(row - row.max()).sum())
    return total


def test_scores_are_those_of_the_whole_model_alone_and_in_a_batch(architecture, folders):
    base, whole = _open(folders[architecture]), new_model(architecture)
    contexts, responses = random_rows(base, 6)
    wanted = [_by_hand(whole, base.store[c], base.store[r]) for c, r in zip(contexts, responses, strict=True)]
    assert base.score(None, contexts, responses) == pytest.approx(wanted, abs=TOLERANCE)
    alone = [float(base.score(None, contexts[j : j + 1], responses[j : j + 1])[0]) for j in range(6)]
    assert alone == pytest.approx(wanted, abs=TOLERANCE)
    assert base.scorer.direct, "the cheap route should be known for this architecture"
    assert np.std(wanted) > 1, "rows that cannot be told apart test nothing"
    # Nothing of a vision tower is held.
    assert not [name for name, _ in base.model.named_modules() if "vision" in name or "projector" in name]


def test_every_linear_layer_gets_an_adapter_and_head_and_embeddings_none(architecture, folders):
    for layers, wanted in zip(("all-linear", "attention"), LAYERS[architecture], strict=True):
        base = _open(folders[architecture], layers)
        frozen = {name: value.shape for name, value in base.model.named_parameters()}
        base.add_adapter("one", Stream(1))
        keys = [key for key in base.parameters_of("one") if key.endswith("lora_A.weight")]
        asked = wanted.split()
        ends = [next(name for name in asked if key.removesuffix(".lora_A.weight").endswith(name)) for key in keys]
        assert sorted(ends) == sorted(2 * asked), "each layer of the two blocks, once"
        assert sorted(path.rsplit(".", 1)[-1] for path in base.adapted_layers.paths) == sorted(
            2 * [name.rsplit(".", 1)[-1] for name in asked]
        )
        counted = 2 * sum(sum(frozen[f"{path}.weight"]) for path in base.adapted_layers.paths)
        own = sum(value.numel() for value in base.parameters_of("one").values())
        assert own == base.adapted_layers.parameters == counted
        assert f"on {len(keys)} linear layers" in str(base.adapted_layers)
        assert f"{own:,} parameters" in str(base.adapted_layers)


def _one_step(folder, checkpointing):
    base = _open(folder)
    _shaken(base)
    contexts, chosen = random_rows(base, 6)
    pairs = PreferencePairs(contexts, chosen, random_rows(base, 6, 1)[1], np.arange(6) % 2, 2)
    batch = collate(base.store, contexts, chosen, base.pad)
    parameters = base.parameters_of("one")
    if checkpointing:
        start_gradient_checkpointing(base)
        torch.manual_seed(5)
    with base.using("one"):
        for value in parameters.values():
            value.requires_grad_(True)
        found = torch.autograd.grad(base.scorer(batch).sum(), list(parameters.values()))
    gradients = dict(zip(parameters, found, strict=True))
    training = DPOTraining(rate=1e-3, batch=6, gradient_checkpointing=checkpointing)
    report = fit_adapter(base, "one", pairs, np.ones(6), 0.1, training, Stream(3))
    recomputed = sum(bool(getattr(module, "gradient_checkpointing", False)) for module in base.model.modules())
    return gradients, report, recomputed


def test_gradients_with_checkpointing_are_those_without(architecture, folders):
    plain, report, without = _one_step(folders[architecture], checkpointing=False)
    again, checkpointed, with_ = _one_step(folders[architecture], checkpointing=True)
    assert (without, with_ > 0) == (0, True)
    for name, value in plain.items():
        assert float(value.abs().max()) > 0, name
        assert torch.allclose(value, again[name], atol=1e-5 * float(value.abs().max())), name
    assert checkpointed.record[0]["loss"] == pytest.approx(report.record[0]["loss"], abs=1e-6)
    assert checkpointed.record[0]["grad_norm"] == pytest.approx(report.record[0]["grad_norm"], rel=1e-4)


def test_samples_are_the_inverse_distribution_of_the_models_own_logits(architecture, folders):
    """Token by token without a cache and without padding, from the same uniforms."""
    base = _open(folders[architecture])
    _shaken(base)
    contexts, _ = random_rows(base, 4)
    drawn = sample_responses(base, "one", contexts, Stream(2), Sampling(4))
    uniforms = Stream(2).uniforms((4, 4))
    with base.using("one") as model, torch.no_grad():
        for j, context in enumerate(contexts):
            ids = base.store[context].astype(np.int64).tolist()
            written = []
            while len(written) < 4 and base.end not in written:
                logits = model(input_ids=torch.tensor([ids + written])).logits[0, -1].double()
                edges = torch.softmax(logits, dim=-1).cumsum(dim=-1)
                written.append(int((edges < uniforms[j, len(written)] * edges[-1]).sum()))
            assert base.store[drawn[j]].tolist() == written


class _Stubborn(torch.nn.Module):
    """Dropout with a number that nobody can find."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return torch.nn.functional.dropout(self.inner(*args, **kwargs), 0.1, self.training)


def test_a_model_that_stays_random_in_training_is_refused(folders):
    base = _open(folders["llama"])
    base.model.model.layers[0].mlp = _Stubborn(base.model.model.layers[0].mlp)
    with pytest.raises(InputError, match="computes something else") as caught:
        start_gradient_checkpointing(base)
    assert "\n" not in str(caught.value)


def test_the_probe_leaves_random_numbers_and_mode_alone(folders):
    base = _open(folders["opt"])
    with pytest.raises(InputError, match="computes something else"):
        require_no_randomness(base.model)
    silence_dropout(base.model)
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    require_no_randomness(base.model)
    assert torch.equal(torch.rand(2), wanted)
    assert not base.model.training


def test_layers_that_are_not_there_are_named_with_those_that_are(folders):
    for layers, missing in (("query", "'query'"), ("q_proj, query_key", "'query_key'"), ("lm_head", "'lm_head'")):
        base = _open(folders["opt"], layers)
        with pytest.raises(InputError, match=missing) as caught:
            base.add_adapter("one", Stream(1))
        assert "k_proj, v_proj, q_proj, out_proj, fc1, fc2" in str(caught.value)
        assert "\n" not in str(caught.value)
    base = _open(folders["gpt2"], "mlp.c_proj, c_fc")
    assert base.adapted_layers.names == ("c_fc", "c_proj")
    assert len(base.adapted_layers.paths) == 4


def test_a_router_of_experts_and_a_head_in_the_decoder_get_no_adapter():
    """A router where it is a plain linear layer; a name still reaches it, and never a head."""
    from types import SimpleNamespace

    from llm.base.linear_layers import layers_to_adapt

    decoder = torch.nn.ModuleDict({
        "gate": torch.nn.Linear(4, 2), "shared_expert_gate": torch.nn.Linear(4, 1), "gate_proj": torch.nn.Linear(4, 4),
        "head": torch.nn.Linear(4, 9),
    })  # fmt: skip
    model = SimpleNamespace(
        get_decoder=lambda: decoder, get_output_embeddings=lambda: decoder["head"], get_input_embeddings=lambda: None,
        named_modules=decoder.named_modules,
    )  # fmt: skip
    assert layers_to_adapt("all-linear", 1, model).paths == ("gate_proj",)
    assert layers_to_adapt("gate", 1, model).paths == ("gate",)


def test_layers_are_the_same_beside_adapters_that_were_loaded(folders, tmp_path):
    base = _open(folders["phi3"])
    base.add_adapter("one", Stream(1))
    base.peft.save_pretrained(tmp_path)
    again = _open(folders["phi3"])
    again.load_adapter("old", tmp_path / "one")
    again.add_adapter("new", Stream(1))
    assert again.adapted_layers == base.adapted_layers
