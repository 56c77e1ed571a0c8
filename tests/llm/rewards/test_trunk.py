"""A trunk trained with its heads: its loss, what it learns, restarts, export, and what is refused."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_llm import PLAIN, SUBJECTS, open_tiny, tiny  # noqa: E402, F401

import pluralign as pl  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.rewards import trunk  # noqa: E402
from llm.rewards.answered_items import answered  # noqa: E402
from llm.rewards.reward_encoder import RewardEncoder  # noqa: E402
from llm.rewards.trunk import TrunkSettings, train_trunk  # noqa: E402
from llm.rewards.trunk_objective import Heads, TrunkObjective  # noqa: E402
from llm.training.batches import step_batches  # noqa: E402
from pluralign.__main__ import main  # noqa: E402
from pluralign.trunk_start import trunk_start  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.locks import LOCK  # noqa: E402
from sim.files.preference_files import read_pairs, table_of_rows  # noqa: E402
from sim.fitting.settings import FitSettings  # noqa: E402
from sim.streams import Stream  # noqa: E402

HOW = {"method": "personal", "ridge": 10.0, "hold_out": "answers", "trunk_epochs": 3, "trunk_rate": 1e-3}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Tastes for what responses begin with, far from the token that rewards are read at; one annotator in four has the
    opposite one, one answer in eight is wrong."""
    stream, rows = Stream(3, "subjects"), []
    for number in range(12 * 120):
        draw = stream.at(replicate=number).uniforms(7)
        liked, other = SUBJECTS[int(draw[0] * 3)], SUBJECTS[3 + int(draw[1] * 3)]
        sides = [f" {who} was {PLAIN[int(w * 4)]}." for who, w in ((liked, draw[2]), (other, draw[3]))]
        who = number % 12
        if (who % 4 == 3) != (draw[6] < 0.12):
            sides.reverse()
        prompt = f"{SUBJECTS[int(draw[4] * 6)]} was {PLAIN[int(draw[5] * 4)]}."
        rows.append({"prompt": prompt, "chosen": sides[0], "rejected": sides[1], "annotator_id": f"a{who}"})
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tiny, pairs, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("trunk") / "trunk"
    return pl.reward(pairs, tiny, trunk=folder, **HOW), folder


def _start(table, place, heads=2):
    settings = FitSettings(method="personal", hold_out="answers", features="reward")
    return trunk_start(table, settings, RewardEncoder(place), heads, lambda _: None)


def _objective(place, table, start):
    base, _ = open_tiny(place)
    tokenizer = load_base(place)[1]
    rows = RewardEncoder(place).tokens(tokenizer, table.items, 512)
    contexts, last = base.store.add_all(row[:-1] for row in rows), base.store.add_all(row[-1:] for row in rows)
    base.add_adapter("trunk", Stream(0))
    heads = Heads(start, torch.device("cpu"))
    return base, heads, TrunkObjective(base, heads, start, contexts, last), rows


def test_the_loss_is_that_of_the_formula_and_its_pieces_add_up(tiny, pairs):  # noqa: F811
    table = answered(read_pairs(pairs))
    start = _start(table, tiny)
    base, _, objective, rows = _objective(tiny, table, start)
    own = start.train
    with base.using("trunk"), torch.no_grad():
        states = [base.model.get_decoder()(torch.tensor([row])).last_hidden_state[0, -1].double() for row in rows]
    hidden = torch.stack(states).numpy()
    theta = start.centre + start.own @ start.shared.T
    phi = (hidden - start.mean) @ start.directions
    margin = np.array([
        (phi[own.responses[a]] - phi[own.responses[b]]) @ theta[own.contexts[a]]
        for a, b in zip(own.first, own.second, strict=True)
    ])  # fmt: skip
    weights = own.pair_weights()
    departures = start.own @ start.shared.T
    wanted = (weights @ np.logaddexp(0.0, -margin) + 0.5 * start.decay * (departures**2).sum()) / weights.sum()
    n = len(objective.lengths)
    with base.using("trunk"):
        whole = objective(np.arange(n), n)[0]
        parts = sum(objective(np.arange(lo, min(n, lo + 7)), n)[0] for lo in range(0, n, 7))
        cut = step_batches(objective.lengths, n - 1, Stream(0))
        of_a_pass = [objective(rows, n / len(cut))[0].item() for rows in cut]
    assert whole.item() == pytest.approx(wanted, rel=1e-4)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-5)
    assert len(of_a_pass) == 2
    assert np.mean(of_a_pass) == pytest.approx(wanted, rel=1e-4)
    # The adapter starts at zero and its gradient does not vanish: heads of the frozen model pull at it.
    whole.backward()
    grads = [value.grad for name, value in base.parameters_of("trunk").items() if "lora_B" in name]
    assert max(grad.abs().max().item() for grad in grads) > 1e-6


def test_the_trunk_sees_the_training_answers_of_the_fit_that_follows(tiny, pairs):  # noqa: F811
    """No test answer is among the answers, and no training answer is missing."""
    table = answered(read_pairs(pairs))
    start = _start(table, tiny, heads=8)
    fit = pl.reward(pairs, tiny, method="personal", hold_out="answers")
    split = fit.report.prepared.table
    trained_on = set(map(tuple, np.stack([split.annotator, split.chosen, split.rejected], axis=1)[
        split.rows_of("train")].tolist()))  # fmt: skip
    for part in (start.train, start.held):
        asked = zip(part.annotator, part.responses[part.first], part.responses[part.second], strict=True)
        assert set(map(tuple, np.array(list(asked)).tolist())) <= trained_on
    assert len(start.train) + len(start.held) == int(split.rows_of("train").sum())


def test_training_helps_held_out_answers_and_the_model_is_one_like_any_other(trained, pairs, tiny, tmp_path):  # noqa: F811
    fit, _ = trained
    told = fit.as_dict()["trunk"]
    assert told["passes"] >= 1
    assert max(told["held_out"]) > told["held_out"][0] + 0.01
    frozen = pl.reward(pairs, tiny, **{name: HOW[name] for name in ("method", "ridge", "hold_out")})
    assert fit.report.prepared.table.split.tolist() == frozen.report.prepared.table.split.tolist()
    table = read_pairs(pairs)
    who = table.annotators[fit.usable.trained[0]]
    exported = pl.export_reward(fit, who, tmp_path / "hers")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = (kind.from_pretrained(exported) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    rows = np.flatnonzero(table.annotator == table.annotators.index(who))[:6]
    end = load_base(tiny)[1].eos_token
    sides = [[table.prompts[table.prompt[r]] + table.items[side[r]] + end for r in rows]
             for side in (table.chosen, table.rejected)]  # fmt: skip
    with torch.no_grad():
        logits = model.eval()(**tokenizer([*sides[0], *sides[1]], padding=True, return_tensors="pt")).logits[:, 0]
    gap = (logits[: len(rows)] - logits[len(rows) :]).numpy()
    chance = fit.predict(table.select(rows)).value
    assert gap == pytest.approx(np.log(chance) - np.log1p(-chance), rel=1e-3, abs=2e-3)


def test_a_killed_run_goes_on_and_a_finished_one_is_taken(pairs, tiny, tmp_path, monkeypatch):  # noqa: F811
    table = read_pairs(pairs)
    about = answered(table.select(np.arange(240)))
    start = _start(about, tiny, heads=2)
    steps_of_a_pass = -(-len(_objective(tiny, about, start)[2].lengths) // 4)

    def train(folder, **how):
        settings = TrunkSettings(**{"heads": 2, "epochs": 3, "rate": 1e-3, **how})
        return train_trunk(tiny, about.items, RewardEncoder(tiny), start, settings, folder, Stream(0, "trunk"))

    whole, folder = train(tmp_path / "whole"), tmp_path / "killed"
    real, steps = TrunkObjective.__call__, []

    def killed(self, rows, batch):
        steps.append(1)
        if len(steps) == steps_of_a_pass + 2:
            raise KeyboardInterrupt
        return real(self, rows, batch)

    monkeypatch.setattr(TrunkObjective, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        train(folder)
    found = train(folder)
    assert len(steps) == 3 * steps_of_a_pass + 2, "the first pass is not made again"
    assert found.held_out == whole.held_out
    weights = [(place / "adapter" / "adapter_model.safetensors") for place in (tmp_path / "whole", folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert {path.name for path in folder.iterdir()} - {LOCK} == {"adapter", "trunk.json"}
    assert train(folder) == found
    assert len(steps) == 3 * steps_of_a_pass + 2
    with pytest.raises(InputError, match="other answers, settings, another method or model"):
        train(folder, rate=2e-3)
    weights[1].write_bytes(weights[1].read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="changed or damaged"):
        train(folder)


def test_unfinished_passes_of_other_batches_are_not_taken(pairs, tiny, tmp_path, monkeypatch):  # noqa: F811
    about = answered(read_pairs(pairs).select(np.arange(240)))
    start, keys = _start(about, tiny, heads=2), []

    class Asked(Exception):
        pass

    def passes(*arguments, key, **more):
        keys.append(key)
        raise Asked

    monkeypatch.setattr(trunk, "make_passes", passes)
    for cut in (trunk.CUT, trunk.CUT, "as once"):
        monkeypatch.setattr(trunk, "CUT", cut)
        with pytest.raises(Asked):
            train_trunk(tiny, about.items, RewardEncoder(tiny), start, TrunkSettings(heads=2), tmp_path / "trunk",
                        Stream(0))  # fmt: skip
    assert keys[0] == keys[1] != keys[2]


def test_the_trunk_of_other_heads_is_not_taken(trained, pairs, tiny, tmp_path, monkeypatch):  # noqa: F811
    """One reward for all and heads over a subspace begin elsewhere, and so does another ridge."""
    about = answered(read_pairs(pairs).select(np.arange(240)))

    class Asked(Exception):
        pass

    def passes(*arguments, key, **more):
        keys.append(key)
        raise Asked

    keys = []
    monkeypatch.setattr(trunk, "make_passes", passes)
    starts = [_start(about, tiny, heads=heads) for heads in (2, 0)]
    for start in (*starts, replace(starts[0], ridge=7.0)):
        with pytest.raises(Asked):
            train_trunk(tiny, about.items, RewardEncoder(tiny), start, TrunkSettings(heads=2), tmp_path / "trunk",
                        Stream(0))  # fmt: skip
    assert len(set(keys)) == 3


def test_rankings_have_their_likelihood_and_one_reward_for_all_no_heads(tiny, pairs, tmp_path):  # noqa: F811
    table, stream, rows = read_pairs(pairs), Stream(3), []
    for number in range(120):
        own = [f" {SUBJECTS[int(u * 6)]} was long." for u in stream.at(replicate=number).uniforms(3)]
        own = list(dict.fromkeys(own))
        order = np.argsort([SUBJECTS.index(text[1:-10]) for text in own])
        if len(own) > 1:
            rows.append({"prompt": table.prompts[number % 9], "responses": own, "annotator_id": f"a{number % 4}",
                         "ranking": (np.argsort(order) + 1).tolist()})  # fmt: skip
    about = answered(table_of_rows(rows, "rankings"))
    start = _start(about, tiny, heads=0)
    assert start.own.shape[1] == 0
    own = start.train
    assert len(own.starts) - 1 > len(own), "places after the first count"
    _, heads, objective, _ = _objective(tiny, about, start)
    loss = objective(np.arange(len(objective.lengths)), len(objective.lengths))[0].item()
    phi = (RewardEncoder(tiny).encode(about.items) - start.mean) @ start.directions
    wanted = -own.folded((phi @ start.centre)[own.responses][:, None])[:, 0] @ own.pair_weights()
    assert loss == pytest.approx(wanted / own.pair_weights().sum(), rel=1e-4)
    assert heads.penalty(3.0).item() == 0.0
    report = train_trunk(tiny, about.items, RewardEncoder(tiny), start, TrunkSettings(epochs=2, rate=1e-3),
                         tmp_path / "trunk", Stream(0))  # fmt: skip
    assert max(report.held_out) > report.held_out[0]


def test_what_cannot_be_is_refused(tiny, pairs, trained, tmp_path, capsys, monkeypatch):  # noqa: F811
    with pytest.raises(InputError, match="would have trained its trunk"):
        pl.reward(pairs, tiny, trunk=tmp_path / "trunk", folds=3)
    with pytest.raises(InputError, match="is an adapter without its base's weights"):
        pl.reward(pairs, trained[1] / "adapter", trunk=tmp_path / "trunk")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    line = [
        "pluralign",
        "llm",
        "reward",
        "--model",
        str(tiny),
        "--data",
        str(pairs),
        "--method",
        "pooled",
        "--hold-out",
        "answers",
    ]
    monkeypatch.setattr(sys, "argv", [*line, "--trunk", str(tmp_path / "mine"), "--out", str(tmp_path / "fit")])
    assert main() == 2
    told = capsys.readouterr().err
    assert "holds something else than a trunk" in told
    assert "Traceback" not in told
    assert not (tmp_path / "fit").exists()
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["notes.txt"]


def test_from_the_command_line(tiny, pairs, tmp_path, capsys, monkeypatch):  # noqa: F811
    line = [
        "pluralign",
        "llm",
        "reward",
        "--model",
        str(tiny),
        "--data",
        str(pairs),
        "--method",
        "pooled",
        "--hold-out",
        "answers",
    ]
    more = ["--trunk", str(tmp_path / "trunk"), "--trunk-epochs", "1", "--trunk-rate", "0.001", "--json"]
    monkeypatch.setattr(sys, "argv", [*line, *more, "--out", str(tmp_path / "fit")])
    assert main() == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["trunk"]["held_out"]) == 2
    assert answer["trunk"]["folder"] == str(tmp_path / "trunk" / "adapter")
    again = pl.load_fit(tmp_path / "fit").predict(replace(read_pairs(pairs)))
    assert np.isfinite(again.value).all()


@pytest.mark.parametrize("by", ["answers", "prompts"])
def test_sizes_are_chosen_on_answers_that_the_trunk_was_not_trained_on(tiny, pairs, tmp_path, monkeypatch, by):  # noqa: F811
    from pluralign import trunk_start as beginning
    from sim.fitting import choose

    drawn = {}

    def recorded(name, module):
        own = module.hold_out

        def hold_out(*arguments):
            drawn[name] = own(*arguments)
            return drawn[name]

        monkeypatch.setattr(module, "hold_out", hold_out)

    recorded("trunk", beginning)
    recorded("sizes", choose)
    how = {**HOW, "ridge": None, "hold_out": by, "trunk_epochs": 1}
    pl.reward(pairs, tiny, trunk=tmp_path / "trunk", **how)
    trained, validation = drawn["trunk"][0], drawn["sizes"][1]
    assert validation.any()
    assert not (trained & validation).any()


def test_where_nothing_is_held_out_all_passes_are_kept_and_it_is_said(tiny, pairs, tmp_path):  # noqa: F811
    """Of two prompts one is to test by, and the one that trains is not parted."""
    lines = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()[:120]]
    rows = [{**row, "prompt": f"{SUBJECTS[number // 12 % 2]} was {PLAIN[0]}."} for number, row in enumerate(lines)]
    said: list[str] = []
    how = {**HOW, "ridge": None, "hold_out": "prompts", "trunk_epochs": 2}
    fit = pl.reward(rows, tiny, trunk=tmp_path / "trunk", progress=said.append, **how)
    assert not any("nan" in line for line in said if "nats" in line)
    assert sum("all 2 passes are kept" in line for line in said) == 1
    assert fit.as_dict()["trunk"]["passes"] == 2
    assert sum("could be held out" in warning for warning in fit.as_dict()["warnings"]) == 1
