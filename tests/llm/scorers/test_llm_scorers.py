"""Scorers: the classifier against held-out labels and after a round trip, grammar against broken sentences."""

import json
import shutil

import numpy as np
import pytest
from tiny_llm import corpus, score

pytest.importorskip("sklearn")

from llm.data import imdb, imdb_pool, imdb_settings
from llm.scorers import grammar
from llm.scorers.grammar import GrammarScorer, scored_sentences
from llm.scorers.named_scorers import make_scorer
from llm.scorers.sentiment import SentimentScorer, read_reviews, wilson
from sim.errors import InputError
from sim.streams import Stream

NEEDS_PARSER = pytest.mark.skipif(shutil.which("link-parser") is None, reason="needs Debian's link-grammar")
GOOD = (
    "The film was long and rather boring.",
    "I saw this movie with my brother last night.",
    "She plays a woman who has lost her children.",
    "They could not find the man in the house.",
    "The director has made a very good film about the war.",
    "Nobody in the audience laughed at the jokes.",
)


def _reviews(n=400):
    sentences = corpus(3 * n)
    texts = [" ".join(sentences[3 * j : 3 * j + 3]) for j in range(n)]
    return texts, np.array([int(score(text) > 0) for text in texts])


@pytest.fixture(scope="module")
def classifier():
    return SentimentScorer.train(*_reviews(), Stream(1))


def test_classifier_learns_the_words_it_is_judged_by(classifier):
    share, low, high = classifier.accuracy
    assert low < share < high
    assert share > 0.8
    scores = classifier(["", ""], ["The film was superb.", "The film was awful."])
    assert scores[0] > scores[1]


def test_classifier_is_judged_on_reviews_it_has_not_seen():
    texts, labels = _reviews()
    shuffled = labels[Stream(3).permutation(len(labels))]
    share, low, _ = SentimentScorer.train(texts, shuffled, Stream(1)).accuracy
    assert low < max(labels.mean(), 1 - labels.mean()) + 0.1, "labels without meaning cannot be predicted"
    assert share < 0.75


def test_saved_classifier_gives_equal_scores(classifier, tmp_path):
    classifier.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"sentiment.json", "sentiment.npz"}
    texts = corpus(30, seed=9)
    again = make_scorer("sentiment", tmp_path)
    assert (again([""] * 30, texts) == classifier([""] * 30, texts)).all()
    opposite = make_scorer("negative-sentiment", tmp_path)
    assert (opposite([""] * 30, texts) == -classifier([""] * 30, texts)).all()
    assert opposite.name == "negative-sentiment"


def test_damaged_and_missing_classifiers(classifier, tmp_path):
    with pytest.raises(InputError, match="holds no saved sentiment scorer"):
        make_scorer("sentiment", tmp_path)
    classifier.save(tmp_path)
    content = json.loads((tmp_path / "sentiment.json").read_text())
    whole, arrays = (tmp_path / "sentiment.json").read_text(), (tmp_path / "sentiment.npz").read_bytes()
    (tmp_path / "sentiment.json").write_text(json.dumps({**content, "intercept": content["intercept"] + 1}))
    with pytest.raises(InputError, match=r"sentiment\.json: was changed or damaged: its checksum differs"):
        make_scorer("sentiment", tmp_path)
    (tmp_path / "sentiment.json").write_text(whole)
    np.savez(tmp_path / "sentiment.npz", idf=classifier.vectorizer.idf_, coefficients=-classifier.coefficients)
    with pytest.raises(InputError, match=r"sentiment\.npz: was changed or damaged: its checksum differs"):
        make_scorer("sentiment", tmp_path)
    (tmp_path / "sentiment.npz").write_bytes(arrays)
    assert make_scorer("sentiment", tmp_path)([""], ["Good."]) == classifier([""], ["Good."])
    # One that was written before there were checksums.
    before = {key: value for key, value in content.items() if key not in ("format", "checksum", "files")}
    (tmp_path / "sentiment.json").write_text(json.dumps({"format": 1, **before}))
    assert make_scorer("sentiment", tmp_path)([""], ["Good."]) == classifier([""], ["Good."])
    before["vocabulary"].popitem()
    (tmp_path / "sentiment.json").write_text(json.dumps({"format": 1, **before}))
    with pytest.raises(InputError, match="not a sentiment scorer of this version"):
        make_scorer("sentiment", tmp_path)
    with pytest.raises(InputError, match="must be trained first"):
        make_scorer("sentiment")
    with pytest.raises(InputError, match="unknown scorer 'charm'"):
        make_scorer("negative-charm")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 3, "label": "pos"}', "expected a text"),
        ('{"text": "Fine.", "label": 1}', "expected pos or neg, got 1"),
        ('{"text": "Fine.", ', "cannot be read"),
    ],
)
def test_mistakes_in_reviews_have_a_row(tmp_path, line, message):
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "Good.", "label": "pos"}\n' + line + "\n")
    with pytest.raises(InputError, match=message) as raised:
        read_reviews(path)
    assert "row 2" in str(raised.value)


def test_too_few_reviews():
    with pytest.raises(InputError, match="at least 20 reviews of both labels"):
        SentimentScorer.train(["Good."] * 40, np.ones(40, dtype=np.int64), Stream())


def test_wilson_against_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for right, n in ((0, 10), (7, 9), (950, 1000)):
        assert wilson(right, n) == pytest.approx(proportion.proportion_confint(right, n, method="wilson"), abs=1e-6)


def test_lexicon_and_length():
    lexicon = make_scorer("lexicon")
    good, bad = lexicon(["", ""], ["I love this wonderful film.", "I hate this horrible film."])
    assert good > 0 > bad
    assert make_scorer("length")(["", ""], ["one two three", ""]).tolist() == [3.0, 0.0]


def test_sentences_that_are_scored():
    # The response finishes the prompt's last sentence; an unfinished last one is left out unless it is the only one.
    assert scored_sentences("Fine. The plot", " was thin. I left because") == ["The plot was thin."]
    assert scored_sentences("It ended.", " I left because") == ["I left because"]
    assert scored_sentences("It ended.", " !echo I left.") == ["echo I left."]
    assert scored_sentences("It ended.", " ... 12") == []
    assert len(scored_sentences("", " ".join(["word"] * 40) + ".")[0].split()) == 30


@NEEDS_PARSER
def test_grammar_prefers_good_sentences_to_shuffled_ones():
    scorer = GrammarScorer(2)
    good = scorer([""] * len(GOOD), GOOD)
    stream = Stream(4, "shuffle")
    broken = []
    for j, text in enumerate(GOOD):
        words = text.rstrip(".").split()
        order = stream.at(replicate=j).permutation(len(words))
        broken.append(" ".join(words[k] for k in order) + ".")
    bad = scorer([""] * len(GOOD), broken)
    assert ((good <= 0) & (good >= -1)).all()
    assert ((bad <= 0) & (bad >= -1)).all()
    assert good.mean() > -0.05
    assert bad.mean() < good.mean() - 0.1
    # A response's score does not depend on what is scored with it, and one without words scores -1.
    alone = GrammarScorer(1)
    assert [alone([""], [text])[0] for text in GOOD[:3]] == good[:3].tolist()
    assert alone([""], ["... 12"]).tolist() == [-1.0]


@NEEDS_PARSER
def test_grammar_counts_unlinked_words_as_the_parser_does():
    # link-parser itself, one sentence at a time, is the oracle: "Found N linkages (... at null count 2)".
    text = "The the film was of long."
    [count] = grammar._parse_part([text])
    assert count > 0
    assert GrammarScorer(1)([""], [text])[0] == pytest.approx(-count / 6)


def test_a_missing_parser_is_said_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setattr(grammar.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="needs link-parser"):
        make_scorer("grammar")
    settings = imdb_settings.ImdbSettings(data=str(tmp_path / "none.jsonl"), model=str(tmp_path))
    with pytest.raises(InputError, match="needs link-parser"):
        imdb.make_imdb(settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_group_sizes_are_exact_in_every_prefix():
    sizes = imdb.group_sizes(9, [2 / 3, 1 / 3])
    assert np.bincount(sizes).tolist() == [6, 3]
    for n in range(1, 10):
        assert abs((sizes[:n] == 1).sum() - n / 3) < 1


def test_the_furthest_pair_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.normal(size=(2, 5))
        best = max(
            ((a, b) for a in range(5) for b in range(a + 1, 5)),
            key=lambda pair: np.abs(scores[:, pair[0]] - scores[:, pair[1]]).sum(),
        )
        assert imdb_pool.furthest_apart(scores) == best
    assert imdb_pool.furthest_apart(np.zeros((1, 3))) == (0, 1), "ties still give two different candidates"
