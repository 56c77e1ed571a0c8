"""Transcripts without a prompt ("Human: ... Assistant: ..."): each row's own beginning, in answers of every kind."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from chat_models import chat_tokenizer

from llm.base.tokens import TokenStore
from llm.data.preference_text import DataSettings, load_preferences
from llm.data.transcripts import common_transcript
from llm.rewards.answered_items import answered
from sim.errors import InputError
from sim.files.preference_files import read_pairs
from sim.streams import Stream

TOPICS = ("bread", "trains", "rain", "chess", "tea", "snow")


def asked(topic, answer):
    return f"\n\nHuman: on {topic}\n\nAssistant: {answer}"


def rows_of(kind):
    """Six rows about six topics, two of each person."""
    rows = []
    for j, topic in enumerate(TOPICS):
        texts = [asked(topic, answer) for answer in ("kind", "knew", "kept")]
        row = {"annotator_id": f"p{j % 3}"}
        if kind in ("tie", "strength", "pairs"):
            row |= {"chosen": texts[0], "rejected": texts[1]}
            row |= {"tie": {"tie": j % 2 == 0}, "strength": {"strength": 1 + j % 2}, "pairs": {}}[kind]
        else:
            row |= {"responses": texts}
            row |= {"choice": {"choice": 0}, "ranking": {"ranking": [1, 2, 3]}, "rating": {"scores": [3, 2, 1]}}[kind]
        rows.append(row)
    return rows


def loaded(path, rows, chat=False):
    """(text of the context, of chosen, of rejected) of each answer, and the notes."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer, store = chat_tokenizer("chatml"), TokenStore()
    settings = DataSettings(train=str(path), unseen=0.0, held_out=0.0, new_prompts=0.0, window=120, chat=chat)
    found = load_preferences(settings, tokenizer, store, 120, Stream(0))
    columns = (found.train.pairs.contexts, found.train.pairs.chosen, found.train.pairs.rejected)
    texts = [[tokenizer.decode(store[int(k)]) for k in column] for column in columns]
    return list(zip(*texts, strict=True)), " | ".join(found.notes), found


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("kind", ["tie", "strength", "choice", "ranking", "rating"])
def test_each_row_is_asked_its_own_prompt(kind, chat, tmp_path):
    """Every row was asked what the first row was, once one answer was a tie or had a strength."""
    found, notes, data = loaded(tmp_path / "a.jsonl", rows_of(kind), chat)
    plain, _, _ = loaded(tmp_path / "b.jsonl", rows_of("pairs"), chat)
    assert [context for context, *_ in found] == [context for context, *_ in plain]
    assert {chosen for _, chosen, _ in found} == {plain[0][1]}
    if not chat:
        assert found[2][0] == "<s>\n\nHuman: on rain\n\nAssistant:"
        assert found[2][1] == " kind<|im_end|>"
    assert "6 rows are transcripts without a prompt" in notes
    # Questions and prompts are told apart by it, too.
    assert len(set(data.train.choices.contexts.tolist())) == 6


def test_one_transcript_may_be_two_responses(tmp_path):
    """Of one row its last turn, of the other all turns since the two part."""
    begun = asked("tea", "hot") + "\n\nHuman: why\n\nAssistant: "
    rows = [
        {"chosen": begun + "so", "rejected": begun + "no", "tie": False, "annotator_id": "p"},
        {"chosen": begun + "so", "rejected": asked("tea", "cold"), "tie": False, "annotator_id": "q"},
        {"chosen": asked("tea", "hot"), "rejected": asked("tea", "cold"), "tie": True, "annotator_id": "q"},
    ]
    found, _, _ = loaded(tmp_path / "a.jsonl", rows)
    first = "\n\nHuman: on tea\n\nAssistant:"
    assert [context for context, *_ in found] == [
        f"<s>{first} hot\n\nHuman: why\n\nAssistant:", f"<s>{first}", f"<s>{first}",
    ]  # fmt: skip
    assert [chosen for _, chosen, _ in found] == [
        " so<|im_end|>", " hot\n\nHuman: why\n\nAssistant: so<|im_end|>", " hot<|im_end|>",
    ]  # fmt: skip


def test_the_same_items_have_rewards(tmp_path):
    for kind in ("tie", "ranking"):
        path = tmp_path / f"{kind}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(kind)))
        labels = [json.loads(item) for item in answered(read_pairs(path)).items]
        prompts = {f"\n\nHuman: on {topic}\n\nAssistant:" for topic in TOPICS}
        assert {label["prompt"] for label in labels} == prompts
        assert {label["response"] for label in labels} <= {" kind", " knew", " kept"}


def test_rows_with_a_prompt_and_other_texts_keep_theirs(tmp_path):
    rows = rows_of("tie")
    rows[1] = {"prompt": "on tea", "chosen": asked("tea", "x"), "rejected": asked("tea", "y"), "annotator_id": "p1"}
    rows[2] = {"chosen": "kind", "rejected": "knew", "tie": False, "annotator_id": "p2"}
    found, notes, _ = loaded(tmp_path / "a.jsonl", [{"prompt": "", **row} for row in rows])
    assert found[1][:2] == ("<s>on tea", asked("tea", "x") + "<|im_end|>")
    assert found[2][:2] == ("<s>", "kind<|im_end|>")
    assert "4 rows are transcripts without a prompt" in notes


def test_a_transcript_without_an_answer_is_refused_with_its_row(tmp_path):
    for kind, field in (("tie", "rejected"), ("rating", "responses")):
        rows = rows_of(kind)
        if kind == "tie":
            rows[3]["rejected"] = asked("chess", " ")
        else:
            rows[3]["responses"][2] = asked("chess", " ")
        with pytest.raises(InputError, match=rf"row 4, field '{field}': the response is empty"):
            loaded(tmp_path / "a.jsonl", rows)


def test_the_common_beginning_by_hand():
    assert common_transcript([asked("tea", "kind"), asked("tea", "knew")]) == "\n\nHuman: on tea\n\nAssistant:"
    assert common_transcript([asked("tea", "kind"), asked("ten", "knew")]) == ""
    assert common_transcript(["Say kind", "Say knew"]) == ""
