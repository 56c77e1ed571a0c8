"""Texts and conversations that `llm sft` learns from: kept as they are, cut between sentences, rendered."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from chat_models import chat_folder, chat_tokenizer

from llm.base.plain_text import cuts, passages, read_documents, tidy
from llm.base.tokens import TokenStore
from llm.data.chat_prompts import messages_of
from llm.data.data_settings import DataSettings
from llm.data.tokeniser import Tokeniser
from llm.scorers.sentiment import read_reviews
from llm.training.next_token_training import token_rows
from llm.training.sft import train_sft
from llm.training.sft_settings import SftSettings
from sim.errors import InputError

LISTED = "Tell me about tea.\nPlease use a list.\n\n- hot\n- green\n\n```python\ndef tea():\n    return 0\n```"
RENDERED = f"<|im_start|>user\n{LISTED}<|im_end|>\n<|im_start|>assistant\n- hot<|im_end|>"
TALK = [
    {"role": "user", "content": [{"type": "text", "text": "Tea?"}]},
    {"role": "assistant", "content": "Hot.\nGreen."},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def decoded(path, **settings):
    tokenizer = chat_tokenizer("chatml")
    told = SftSettings(data=str(path), length=400, **settings)
    documents = read_documents(path, tidied=told.tidy)
    rows = token_rows(documents, tokenizer, told, tokenizer.bos_token_id, tokenizer.eos_token_id)
    return [tokenizer.decode(row) for row in rows]


def test_line_breaks_are_kept(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"text": LISTED}, {"text": RENDERED}])
    assert decoded(path, passage_words=100) == [f"<s>{LISTED}<|im_end|>", f"<s>{RENDERED}"], "one end token each"
    assert decoded(path, passage_words=100, tidy=True)[0] == f"<s>{' '.join(LISTED.split())}<|im_end|>"


def test_cutting_destroys_nothing():
    text = 'One two\nthree. "Four  five." Six\tseven!\n\n\nEight (nine). - ten'
    found = cuts(text, 3)
    assert found == ["One two\nthree.", '"Four  five." Six\tseven!', "Eight (nine). - ten"]
    assert cuts(text, 100) == [text]
    assert "".join("".join(found).split()) == "".join(text.split())


def test_web_reviews_are_cut_as_they_were():
    text = tidy("A film.<br /><br />It  was\nlong, and I left.  Then it rained.")
    assert text == "A film. It was long, and I left. Then it rained."
    assert passages(text, 5) == cuts(text, 5) == ["A film. It was long, and I left.", "Then it rained."]


def test_messages_are_rendered(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"messages": TALK}, {"text": "Plain."}])
    assert decoded(path) == [
        "<s>Plain.<|im_end|>",
        "<|im_start|>user\nTea?<|im_end|>\n<|im_start|>assistant\nHot.\nGreen.<|im_end|>\n",
    ]


def test_messages_need_a_model_with_a_template(tmp_path):
    talks = [[*TALK, {"role": "user", "content": f"{number} cups?"}] for number in range(8)]
    path = write(tmp_path / "t.jsonl", [{"messages": talk} for talk in talks])
    told = {"data": str(path), "batch": 2, "steps": 1, "threads": 1, "device": "cpu", "length": 60}
    with pytest.raises(InputError, match="field 'messages': conversations need a model with a chat template"):
        train_sft(SftSettings(**told, size="mini"), tmp_path / "out")
    with pytest.raises(InputError, match="field 'messages': the model's tokenizer has no chat template"):
        train_sft(SftSettings(**told, model=str(chat_folder(tmp_path / "bare", None))), tmp_path / "out")
    summary = train_sft(SftSettings(**told, model=str(chat_folder(tmp_path / "chat"))), tmp_path / "out")
    assert summary.steps == 1
    assert (tmp_path / "out" / "chat_template.jinja").is_file()


@pytest.mark.parametrize("row", [{"messages": [{"role": "user", "content": "x \ud83d"}]}, {"text": "x \ud83d"}])
def test_half_a_character_is_refused_where_it_is_read(row, tmp_path):
    path = write(tmp_path / "t.jsonl", [{"text": "Tea."}, row])
    (field,) = row
    with pytest.raises(InputError, match=rf"t\.jsonl, row 2, field '{field}': holds half a character \(\\ud83d\)"):
        read_documents(path)
    path = write(tmp_path / "r.jsonl", [{"label": "pos", "text": "x \ud83d"}])
    with pytest.raises(InputError, match=r"r\.jsonl, row 1, field 'text': holds half a character"):
        read_reviews(path)


@pytest.mark.parametrize("text", ["Tea \ud83d", json.dumps([{"role": "user", "content": "Tea \ud83d"}])])
def test_half_a_character_is_no_prompt(text):
    with pytest.raises(InputError, match="field 'prompt': holds half a character"):
        messages_of(text)
    if text.startswith("Tea"):
        with pytest.raises(InputError, match="field 'prompt': holds half a character"):
            Tokeniser(chat_tokenizer("chatml"), TokenStore(), 60, DataSettings()).prompt(text)


@pytest.mark.parametrize("row", [{"messages": [{"role": "bot", "content": "x"}]}, {"messages": "x"}, {"text": " "}])
def test_mistakes_are_named(row, tmp_path):
    with pytest.raises(InputError, match="row 2, field"):
        read_documents(write(tmp_path / "t.jsonl", [{"text": "Good."}, row]))
