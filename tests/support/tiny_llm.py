"""A model small enough for tests: template sentences, their tokenizer, and a Mistral that has read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.training.sft import train_sft  # noqa: E402  # after the skips
from llm.training.sft_settings import SftSettings  # noqa: E402  # after the skips
from sim.streams import Stream  # noqa: E402

SUBJECTS = ("The film", "This movie", "The plot", "The cast", "Her role", "The end")
GOOD = ("great", "superb", "moving", "funny")
BAD = ("awful", "boring", "stupid", "weak")
PLAIN = ("long", "short", "new", "old")


def sentence(stream: Stream) -> str:
    """One template sentence; a third each good, bad and plain."""
    kind, word, subject = stream.uniforms(3)
    words = (GOOD, BAD, PLAIN)[int(kind * 3)]
    return f"{SUBJECTS[int(subject * len(SUBJECTS))]} was {words[int(word * 4)]}."


def score(text: str) -> int:
    """Good words minus bad words."""
    return sum(text.count(word) for word in GOOD) - sum(text.count(word) for word in BAD)


def corpus(n: int, seed: int = 0) -> list[str]:
    stream = Stream(seed, "corpus")
    return [" ".join(sentence(stream.at(replicate=3 * i + j)) for j in range(3)) for i in range(n)]


def write_corpus(path: Path, n: int = 600) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in corpus(n)), encoding="utf-8")
    return path


def train_tiny(folder: Path, steps: int = 120) -> Path:
    """A mini Mistral that has read the templates; about 0.1 M parameters."""
    torch.set_num_threads(1)
    data = write_corpus(folder / "text.jsonl")
    settings = SftSettings(
        data=str(data), size="mini", length=48, passage_words=12, batch=32, steps=steps, rate=5e-3, threads=1,
        device="cpu",
    )  # fmt: skip
    train_sft(settings, folder / "sft")
    return folder / "sft"


def write_pairs(path: Path, annotators: int = 12, answers: int = 16, seed: int = 1, unseen: int = 6) -> Path:
    """Annotators 0, 1, 3, 4, ... prefer good words, every third prefers bad ones; two-sentence responses."""
    stream, rows = Stream(seed, "pairs"), []
    for i in range(annotators + unseen):
        sign = -1 if i % 3 == 2 else 1
        for j in range(answers):
            own = stream.at(replicate=1000 * i + j)
            prompt = sentence(own.child("prompt"))
            a, b = (" " + sentence(own.child(side)) for side in "ab")
            tries = 0
            while score(a) == score(b):
                tries += 1
                b = " " + sentence(own.child(f"b{tries}"))
            better, worse = (a, b) if sign * (score(a) - score(b)) > 0 else (b, a)
            rows.append({
                "prompt": prompt, "chosen": better, "rejected": worse, "annotator_id": f"a{i}",
                "group_id": "good" if sign > 0 else "bad", "split": "train" if i < annotators else "unseen",
            })  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Folder of the tiny model, trained once a session (and worker)."""
    return train_tiny(tmp_path_factory.mktemp("tiny"))


def open_tiny(folder: Path, rank: int = 4, dtype=None) -> tuple[SharedBase, object]:
    model, tokenizer = load_base(folder)
    if dtype is not None:
        model = model.to(dtype)
    base = SharedBase(
        model, TokenStore(), pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id, lora=LoraSettings(rank=rank),
        identity="tiny",
    )  # fmt: skip
    return base, tokenizer


def random_rows(base: SharedBase, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """n random (context, response) rows of different lengths."""
    rng = Stream(seed, "rows").generator()
    vocabulary = int(base.model.config.vocab_size)

    def rows(low, high):
        return base.store.add_all([rng.integers(3, vocabulary, int(rng.integers(low, high))) for _ in range(n)])

    return rows(2, 9), rows(1, 25)
