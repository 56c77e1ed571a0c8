"""Rewards on hidden states: items, tokens, heads that transformers scores alike, and what is refused."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from chat_models import LLAMA  # noqa: E402
from tiny_llm import tiny, write_pairs  # noqa: E402, F401

import pluralign as pl  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.data.data_settings import DataSettings  # noqa: E402
from llm.data.tokeniser import Tokeniser  # noqa: E402
from llm.rewards.answered_items import answered  # noqa: E402
from llm.rewards.export import HEAD  # noqa: E402
from llm.rewards.reward_encoder import RewardEncoder  # noqa: E402
from pluralign.__main__ import main  # noqa: E402
from pluralign.api.fits import FitResult  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.preference_files import read_pairs, table_of_rows  # noqa: E402
from sim.fitting.text_features.heads import head_names, head_of  # noqa: E402

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", annotators=12, answers=24)


@pytest.fixture(scope="module")
def personal(tiny, pairs):  # noqa: F811
    return pl.reward(pairs, tiny, method="personal", ridge=0.01)


@pytest.fixture(scope="module")
def types(tiny, pairs):  # noqa: F811
    return pl.reward(pairs, tiny, method="em-dpo", n_types=2, ridge=0.01)


def _logits(folder, texts):
    """By transformers alone, in one padded batch."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**batch).logits[:, 0].numpy()


def test_an_exported_head_scores_as_the_fit_does(personal, pairs, tiny, tmp_path):  # noqa: F811
    table = read_pairs(pairs)
    who = table.annotators[personal.usable.trained[1]]
    folder = pl.export_reward(personal, who, tmp_path / "hers")
    rows = np.flatnonzero(table.annotator == table.annotators.index(who))
    _, tokenizer = load_base(tiny)
    end = tokenizer.eos_token
    sides = [[table.prompts[table.prompt[r]] + table.items[side[r]] + end for r in rows]
             for side in (table.chosen, table.rejected)]  # fmt: skip
    logits = _logits(folder, [*sides[0], *sides[1]])
    gap = logits[: len(rows)] - logits[len(rows) :]
    chance = personal.predict(table.select(rows)).value
    assert np.abs(gap).max() > 0.5
    assert gap == pytest.approx(np.log(chance) - np.log1p(-chance), rel=1e-3, abs=2e-3)
    told = json.loads((folder / HEAD).read_text())
    assert told["head"] == who
    assert told["encoder"]["token"] == "last"
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": who}


def test_types_are_found_and_exported(types, pairs, tmp_path):
    table = read_pairs(pairs)
    assert sorted(types.mixture) == pytest.approx([1 / 3, 2 / 3], abs=0.12)
    heads = [head_of(types.usable, f"type_{k}") for k in (1, 2)]
    first, second = (head.weight / np.linalg.norm(head.weight) for head in heads)
    assert first @ second < 0, "the tastes are opposed"
    folder = pl.export_reward(types, "type_2", tmp_path / "second")
    text = table.prompts[0] + table.items[0]
    encoder = types.usable.text.made.encoder
    label = json.dumps({"prompt": table.prompts[0], "response": table.items[0]})
    hidden = encoder.encode([label])[0]
    assert _logits(folder, [text + load_base(encoder.place)[1].eos_token])[0] == pytest.approx(
        hidden @ heads[1].weight, rel=1e-5, abs=1e-4
    )


def test_a_head_is_linear_and_its_constant_is_what_the_mean_item_scores(personal):
    usable = personal.usable
    head = head_of(usable, usable.annotators[usable.trained[0]])
    label = json.dumps({"prompt": "The film", "response": " was great."})
    own = usable.text.made.encoder.encode([label])[0] @ head.weight - head.constant
    assert own == pytest.approx(usable.score_items([label], head.name)[0], abs=1e-6)


def test_a_saved_reward_predicts_the_same_and_takes_new_annotators(personal, pairs, tmp_path):
    table = read_pairs(pairs)
    personal.save(tmp_path / "fit")
    read = pl.load_fit(tmp_path / "fit")
    rows = np.isin(table.annotator, personal.usable.trained)
    assert read.predict(table.select(rows)).value == pytest.approx(personal.predict(table.select(rows)).value)
    new = table.select(table.annotator == 2)
    named = replace(new, annotators=tuple(f"new-{name}" for name in new.annotators))
    before, after = read.predict(named).value, read.assign(named).predict(named).value
    assert np.log(after).mean() > np.log(before).mean()


def test_another_base_is_refused(personal, pairs, tiny, tmp_path, monkeypatch):  # noqa: F811
    personal.save(tmp_path / "fit")
    read = pl.load_fit(tmp_path / "fit")
    moved = tmp_path / "model"
    shutil.copytree(tiny, moved)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    read.usable.text.made.encoder.place = str(moved)
    # What was encoded before is known by its content, and needs no model.
    assert len(read.predict(pairs).value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="is not the one that this fit was made with"):
        read.predict(pairs)


def _tokens(label, place, **options):
    encoder = RewardEncoder(place, **options)
    return encoder.tokens(load_base(place)[1], [label], 512)[0]


@pytest.mark.parametrize("append_end", [True, False])
def test_tokens_are_those_of_training(tiny, pairs, append_end):  # noqa: F811
    table, store = read_pairs(pairs), TokenStore()
    settings = DataSettings(append_end=append_end)
    own = Tokeniser(load_base(tiny)[1], store, 256, settings).pairs(table).pairs
    about = answered(table)
    for row in range(0, len(table), 37):
        for side, theirs in ((own.chosen, about.chosen), (own.rejected, about.rejected)):
            whole = [*store[own.contexts[row]], *store[side[row]]]
            assert _tokens(about.items[theirs[row]], tiny, append_end=append_end) == whole


def test_tokens_of_conversations_are_those_of_training(tiny, tmp_path):  # noqa: F811
    folder = tmp_path / "chat"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(LLAMA)
    ask = [{"role": "user", "content": "The film"}]
    rows = [
        {"prompt": ask, "chosen": "It was great.", "rejected": "It was long.", "annotator_id": "a"},
        {"prompt": ask, "chosen": [{"role": "assistant", "content": "Weak."}],
         "rejected": [{"role": "assistant", "content": "No."}], "annotator_id": "b"},
    ]  # fmt: skip
    for number, row in enumerate(rows):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(row) + "\n")
        table, store = read_pairs(path), TokenStore()
        own = Tokeniser(load_base(folder)[1], store, 256, DataSettings()).pairs(table).pairs
        about = answered(table)
        assert _tokens(about.items[about.chosen[0]], folder) == [*store[own.contexts[0]], *store[own.chosen[0]]]
    plain = read_pairs(write_pairs(tmp_path / "plain.jsonl", annotators=2, answers=2, unseen=0))
    chat, store = answered(plain, True), TokenStore()
    own = Tokeniser(load_base(folder)[1], store, 256, DataSettings(chat=True)).pairs(plain).pairs
    assert _tokens(chat.items[chat.chosen[0]], folder, chat=True) == [*store[own.contexts[0]], *store[own.chosen[0]]]


def test_long_texts_keep_their_end_and_are_counted(tiny):  # noqa: F811
    said = []
    encoder = RewardEncoder(tiny, window=6, progress=said.append)
    tokenizer = load_base(tiny)[1]
    label = json.dumps({"prompt": "The film was long. The cast was great.", "response": " The end was superb."})
    [whole] = RewardEncoder(tiny).tokens(tokenizer, [label], 512)
    [cut] = encoder.tokens(tokenizer, [label], 6)
    assert cut == [whole[0], *whole[-5:]]
    assert said == ["note: 1 prompts with responses are longer than 6 tokens: their ends are read"]


def test_items_are_prompts_with_responses():
    table = read_pairs(EXAMPLES / "text_pairs.jsonl.gz")
    about = answered(table)
    for row in range(len(table)):
        for own, theirs in ((table.chosen, about.chosen), (table.rejected, about.rejected)):
            found = json.loads(about.items[theirs[row]])
            assert found == {"prompt": table.prompts[table.prompt[row]], "response": table.items[own[row]]}
    assert answered(about) is about
    used = {(p, i) for side in (table.chosen, table.rejected) for p, i in zip(table.prompt, side, strict=True)}
    assert len(about.items) == len(used)


def test_items_of_choices_rankings_and_grades(tmp_path):
    rows = [
        {"prompt": "p", "responses": ["a", "b", "c"], "ranking": [2, 1, 3], "annotator_id": "x"},
        {"prompt": "q", "responses": ["a", "d"], "ranking": [1, 2], "annotator_id": "y"},
    ]
    path = tmp_path / "rankings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = read_pairs(path)
    about = answered(table)
    own, theirs = table.offered, about.offered

    def told(table_, items):
        return [json.loads(table_.items[j])["response"] for j in items]

    assert told(about, theirs.taken) == [table.items[j] for j in own.taken]
    assert told(about, theirs.others) == [table.items[j] for j in own.others]
    asked = [json.loads(about.items[j])["prompt"] for j in theirs.others]
    assert asked == [table.prompts[table.prompt[a]] for a in np.repeat(own.answer, np.diff(own.starts))]
    assert sum(json.loads(label)["response"] == "a" for label in about.items) == 2
    grades = [json.dumps({"prompt": "p", "response": text, "score": 1, "annotator_id": "x"}) for text in "ab"]
    path.write_text("\n".join(grades) + "\n")
    with pytest.raises(InputError, match="graded alone"):
        answered(read_pairs(path))


@pytest.mark.parametrize(
    ("row", "chat"),
    [
        # As UltraFeedback writes it: the prompt as a text, and again as the first turn of both.
        ({"prompt": "Tea?", "chosen": [["user", "Tea?"], ["assistant", "Yes."]],
          "rejected": [["user", "Tea?"], ["assistant", "No."]]}, False),
        ({"chosen": "\n\nHuman: Tea?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Tea?\n\nAssistant: No."}, True),
        ({"chosen": "\n\nHuman: Tea?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Tea?\n\nAssistant: No."}, False),
    ],
)  # fmt: skip
def test_other_ways_to_write_a_conversation(row, chat, tiny, tmp_path):  # noqa: F811
    folder = tmp_path / "chat"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(LLAMA)
    told = {
        name: [{"role": role, "content": text} for role, text in value] if isinstance(value, list) else value
        for name, value in row.items()
    }
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**told, "annotator_id": "a"}) + "\n")
    table, store = read_pairs(path), TokenStore()
    own = Tokeniser(load_base(folder)[1], store, 256, DataSettings(chat=chat)).pairs(table).pairs
    about = answered(table, chat)
    assert _tokens(about.items[about.chosen[0]], folder, chat=chat) == [*store[own.contexts[0]], *store[own.chosen[0]]]


def test_clusters_have_heads(tiny, pairs, candidates):  # noqa: F811
    found = pl.reward(pairs, tiny, method="cluster", n_types=2, ridge=0.01)
    usable = found.usable
    assert head_names(usable)[:3] == ("stranger", "type_1", "type_2")
    label = np.asarray(found.table["cluster"])
    for k in (1, 2):
        member = usable.annotators[np.flatnonzero(label == k)[0]]
        assert head_of(usable, f"type_{k}").weight == pytest.approx(head_of(usable, member).weight, rel=1e-4, abs=1e-4)
    assert pl.choose(found, candidates).parties == ("type_1", "type_2")
    # A cluster that nobody was left in keeps one annotator's reward, and would be heard as all others are.
    model, said = usable.model, []
    empty = replace(
        model, departures=np.vstack([model.departures, -9 * model.departures[:1]]), shares=np.append(model.shares, 0.0)
    )
    left = FitResult(replace(usable, model=empty))
    for parties in ("auto", "types"):
        assert pl.choose(left, candidates, parties=parties, progress=said.append).parties == ("type_1", "type_2")
    assert said.count("note: no party: type_3, which nobody is of") == 2
    assert pl.choose(left, candidates, parties=["type_1", "type_3"]).parties == ("type_1", "type_3")


def _called(found, names):
    """The same fit, its first trained annotators under other names; and what these were called."""
    usable, people = found.usable, list(found.usable.annotators)
    places = usable.trained[: len(names)].tolist()
    before = [people[i] for i in places]
    for i, name in zip(places, names, strict=True):
        people[i] = name
    return FitResult(replace(usable, annotators=tuple(people))), before


def test_annotators_may_be_called_as_heads_are(tiny, pairs, candidates, tmp_path):  # noqa: F811
    plain = pl.reward(pairs, tiny, method="cluster", n_types=2, ridge=0.01)
    names = ["stranger", "type_1", "annotator:type_1", "annotator:nobody", "fit:stranger", "type_9"]
    found, before = _called(plain, names)
    heads = head_names(found.usable)
    assert heads[:9] == (
        "fit:stranger", "fit:type_1", "type_2", "annotator:stranger", "annotator:type_1", "annotator:annotator:type_1",
        "annotator:annotator:nobody", "annotator:fit:stranger", "type_9",
    )  # fmt: skip
    assert len(set(heads)) == len(heads) == len(head_names(plain.usable))

    def same(asked, wanted, called):
        own, other = head_of(found.usable, asked), head_of(plain.usable, wanted)
        assert own.name == called
        assert own.weight == pytest.approx(other.weight, abs=1e-9)

    with pytest.raises(InputError, match="reward of 'stranger' is a mixture of types"):
        head_of(found.usable, "fit:stranger")
    same("fit:type_1", "type_1", "fit:type_1")
    same("fit:type_2", "type_2", "type_2")
    for name, wanted, called in zip(names, before, heads[3:9], strict=True):
        same(called, wanted, called)
        same(f"annotator:{name}", before[1] if f"annotator:{name}" == "annotator:type_1" else wanted, called)
    same("annotator:nobody", before[3], "annotator:annotator:nobody")
    for name in ("stranger", "type_1"):
        with pytest.raises(InputError, match=f"'{name}' is a head of the fit's own, .* fit:{name} or annotator:{name}"):
            head_of(found.usable, name)
    for name in ("annotator:type_2", f"fit:{heads[9]}"):
        with pytest.raises(InputError, match=f"has no head called '{name}'"):
            head_of(found.usable, name)
    folder = pl.export_reward(found, "annotator:type_1", tmp_path / "hers")
    assert json.loads((folder / HEAD).read_text())["head"] == "annotator:type_1"
    assert pl.choose(found, candidates).parties == ("fit:type_1", "type_2")
    assert pl.choose(found, candidates, parties="annotators").parties == heads[3:]


def test_somebody_may_be_called_stranger_or_none(personal):
    found, before = _called(personal, ["stranger"])
    hers, nobodys = (head_of(found.usable, f"{kind}:stranger").weight for kind in ("annotator", "fit"))
    assert hers == pytest.approx(head_of(personal.usable, before[0]).weight, abs=1e-9)
    assert nobodys == pytest.approx(head_of(personal.usable, "stranger").weight, abs=1e-9)
    assert np.abs(hers - nobodys).max() > 1e-3
    found, before = _called(personal, ["None"])
    item = [json.dumps({"prompt": "The film", "response": " was great."})] * 2
    hers, nobodys = found.usable.score_items(item, ["None", None])
    assert hers == pytest.approx(personal.usable.score_items(item, before[0])[0])
    assert nobodys == pytest.approx(personal.usable.score_items(item)[0])
    assert hers != nobodys


def test_what_is_refused(personal, types, tiny, pairs, tmp_path):  # noqa: F811
    with pytest.raises(InputError, match="has no head called 'type_3'; give one of stranger, type_1, type_2"):
        head_of(types.usable, "type_3")
    assert head_names(types.usable)[:3] == ("stranger", "type_1", "type_2")
    with pytest.raises(InputError, match="reward of 'stranger' is a mixture of types"):
        head_of(types.usable, "stranger")
    words = pl.fit(EXAMPLES / "text_pairs.jsonl.gz", method="dpo", features="words", ridge=0.1)
    with pytest.raises(InputError, match="is no fit of `pluralign llm reward`"):
        head_of(words.usable, "stranger")
    with pytest.raises(InputError, match="exists already"):
        pl.export_reward(personal, "stranger", tmp_path)
    with pytest.raises(InputError, match="is a list of numbers"):
        pl.reward(_vectors(tmp_path), tiny)
    with pytest.raises(InputError, match="no chat template"):
        pl.reward(pairs, tiny, method="pooled", chat=True)


def _vectors(folder):
    path = folder / "vectors.jsonl"
    row = {"prompt": "p", "chosen": [1.0, 2.0], "rejected": [0.0, 1.0], "annotator_id": "a"}
    path.write_text(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a model and data, or a finished fit; give --model and --data, or --fit"),
        (["--model", "MODEL", "--data", "PAIRS", "--export", "type_1"], "--export type_1: expected HEAD=FOLDER"),
        (["--model", "MODEL", "--data", "PAIRS", "--export", "type_1=OUT2", "--export", "type_2=OUT2"],
         "is asked for twice"),
        (["--model", "MODEL", "--data", "PAIRS", "--fit", "OUT"], "give --model and --data, or --fit"),
        (["--model", "MODEL", "--data", "PAIRS", "--method", "em-dpo", "--types", "2", "--ridge", "0.01",
          "--export", "type_9=OUT2"], "has no head called 'type_9'"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_writes_nothing(arguments, message, tiny, pairs, tmp_path, monkeypatch, capsys):  # noqa: F811
    places = {"MODEL": str(tiny), "PAIRS": str(pairs), "OUT": str(tmp_path / "out")}
    given = [places.get(word, word.replace("OUT2", str(tmp_path / "two"))) for word in arguments]
    monkeypatch.setattr(sys, "argv", ["pluralign", "llm", "reward", *given, "--out", str(tmp_path / "fit")])
    assert main() == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_the_command_fits_exports_and_uses_a_finished_fit(tiny, pairs, tmp_path, monkeypatch, capsys):  # noqa: F811
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, arguments)])
        assert main() == 0
        return capsys.readouterr().out

    out = tmp_path / "fit"
    told = run("llm", "reward", "--model", tiny, "--data", pairs, "--method", "pooled", "--ridge", "0.01", "--out", out)
    assert "held out: what the column `split` says" in told
    run("llm", "reward", "--fit", out, "--export", f"stranger={tmp_path / 'head'}")
    assert (tmp_path / "head" / "model.safetensors").is_file()
    rows = json.loads(run("predict", out, pairs, "--json"))["predictions"]
    assert len(rows) == len(read_pairs(pairs))


@pytest.fixture(scope="module")
def candidates(tmp_path_factory):
    path = tmp_path_factory.mktemp("candidates") / "candidates.jsonl"
    rows = [
        {"prompt": "The plot was new.", "responses": [" The cast was great.", " The end was weak.", " It was long."]},
        {"prompt": "Her role was old.", "responses": [" The film was awful.", " The film was superb."]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rewards_of_candidates_are_those_of_the_heads(types, candidates):
    found = pl.choose(types, candidates, "utilitarian")
    assert found.parties == ("type_1", "type_2")
    for number, prompt in enumerate(found.candidates.prompts):
        for place, response in enumerate(found.candidates.responses[number]):
            label = json.dumps({"prompt": prompt, "response": response}, ensure_ascii=False)
            hidden = types.usable.text.made.encoder.encode([label])[0]
            for party, name in enumerate(found.parties):
                head = head_of(types.usable, name)
                reward = hidden @ head.weight - head.constant
                assert found.rewards[number][party, place] == pytest.approx(reward, abs=1e-3)
    sums = [table.sum(axis=0) - table.min(axis=1).sum() for table in found.rewards]
    assert [row["choice"] for row in found.rows] == [int(total.argmax()) for total in sums]


def test_opposed_types_want_opposite_responses(types, candidates):
    alone = [pl.choose(types, candidates, parties=name) for name in ("type_1", "type_2")]
    # Of a good and a bad response each type takes another one.
    assert {found.rows[1]["choice"] for found in alone} == {0, 1}
    lottery = pl.choose(types, candidates, "leximin", lottery=True).rows[1]["lottery"]
    assert lottery == pytest.approx([0.5, 0.5], abs=0.25)


def test_certificates_come_along(personal, types, candidates):
    told = pl.choose(personal, candidates, "pool", mechanism=True).as_dict()
    assert json.dumps(told, allow_nan=False)
    assert set(told["mechanism"]) == {"costs", "misreport_gain_at_most", "best_misreport_gain"}
    assert sum(told["mechanism"]["costs"].values()) == pytest.approx(sum(sum(r["costs"]) for r in told["choices"]))
    assert max(told["mechanism"]["best_misreport_gain"].values()) < 1e-8
    nash = pl.choose(types, candidates, "nash", lottery=True)
    told = nash.as_dict()
    assert told["certificates"]["one_over_m"] == told["certificates"]["pareto_efficient"] == 1.0
    assert told["certificates"]["optimality_gap"] < 1e-6
    for row, table in zip(told["choices"], nash.rewards, strict=True):
        gains = table - table.min(axis=1, keepdims=True)
        assert row["share_of_maximum"] == pytest.approx(gains @ row["lottery"] / gains.max(axis=1))
    assert "Pareto efficient among lotteries: 100%; smallest share" in str(nash)
    assert pl.choose(types, candidates, "nash", lottery=False, parties="type_1").axioms == {"scales": 1.0, "zeros": 1.0}
    assert "no lies gain more than" in str(pl.choose(types, candidates, "pool", mechanism=True))


def test_choosing_from_the_command_line(personal, candidates, tmp_path, monkeypatch, capsys):
    personal.save(tmp_path / "fit")
    out = tmp_path / "chosen.jsonl"
    line = ["pluralign", "llm", "choose", str(tmp_path / "fit"), str(candidates), "--rule", "pool", "--mechanism"]
    monkeypatch.setattr(sys, "argv", [*line, "--out", str(out), "--json"])
    assert main() == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["parties"]) == len(told["choices"][0]["costs"]) == 12
    assert [json.loads(text) for text in out.read_text().splitlines()] == told["choices"]
    assert told["choices"] == pl.choose(personal, candidates, "pool", mechanism=True).as_dict()["choices"]
    monkeypatch.setattr(sys, "argv", [*line, "--party", "nobody"])
    assert main() == 2
    assert "has no head called 'nobody'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def newcomers(pairs, tmp_path_factory):
    """Answers of two under names that the fit does not know, and of one of its own under hers, each the opposite."""
    rows = [json.loads(line) for line in Path(pairs).read_text().splitlines()]
    called = {"a2": "zoe", "a3": "yan", "a4": "a1"}
    told = [
        {"prompt": row["prompt"], "chosen": row["rejected"], "rejected": row["chosen"],
         "annotator_id": called[row["annotator_id"]]}
        for row in rows if row["annotator_id"] in called
    ]  # fmt: skip
    return _written(tmp_path_factory.mktemp("new") / "new.jsonl", told)


def test_newcomers_have_heads_beside_the_people_of_the_fit(personal, newcomers, candidates):
    """A head is what the fit predicts by, whoever knows the annotator: the fit, or the one that heard her since."""
    later = personal.assign(newcomers)
    own = [personal.usable.annotators[i] for i in personal.usable.trained]
    found = pl.choose(later, candidates, "utilitarian")
    assert found.parties == (*own, "yan", "zoe")
    asked, responses = found.candidates.prompts[0], found.candidates.responses[0]
    labels = [json.dumps({"prompt": asked, "response": response}, ensure_ascii=False) for response in responses]
    for party, name in enumerate(found.parties):
        knows = later if name in later.annotators else personal
        assert found.rewards[0][party] == pytest.approx(knows.score_items(labels, name), abs=1e-5)
    before = pl.choose(personal, candidates, "utilitarian").rewards[0]
    same = np.abs(found.rewards[0][: len(own)] - before).max(axis=1) < 1e-9
    assert [name for name, stays in zip(own, same, strict=True) if not stays] == ["a1"]
    more = pl.choose(later.assign([{"prompt": asked, "chosen": responses[0], "rejected": responses[1],
                                    "annotator_id": "xu"}]), candidates, "utilitarian")  # fmt: skip
    assert more.parties == (*found.parties, "xu")
    assert np.array_equal(more.rewards[0][:-1], found.rewards[0])


def test_commands_hear_newcomers(personal, types, newcomers, candidates, tmp_path, monkeypatch, capsys):
    """What they choose and export is what Python does; where nobody would hear them that is said."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pluralign", "llm", *map(str, arguments)])
        return main()

    for name, fit in (("personal", personal), ("types", types)):
        fit.save(tmp_path / name)
    heard = ["--answers", newcomers]
    assert run("choose", tmp_path / "personal", candidates, *heard, "--party", "zoe", "--party", "a3", "--json") == 0
    told, later = json.loads(capsys.readouterr().out), personal.assign(newcomers)
    assert told == pl.choose(later, candidates, parties=["zoe", "a3"]).as_dict()
    folder = tmp_path / "hers"
    assert run("reward", "--fit", tmp_path / "personal", *heard, "--export", f"zoe={folder}") == 0
    wanted = pl.export_reward(later, "zoe", tmp_path / "same")
    assert (folder / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()
    assert json.loads((folder / HEAD).read_text())["head"] == "zoe"
    capsys.readouterr()
    for line, message in (
        (["choose", tmp_path / "types", candidates], "--answers: who gave them, as 'a1', is no party; give --party"),
        (["choose", tmp_path / "personal", candidates, "--party", "a3"], "--answers: who gave them, as 'a1', is no"),
        (["reward", "--fit", tmp_path / "personal"], "--answers: belong to heads that a finished fit exports; give"),
        (["reward", "--model", "m", "--data", "d", "--export", "a=b"], "--answers: belong to heads that a finished"),
        (["choose", tmp_path / "personal", candidates, "--out", newcomers], "is read, and would be written over"),
    ):
        assert run(*line, *heard) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]


def _written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_candidates_of_other_prompts_are_told_and_known_ones_counted(types, candidates, pairs, tmp_path):
    table, said = read_pairs(pairs), []
    known = [{"prompt": table.prompts[0], "responses": [" It was great.", " It was weak."]}]
    found = pl.choose(types, _written(tmp_path / "c.jsonl", [*known, {**known[0], "prompt": "Never asked."}]),
                      progress=said.append)  # fmt: skip
    assert found.known_prompts == found.as_dict()["known_prompts"] == 1
    assert "note: 1 of 2 prompts are not among those the fit was made of" in said
    assert "1 prompts are not among those the fit was made of" in str(found)
    assert pl.choose(types, _written(tmp_path / "d.jsonl", known)).known_prompts == 1
    types.save(tmp_path / "fit")
    assert pl.choose(pl.load_fit(tmp_path / "fit"), tmp_path / "d.jsonl").known_prompts == 1


@pytest.mark.parametrize(
    ("rows", "opinions", "more", "message"),
    [
        ([{"prompt": [{"role": "user", "content": "The plot?"}], "responses": ["Good.", "Bad."]}], None, [],
         "c.jsonl, row 1, field 'prompt': is written as messages, and the fit's answers as texts; write candidates as"),
        ([{"prompt": "The plot", "responses": ["Good.", [{"role": "assistant", "content": "Bad."}]]}], None, [],
         "is written as messages, and the fit's answers as texts"),
        (None, None, ["--party", "a99"], "has no head called 'a99'; give one of stranger, type_1, type_2"),
        (None, [{"annotator_id": "x", "prompt_id": "p", "candidates": ["a", "z"], "probs": [0.5, 0.5]}],
         ["--rule", "pool"], "o.jsonl: opinions on prompt 'p' are over 'z', which is not among the candidates"),
        (None, [{"annotator_id": "x", "prompt_id": "p", "candidates": ["a", "b"], "probs": [0.5, 0.5]}], [],
         "--opinions: belong to rule pool"),
        (None, None, ["--rule", "pool", "--pessimistic"], "--pessimistic: belongs to aggregate and welfare functions"),
    ],
)  # fmt: skip
def test_what_choosing_refuses_is_one_line(rows, opinions, more, message, types, tmp_path, monkeypatch, capsys):
    types.save(tmp_path / "fit")
    place = _written(tmp_path / "c.jsonl", rows or [{"prompt": "p", "responses": ["a", "b"]}])
    told = ["--opinions", _written(tmp_path / "o.jsonl", opinions)] if opinions else []
    before = set(tmp_path.iterdir())
    monkeypatch.setattr(sys, "argv", ["pluralign", "llm", "choose", str(tmp_path / "fit"), place, *more, *told,
                                      "--out", str(tmp_path / "out.jsonl")])  # fmt: skip
    assert main() == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in last
    assert set(tmp_path.iterdir()) == before


def test_a_reward_at_another_layer_is_refused(types, candidates, tmp_path, monkeypatch):
    """What says how states were made is part of what they are known by, a layer of another version too."""
    types.save(tmp_path / "fit")
    read = pl.load_fit(tmp_path / "fit")
    encoder = read.usable.text.made.encoder
    encoder.identity = {**encoder.identity, "layer": 3}
    with pytest.raises(InputError, match=r"is not the one that this fit was made with \(other layer\)"):
        pl.choose(read, candidates)


def test_annotators_without_features_are_refused(tiny, pairs, tmp_path):  # noqa: F811
    rows = [json.loads(line) for line in Path(pairs).read_text().splitlines()]
    told = [{**row, "annotator_features": [1.0, float(row["annotator_id"][1:])]} for row in rows]
    told = [{**row, "annotator_features": None} if row["annotator_id"] == "a4" else row for row in told]
    with pytest.raises(InputError, match="annotator a4 has no features, and others have"):
        pl.reward(_written(tmp_path / "p.jsonl", told), tiny, method="low-rank", n_types=1)


def test_opinions_of_people_are_pooled_beside_those_of_heads(types, candidates):
    asked = [json.loads(line) for line in candidates.read_text().splitlines()]
    opinions = [
        {"annotator_id": "me", "prompt_id": row["prompt"], "candidates": row["responses"][::-1],
         "probs": [0.9] + [0.1 / (len(row["responses"]) - 1)] * (len(row["responses"]) - 1)}
        for row in asked
    ]  # fmt: skip
    found = pl.choose(types, candidates, "pool", alpha=1.0, lottery=True, opinions=opinions)
    assert found.parties == ("type_1", "type_2", "me")
    heads = pl.choose(types, candidates, "pool", alpha=1.0, lottery=True)
    for own, other in zip(found.choices, heads.choices, strict=True):
        n = len(own.lottery)
        mine = np.full(n, 0.1 / (n - 1))
        mine[-1] = 0.9
        assert own.lottery == pytest.approx((2 * other.lottery + mine) / 3, abs=1e-6)


def test_a_candidate_that_none_of_the_people_want_has_the_chance_that_heads_give_it(types):
    asked = [{"prompt": "The film", "responses": [" was great.", " was awful.", " was long."]}]
    told = [{"annotator_id": "me", "prompt_id": "The film", "candidates": asked[0]["responses"], "probs": [1, 0, 0]}]
    found = pl.choose(types, asked, "pool", alpha=1.0, lottery=True, opinions=told).choices[0].lottery
    heads = pl.choose(types, asked, "pool", alpha=1.0, lottery=True).choices[0].lottery
    assert found == pytest.approx((2 * heads + [1, 0, 0]) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("parties", "message"),
    [
        (["type_1", "type_1"], "parties: 'type_1' is given twice, and would count twice; give each head once"),
        (["type_1", "type_2", "fit:type_2"], "parties: 'type_2' is given twice"),
        ([], "parties: expected a head at least, got none; give types, annotators, or names of heads"),
    ],
)
def test_each_party_counts_once(parties, message, types, candidates):
    with pytest.raises(InputError, match=message):
        pl.choose(types, candidates, parties=parties)


@pytest.mark.parametrize("missing", ["answered_items", "reward_encoder", "export"])
def test_a_missing_package_is_one_line(missing, personal, pairs, tiny, candidates, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, f"llm.rewards.{missing}", None)
    calls = {
        "answered_items": lambda: personal.predict(pairs),
        "reward_encoder": lambda: pl.choose(personal, candidates),
        "export": lambda: pl.export_reward(personal, "stranger", tmp_path / "head"),
    }
    with pytest.raises(InputError, match="a reward on a language model needs"):
        calls[missing]()
    if missing != "export":
        with pytest.raises(InputError, match="a reward on a language model needs"):
            pl.reward(pairs, tiny)


def test_pessimistic_choices_know_how_sure_the_fit_is(types, personal, pairs, candidates, tmp_path):
    types.save(tmp_path / "fit")
    read = pl.load_fit(tmp_path / "fit")
    fresh, again = (
        pl.choose(fit, candidates, "leximin", lottery=True, pessimistic=True).as_dict() for fit in (types, read)
    )
    assert fresh == again
    assert fresh["radius"] == 1.645
    plain = pl.choose(read, candidates, "leximin", lottery=True)
    surer = pl.choose(read, candidates, "leximin", lottery=True, pessimistic=True, radius=0.0)
    for one, other in zip(plain.choices, surer.choices, strict=True):
        assert one.lottery == pytest.approx(other.lottery, abs=2e-3)
    # A bound is what the head says of the features less so many standard errors.
    sure = pl.choose(personal, candidates, "utilitarian", pessimistic=True, radius=0.5)
    for table, own in zip(sure.rewards, sure.choices, strict=True):
        counted = table - table.mean(axis=1, keepdims=True)
        assert (own.bounds <= counted + 1e-6).all()
    half = sure.choices[0]
    whole = pl.choose(personal, candidates, "utilitarian", pessimistic=True, radius=1.0).choices[0]
    counted = sure.rewards[0] - sure.rewards[0].mean(axis=1, keepdims=True)
    assert counted - whole.bounds == pytest.approx(2 * (counted - half.bounds), rel=1e-4, abs=1e-4)
    table = read_pairs(pairs)
    new = table.select(table.annotator == 2)
    later = personal.assign(replace(new, annotators=tuple(f"new-{name}" for name in new.annotators)))
    with pytest.raises(InputError, match=f"later, as '{later.annotators[0]}'; fit again, with their answers"):
        pl.choose(later, candidates, pessimistic=True, parties="annotators")
    # Of the fit's own annotators it says what it said before.
    own = personal.usable.annotators[personal.usable.trained[1]]
    before, after = (pl.choose(fit, candidates, "nash", parties=own, pessimistic=True) for fit in (personal, later))
    assert before.choices[0].bounds.tolist() == after.choices[0].bounds.tolist()
    ranked = [{"prompt": "The film", "responses": [" was great.", " was awful."], "ranking": [1, 2],
               "annotator_id": personal.usable.annotators[0]}] * 3  # fmt: skip
    assert personal.assign(table_of_rows(ranked, "ranked")).usable.errors is None, "they are of others of that name"


@pytest.mark.parametrize("kind", ["ties", "strengths", "rankings", "grades"])
def test_errors_of_rewards_from_contexts_are_of_plain_pairs(kind, tiny, pairs, candidates):  # noqa: F811
    """And what is said to do instead of --pessimistic on a low-rank fit leads somewhere."""
    rows = []
    for number, line in enumerate(Path(pairs).read_text().splitlines()):
        row = json.loads(line)
        if row["split"] == "unseen":
            continue
        row["annotator_features"] = [1.0 if row["group_id"] == "good" else -1.0, float(row["annotator_id"][1:])]
        both = [row["chosen"], row["rejected"]]
        if kind == "ties":
            row["tie"] = number % 5 == 0
        elif kind == "strengths":
            row["strength"] = 1 + number % 2
        else:
            told = {"responses": both, "ranking": [1, 2]} if kind == "rankings" else {
                "responses": both, "scores": [4, 1 + number % 2]}  # fmt: skip
            row = {key: row[key] for key in ("prompt", "annotator_id", "annotator_features")} | told
        rows.append(row)
    found = pl.reward(rows, tiny, method="low-rank", n_types=1, ridge=0.1)
    with pytest.raises(InputError, match="low-rank that is known from plain pairs, and the answers are") as refused:
        pl.choose(found, candidates, pessimistic=True)
    (_, advice), plain = str(refused.value).split("; fit again, by "), {"pooled", "personal", "shared", "em-dpo"}
    assert plain <= set(advice.replace(" or ", ", ").split(", "))
    assert "low-rank" not in advice
    instead = pl.reward([{key: v for key, v in row.items() if key != "annotator_features"} for row in rows], tiny,
                        method="personal", ridge=0.1)  # fmt: skip
    assert pl.choose(instead, candidates, pessimistic=True).choices[0].bounds is not None


def test_baselines_stand_beside_and_choose(pairs, tiny):  # noqa: F811
    """Prototypes are heads; MaxMin-RLHF's policy gives the worse-off of two parties no less than another does."""
    found = pl.reward(pairs, tiny, method="pal", n_types=2, ridge=1.0, restarts=1, beside=("vpl", "maxmin-rlhf"))
    assert {"vpl", "maxmin-rlhf", "shared"} <= set(found.as_dict()["baselines"])
    assert {"stranger", "type_1", "type_2"} <= set(head_names(found.usable))
    with pytest.raises(InputError, match="how sure it is of its rewards; fit again, by pooled, personal, shared"):
        pl.choose(found, [{"prompt": "The film", "responses": [" was great.", " was awful."]}], pessimistic=True)
    rows = [{"prompt": "The film was", "responses": [" great.", " awful.", " long."]},
            {"prompt": "The cast was", "responses": [" fine.", " dull."]}]  # fmt: skip
    chosen = {rule: pl.choose(found, rows, rule, beta=0.5) for rule in ("max-min", "aggregate")}
    worst = {}
    for rule, own in chosen.items():
        gain = np.mean([(table - table.mean(axis=1, keepdims=True)) @ c.lottery
                        for table, c in zip(own.rewards, own.choices, strict=True)], axis=0)  # fmt: skip
        kl = np.mean([(c.lottery * np.log(c.lottery * len(c.lottery))).sum() for c in own.choices])
        worst[rule] = gain.min() - 0.5 * kl
    assert worst["max-min"] >= worst["aggregate"] - 1e-6
    assert "lottery" in chosen["max-min"].rows[0]


def test_heads_that_are_distances(pairs, tiny, tmp_path, monkeypatch):  # noqa: F811
    """They score states as the fit scores texts, choose, and are no last layer."""
    monkeypatch.setattr("sim.fitting.methods.pal_distance.PALDistance.beside", ("pooled",))
    usable = (found := pl.reward(pairs, tiny, method="pal-distance", n_types=2, ridge=0.3, restarts=1)).usable
    texts = answered(read_pairs(pairs), False).items[:6]
    states = usable.text.made.encoder.encode(list(texts))
    for name in ("stranger", usable.annotators[usable.trained[0]]):
        head, who = head_of(usable, name), None if name == "stranger" else name
        assert np.ptp(head.rewards(states) - states @ head.weight) > 1e-3
        assert head.rewards(states) == pytest.approx(usable.score_items(list(texts), who), abs=1e-6)
    types = np.stack([head_of(usable, f"type_{k}").rewards(states) for k in (1, 2)])
    stranger = head_of(usable, "stranger").rewards(states)
    assert usable.method.shares(usable.model) @ types == pytest.approx(stranger, abs=1e-6)
    rows = [{"prompt": "The film was", "responses": [" great.", " awful.", " long."]}]
    assert pl.choose(found, rows, "max-min", beta=0.5).rewards[0].shape == (2, 3)
    with pytest.raises(InputError, match="are distances, and no last layer gives them"):
        pl.export_reward(found, "type_1", tmp_path / "head")


def test_a_head_is_not_put_on_another_model(tiny, pairs, tmp_path):  # noqa: F811
    place = tmp_path / "base"
    shutil.copytree(tiny, place)
    fit = pl.reward(pairs, place, method="personal", ridge=0.01)
    fit.save(tmp_path / "fit")
    model, tokenizer = load_base(place)
    with torch.no_grad():
        next(iter(model.parameters())).mul_(1.5)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    for own in (fit, pl.load_fit(tmp_path / "fit")):
        with pytest.raises(InputError, match=r"not the one that this fit was made with \(other model"):
            pl.export_reward(own, "stranger", tmp_path / "head")
    assert not (tmp_path / "head").exists()
