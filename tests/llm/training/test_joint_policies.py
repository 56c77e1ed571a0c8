"""Fits and scores of several adapters together against those of one after the other."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base.journal import Journal  # noqa: E402
from llm.base.lora_settings import LoraSettings  # noqa: E402
from llm.planning.plan_settings import PlanSettings  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.joint_passes import Sharing, shared_passes  # noqa: E402
from llm.training.joint_policies import JointPolicies, tokens_of_a_step  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.algorithms.em_dpo import em_dpo  # noqa: E402
from sim.answer_kinds.response_choices import choices_of_pairs  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

K = 3
TRAINING = DPOTraining(rate=2e-3, batch=8, epochs=3, settled=0.3, warmup=0.0, checkpoint_steps=2)
ALWAYS = Sharing()


def _pairs(base, n=40, annotators=8):
    contexts, chosen = random_rows(base, n)
    return PreferencePairs(contexts, chosen, random_rows(base, n, 1)[1], np.arange(n) % annotators, annotators)


def _policies(
    folder, training=TRAINING, journal=None, dtype=None, on_step=lambda name: lambda step, total: None, **lora
):
    torch.set_num_threads(1)
    base, _ = open_tiny(folder, dtype=dtype)
    base.lora = LoraSettings(rank=4, **lora)
    reports, policies = [], []
    for k in range(K):
        base.add_adapter(f"g{k}", Stream(k))
        policies.append(
            AdapterPolicy(
                base, f"g{k}", beta=0.1, training=training, stream=Stream(9, str(k)), journal=Journal(journal),
                on_fit=lambda name, report: reports.append((name, report)), on_step=on_step(f"g{k}"),
            )
        )  # fmt: skip
    return policies, reports


def _weights(n):
    """Unlike numbers of answers for each adapter: 40, 28 and 12 of 40 are used."""
    weights = 0.1 + 0.9 * Stream(2).uniforms((n, K))
    weights[28:, 1] = weights[12:, 2] = 0.0
    return weights


def _fitted(folder, together, training=TRAINING, journal=None, **options):
    policies, reports = _policies(folder, training, journal, **options)
    pairs = _pairs(policies[0].base)
    weights = _weights(len(pairs))
    if together:
        JointPolicies(policies, together).fit(pairs, weights)
    else:
        for k, policy in enumerate(policies):
            policy.fit(pairs, weights[:, k])
    return policies, reports, pairs


def _state(policies):
    return [
        {key: value.detach().clone() for key, value in own.base.parameters_of(own.name).items()} for own in policies
    ]


def _same(found, wanted):
    """Parameters after AdamW: where gradients are nearly zero, rounding decides the sign of a step."""
    for one, other in zip(_state(found), _state(wanted), strict=True):
        for key, value in one.items():
            assert float((value - other[key]).abs().mean()) <= 1e-5 * float(other[key].abs().mean()), key


def _same_reports(found, wanted):
    for (name, one), (other_name, other) in zip(found, wanted, strict=True):
        assert (name, one.steps, one.n_answers) == (other_name, other.steps, other.n_answers)
        assert one.skipped_share == other.skipped_share
        for row, other_row in zip(one.record, other.record, strict=True):
            assert row["step"] == other_row["step"]
            assert row["loss"] == pytest.approx(other_row["loss"], rel=1e-5)
            assert row["grad_norm"] == pytest.approx(other_row["grad_norm"], rel=1e-4)
            assert row["rewards/margins"] == pytest.approx(other_row["rewards/margins"], rel=1e-5, abs=5e-6)
            if row["step"]:  # before the first, margins are zero up to rounding
                assert row["rewards/accuracies"] == other_row["rewards/accuracies"]


@pytest.mark.parametrize("sharing", [ALWAYS, Sharing(300, 20)], ids=["always", "little padding"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}, {"training": replace(TRAINING, micro_tokens=220)},
                                     {"training": replace(TRAINING, gradient_checkpointing=True)}],
                         ids=["plain", "dropout", "pieces", "recomputed"])  # fmt: skip
def test_fits_together_are_those_of_one_after_the_other(tiny, options, sharing):  # noqa: F811
    found, reports, _ = _fitted(tiny, sharing, **options)
    wanted, other, _ = _fitted(tiny, None, **options)
    assert [report.n_answers for _, report in reports] == [40, 28, 12]
    assert len({report.steps for _, report in reports}) > 1, "some end before others"
    _same_reports(reports, other)
    _same(found, wanted)


def test_choices_are_fitted_together_too(tiny):  # noqa: F811
    results = []
    for together in (True, False):
        policies, reports = _policies(tiny)
        choices = choices_of_pairs(_pairs(policies[0].base))
        weights = _weights(len(choices))
        if together:
            JointPolicies(policies, ALWAYS).fit(choices, weights)
        else:
            for k, policy in enumerate(policies):
                policy.fit(choices, weights[:, k])
        results.append((policies, reports))
    _same_reports(results[0][1], results[1][1])
    _same(results[0][0], results[1][0])


def test_a_fit_that_weighs_nothing_is_none_as_it_is_alone(tiny):  # noqa: F811
    policies, reports = _policies(tiny)
    pairs, before = _pairs(policies[0].base), _state(policies)
    weights = np.stack([np.ones(40), np.zeros(40), np.ones(40)], axis=1)
    JointPolicies(policies, ALWAYS).fit(pairs, weights)
    assert [name for name, _ in reports] == ["g0", "g2"]
    assert all((value == before[1][key]).all() for key, value in _state(policies)[1].items())


class _Killed(Exception):
    pass


def _stopping_at(name, number):
    """An `on_step` of `_policies` that ends the program at step `number` of adapter `name`."""

    def on_step(own):
        def stop(step, total):
            if (own, step) == (name, number):
                raise _Killed

        return stop

    return on_step


# Checkpoints are at even steps; g2 has two steps a pass and ends first, g0 five and ends last.
@pytest.mark.parametrize("killed", [("g0", 1), ("g1", 3), ("g2", 4), ("g1", 9), ("g0", 13)], ids=str)
def test_a_killed_fit_ends_in_the_same_bytes(tiny, tmp_path, killed):  # noqa: F811
    training = replace(TRAINING, settled=0.0)
    whole, wanted, _ = _fitted(tiny, ALWAYS, training)
    with pytest.raises(_Killed):
        _fitted(tiny, ALWAYS, training, tmp_path, on_step=_stopping_at(*killed))
    steps = []

    def counted(name):
        return lambda step, total: steps.append((name, step))

    found, reports, _ = _fitted(tiny, ALWAYS, training, tmp_path, on_step=counted)
    for one, other in zip(_state(found), _state(whole), strict=True):
        assert all((value == other[key]).all() for key, value in one.items())
    assert [(name, report.record) for name, report in reports] == [(name, report.record) for name, report in wanted]
    assert min(number for name, number in steps if name == killed[0]) > (killed[1] - 1) // 2 * 2, (
        "what was kept is used"
    )
    assert not list(tmp_path.glob("part-*")), "what is finished leaves no part"
    assert len(list(tmp_path.glob("fit-*"))) == K

    # Finished fits are read; with one of them lost all are made again, and end in the same bytes.
    steps.clear()
    again, _, _ = _fitted(tiny, ALWAYS, training, tmp_path, on_step=counted)
    assert not steps
    next(iter(sorted(tmp_path.glob("fit-*")))).unlink()
    made, _, _ = _fitted(tiny, ALWAYS, training, tmp_path, on_step=counted)
    assert steps
    for one, two, other in zip(_state(again), _state(made), _state(whole), strict=True):
        assert all((one[key] == other[key]).all() and (two[key] == other[key]).all() for key in other)


def test_what_is_kept_of_fits_together_is_not_taken_for_that_of_one(tiny, tmp_path):  # noqa: F811
    _fitted(tiny, ALWAYS, journal=tmp_path)
    together = set(tmp_path.glob("fit-*"))
    _fitted(tiny, None, journal=tmp_path)
    alone = set(tmp_path.glob("fit-*")) - together
    assert len(together) == len(alone) == K
    # The name of a fit alone is what it was before there were others: `together` is no part of it.
    _fitted(tiny, None, replace(TRAINING, together=False), journal=tmp_path)
    assert set(tmp_path.glob("fit-*")) == together | alone


def _passes_of(base):
    """Shapes of what goes through the decoder from now on."""
    seen = []
    base.model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_all_policies_and_the_reference_are_scored_in_one_pass(tiny, dtype):  # noqa: F811
    policies, _ = _policies(tiny, dtype=dtype)
    alone, _ = _policies(tiny, dtype=dtype)
    base, rows = policies[0].base, random_rows(policies[0].base, 6)
    random_rows(alone[0].base, 6)
    for own in (policies, alone):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for policy in own[1:]:
                for value in policy.base.parameters_of(policy.name).values():
                    value.add_(0.1 * torch.randn(value.shape, generator=generator))
    JointPolicies(policies, ALWAYS)
    seen, seen_alone = _passes_of(base), _passes_of(alone[0].base)
    found = [policy.log_ratio(*rows) for policy in policies]
    wanted = [policy.log_ratio(*rows) for policy in alone]
    assert len(seen) == 1
    assert len(seen_alone) == K + 1
    assert seen[0][0] == sum(rows for rows, _ in seen_alone)
    # In bfloat16 the last of 8 bits of a hidden state is a hundredth of a nat of a response's score.
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=2e-5 if dtype is None else 0.2)
    assert (found[0] == 0.0).all(), "a zero adapter is the reference of its own pass"
    assert np.abs(found[1] - found[2]).max() > 0.1
    [policy.log_probability(*rows) for policy in policies]
    assert len(seen) == 1, "what is known is not computed again"
    policies[1].changed()
    policies[1].log_ratio(*rows)
    assert len(seen) == 2
    assert seen[1][0] == seen[0][0] // (K + 1) * (1 if dtype is None else 2), "one alone"


def test_scores_of_too_many_tokens_are_made_one_after_the_other(tiny):  # noqa: F811
    policies, _ = _policies(tiny)
    base, rows = policies[0].base, random_rows(policies[0].base, 6)
    base.reference(*rows)
    JointPolicies(policies, Sharing(40, 100))
    seen = _passes_of(base)
    policies[0].log_ratio(*rows)
    assert policies[1].knows_none(np.stack(rows, axis=1))
    seen.clear()
    few = tuple(column[:1] for column in rows)
    policies[1].log_ratio(*few)
    assert len(seen) == 1
    assert not policies[2].knows_none(np.stack(few, axis=1)), "few enough tokens"


def test_em_together_is_em_one_after_the_other(tiny):  # noqa: F811
    results = []
    for together in (True, False):
        policies, _ = _policies(tiny)
        base, pairs = policies[0].base, _pairs(policies[0].base)
        base.reference(pairs.contexts, pairs.chosen), base.reference(pairs.contexts, pairs.rejected)
        fit_all = JointPolicies(policies, ALWAYS).fit if together else None
        seen, undone = _passes_of(base), []
        result = em_dpo(
            pairs, policies, start=np.eye(K)[np.arange(8) % K], max_rounds=2, tolerance=0.0, fit_all=fit_all,
            on_round=lambda row, undone=undone: undone.append(row.undone) or False,
        )  # fmt: skip
        results.append((result, undone, policies, len(seen)))
    (one, undone, _, passes), (other, undone_alone, _, passes_alone) = results
    assert undone == undone_alone
    assert one.responsibilities == pytest.approx(other.responsibilities, abs=1e-4)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-4)
    assert K * passes < 1.4 * passes_alone


def test_pieces_of_like_lengths_share_a_pass():
    sizes = np.array([[2, 50, 0], [4, 20, 0], [1, 52, 0], [2, 20, 1], [3, 18, 0]], dtype=float)
    assert shared_passes(sizes, np.inf, np.inf) == [[2, 0, 1, 4], [3]], "masks are apart from none"
    assert shared_passes(sizes, 200, np.inf) == [[2, 0], [1, 4], [3]], "three of 52 and 156 tokens, seven of 20"
    assert shared_passes(sizes, np.inf, 99) == [[2, 0], [1, 4], [3]], "three times 34 are too much padding"
    assert shared_passes(sizes, 10, 0) == [[2], [0], [1], [4], [3]], "each alone if it must"
    assert shared_passes(np.zeros((0, 3)), 10, 0) == []


def test_only_plain_adapters_share_passes(tiny):  # noqa: F811
    with pytest.raises(ValueError, match=r"training\.together does not go with lora\.dora"):
        RunSettings(lora=LoraSettings(dora=True), training=DPOTraining(together=True))
    with pytest.raises(ValueError, match=r"does not go with lora\.dropout and training\.gradient"):
        PlanSettings(
            lora=LoraSettings(dropout=0.1), training=DPOTraining(together=True, gradient_checkpointing=True)
        )  # fmt: skip
    assert Sharing.of(DPOTraining(), LoraSettings(dora=True)) is None
    assert Sharing.of(DPOTraining(together=False), LoraSettings()) is None
    assert Sharing.of(DPOTraining(together=True), LoraSettings()) == ALWAYS
    found = Sharing.of(DPOTraining(), LoraSettings(rslora=True))
    assert found is not None
    assert found.tokens < np.inf
    policies, _ = _policies(tiny, dora=True)
    with pytest.raises(InputError, match="cannot share a forward pass"):
        JointPolicies(policies, ALWAYS)


def test_tokens_of_a_step_are_those_of_its_batches(tiny):  # noqa: F811
    policies, _ = _policies(tiny)
    base, pairs = policies[0].base, _pairs(policies[0].base)
    lengths = base.store.lengths
    assert base.scorer.shares
    total = (lengths(pairs.contexts) + lengths(pairs.chosen) + lengths(pairs.rejected)).sum()
    assert tokens_of_a_step(base, pairs, replace(TRAINING, batch=8)) == pytest.approx(total / 5)
    assert tokens_of_a_step(base, choices_of_pairs(pairs), replace(TRAINING, batch=100)) == pytest.approx(
        total, rel=0.1
    )
