"""Losses of every kind of answer on a language model: those of the same answers' likelihood, and their gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.answer_objectives import ChoiceObjective, PairObjective  # noqa: E402
from llm.training.batches import micro_batches  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.algorithms.em_dpo import em_dpo  # noqa: E402
from sim.answer_kinds.kinds import likelihood_of  # noqa: E402
from sim.answer_kinds.response_choices import ResponseChoices, response_choices  # noqa: E402
from sim.files.preference_files import table_of_rows  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

KINDS = ("pairs", "ties", "strengths", "rankings", "ratings", "grades")


def _rows(kind, n=18):
    rng = Stream(1, kind).generator()
    out = []
    for j in range(n):
        names = [f"r{k}" for k in rng.permutation(8)[:4]]
        row = {"prompt": f"q{j % 3}", "annotator_id": f"p{j % 4}"}
        if kind == "rankings":
            row |= {"responses": names, "ranking": (1 + rng.permutation(4)).tolist()}
        elif kind == "ratings":
            row |= {"responses": names[:3], "scores": rng.integers(1, 4, 3).tolist()}
        elif kind == "grades":
            row |= {"response": names[0], "score": int(rng.integers(1, 4))}
        else:
            row |= {"chosen": names[0], "rejected": names[1]}
            if kind != "pairs":
                row["tie"] = bool(rng.random() < 0.3)
            if kind == "strengths":
                row["strength"] = None if row["tie"] else int(rng.integers(1, 3))
        out.append(row)
    return out


def _made(base, kind):
    """Answers about random tokens."""
    from dataclasses import replace

    told = likelihood_of(table_of_rows(_rows(kind), "memory"), "auto")
    own = response_choices(told.table, told.likelihood)
    contexts, responses = random_rows(base, 8, 3)
    return told.table, replace(own, contexts=contexts[own.contexts], responses=responses[own.responses])


def _shaken(base, name="one"):
    base.add_adapter(name, Stream(1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in base.parameters_of(name).values():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return AdapterPolicy(base, name, beta=0.3, training=DPOTraining(rate=5e-3, epochs=3, batch=6))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_likelihood_of_implicit_rewards(tiny, kind):  # noqa: F811
    base, _ = open_tiny(tiny)
    policy = _shaken(base)
    _, choices = _made(base, kind)
    weights = Stream(2).uniforms((len(choices),))
    wanted = choices.folded(choices.rewards_of(policy))
    objective = ChoiceObjective(base, choices, weights, policy.beta)
    with base.using("one"), torch.no_grad():
        whole, margin = objective(np.arange(len(choices)), len(choices))
        parts = [
            objective(piece, len(choices))[0]
            for piece in micro_batches(np.arange(len(choices)), objective.lengths, 200, objective.sequences)
        ]
    assert len(parts) > 1
    assert float(whole) == pytest.approx(-float(weights @ wanted) / len(choices), abs=2e-4)
    assert float(sum(parts)) == pytest.approx(float(whole), abs=2e-4)
    assert margin.shape == (len(choices),)


def test_pairs_as_choices_have_the_loss_and_gradients_of_pairs(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    policy = _shaken(base)
    table, choices = _made(base, "pairs")
    contexts, responses = random_rows(base, 8, 3)
    place = {label: j for j, label in enumerate(sorted(table.items))}
    assert len(place) == 8
    number = {(c, r): j for j, (c, r) in enumerate(zip(choices.contexts, choices.responses, strict=True))}
    assert len(number) == len(choices.contexts)
    pairs = PreferencePairs(
        contexts[table.prompt], responses[table.chosen], responses[table.rejected], table.annotator, table.n_annotators
    )
    weights = Stream(2).uniforms((len(choices),))
    parameters = list(base.parameters_of("one").values())
    found = []
    with base.using("one"):
        for parameter in parameters:
            parameter.requires_grad_(True)
        for objective in (PairObjective(base, pairs, weights, 0.3), ChoiceObjective(base, choices, weights, 0.3)):
            loss, margin = objective(np.arange(len(pairs)), 18)
            found.append((float(loss.detach()), margin, torch.autograd.grad(loss, parameters)))
    (a, first, one), (b, second, two) = found
    assert a == pytest.approx(b, abs=1e-5)
    assert torch.allclose(first, second, atol=1e-4)
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(one, two, strict=True))
    assert policy.beta == 0.3


@pytest.mark.parametrize("kind", ["ties", "strengths", "rankings"])
def test_em_fits_adapters_to_every_kind(tiny, kind):  # noqa: F811
    base, _ = open_tiny(tiny)
    _, choices = _made(base, kind)
    base.add_adapter("one", Stream(1))
    # Every pass is made: of so few answers the second may settle a fit by chance.
    training = DPOTraining(rate=1e-3, epochs=8, batch=6, settled=0.0)
    policy = AdapterPolicy(base, "one", beta=0.3, training=training, stream=Stream(1, "fit"))
    before = choices.folded(choices.rewards_of(policy)).sum()
    found = em_dpo(choices, [policy], max_rounds=2, tolerance=0.0, stream=Stream(1))
    assert np.diff(found.penalised).min() > -1e-6
    assert found.log_likelihood[-1] > before + 0.5, "one type: nothing but the fit can raise it"
    assert found.log_likelihood[-1] == pytest.approx(
        choices.folded(choices.rewards_of(policy), found.constants).sum(), abs=1e-3
    )
    assert len(found.constants) == len(choices.constants)
    assert isinstance(choices, ResponseChoices)


def test_observations_that_are_neither_are_refused(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    with pytest.raises(TypeError, match="expected pairs or choices, got int"):
        _shaken(base).fit(3, np.ones(1))
