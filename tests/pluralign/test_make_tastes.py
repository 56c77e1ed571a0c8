"""`llm make-tastes` and `pl.make_tastes`: what is scored, what it is scored by, and what is refused."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from places import ROOT
from tiny_llm import corpus, tiny  # noqa: F401

pytest.importorskip("sklearn")

import pluralign as pl
from llm.base.text_encoders import HiddenStateEncoder
from pluralign.__main__ import command
from sim.errors import InputError
from sim.files.scored_questions import read_questions

TEXTS = ROOT / "examples" / "texts.jsonl.gz"


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """Labelled reviews of eight sentences, whose words say which they are."""
    rng, rows = np.random.default_rng(0), []
    for r in range(240):
        words = ("superb", "moving", "witty") if r % 2 else ("awful", "dull", "crude")
        text = " ".join(
            f"The {rng.choice(['plot', 'cast', 'end'])} {r} was {rng.choice(words)}{' indeed' * int(rng.integers(3))}."
            for _ in range(8)
        )
        rows.append({"text": text, "label": "pos" if r % 2 else "neg"})
    path = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _run(*arguments):
    return CliRunner().invoke(command, ["llm", "make-tastes", *map(str, arguments)])


def test_of_reviews(reviews, tmp_path):
    said = []
    made = pl.make_tastes(tmp_path / "q.parquet", reviews=reviews, n_questions=60, progress=said.append)
    assert made.tastes == ("length", "readability", "diversity", "vocabulary", "sentiment")
    assert any("apart: hedging, personal" in line for line in said)
    assert len(made) == 60
    lengths = [[len(text.split()) for text in pair] for pair in made.texts]
    assert np.array_equal(made.scores[..., 0], lengths)
    positive = np.array(
        [[sum(word in text for word in ("superb", "moving", "witty")) for text in pair] for pair in made.texts]
    )
    assert (made.scores[..., 4][positive > 0] > 0).mean() > 0.9
    assert any("sentiment" in line for line in said)
    found = read_questions(tmp_path / "q.parquet")
    assert found.texts == made.texts
    assert found.features == pytest.approx(made.features, abs=1e-6)
    again = pl.make_tastes(tmp_path / "again.parquet", reviews=reviews, n_questions=60)
    assert np.array_equal(again.scores, made.scores)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "q.parquet").read_bytes()


def test_words_are_learned_from_other_questions(reviews, tmp_path):
    """Half of the questions at most are asked; the others teach the words."""
    made = pl.make_tastes(tmp_path / "q.parquet", reviews=reviews, tastes=["length", "vocabulary"])
    assert len(made) < 240 / 2 + 1
    assert made.made_by == "words"


def test_of_pairs_each_is_asked_once_and_no_side_is_the_chosen_one(tmp_path):
    rows = [
        {"prompt": f"p{j % 50}", "chosen": f"better film {j % 50}", "rejected": f"worse plot {j % 50} indeed",
         "annotator_id": f"w{j // 50}"} for j in range(150)
    ]  # fmt: skip
    made = pl.make_tastes(tmp_path / "q.parquet", pairs=rows, tastes=["length", "negative-length"])
    assert len(made) == 25
    assert len(set(made.prompts)) == 25
    first = np.mean([pair[0].startswith("better") for pair in made.texts])
    assert 0.2 < first < 0.8
    assert np.array_equal(made.scores[..., 0], -made.scores[..., 1])


def test_features_of_a_model_are_leading_directions(tiny, tmp_path, monkeypatch):  # noqa: F811
    """As many as of words, strongest first, by an eigenvalue decomposition of the states themselves: `directions` of
    the study takes the first ones, which of raw states are any coordinates."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pluralign.api.tastes._DIRECTIONS", 5)
    texts = corpus(60)
    rows = [
        {"prompt": f"p{j}", "chosen": texts[2 * j], "rejected": texts[2 * j + 1] + " Indeed.", "annotator_id": "w"}
        for j in range(30)
    ]
    made = pl.make_tastes(tmp_path / "q.parquet", pairs=rows, tastes=["length", "vocabulary"], features=str(tiny))
    assert made.features.shape == (30, 2, 5)
    states = HiddenStateEncoder(tiny).encode([text for pair in made.texts for text in pair])
    values, axes = np.linalg.eigh(np.cov(states.T))
    own = made.features.reshape(60, 5)
    assert np.var(own, axis=0, ddof=1) == pytest.approx(values[::-1][:5], rel=1e-4)
    projected = (states - states.mean(axis=0)) @ axes[:, ::-1][:, :5]
    assert np.abs(own) == pytest.approx(np.abs(projected), abs=1e-4)


def test_the_command(reviews, tmp_path):
    options = ("--taste", "length", "--taste", "vocabulary", "--questions", 40, "--seed", 3)
    done = _run("--reviews", reviews, *options, "--out", tmp_path / "q.parquet", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["tastes"] == ["length", "vocabulary"]
    assert told["correlations"][0][0] == pytest.approx(1.0, abs=0.2)
    python = pl.make_tastes(
        tmp_path / "p.parquet", reviews=reviews, tastes=["length", "vocabulary"], n_questions=40, seed=3
    )
    assert (tmp_path / "p.parquet").read_bytes() == (tmp_path / "q.parquet").read_bytes()
    assert told["questions"] == len(python)
    shown = _run("--reviews", reviews, *options, "--out", tmp_path / "q.parquet")
    assert "vocabulary" in shown.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--reviews: there is nothing to ask about"),
        (("--reviews", TEXTS, "--taste", "length"), "--taste: expected two or more"),
        (("--reviews", TEXTS, "--taste", "length", "--taste", "length"), "--taste: expected two or more"),
        (("--reviews", TEXTS, "--taste", "length", "--taste", "charm"), "unknown scorer 'charm'"),
        (("--reviews", TEXTS, "--taste", "length", "--taste", "vocabulary"), "--taste: length tells no two responses"),
        (("--reviews", TEXTS), "field 'label': expected pos or neg"),
        (("--reviews", "none.jsonl"), "none.jsonl: no such file"),
        (("--pairs", ROOT / "examples" / "pairs.jsonl.gz"), "texts"),
        (("--reviews", TEXTS, "--features", "nothing"), "--features: there is neither a kind nor a folder"),
    ],
)
def test_what_is_refused_leaves_nothing(options, words, tmp_path):
    done = _run(*options, "--out", tmp_path / "q.parquet")
    assert done.exit_code != 0
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_sentiment_of_pairs_needs_reviews(tmp_path):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "annotator_id": "w"}]
    with pytest.raises(InputError, match="sentiment is learned from labelled reviews"):
        pl.make_tastes(tmp_path / "q.parquet", pairs=rows, tastes=["sentiment", "length"])
    with pytest.raises(InputError, match="1 questions are too few"):
        pl.make_tastes(tmp_path / "q.parquet", pairs=rows)
