"""A model from text: tokenizer, held-out loss against transformers' own, resume, continuation, mistakes."""

import json
import math
import shutil

import numpy as np
import pytest
from tiny_llm import corpus, tiny, train_tiny, write_corpus  # noqa: F401  # tiny: a fixture

torch = pytest.importorskip("torch")

from llm.base.small_mistral import SIZES, load_base, train_tokenizer  # noqa: E402
from llm.training import next_token_training, sft  # noqa: E402
from llm.training.sft import train_sft  # noqa: E402
from llm.training.sft_settings import SftSettings  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402


def _settings(path, **changes):
    values = {
        "data": str(path), "size": "mini", "length": 48, "passage_words": 12, "batch": 32, "steps": 24, "rate": 5e-3,
        "threads": 1, "device": "cpu", "checkpoint_steps": 5,
    }  # fmt: skip
    return SftSettings(**{**values, **changes})


def test_tokenizer_gives_every_text_back():
    tokenizer = train_tokenizer(corpus(200), SIZES["mini"].vocabulary)
    for text in (*corpus(5, seed=3), "Ça coûte 3 €\tnot\nread before", " leading space"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    with_special = tokenizer("The film was long.")["input_ids"]
    assert with_special[0] == tokenizer.bos_token_id
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_held_out_loss_is_the_models_own(tiny):  # noqa: F811
    model, tokenizer = load_base(tiny)
    rows = [np.array([1, *tokenizer(text, add_special_tokens=False)["input_ids"], 2]) for text in corpus(5, seed=4)]
    loss, text_bytes = next_token_training.held_out_loss(model, rows, tokenizer.pad_token_id, tokenizer)
    total = count = 0.0
    with torch.inference_mode():
        for row in rows:
            ids = torch.from_numpy(row)[None]
            own = float(model(input_ids=ids, labels=ids).loss)  # the mean over the row's later tokens
            total, count = total + own * (len(row) - 1), count + len(row) - 1
    assert loss == pytest.approx(total / count, rel=1e-5)
    assert text_bytes == sum(len(text.encode()) for text in corpus(5, seed=4))
    # Without a token that begins texts the first one is given, and of what it says nothing is scored.
    bare = [row[1:] for row in rows]
    loss, later = next_token_training.held_out_loss(model, bare, tokenizer.pad_token_id, tokenizer)
    given = sum(len(tokenizer.decode(row[:1]).encode()) for row in bare)
    assert later == text_bytes - given < text_bytes


def test_training_learns_and_is_reported(tiny):  # noqa: F811
    summary = json.loads((tiny / "sft.json").read_text())
    assert summary["perplexity"] == pytest.approx(math.exp(summary["held_out_loss"]))
    # Template sentences: about log(6) + log(12) nats a sentence of some 6 tokens; a coin over the vocabulary has 6.9.
    assert summary["held_out_loss"] < 1.5
    assert summary["bits_per_byte"] < 1.0
    assert summary["held_out_documents"] == round(0.02 * 600)
    names = {path.name for path in tiny.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "sft.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_an_interrupted_training_resumes_to_the_same_model(tmp_path, monkeypatch):
    data = write_corpus(tmp_path / "text.jsonl", 150)
    # A folder of hidden files is an empty one, and they stay.
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / ".gitkeep").write_text("mine")
    train_sft(_settings(data), tmp_path / "whole")
    assert (tmp_path / "whole" / ".gitkeep").read_text() == "mine"
    keep, calls = next_token_training._keep, []

    def stop(*arguments):
        keep(*arguments)
        calls.append(arguments[3])
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(next_token_training, "_keep", stop)
    with pytest.raises(KeyboardInterrupt):
        train_sft(_settings(data), tmp_path / "parts")
    assert not (tmp_path / "parts").exists(), "nothing half-written under the folder's own name"
    monkeypatch.setattr(next_token_training, "_keep", keep)
    said = []
    train_sft(_settings(data), tmp_path / "parts", said.append)
    assert "resumed at step 10" in said
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(tmp_path.glob(".*")), "the journal is cleared"


def test_a_finished_model_is_kept_and_other_settings_refused(tmp_path):
    data = write_corpus(tmp_path / "text.jsonl", 150)
    first = train_sft(_settings(data, steps=3), tmp_path / "sft")
    said = []
    assert train_sft(_settings(data, steps=3, threads=2), tmp_path / "sft", said.append) == first
    assert "nothing to do" in said[0]
    with pytest.raises(InputError, match="trained with other settings"):
        train_sft(_settings(data, steps=4), tmp_path / "sft")


def test_a_model_folder_is_continued(tiny, tmp_path):  # noqa: F811
    data = write_corpus(tmp_path / "text.jsonl", 150)
    before = json.loads((tiny / "sft.json").read_text())
    summary = train_sft(_settings(data, model=str(tiny), rate=1e-3, steps=6), tmp_path / "more")
    assert summary.parameters == before["parameters"]
    assert summary.held_out_loss < 1.5, "begins where the model was, not from scratch"
    assert (tmp_path / "more" / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "giant"}, "unknown size 'giant'"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"held_out": 1.0}, "held_out must lie in"),
        ({"batch": 10_000}, "passages do not fill a batch of 10000"),
        ({"data": "absent.jsonl"}, "no such file"),
        ({"model": "absent"}, "absent"),
        ({"rate": 1e12, "clip": 1e12, "warmup": 0.0}, "training diverged at step"),
    ],
)
def test_mistakes(tmp_path, changes, message):
    data = write_corpus(tmp_path / "text.jsonl", 150)
    with pytest.raises((InputError, ValueError), match=message):
        train_sft(_settings(data, **changes), tmp_path / "sft")
    assert not (tmp_path / "sft").exists()


def test_copies_of_a_document_are_on_one_side(tmp_path):
    documents = [text for text in corpus(60, seed=2) for _ in range(2)] + ["one more", "one more", "one more"]
    for share in (0.02, 0.2):
        training, judged = sft._split(documents, share, Stream(0, "sft"))
        assert not set(training) & set(judged)
        assert len(set(judged)) == max(1, round(share * len(set(documents))))
        assert sorted(training + judged) == sorted(documents)
    different = list(dict.fromkeys(documents))
    judged = Stream(0, "sft").child("held-out").permutation(len(different))[: round(0.2 * len(different))]
    assert sft._split(different, 0.2, Stream(0, "sft"))[1] == [different[j] for j in sorted(judged)]
    turns = [[{"role": "user", "content": text}] for text in documents]
    training, judged = sft._split(turns, 0.2, Stream(0, "sft"))
    assert not [turn for turn in judged if turn in training]
    with pytest.raises(InputError, match="its 7 documents are copies of one"):
        train_sft(_settings(_written(tmp_path, ["The film was long."] * 7)), tmp_path / "out")


def _written(folder, texts):
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_held_out_documents_too_short_to_judge_by_are_refused(tiny, tmp_path, monkeypatch):  # noqa: F811
    """A tokenizer without a begin token makes one token of "a", and of so few tokens nothing is read; a text of
    special tokens alone has no bytes to measure a loss by."""
    model = shutil.copytree(tiny, tmp_path / "model")
    (model / "sft.json").unlink()
    content = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}))
    content = json.loads((model / "tokenizer_config.json").read_text())
    content.pop("bos_token")
    (model / "tokenizer_config.json").write_text(json.dumps(content))
    monkeypatch.setattr(sft, "descend", lambda *rest: pytest.fail("trained"))
    for text in ("a", "<s></s>"):
        monkeypatch.setattr(sft, "_split", lambda documents, *rest, text=text: (documents[:-1], [text]))
        data = _written(tmp_path, [*corpus(40), text])
        with pytest.raises(InputError, match="the 1 held-out documents are too short to be judged by"):
            train_sft(_settings(data, model=str(model), batch=16, steps=3), tmp_path / "out")


def test_a_folder_that_is_something_else_is_not_overwritten(tmp_path):
    data = write_corpus(tmp_path / "text.jsonl", 50)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="is no model of this command"):
        train_sft(_settings(data), tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
