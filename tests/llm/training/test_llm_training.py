"""Weighted DPO of adapters: gradients, weights, skipping, resuming, and parity with TRL step for step."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, score, sentence, tiny  # noqa: E402, F401

from llm.base.journal import Journal, fingerprint  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.adapter_training import fit_adapter, merged  # noqa: E402
from llm.training.batches import micro_batches, step_batches  # noqa: E402
from llm.training.losses import margins, skipped_share, skipping_bound, weighted_dpo_loss  # noqa: E402
from llm.training.passes import DPOTraining, rate_factor  # noqa: E402
from sim.algorithms.em_dpo import em_dpo  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402


def _pairs(base, n=24, annotators=4, seed=0):
    contexts, chosen = random_rows(base, n, seed)
    _, rejected = random_rows(base, n, seed + 1)
    return PreferencePairs(contexts, chosen, rejected, np.arange(n) % annotators, annotators)


def _state(base, name):
    return {key: value.detach().clone() for key, value in base.parameters_of(name).items()}


def test_loss_by_hand():
    margin = margins(*(torch.tensor([x]) for x in (-3.0, -5.0, -4.0, -4.5)), beta=0.5)
    assert float(margin) == pytest.approx(0.5 * ((-3 + 4) - (-5 + 4.5)))
    loss = weighted_dpo_loss(torch.tensor([0.75, -2.0]), torch.tensor([1.0, 3.0]), 4.0)
    assert float(loss) == pytest.approx((math.log1p(math.exp(-0.75)) + 3 * math.log1p(math.exp(2.0))) / 4)


def test_skipping_bound_is_the_identity_it_comes_from():
    stream = Stream(4)
    for case in range(50):
        own = stream.at(replicate=case)
        losses, weights = 5 * own.child("loss").uniforms(30), own.child("weight").uniforms(30) ** 3
        kept = torch.from_numpy(weights >= 0.2)
        share = skipped_share(torch.from_numpy(weights), kept)
        k = kept.numpy()
        whole = (weights * losses).sum() / weights.sum()
        kept_loss = (weights * losses)[k].sum() / weights[k].sum()
        skipped_loss = (weights * losses)[~k].sum() / weights[~k].sum()
        assert abs(whole - kept_loss) == pytest.approx(share * abs(skipped_loss - kept_loss))
        assert abs(whole - kept_loss) <= skipping_bound(share, kept_loss, skipped_loss) + 1e-12


def test_gradient_against_finite_differences(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    base.model.double()
    pairs = _pairs(base, 6)
    base.add_adapter("one", Stream(1))
    base.peft.double()
    weights, beta = torch.tensor([1.0, 0.2, 0.5, 1.0, 0.9, 0.4], dtype=torch.float64), 0.3
    from llm.base.sequences import collate

    both = np.concatenate([pairs.contexts] * 2), np.concatenate([pairs.chosen, pairs.rejected])
    batch = collate(base.store, *both, base.pad)
    reference = torch.from_numpy(base.reference(*both))

    # float32 sums would drown a finite difference: the same loss with the scorer's tokens summed in float64.
    def loss():
        tokens = base.scorer.tokens(batch)
        scores = torch.zeros(12, dtype=torch.float64).index_add(0, batch.row, tokens.double())
        return weighted_dpo_loss(
            margins(scores[:6], scores[6:], reference[:6], reference[6:], beta), weights, weights.sum()
        )

    with base.using("one"):
        parameter = next(value for key, value in base.parameters_of("one").items() if "lora_B" in key)
        parameter.requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(), [parameter])
        direction = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0), dtype=parameter.dtype)
        with torch.no_grad():
            start, step = parameter.clone(), 1e-2
            parameter.copy_(start + step * direction)
            above = float(loss())
            parameter.copy_(start - step * direction)
            below = float(loss())
    assert (above - below) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=2e-2)


def test_micro_batches_add_up_to_the_batch(tiny):  # noqa: F811
    results = []
    for tokens in (64, 100_000):
        base, _ = open_tiny(tiny)
        pairs = _pairs(base)
        base.add_adapter("one", Stream(1))
        training = DPOTraining(rate=1e-3, batch=12, micro_tokens=tokens, warmup=0.0)
        weights = Stream(2).uniforms(24)
        report = fit_adapter(base, "one", pairs, weights, 0.1, training, Stream(3))
        results.append((report, _state(base, "one")))
    (first, a), (second, b) = results
    assert [row["loss"] for row in first.record] == pytest.approx([row["loss"] for row in second.record], abs=1e-5)
    assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


@pytest.mark.parametrize("normalised", [True, False])
def test_merged_answers_are_the_same_loss_in_fewer_rows(tiny, normalised):  # noqa: F811
    results = []
    for merge in (False, True):
        base, _ = open_tiny(tiny)
        pairs = _pairs(base).select(np.tile(np.arange(24), 3))
        base.add_adapter("one", Stream(1))
        how = {"settled": 0.0, "warmup": 0.0, "merge": merge, "normalised": normalised}
        training = DPOTraining(rate=1e-3, batch=100, epochs=3, **how)
        report = fit_adapter(base, "one", pairs, Stream(2).uniforms(72), 0.1, training, Stream(3))
        results.append((report, _state(base, "one")))
    (first, a), (second, b) = results
    assert (first.n_answers, second.n_answers) == (72, 24)
    assert [row["loss"] for row in first.record] == pytest.approx([row["loss"] for row in second.record], abs=1e-6)
    norms = [[row["grad_norm"] for row in own.record] for own in (first, second)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    # AdamW: where gradients are nearly zero, rounding decides the sign of a step.
    assert all(float((a[key] - b[key]).abs().mean()) <= 1e-5 * float(b[key].abs().mean()) for key in a)
    if normalised:
        assert all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_opposite_answers_are_not_merged():
    pairs = PreferencePairs(np.array([3, 3, 3, 3]), np.array([1, 2, 1, 4]), np.array([2, 1, 2, 5]), np.arange(4), 4)
    found, weights = merged(pairs, np.array([1.0, 2.0, 4.0, 8.0]))
    assert list(zip(found.chosen, found.rejected, weights, strict=True)) == [(1, 2, 5.0), (2, 1, 2.0), (4, 5, 8.0)]


def test_batches_hold_every_pair_once():
    lengths = Stream(1).integers(60, 205) + 4
    for bucket in (True, False):
        cut = step_batches(lengths, 16, Stream(2), bucket)
        assert sorted(np.concatenate(cut).tolist()) == list(range(205))
        assert max(map(len, cut)) == 16
    spread = [np.ptp(lengths[rows]) for rows in step_batches(lengths, 16, Stream(2), True)]
    assert np.mean(spread) < 0.4 * np.mean(
        [np.ptp(lengths[rows]) for rows in step_batches(lengths, 16, Stream(2), False)]
    )
    pieces = list(micro_batches(np.arange(40), lengths, 300, np.full(len(lengths), 2)))
    assert sorted(np.concatenate(pieces).tolist()) == list(range(40))
    assert all(len(p) == 1 or 2 * lengths[p].max() * len(p) <= 300 for p in pieces)


def test_rate_factor_by_hand():
    training = DPOTraining(warmup=0.2, schedule="linear")
    assert [rate_factor(step, 10, training) for step in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert rate_factor(9, 10, DPOTraining(warmup=0.0, schedule="cosine")) == pytest.approx(
        0.5 * (1 + math.cos(0.9 * math.pi))
    )
    assert rate_factor(9, 10, DPOTraining(warmup=0.0)) == 1.0


def test_zero_weights_change_nothing_and_small_ones_are_reported(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    base.add_adapter("one", Stream(1))
    policy = AdapterPolicy(base, "one", beta=0.1, training=DPOTraining(rate=1e-2))
    before = _state(base, "one")
    policy.fit(pairs, np.zeros(24))
    assert all(torch.equal(before[key], value) for key, value in _state(base, "one").items())
    weights = np.where(np.arange(24) < 6, 1e-4, 1.0)
    report = fit_adapter(base, "one", pairs, weights, 0.1, DPOTraining(skip_below=1e-3), Stream(3))
    assert report.n_answers == 18
    assert report.skipped_share == pytest.approx(6e-4 / (18 + 6e-4))


def test_what_weights_are_measured_in_does_not_matter(tiny):  # noqa: F811
    """A file whose answers all weigh 5e-4 trained nothing, without a word; of weights about 1e-3 half was left out."""
    base, _ = open_tiny(tiny)
    plain, training = _pairs(base), DPOTraining(rate=1e-2)
    gamma = np.where(np.arange(24) < 6, 1e-4, 0.5)
    found = []
    for j, unit in enumerate((1.0, 2.0**-11, 2.0**19)):
        own = np.where(np.arange(24) % 2, 1.1, 0.9) * unit
        pairs = replace(plain, weights=own)
        base.add_adapter(f"of{j}", Stream(1))
        report = fit_adapter(base, f"of{j}", pairs, gamma * own, 0.1, training, Stream(3))
        found.append((report, _state(base, f"of{j}")))
        assert report.n_answers == 18
        share = (gamma * own)[:6].sum() / (gamma * own).sum()
        assert report.skipped_share == pytest.approx(share)
    (_, first), *others = found
    for _, state in others:
        assert all(torch.allclose(first[key], value, atol=1e-7) for key, value in state.items())
    base.add_adapter("untouched", Stream(1))
    assert not all(torch.equal(first[key], value) for key, value in _state(base, "untouched").items())


def test_nothing_left_of_a_group_is_said_or_refused(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    base.add_adapter("one", Stream(1))
    report = fit_adapter(base, "one", pairs, np.full(24, 9e-4), 0.1, DPOTraining(), Stream(3))
    assert (report.steps, report.n_answers, report.skipped_share) == (0, 0, 1.0), "a type that has all but vanished"
    report = fit_adapter(base, "one", pairs, np.zeros(24), 0.1, DPOTraining(), Stream(3))
    assert (report.steps, report.skipped_share) == (0, 0.0)
    with pytest.raises(InputError, match="no answer of a group weighs as much of the mean answer"):
        fit_adapter(base, "one", pairs, np.full(24, 0.5), 0.1, DPOTraining(skip_below=0.6), Stream(3))


def test_divergence_stops_with_a_message(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    base.add_adapter("one", Stream(1))
    with torch.no_grad():
        next(iter(base.parameters_of("one").values())).fill_(float("nan"))
    with pytest.raises(InputError, match="diverged at step 1 of 1"):
        fit_adapter(base, "one", pairs, np.ones(24), 0.1, DPOTraining(batch=24, epochs=1), Stream(3))


def test_identical_adapters_are_a_fixed_point_and_a_split_is_not(tiny):  # noqa: F811
    """Adapters start as the reference: every answer has probability 1/2 and the E-step is exactly uniform."""
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    for k in range(2):
        base.add_adapter(f"same_{k}", Stream(1))
    training = DPOTraining(rate=5e-3, batch=24, bucket=False)
    policies = [
        AdapterPolicy(base, f"same_{k}", beta=0.1, training=training, stream=Stream(7, role="same")) for k in range(2)
    ]
    stuck = em_dpo(pairs, policies, start="policies", max_rounds=2, tolerance=0.0)
    assert stuck.responsibilities == pytest.approx(np.full((4, 2), 0.5), abs=1e-6)
    for k in range(2):
        base.add_adapter(f"own_{k}", Stream(1))
    policies = [AdapterPolicy(base, f"own_{k}", beta=0.1, training=training) for k in range(2)]
    moved = em_dpo(pairs, policies, max_rounds=2, tolerance=0.0, stream=Stream(2))
    assert np.abs(moved.responsibilities - 0.5).max() > 1e-3


def test_a_fit_resumes_where_it_stopped(tiny, tmp_path):  # noqa: F811
    def fresh():
        base, _ = open_tiny(tiny)
        base.add_adapter("one", Stream(1))
        return base, _pairs(base)

    training = DPOTraining(rate=5e-3, batch=4, epochs=2, checkpoint_steps=5)
    base, pairs = fresh()
    whole = fit_adapter(base, "one", pairs, np.ones(24), 0.1, training, Stream(3))
    wanted = _state(base, "one")

    class Killed(Exception):
        pass

    def stop(step, total):
        if step == 8:
            raise Killed

    base, pairs = fresh()
    journal = Journal(tmp_path)
    with pytest.raises(Killed):
        fit_adapter(base, "one", pairs, np.ones(24), 0.1, training, Stream(3), journal=journal, key="k", on_step=stop)
    base, pairs = fresh()
    seen = []
    again = fit_adapter(
        base, "one", pairs, np.ones(24), 0.1, training, Stream(3), journal=journal, key="k",
        on_step=lambda step, total: seen.append(step),
    )  # fmt: skip
    assert seen[0] == 6, "it should begin after the checkpoint of step 5"
    assert again.record == whole.record
    assert all(torch.equal(wanted[key], value) for key, value in _state(base, "one").items())


def test_finished_fits_and_scores_are_read_from_the_journal(tiny, tmp_path, monkeypatch):  # noqa: F811
    def run():
        base, _ = open_tiny(tiny)
        base.add_adapter("one", Stream(1))
        policy = AdapterPolicy(
            base, "one", beta=0.1, training=DPOTraining(rate=5e-3), stream=Stream(4), journal=Journal(tmp_path)
        )
        pairs = _pairs(base, 300)
        policy.fit(pairs, np.ones(300))
        return policy.implicit_reward(pairs.contexts, pairs.chosen), policy

    first, _ = run()
    monkeypatch.setattr("llm.training.adapter_policy.fit_adapter", None)
    again, policy = run()
    assert (first == again).all()
    with pytest.raises(TypeError):
        policy.fit(_pairs(policy.base, 300, seed=5), np.ones(300))


def test_how_often_a_fit_is_kept_does_not_make_it_another(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    base.add_adapter("one", Stream(1))

    def key(**training):
        policy = AdapterPolicy(base, "one", beta=0.1, training=DPOTraining(**training), stream=Stream(4))
        return policy.begin_fit(pairs, np.ones(24))[0]

    assert key() == key(checkpoint_steps=50) != key(rate=1e-3)


def test_fingerprints_tell_parts_apart():
    a = torch.arange(4.0)
    assert fingerprint(a) == fingerprint(a.clone()) != fingerprint(a.to(torch.bfloat16))
    assert fingerprint(a) != fingerprint(a.reshape(2, 2))
    assert fingerprint({"x": a, "y": 1}) == fingerprint({"y": 1, "x": a}) != fingerprint({"x": a, "y": 2})


def test_snapshot_and_restore(tiny):  # noqa: F811
    base, _ = open_tiny(tiny)
    pairs = _pairs(base)
    base.add_adapter("one", Stream(1))
    policy = AdapterPolicy(base, "one", beta=0.1, training=DPOTraining(rate=5e-3))
    policy.fit(pairs, np.ones(24))
    before, state = policy.implicit_reward(pairs.contexts, pairs.chosen), policy.snapshot()
    policy.fit(pairs, np.ones(24))
    assert np.abs(policy.implicit_reward(pairs.contexts, pairs.chosen) - before).max() > 1e-4
    policy.restore(state)
    assert (policy.implicit_reward(pairs.contexts, pairs.chosen) == before).all()


@pytest.mark.filterwarnings("ignore")  # TRL's and datasets' own
def test_parity_with_trl_step_for_step(tiny, tmp_path):  # noqa: F811
    """0/1 weights, one group, the same batches: the same losses and the same adapter as TRL's DPOTrainer."""
    pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    from llm.base.small_mistral import load_base
    from llm.data.preference_text import DataSettings, Tokeniser
    from sim.files.preference_files import read_pairs

    base, tokenizer = open_tiny(tiny)
    base.add_adapter("one", Stream(1))
    start = _state(base, "one")
    tokeniser = Tokeniser(tokenizer, base.store, 64, DataSettings())
    rows = []
    for j in range(40):
        own = Stream(9, replicate=j)
        prompt, a, b = (sentence(own.child(side)) for side in ("prompt", "first", "second"))
        b = b if a != b else b + " It was."
        a, b = (" " + a, " " + b) if score(a) >= score(b) else (" " + b, " " + a)
        rows.append({"prompt": prompt, "chosen": a, "rejected": b})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({**row, "annotator_id": "a"}) + "\n" for row in rows))
    pairs = tokeniser.pairs(read_pairs(path)).pairs
    assert len(pairs) == 40
    weights = (np.arange(40) % 5 != 0).astype(float)
    training = DPOTraining(rate=1e-3, batch=8, epochs=1, schedule="linear", warmup=0.0, bucket=False, clip=1.0)
    stream = Stream(11)
    report = fit_adapter(base, "one", pairs, weights, 0.1, training, stream)
    used = np.flatnonzero(weights)
    order = used[np.concatenate(step_batches(np.ones(len(used)), 8, stream.child("epoch/0"), bucket=False))]

    model, _ = load_base(tiny)
    config = LoraConfig(r=4, lora_alpha=16.0, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    arguments = DPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=8, num_train_epochs=1, learning_rate=1e-3, beta=0.1,
        lr_scheduler_type="linear", logging_steps=1, report_to="none", bf16=False, use_cpu=True, save_strategy="no",
        gradient_checkpointing=False, precompute_ref_log_probs=True, train_sampling_strategy="sequential",
        max_length=None, disable_tqdm=True, weight_decay=0.0, max_grad_norm=1.0,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=model, args=arguments, train_dataset=datasets.Dataset.from_list([rows[j] for j in order]),
        processing_class=tokenizer, peft_config=config,
    )  # fmt: skip
    named = {
        key.replace(".default.", "."): value for key, value in trainer.model.named_parameters() if ".default." in key
    }
    assert named.keys() == start.keys()
    with torch.no_grad():
        for key, value in named.items():
            value.copy_(start[key])
    trainer.train()
    theirs = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    ours = [row["loss"] for row in report.record]
    assert len(ours) == 4
    assert ours == pytest.approx(theirs, abs=2e-4)
    moved = max(float((start[key] - value).abs().max()) for key, value in _state(base, "one").items())
    assert moved > 1e-3
    for key, value in _state(base, "one").items():
        assert torch.allclose(value, named[key].detach(), atol=1e-4), key
