"""Several adapters in one forward pass: scores and gradients against PEFT with one adapter after the other."""

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import CONFIGURATIONS, new_model, save_architecture  # noqa: E402
from tiny_llm import random_rows  # noqa: E402

from llm.base.asked_rows import AskedRows, laid_out  # noqa: E402
from llm.base.lanes import Lane, Lanes, lanes_hold  # noqa: E402
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
