"""Several adapters in one forward pass: scores and gradients against PEFT with one adapter after the other."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import CONFIGURATIONS, new_model  # noqa: E402
from tiny_llm import random_rows  # noqa: E402

from llm.base.asked_rows import AskedRows, laid_out  # noqa: E402
from llm.base.lanes import Lane, Lanes  # noqa: E402
from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from sim.streams import Stream  # noqa: E402

NAMES = ["one", None, "two", "three"]


# A model of images and text is opened as its language part, which is another name of these.
@pytest.fixture(params=[name for name in CONFIGURATIONS if "images" not in name])
def architecture(request):
    return request.param


def _open(architecture, dtype=None, **lora):
    torch.set_num_threads(1)
    model = new_model(architecture)
    model = model if dtype is None else model.to(dtype)
    base = SharedBase(model, TokenStore(), pad=0, end=2, lora=LoraSettings(**{"rank": 2, **lora}))
    for k, name in enumerate(name for name in NAMES if name):
        base.add_adapter(name, Stream(1))
        generator = torch.Generator().manual_seed(k)
        with torch.no_grad():
            for value in base.parameters_of(name).values():
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return base


def _shared_rows(base, n, seed=0):
    """Each context twice, so that responses share prompts where the model allows."""
    contexts, responses = random_rows(base, n, seed)
    return np.repeat(contexts[: n // 2], 2), responses


def _largest(found):
    return max(float(value.abs().max()) for value in found)


def test_scores_and_gradients_are_those_of_one_adapter_after_the_other(architecture):
    base = _open(architecture, rslora=architecture == "mistral")
    assert base.takes_lanes
    rows = _shared_rows(base, 6)
    found = base.score_in_lanes(NAMES, *rows)
    for k, name in enumerate(NAMES):
        assert found[:, k] == pytest.approx(base.score(name, *rows), rel=1e-5, abs=2e-5)
    assert np.abs(found[:, 1] - found[:, 2]).max() > 0.1

    # Blocks of unlike sizes and lengths, some responses behind a prompt of theirs; and a gradient of each.
    most = 64 if base.scorer.shares_up_to(64) else None
    asked = [AskedRows(*_shared_rows(base, n, seed), most) for seed, n in enumerate((2, 6, 4, 4))]
    parameters = {name: list(base.parameters_of(name).values()) for name in NAMES if name}
    wanted, alone = [], {}
    for name, own in zip(NAMES, asked, strict=True):
        with base.using(name):
            scores = base.log_probability(own)
            if name:
                alone[name] = torch.autograd.grad(scores.square().sum(), parameters[name])
        wanted.append(scores.detach())
    out = laid_out(base.store, asked, base.pad, "cpu")
    lanes = [Lane(name, len(lengths)) for name, lengths in zip(NAMES, out.lengths, strict=True)]
    with base.using("one"), Lanes(base.peft).of(lanes):
        for value in (value for own in parameters.values() for value in own):
            value.requires_grad_(True)
        scores = out.scores(base.scorer)
        sum(own.square().sum() for own in scores).backward()
    for own, other in zip(scores, wanted, strict=True):
        assert own.detach().numpy() == pytest.approx(other.numpy(), rel=1e-5, abs=2e-5)
    for name, gradients in alone.items():
        scale = _largest(gradients)
        for value, other in zip(parameters[name], gradients, strict=True):
            assert float((value.grad - other).abs().max()) <= 1e-5 * scale
    # What PEFT does is as it was.
    assert base.score("two", *rows) == pytest.approx(found[:, 2], rel=1e-5, abs=2e-5)


def test_a_zero_adapter_is_the_reference_of_its_own_pass():
    for dtype in (None, torch.bfloat16):
        base = _open("llama", dtype)
        base.add_adapter("zero", Stream(1))
        rows = _shared_rows(base, 6)
        found = base.score_in_lanes(["zero", None, "one"], *rows)
        assert (found[:, 0] == found[:, 1]).all()
        assert np.abs(found[:, 2] - found[:, 1]).max() > 0.1


def test_scores_in_lanes_are_computed_in_float32_where_others_are():
    base = _open("llama", torch.bfloat16)
    rows = _shared_rows(base, 6)
    short = base.score_in_lanes(NAMES, *rows)
    base.scoring = "float32"
    found = base.score_in_lanes(NAMES, *rows)
    for k, name in enumerate(NAMES):
        assert found[:, k] == pytest.approx(base.score(name, *rows), rel=1e-5, abs=2e-5)
    assert np.abs(found - short).max() > 1e-3


def _reversed(mlp, forward):
    """The same of each sequence, from last to first."""
    return lambda x: forward(x.flip(0)).flip(0)


def _first_apart(mlp, forward):
    """The same of each token, the first one after the others."""

    def apart(x):
        flat = x.flatten(0, 1)
        return torch.cat([forward(flat[:1]), forward(flat[1:])]).view_as(x)

    return apart


@pytest.mark.parametrize("rearranged", [_reversed, _first_apart])
def test_a_model_whose_layers_see_other_rows_takes_no_lanes(rearranged):
    base = _open("llama")
    plain = base.score("one", *_shared_rows(base, 4))
    mlp = base.model.model.layers[1].mlp
    mlp.forward = rearranged(mlp, mlp.forward)
    assert base.score("one", *_shared_rows(base, 4)) == pytest.approx(plain, abs=1e-4), "one adapter sees no difference"
    assert not base.takes_lanes


def test_adapters_of_other_forms_take_no_lanes():
    assert not _open("llama", dora=True).takes_lanes
