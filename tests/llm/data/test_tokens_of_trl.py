"""Prompts and answers in tokens: those of TRL's DPOTrainer, on tokenizers of real models, and where they differ."""

import json
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
datasets = pytest.importorskip("datasets")
trl = pytest.importorskip("trl")

from chat_models import chat_tokenizer  # noqa: E402
from real_tokenizers import MISTRAL, NPM, real_tokenizer  # noqa: E402

from llm.base.tokens import TokenStore  # noqa: E402
from llm.data.data_settings import DataSettings  # noqa: E402
from llm.data.tokeniser import Tokeniser  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.preference_files import read_pairs  # noqa: E402

TEXTS = [
    ("Say it", " well.", " badly."),
    ("Say it ", "well.", "badly."),
    ("Say it\n", "well.", "\nbadly."),
    ("Say it\n\n", "\n\nwell.", "badly."),
    ("Say it:   ", "   well.", "123"),
    ("Wor", "ld peace", "k"),
    ("The", "Then it rained.", "The"),
    ("naïve café ", "über — “ja”", "Ελληνικά 日本語"),
    ("smile 😀", "😃👩‍👩‍👧", " 😀"),
    ("1 + 1 =", " 2", "11"),
    ("def f(x):\n    ", "return x\n", "    pass"),
]
QUESTION = {"role": "user", "content": "What is it? "}
CHATS = [
    ([QUESTION], "A word.", "No 😀"),
    ([{"role": "system", "content": "Be brief."}, QUESTION], " Starts with a space", "\nStarts with a line"),
    ([QUESTION, {"role": "assistant", "content": "What?"}, {"role": "user", "content": "It."}], "So.", "No.\n"),
]
CLOCK = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "clock", "description": "The time.", "parameters": CLOCK}}]
CALL = {"type": "function", "function": {"name": "clock", "arguments": {"at": "Rome"}}}
TOOL_CHAT = [QUESTION, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "12:00"}]


def said(text):
    return [{"role": "assistant", "content": text}]


def of_trl(tokenizer, rows):
    """What the trainer's own preparation makes of rows: (prompt, chosen, rejected) in tokens."""
    arguments = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    # Iterated, since a table in memory is hashed with the whole tokenizer, which takes seconds.
    given = datasets.Dataset.from_list(rows).to_iterable_dataset()
    made = trl.DPOTrainer._prepare_dataset(trainer, given, tokenizer, arguments, "train")
    return [(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in made]


def ours(tokenizer, rows, folder, **settings):
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({**row, "annotator_id": "a"}) + "\n" for row in rows))
    store = TokenStore()
    tokeniser = Tokeniser(tokenizer, store, 4096, DataSettings(**settings))
    made = tokeniser.pairs(read_pairs(path))
    assert made.keep.all()
    columns = (made.pairs.contexts, made.pairs.chosen, made.pairs.rejected)
    found = [tuple(store[int(column[row])].tolist() for column in columns) for row in range(len(rows))]
    return found, tokeniser.notes()


def texts(rows):
    return [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in rows]


@pytest.fixture(scope="module", params=["chatml", "llama", "smollm2", *NPM])
def tokenizer(request, tmp_path_factory):
    if request.param in ("chatml", "llama"):
        return chat_tokenizer(request.param)
    return real_tokenizer(request.param, tmp_path_factory.mktemp(request.param))


def test_texts(tokenizer, tmp_path):
    rows = texts(TEXTS)
    found, _ = ours(tokenizer, rows, tmp_path)
    # Where all of a prompt merges, TRL leaves the answer nothing to follow, and does not score its first token.
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    assert found == [(asked or [start], *sides) for asked, *sides in of_trl(tokenizer, rows)]


def test_conversations(tokenizer, tmp_path):
    rows = [{"prompt": asked, "chosen": said(a), "rejected": said(b)} for asked, a, b in CHATS]
    found, notes = ours(tokenizer, rows, tmp_path)
    expected = of_trl(tokenizer, rows)
    assert found == expected
    assert any("chat template" in note for note in notes)
    as_text = [
        {**row, "chosen": row["chosen"][0]["content"], "rejected": row["rejected"][0]["content"]} for row in rows
    ]
    assert ours(tokenizer, as_text, tmp_path)[0] == expected
    whole = [{"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]} for row in rows]
    assert ours(tokenizer, whole, tmp_path)[0] == expected == of_trl(tokenizer, whole)
    plain = [{**row, "prompt": row["prompt"][0]["content"]} for row in as_text[:1]]
    assert ours(tokenizer, plain, tmp_path, chat=True)[0] == expected[:1]


def test_tools(tokenizer, tmp_path):
    rows = [{"prompt": TOOL_CHAT, "chosen": said("Noon."), "rejected": said("Night."), "tools": TOOLS}]
    try:
        expected = of_trl(tokenizer, rows)
    except Exception:
        # Gemma 3's template knows no tools.
        with pytest.raises(
            InputError, match="row 1, field 'prompt': the model's chat template refuses the conversation"
        ):
            ours(tokenizer, rows, tmp_path)
        return
    assert ours(tokenizer, rows, tmp_path)[0] == expected


@pytest.mark.parametrize("name", sorted(MISTRAL))
def test_mistral_spells_special_tokens_and_gets_an_end_token(name, tmp_path):
    """Its tokenizers read "</s>" as letters, with which TRL ends every response; here that is the token."""
    tokenizer = real_tokenizer(name, tmp_path)
    rows = texts(TEXTS)
    found, _ = ours(tokenizer, rows, tmp_path)
    for row, own, theirs in zip(rows, found, of_trl(tokenizer, rows), strict=True):
        for side in (1, 2):
            assert own[side][-1] == tokenizer.eos_token_id
            joint = tokenizer(row["prompt"] + row[("", "chosen", "rejected")[side]])["input_ids"]
            assert [*own[0], *own[side][:-1]] == joint
        assert own[0] == theirs[0]


def test_transcripts_without_a_prompt(tokenizer, tmp_path):
    more = "So.\n\nHuman: Thanks\n\nAssistant: Yes"
    begun = "\n\nHuman: on {}\n\nAssistant: ".format
    rows = [{"chosen": begun(what) + a, "rejected": begun(what) + b}
            for what, a, b in (("tea", "kind", "rude"), ("rain", more, "No."))]  # fmt: skip
    found, notes = ours(tokenizer, rows, tmp_path)
    assert found == of_trl(tokenizer, rows)
    assert any("transcripts without a prompt" in note for note in notes)
