"""What a pass weighs: batches of like sizes, and means over them that are means over the answers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_llm import open_tiny, random_rows, tiny, write_corpus  # noqa: E402, F401

import llm.training.adapter_policy as policies  # noqa: E402
import llm.training.sft as sft  # noqa: E402
from llm.training import next_token_training  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.adapter_training import fit_adapter, fit_adapter_robustly, fit_adapters_together  # noqa: E402
from llm.training.batches import n_batches, step_batches  # noqa: E402
from llm.training.group_weights import GroupWeights  # noqa: E402
from llm.training.joint_passes import JointFit, Sharing  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from llm.training.sft_settings import SftSettings  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

torch.set_num_threads(1)

# One more than a batch: what was left of full ones was a batch of the longest answer alone.
N, BATCH = 13, 12
GROUP = np.repeat([0, 1], [8, 5])
STILL = DPOTraining(rate=1e-12, batch=BATCH, epochs=1, settled=0.0, warmup=0.0)


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize(("n", "batch"), [(1, 4), (4, 4), (5, 4), (33, 32), (100, 32), (1030, 32), (2049, 64)])
def test_sizes_of_a_pass_differ_by_one_at_most(n, batch, bucket):
    lengths = Stream(1).integers(60, n) + 4
    cut = step_batches(lengths, batch, Stream(2), bucket)
    sizes = [len(rows) for rows in cut]
    assert len(cut) == n_batches(n, batch) == int(np.ceil(n / batch))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch
    assert sorted(np.concatenate(cut).tolist()) == list(range(n))


def test_batches_of_one_chunk_are_the_sorted_lengths():
    lengths = np.arange(10, 43)
    found = sorted(sorted(lengths[rows].tolist()) for rows in step_batches(lengths, 16, Stream(2)))
    assert found == [list(range(10, 21)), list(range(21, 32)), list(range(32, 43))]


def _moved(folder, *names):
    """Adapters on which answers have unlike losses, answers of unlike lengths, and their weights."""
    base, _ = open_tiny(folder)
    contexts, chosen = random_rows(base, N)
    pairs = PreferencePairs(contexts, chosen, random_rows(base, N, 1)[1], np.arange(N), N)
    for k, name in enumerate(names):
        base.add_adapter(name, Stream(k))
        fit_adapter(base, name, pairs, np.ones(N), 0.5, DPOTraining(rate=2e-2, batch=4, epochs=1), Stream(k, "begin"))
    return base, pairs, 0.5 + Stream(5).uniforms(N)


def _losses(base, name, pairs):
    rewards = AdapterPolicy(base, name, beta=0.5).implicit_reward
    margin = rewards(pairs.contexts, pairs.chosen) - rewards(pairs.contexts, pairs.rejected)
    losses = np.logaddexp(0.0, -margin)
    assert np.ptp(losses) > 0.5, "losses that are alike tell nothing"
    return losses


def test_the_mean_loss_of_a_pass_is_that_of_the_answers(tiny):  # noqa: F811
    base, pairs, weights = _moved(tiny, "one", "two")
    wanted = [weights @ _losses(base, name, pairs) / weights.sum() for name in ("one", "two")]
    report = fit_adapter(base, "one", pairs, weights, 0.5, STILL, Stream(3))
    assert report.steps == 2
    assert np.mean([row["loss"] for row in report.record]) == pytest.approx(wanted[0], rel=1e-5)
    fits = [JointFit(name, Stream(3)) for name in ("one", "two")]
    found = fit_adapters_together(base, fits, pairs, [weights, weights], 0.5, STILL, Sharing())
    assert [np.mean([row["loss"] for row in own.record]) for own in found] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("tokens", [16_384, 64])
def test_the_mean_losses_of_groups_over_a_pass_are_theirs(tiny, tokens):  # noqa: F811
    base, pairs, weights = _moved(tiny, "one")
    losses = _losses(base, "one", pairs)
    training = DPOTraining(rate=1e-12, batch=BATCH, epochs=1, warmup=0.0, micro_tokens=tokens)
    start = GroupWeights.even(("many", "few"), GROUP, 0.5)
    report, _ = fit_adapter_robustly(base, "one", pairs, weights, start, 0.5, training, Stream(3))
    found = np.mean([list(row["group_losses"].values()) for row in report.record], axis=0)
    wanted = [weights[own] @ losses[own] / weights[own].sum() for own in (GROUP == 0, GROUP == 1)]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_of_a_pass_is_that_of_one_batch(tiny):  # noqa: F811
    """What moves the parameters, and not the record alone."""
    from llm.training.answer_objectives import objective_of
    from llm.training.steps import accumulate

    base, pairs, weights = _moved(tiny, "one")
    objective = objective_of(base, pairs, weights, 0.5)
    own = list(base.parameters_of("one").values())

    def gradient(batches):
        for value in own:
            value.requires_grad_(True).grad = None
        with base.using("one"):
            for rows in batches:
                accumulate(objective, rows, N / len(batches), 16_384)
        return torch.cat([value.grad.reshape(-1) for value in own]) / len(batches)

    cut = step_batches(objective.lengths, BATCH, Stream(3))
    assert len(cut) == 2
    assert torch.allclose(gradient(cut), gradient([np.arange(N)]), rtol=1e-3, atol=1e-6)


def test_every_passage_is_trained_on_in_a_pass(tmp_path, monkeypatch):
    """60 passages in batches of 32: those that did not fill a batch were the longest, in each pass."""
    data = write_corpus(tmp_path / "text.jsonl", 60)
    settings = SftSettings(data=str(data), size="mini", length=48, passage_words=12, batch=32, device="cpu", epochs=2)
    counts: dict[bytes, int] = {}
    wanted: list[bytes] = []
    real, tokens, steps = next_token_training._batch, sft.token_rows, []

    def rows_of(*arguments):
        found = tokens(*arguments)
        wanted.extend([] if wanted else [row.tobytes() for row in found])
        return found

    def batch(rows, pad, device):
        if torch.is_grad_enabled():  # and not in judging
            steps.append(len(rows))
            for row in rows:
                counts[row.tobytes()] = counts.get(row.tobytes(), 0) + 1
        return real(rows, pad, device)

    monkeypatch.setattr(next_token_training, "_batch", batch)
    monkeypatch.setattr(sft, "token_rows", rows_of)
    summary = sft.train_sft(settings, tmp_path / "sft")
    assert len(wanted) % 32, "passages should not fill their batches"
    assert summary.steps == len(steps) == 2 * int(np.ceil(len(wanted) / 32))
    assert counts == {row: 2 * wanted.count(row) for row in wanted}


class Asked(Exception):
    pass


def test_fits_of_other_batches_are_other_fits(tiny, tmp_path, monkeypatch):  # noqa: F811
    base, pairs, weights = _moved(tiny, "one")
    settings = SftSettings(data=str(write_corpus(tmp_path / "text.jsonl", 60)), size="mini", batch=8, device="cpu")

    def descend(model, rows, steps, settings, stream, kept, pad, progress):
        raise Asked(kept.key)

    def keys():
        with pytest.raises(Asked) as asked:
            sft.train_sft(settings, tmp_path / "sft")
        policy = AdapterPolicy(base, "one", beta=0.5, stream=Stream(4))
        return policy.begin_fit(pairs, weights)[0], str(asked.value)

    monkeypatch.setattr(sft, "descend", descend)
    now = keys()
    assert keys() == now
    for module in (policies, sft):
        monkeypatch.setattr(module, "CUT", "as once")
    assert all(old != new for old, new in zip(keys(), now, strict=True))
