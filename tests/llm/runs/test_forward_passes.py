"""No row goes through a model twice: counted in tokens that the base sees, whatever the machine's speed."""
# ruff: noqa: F811  # fixtures are imported

import json

import pytest

torch = pytest.importorskip("torch")

from forward_passes import ForwardPasses  # noqa: E402
from saved_runs import FAST  # noqa: E402
from tiny_llm import score, sentence, tiny  # noqa: E402, F401

from llm.runs.evaluation import evaluate  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from sim.settings import read_settings  # noqa: E402
from sim.streams import Stream  # noqa: E402


@pytest.fixture(scope="module")
def shared_pairs(tmp_path_factory):
    """Nine annotators of opposed tastes, six to train on, who all answer about most of the same ten pairs."""
    stream, items, rows = Stream(3, "shared"), [], []
    for j in range(10):
        own = stream.at(replicate=j)
        sides = [" " + " ".join(sentence(own.child(f"{side}{part}")) for part in range(1 + j % 3)) for side in "ab"]
        items.append((sentence(own.child("prompt")), *sorted(sides, key=score)))
    for i in range(9):
        for j in stream.child(f"of {i}").permutation(10)[:8].tolist():
            prompt, low, high = items[j]
            chosen, rejected = (low, high) if i % 3 == 2 else (high, low)
            rows.append({
                "prompt": prompt, "chosen": chosen, "rejected": rejected, "annotator_id": f"a{i}",
                "group_id": "bad" if i % 3 == 2 else "good", "split": "train" if i < 6 else "unseen",
            })  # fmt: skip
    path = tmp_path_factory.mktemp("shared") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _settings(tiny, shared_pairs, method):
    return read_settings(RunSettings, None, [
        *FAST, f"model={tiny}", f"data.train={shared_pairs}", f"method={method}", "data.held_out=0.3",
        "data.new_prompts=0.2", "eval_tokens=128",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def runs(tiny, shared_pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for method in ("em-dpo", "cluster-dpo", "dpo"):
        train_run(_settings(tiny, shared_pairs, method), folder / method)
    return folder


def _rows(answers, store):
    """Tokens of each distinct (prompt, response)."""
    contexts, responses = answers.rows
    return {(*store[c].tolist(), *store[r].tolist()) for c, r in zip(contexts, responses, strict=True)}


@pytest.mark.parametrize("known", [True, False], ids=["groups of the file", "inferred groups"])
def test_eval_scores_each_response_once_a_policy(runs, monkeypatch, known):
    run = open_run(runs / "em-dpo")
    others = {name: open_run(runs / name, beside=run, prefix=name) for name in ("dpo", "cluster-dpo")}
    if not known:
        monkeypatch.setattr("llm.runs.evaluation.known_groups", lambda run: None)
    passes = ForwardPasses(monkeypatch)
    found = evaluate(run, others, prompts=2)
    policies = [policy for opened in (run, *others.values()) for policy in opened.policies]
    assert len(found.policies) == 5 + 1 + 2 * 3, "five policies, the longer response, and three rows an ensemble"
    least = _rows(run.preferences().unseen, run.base.store)
    names = {None, *(policy.name for policy in policies)}
    of_margins = {key: times for key, times in passes.rows.items() if key[2] in least}
    assert of_margins == {(name, 0, row): 1 for name in names for row in least}
    assert max(passes.rows.values()) == 1, "samples are scored once a policy, too"
    assert passes.padded < 1.15 * passes.tokens, (passes.padded, passes.tokens)


def test_em_scores_each_response_once_a_fit(tiny, shared_pairs, tmp_path, monkeypatch):
    passes = ForwardPasses(monkeypatch)
    train_run(_settings(tiny, shared_pairs, "em-dpo"), tmp_path / "run")
    own = {key: times for key, times in passes.rows.items() if key[0] is not None}
    run = open_run(tmp_path / "run")
    data = run.preferences()
    assert len(data.held_out)
    assert len(data.new_prompts)
    least = _rows(data.train, run.base.store) | _rows(data.held_out, run.base.store)
    least |= _rows(data.new_prompts, run.base.store)
    assert {key[0] for key in own} == {"group_0", "group_1"}
    assert {key[2] for key in own} == least
    assert set(own.values()) == {1}, "what is held out about a pair that is trained on is scored with it"
