"""Logits in float32 and what is done to them, and the arithmetic that is set on CUDA devices."""

import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import new_model  # noqa: E402
from tiny_llm import random_rows  # noqa: E402

from llm.base.device import choose_arithmetic, exact_short_products  # noqa: E402
from llm.base.output_head import float32_head, float32_logits, logit_transformations  # noqa: E402
from llm.base.sequences import ResponseScorer, collate  # noqa: E402
from llm.base.shared_base import SharedBase  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402


def _head(dtype, bias=False):
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=bias).to(dtype)
    hidden = (8 * torch.randn(7, 16)).to(dtype)
    return head.requires_grad_(False), hidden


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [False, True])
def test_logits_of_short_formats_are_not_rounded(dtype, bias, monkeypatch):
    head, hidden = _head(dtype, bias)
    exact = hidden.double() @ head.weight.double().T + (head.bias.double() if bias else 0)
    got = float32_logits(head, hidden)
    assert got.dtype == torch.float32
    assert float((got - exact).abs().max()) < 1e-5
    assert float((head(hidden) - exact).abs().max()) > 1e-3, "rounding would be seen here"
    monkeypatch.setattr("llm.base.output_head.WEIGHT_ELEMENTS", 3 * 16)
    assert torch.allclose(float32_logits(head, hidden), got, atol=1e-6)


def test_gradients_of_short_formats_in_pieces(monkeypatch):
    monkeypatch.setattr("llm.base.output_head.WEIGHT_ELEMENTS", 3 * 16)
    head, hidden = _head(torch.bfloat16)
    hidden.requires_grad_(True)
    (got,) = torch.autograd.grad(float32_logits(head, hidden).log_softmax(-1)[:, 3].sum(), hidden)
    wide = hidden.detach().double().requires_grad_(True)
    logits = wide @ head.weight.double().T
    (wanted,) = torch.autograd.grad(logits.log_softmax(-1)[:, 3].sum(), wide)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.double(), wanted, rtol=2**-8, atol=1e-6)


def test_float32_heads_are_applied_as_they_are():
    head, hidden = _head(torch.float32, bias=True)
    assert torch.equal(float32_logits(head, hidden), head(hidden))


def test_scores_of_a_bfloat16_model_by_hand_by_both_routes():
    """From the hidden states that it computes, in float64; samples draw from the same logits."""
    model = new_model("gemma2").bfloat16()
    base = SharedBase(model, TokenStore(), pad=0, end=2)
    contexts, responses = random_rows(base, 5)
    batch = collate(base.store, contexts, responses, base.pad)
    with torch.no_grad():
        hidden = model.get_decoder()(input_ids=batch.input_ids).last_hidden_state[batch.row, batch.before]
        logits = 0.5 * torch.tanh(hidden.double() @ model.lm_head.weight.double().T / 0.5)
        tokens = torch.log_softmax(logits, -1)[torch.arange(len(hidden)), batch.wanted]
        wanted = torch.zeros(5, dtype=torch.float64).index_add(0, batch.row, tokens).numpy()
        assert base.scorer.direct
        assert base.score(None, contexts, responses) == pytest.approx(wanted, abs=2e-4)
        base.scorer.direct = False
        indirect = base.score(None, contexts, responses)
    assert indirect == pytest.approx(wanted, abs=1e-3 * np.abs(wanted).max())
    with torch.no_grad(), float32_head(model.lm_head):
        assert model(input_ids=batch.input_ids).logits.dtype == torch.float32
    assert model(input_ids=batch.input_ids).logits.dtype == torch.bfloat16


def test_transformations_by_hand():
    def first(**numbers):
        text = SimpleNamespace(**numbers)
        return [
            f(torch.tensor(3.0)).item() for f in logit_transformations(SimpleNamespace(get_text_config=lambda: text))
        ]

    assert first() == [3.0]
    assert first(final_logit_softcapping=None) == [3.0]
    assert first(final_logit_softcapping=2.0) == pytest.approx([2 * np.tanh(1.5), 3.0])
    assert first(logit_scale=0.25) == [0.75, 3.0]
    assert first(logits_scaling=2.0) == [1.5, 6.0, 3.0]


def test_a_number_the_model_does_not_use_is_not_used():
    """The probe decides, not the configuration; and where nothing agrees, the model's own route does."""
    model = new_model("llama")
    plain = ResponseScorer(model)
    model.config.logit_scale = 0.5
    again = ResponseScorer(model)
    store = TokenStore()
    rows = store.add_all([[5, 6], [7, 8, 9]])
    batch = collate(store, rows, rows[::-1], 0)
    with torch.no_grad():
        assert again.direct
        assert torch.equal(again(batch), plain(batch))
    model = new_model("granite")
    model.config.logits_scaling = 3.0
    scorer = ResponseScorer(model)
    assert scorer.direct, "the model reads the same number"
    forward = model.forward

    def squared(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.logits = out.logits.square()
        return out

    model.forward = squared
    assert not ResponseScorer(model).direct


@pytest.fixture
def arithmetic(monkeypatch):
    """Flags and filters of the process as they were, afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.fp32_precision, cudnn.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    flags = cudnn.benchmark, cudnn.deterministic
    reduced = matmul.allow_bf16_reduced_precision_reduction, matmul.allow_fp16_reduced_precision_reduction
    filled, products = torch.utils.deterministic.fill_uninitialized_memory, torch.get_float32_matmul_precision()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "kept")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with warnings.catch_warnings():
        yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision(products)
    matmul.fp32_precision, cudnn.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before
    cudnn.benchmark, cudnn.deterministic = flags
    matmul.allow_bf16_reduced_precision_reduction, matmul.allow_fp16_reduced_precision_reduction = reduced
    torch.utils.deterministic.fill_uninitialized_memory = filled


@pytest.mark.usefixtures("arithmetic")
def test_arithmetic_of_a_cuda_device_is_set_whatever_it_was():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    torch.set_float32_matmul_precision("medium")
    cudnn.benchmark = True
    choose_arithmetic("cuda:1")
    assert (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee",) * 3
    assert torch.get_float32_matmul_precision() == "highest"
    assert not matmul.allow_bf16_reduced_precision_reduction
    assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    with exact_short_products("cuda"):
        assert matmul.fp32_precision == "tf32"
    assert matmul.fp32_precision == "ieee"


@pytest.mark.usefixtures("arithmetic")
def test_a_cpu_run_sets_nothing():
    before = torch.backends.cuda.matmul.fp32_precision
    choose_arithmetic("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cuda.matmul.fp32_precision == before
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with exact_short_products("cpu"):
        assert torch.backends.cuda.matmul.fp32_precision == before
