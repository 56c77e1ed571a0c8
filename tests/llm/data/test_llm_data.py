"""Preference files of texts: tokens, splits, and one clear error for each mistake."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from chat_models import chat_tokenizer
from tiny_llm import open_tiny, tiny, write_pairs  # noqa: F401

from llm.base.tokens import TokenStore
from llm.data.answer_texts import require_text
from llm.data.preference_text import DataSettings, load_preferences
from llm.data.tokeniser import Tokeniser
from llm.rewards.answered_items import answered
from sim.errors import InputError
from sim.files.preference_files import read_pairs
from sim.streams import Stream

ROW = {"prompt": "The film", "chosen": " was great.", "rejected": " was awful.", "annotator_id": "a"}


def _write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _load(tiny, path, **settings):  # noqa: F811
    base, tokenizer = open_tiny(tiny)
    data = load_preferences(DataSettings(train=str(path), **settings), tokenizer, base.store, 64, Stream(0))
    return data, base, tokenizer


def test_tokens_are_the_texts(tiny, tmp_path):  # noqa: F811
    path = _write(tmp_path / "p.jsonl", [ROW, {**ROW, "annotator_id": "b"}])
    data, base, tokenizer = _load(tiny, path, unseen=0.0, held_out=0.0)
    pairs = data.train.pairs
    assert tokenizer.decode(base.store[pairs.contexts[0]], skip_special_tokens=True) == "The film"
    assert tokenizer.decode(base.store[pairs.chosen[0]], skip_special_tokens=True) == " was great."
    assert base.store[pairs.contexts[0]][0] == tokenizer.bos_token_id
    assert base.store[pairs.chosen[0]][-1] == tokenizer.eos_token_id
    data, base, _ = _load(tiny, path, unseen=0.0, held_out=0.0, append_end=False)
    assert base.store[data.train.pairs.chosen[0]][-1] != tokenizer.eos_token_id


def test_a_prompt_repeated_in_the_response_is_taken_off(tiny, tmp_path):  # noqa: F811
    repeated = {**ROW, "chosen": "The film was great.", "rejected": "The film was awful."}
    plain, base, _tokenizer = _load(tiny, _write(tmp_path / "a.jsonl", [ROW]), unseen=0.0, held_out=0.0)
    joint, other, _ = _load(tiny, _write(tmp_path / "b.jsonl", [repeated]), unseen=0.0, held_out=0.0)
    assert (base.store[plain.train.pairs.chosen[0]] == other.store[joint.train.pairs.chosen[0]]).all()


def test_splits(tiny, tmp_path):  # noqa: F811
    path = write_pairs(tmp_path / "p.jsonl")
    data, _, _ = _load(tiny, path, held_out=0.2)
    assert len(data.train.annotators) == 12
    assert len(data.unseen.annotators) == 6
    assert data.train.annotators == data.held_out.annotators
    trained = set(data.train.pairs.contexts)
    assert set(data.held_out.pairs.contexts) <= trained, (
        "a held-out answer is about a prompt nobody answers in training"
    )
    assert len(data.new_prompts)
    assert not set(data.new_prompts.pairs.contexts) & trained, "a new prompt was trained on"
    assert 0.1 < len(data.held_out) / (len(data.train) + len(data.held_out)) < 0.35
    assert not set(data.train.annotators) & set(data.unseen.annotators)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        del row["split"]
    data, _, _ = _load(tiny, _write(tmp_path / "q.jsonl", rows), unseen=0.25)
    assert len(data.unseen.annotators) == 4
    assert not set(data.train.annotators) & set(data.unseen.annotators)


def test_two_files_and_shared_annotators(tiny, tmp_path):  # noqa: F811
    first = _write(tmp_path / "a.jsonl", [ROW, {**ROW, "annotator_id": "b"}])
    second = _write(tmp_path / "b.jsonl", [{**ROW, "annotator_id": "b"}, {**ROW, "annotator_id": "c"}])
    with pytest.raises(InputError, match=r"1 annotators .* \(the first is b\)"):
        _load(tiny, first, test=str(second))
    data, _, _ = _load(tiny, first, test=str(second), same_annotators=True)
    assert data.unseen.annotators == ("b", "c")


def test_a_split_is_kept_to_where_another_file_is_judged_on(tiny, tmp_path):  # noqa: F811
    """Rows marked unseen or test were trained on where `test` was given, and nothing said so."""

    def rows(names, split, n=4):
        return [{**ROW, "prompt": f"The {name} {j}", "annotator_id": name, "split": split}
                for name in names for j in range(n)]  # fmt: skip

    marked = [*rows(("a", "b"), "train"), *rows(("b",), "test", 2), *rows(("c", "d"), "unseen")]
    path = _write(tmp_path / "p.jsonl", marked)
    # People who are set apart in the one file may be those of the other.
    other = _write(tmp_path / "q.jsonl", rows(("c", "e"), "train"))
    data, _, _ = _load(tiny, path, test=str(other), held_out=0.0, new_prompts=0.0)
    assert (data.train.annotators, len(data.train)) == (("a", "b"), 8)
    assert (data.unseen.annotators, len(data.unseen)) == (("c", "e"), 8)
    assert len(data.known_test) == 2
    assert [note for note in data.notes if "split" in note] == [
        f"10 answers in {path} have split test or unseen: they are not trained on, and policies are judged on {other}"
    ]
    alone, _, _ = _load(tiny, path, held_out=0.0, new_prompts=0.0)
    assert (alone.train.annotators, alone.unseen.annotators) == (("a", "b"), ("c", "d"))
    assert not any("split" in note for note in alone.notes)
    # Whoever has a row that is trained on is refused as ever.
    with pytest.raises(InputError, match=r"1 annotators .* \(the first is b\)"):
        _load(tiny, path, test=str(_write(tmp_path / "r.jsonl", rows(("b", "e"), "train"))))


def test_an_annotator_with_one_answer_is_kept_and_said(tiny, tmp_path):  # noqa: F811
    rows = [{**ROW, "prompt": f"The film {j}", "annotator_id": "many"} for j in range(10)] + [
        {**ROW, "annotator_id": "one"}
    ]
    data, _, _ = _load(tiny, _write(tmp_path / "p.jsonl", rows), unseen=0.0, held_out=0.5)
    assert "1 annotators have a single answer" in data.notes[0]
    assert (data.train.pairs.annotator == data.train.annotators.index("one")).sum() == 1


def test_saved_datasets_and_aliases(tiny, tmp_path):  # noqa: F811
    datasets = pytest.importorskip("datasets")
    rows = [{"context": r["prompt"], "chosen": r["chosen"], "rejected": r["rejected"], "user_id": f"u{j}"}
            for j, r in enumerate([ROW] * 3)]  # fmt: skip
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    data, _, _ = _load(tiny, tmp_path / "saved", unseen=0.0, held_out=0.0)
    assert data.train.annotators == ("u0", "u1", "u2")
    both = dict.fromkeys(("train", "test"), datasets.Dataset.from_list(rows))
    datasets.DatasetDict(both).save_to_disk(str(tmp_path / "both"))
    with pytest.raises(InputError, match="several splits"):
        read_pairs(tmp_path / "both")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": "['great', 'good']"}, "row 2, field 'chosen': is a list written as text"),
        ({"rejected": "   "}, "row 2, field 'rejected': the response is empty"),
        ({"chosen": " was great." * 40}, "row 2, field 'chosen': the response has"),
        ({"chosen": [0.1, 0.2], "rejected": [0.3, 0.1]}, "row 2, field 'chosen'"),
        ({"chosen": 3}, "chosen is int and rejected is str"),
        ({"annotator_id": float("nan")}, "row 2, field 'annotator_id': expected a name"),
    ],
)
def test_mistakes_are_named(tiny, tmp_path, change, message):  # noqa: F811
    path = _write(tmp_path / "p.jsonl", [ROW, {**ROW, **change}])
    with pytest.raises(InputError) as error:
        _load(tiny, path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_features_are_no_texts(tmp_path):
    path = _write(tmp_path / "p.jsonl", [{**ROW, "chosen": [0.1, 0.2], "rejected": [0.3, 0.1]}])
    with pytest.raises(InputError, match="is a list of numbers"):
        require_text(read_pairs(path))


@pytest.mark.parametrize(("too_long", "kept"), [("drop", 1), ("truncate", 2)])
def test_long_responses_are_dropped_or_cut_when_asked(tiny, tmp_path, too_long, kept):  # noqa: F811
    path = _write(tmp_path / "p.jsonl", [ROW, {**ROW, "chosen": " was great." * 40, "annotator_id": "b"}])
    data, base, _ = _load(tiny, path, unseen=0.0, held_out=0.0, too_long=too_long)
    assert len(data.train) == kept
    assert "longer than the window" in data.notes[0]
    assert (base.store.lengths(data.train.pairs.contexts) + base.store.lengths(data.train.pairs.chosen)).max() <= 64


def test_brackets_in_text_are_text(tiny, tmp_path):  # noqa: F811
    path = _write(tmp_path / "p.jsonl", [{**ROW, "chosen": "[sic] was great [really]"}])
    data, _, _ = _load(tiny, path, unseen=0.0, held_out=0.0)
    assert len(data.train) == 1


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ('{"v": "good film"}', '{"v": "bad film"}'),
        ('{"v": "good film"}', "{'v': 'bad film'}"),
        ('["good", "short"]', "good, short"),
        ('[{"film": "good"}]', "[]"),
        ('{"role": "villain", "played": true}', '{"role": "hero", "played": false}'),
    ],
)
def test_json_that_was_asked_for_is_the_response(tiny, tmp_path, chosen, rejected):  # noqa: F811
    row = {**ROW, "chosen": chosen, "rejected": rejected}
    data, base, tokenizer = _load(tiny, _write(tmp_path / "p.jsonl", [row]), unseen=0.0, held_out=0.0)
    tokens = base.store[data.train.pairs.chosen[0]]
    assert (tokens[:-1] == tokenizer(chosen, add_special_tokens=False)["input_ids"]).all()
    assert "1 rows have responses that are JSON" in data.notes[0]
    table = read_pairs(tmp_path / "p.jsonl")
    assert answered(table).kind == "answered", "rewards are fitted to the same answers"


@pytest.mark.parametrize(
    "turned",
    [
        str, json.dumps, lambda listed: str(user_said(*listed)), lambda listed: json.dumps(user_said(*listed)),
        lambda listed: json.dumps(user_said(*listed)[0]), lambda listed: str({"text": listed[0]}),
        lambda listed: json.dumps([len(text) / 7 for text in listed]),
    ],
    ids=["list", "JSON list", "messages", "JSON messages", "JSON message", "mapping", "features"],
)  # fmt: skip
def test_columns_that_were_turned_into_text_are_refused(tmp_path, turned):
    rows = [{**ROW, "chosen": turned([f"good {j}"]), "rejected": turned([f"quite bad {j}"])} for j in range(3)]
    with pytest.raises(InputError, match=r"row 1, field 'chosen': is a (list|mapping) written as text"):
        require_text(read_pairs(_write(tmp_path / "p.jsonl", rows)))


def user_said(*texts):
    return [{"role": "user", "content": text} for text in texts]


def test_an_empty_prompt_gets_a_beginning(tiny, tmp_path):  # noqa: F811
    base, tokenizer = open_tiny(tiny)
    tokenizer.backend_tokenizer.post_processor = None
    number, tokens = Tokeniser(tokenizer, base.store, 64, DataSettings()).prompt("")
    assert list(base.store[number]) == tokens == [tokenizer.bos_token_id]
    assert np.isfinite(base.score(None, np.array([number]), np.array([base.store.add([5, 6])]))).all()


def _responses(data, base):
    stored = [base.store[int(k)] for k in data.train.pairs.chosen]
    return [list(tokens) for tokens in stored]


def test_an_answer_that_begins_with_the_prompts_letters_keeps_them(tiny, tmp_path):  # noqa: F811
    rows = [{**ROW, "prompt": "The", "chosen": "Then it rained.", "rejected": "Nothing.", "annotator_id": "a"},
            {**ROW, "prompt": "Hi", "chosen": "Hi there.", "rejected": "Hi", "annotator_id": "b"}]  # fmt: skip
    data, base, tokenizer = _load(tiny, _write(tmp_path / "p.jsonl", rows), unseen=0.0, held_out=0.0)
    whole = [tokenizer("TheThen it rained.")["input_ids"], tokenizer("HiHi there.")["input_ids"]]
    prompts = [list(base.store[int(k)]) for k in data.train.pairs.contexts]
    assert [tokens[: len(own)] for tokens, own in zip(whole, prompts, strict=True)] == prompts
    assert _responses(data, base) == [
        [*tokens[len(own):], tokenizer.eos_token_id] for tokens, own in zip(whole, prompts, strict=True)
    ]  # fmt: skip
    assert not any("transcripts" in note for note in data.notes)


def test_whole_transcripts_lose_their_prompt_and_it_is_said(tiny, tmp_path):  # noqa: F811
    rows = [{**ROW, "chosen": ROW["prompt"] + ROW["chosen"], "rejected": ROW["prompt"] + ROW["rejected"],
             "annotator_id": who} for who in "ab"]  # fmt: skip
    data, base, _ = _load(tiny, _write(tmp_path / "whole.jsonl", rows), unseen=0.0, held_out=0.0)
    plain, other, _ = _load(tiny, _write(tmp_path / "plain.jsonl", [{**ROW, "annotator_id": who} for who in "ab"]),
                            unseen=0.0, held_out=0.0)  # fmt: skip
    assert _responses(data, base) == _responses(plain, other)
    assert any("whole transcripts" in note for note in data.notes)


def test_positions_are_no_texts(tmp_path):
    path = _write(tmp_path / "p.jsonl", [{**ROW, "chosen": 0, "rejected": 1}])
    with pytest.raises(InputError, match=r"row 1, field 'chosen': is a number \(0\), perhaps a position in a list"):
        require_text(read_pairs(path))


def test_a_message_names_the_files_own_row(tmp_path):
    good = json.dumps(ROW)
    same = json.dumps({**ROW, "rejected": ROW["chosen"]})
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(["", good, same, "", json.dumps({**ROW, "rejected": "  "})]))
    with pytest.raises(InputError, match="row 5, field 'rejected': the response is empty"):
        require_text(read_pairs(path))


def test_a_prompt_in_brackets_is_a_text(tiny, tmp_path):  # noqa: F811
    data, _, _ = _load(tiny, _write(tmp_path / "p.jsonl", [{**ROW, "prompt": "[3, 1, 2]"}]), unseen=0.0, held_out=0.0)
    assert len(data.train) == 1


def test_rows_that_say_nothing_are_counted(tiny, tmp_path):  # noqa: F811
    rows = [ROW, {**ROW, "annotator_id": "b"}, {**ROW, "rejected": ROW["chosen"]}, {**ROW, "weight": 0.0}]
    rows = [{"weight": 1.0, **row} for row in rows]
    data, _, _ = _load(tiny, _write(tmp_path / "p.jsonl", rows), unseen=0.0, held_out=0.0)
    assert len(data.train) == 2
    assert sum("left out" in note for note in data.notes) == 2


_SETS = {"chosen": None, "rejected": None, "responses": [" was great.", " was awful.", " was new."]}
_ANSWERED = {
    "pairs": {}, "ties": {"tie": True}, "strengths": {"strength": 2}, "choices": {**_SETS, "choice": 0},
    "rankings": {**_SETS, "ranking": [1, 2, 3]}, "ratings": {**_SETS, "scores": [3, 2, 1]},
}  # fmt: skip


def _of_kind(path, kind, who):
    rows = [{**ROW, "prompt": f"The film {j}", "annotator_id": f"{who}{j % 2}"} for j in range(6)]
    for j, row in enumerate(rows):
        # Some are ties, the others are not.
        row |= {name: 1 for name in ("strength",) if kind == "strengths"} if j % 2 else _ANSWERED[kind]
    if "responses" in _ANSWERED[kind]:
        rows = [{k: v for k, v in {**row, **_ANSWERED[kind]}.items() if v is not None} for row in rows]
    return str(_write(path, rows))


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer(None)


@pytest.mark.parametrize("judged", _ANSWERED)
@pytest.mark.parametrize(
    ("trained", "likelihood"),
    [("pairs", "bradley-terry"), ("ties", "davidson"), ("ties", "rao-kupper"), ("strengths", "cumulative-logit"),
     ("rankings", "plackett-luce"), ("choices", "auto")],
)  # fmt: skip
def test_test_answers_may_be_of_another_kind(tokenizer, trained, likelihood, judged, tmp_path):
    """The likelihood is that of what is trained on; every kind says which response is better."""
    train, test = (_of_kind(tmp_path / f"{who}.jsonl", kind, who) for who, kind in (("a", trained), ("b", judged)))
    settings = DataSettings(
        train=train, test=test, likelihood=likelihood, unseen=0.0, held_out=0.0, new_prompts=0.0, window=100
    )
    store = TokenStore()
    data = load_preferences(settings, tokenizer, store, 100, Stream(0))
    assert data.likelihood == ("plackett-luce" if likelihood == "auto" else likelihood)
    told = data.unseen.decided
    assert told.sum() == (3 if judged == "ties" else 6)
    better = [tokenizer.decode(store[number], skip_special_tokens=True) for number in data.unseen.pairs.chosen[told]]
    assert set(better) == {" was great."}
    wrong = replace(settings, likelihood="davidson" if trained in ("rankings", "choices") else "plackett-luce")
    with pytest.raises(InputError, match=r"a.jsonl: likelihood: .* is not for"):
        load_preferences(wrong, tokenizer, store, 100, Stream(0))
