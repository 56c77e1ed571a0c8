"""Texts as questions with tastes: what each response is worth to whom, by real scorers, and its frozen features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pluralign.api.frames import Frame, said
from pluralign.api.pairs import read_pairs
from pluralign.api.plain_numbers import plain_numbers
from pluralign.api.text_encoders import encoder_of
from pluralign.ownership import importing_llm
from sim.arguments import require_count
from sim.errors import InputError
from sim.files.atomic import require_other, require_place
from sim.files.scored_questions import ScoredQuestions, write_questions
from sim.fitting.text_features.encoded import encoded, learn_directions
from sim.fitting.text_features.texts import require_texts, response_texts
from sim.fitting.text_features.words import learn_words
from sim.preferences import FloatArray
from sim.streams import Stream

# (prompt, first, second).
Question = tuple[str, str, str]
# Directions of words or hidden states, and reviews that the sentiment classifier sees: more change nothing that is
# measured here.
_DIRECTIONS, _TAUGHT = 128, 8000


@plain_numbers
def make_tastes(
    out: str | Path,
    *,
    reviews: str | Path | None = None,
    pairs: Frame = None,
    tastes: Sequence[str] | None = None,
    n_questions: int = 2000,
    features: str = "words",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> ScoredQuestions:
    """Questions with two responses, scored by every taste, written to `out` (Parquet) for the study `tastes`.

    pairs: answers with a prompt and two texts (who answered what is not looked at), as `read_pairs` takes them; None:
    questions are made of reviews (how one begins, and two passages of how it goes on).  reviews: .jsonl[.gz] with
    `text`, and `label` (pos, neg) to teach the sentiment classifier, which sees none of the reviews that are asked
    about.  tastes: scorers by name (length, readability, diversity, vocabulary, hedging, personal, sentiment, lexicon,
    grammar, or negative- and one of them); None: all that need no further package, sentiment where there are reviews,
    but for those that tell no two responses apart.
    features: words (tf-idf of texts that are not asked about), embedding, or the folder of a causal language model
    (mean hidden states); of each the leading 128 directions, strongest first, as in a fit of texts.  Those of a model
    are learned from the responses that are asked about, of which neither scores nor answers are seen.
    Errors: InputError.
    """
    require_count("n_questions", n_questions)
    require_place(out)
    require_other(out, reviews, pairs)
    if reviews is None and pairs is None:
        raise InputError("reviews: there is nothing to ask about", fix="give reviews, or pairs")
    with importing_llm("a taste"):
        from llm.scorers.named_scorers import COUNTED

    named = (*COUNTED, *(("sentiment",) if reviews is not None else ())) if tastes is None else tuple(tastes)
    if len(named) < 2 or len(set(named)) < len(named):
        raise InputError(f"tastes: expected two or more, each once, got {', '.join(named) or 'none'}", fix="name them")
    say, stream = said(progress), Stream(seed, "tastes")
    encoder, labelled = encoder_of(features), any(name.endswith("sentiment") for name in named)
    texts, labels = _reviews(reviews, labelled)
    found, read = _of_reviews(texts, n_questions, stream) if pairs is None else (_of_pairs(pairs, stream), 0)
    # Words are learned from questions that are not asked, half of all where there are few.
    asked = found[: min(n_questions, len(found) // 2 if encoder is None else len(found))]
    if len(asked) < 10:
        whose = str(reviews) if pairs is None else read_pairs(pairs).source
        raise InputError(
            f"{len(found)} questions are too few", file=whose, fix="give more texts: at least ten are to be asked"
        )
    rest = found[len(asked) :]
    shown = [text for question in asked for text in question[1:]]
    say(f"{features} of {len(shown)} responses to {len(asked)} prompts")
    if encoder is None:
        known = [text for question in rest[: len(asked)] for text in question[1:]]
        own = learn_words(known, _DIRECTIONS).of(shown)
    else:
        states = encoded(encoder, shown)
        leading = learn_directions(encoder, states, _DIRECTIONS)
        own = (states - leading.mean) @ leading.directions
    scores = _scores(named, asked, texts[read : read + _TAUGHT], labels[read : read + _TAUGHT], stream, say)
    told = (scores[:, 0] != scores[:, 1]).any(axis=0)
    dumb = [name for name, tells in zip(named, told, strict=True) if not tells]
    if dumb and (tastes is not None or told.sum() < 2):
        fix = "name others, or give other texts"
        raise InputError(f"tastes: {dumb[0]} tells no two responses of a question apart", fix=fix)
    if dumb:
        say(f"note: left out, since they tell no two responses apart: {', '.join(dumb)}")
    named, scores = tuple(name for name in named if name not in dumb), scores[..., told]
    made_by = features if encoder is None else f"{encoder.kind} of {encoder.place}"
    questions = ScoredQuestions(
        tuple(question[0] for question in asked), tuple(question[1:] for question in asked), named, scores,
        own.reshape(len(asked), 2, -1), made_by,
    )  # fmt: skip
    write_questions(out, questions)
    return questions


def _reviews(reviews: str | Path | None, labelled: bool) -> tuple[list[str], Any]:
    """Texts, and labels where a classifier is to be taught."""
    if reviews is None:
        if labelled:
            raise InputError("tastes: sentiment is learned from labelled reviews", fix="give reviews, or lexicon")
        return [], []
    from llm.base.plain_text import read_documents
    from llm.scorers.sentiment import read_reviews

    if labelled:
        return read_reviews(reviews)
    documents = read_documents(reviews, tidied=True)
    texts = [document for document in documents if isinstance(document, str)]
    return texts, [0] * len(texts)


def _of_reviews(texts: list[str], wanted: int, stream: Stream) -> tuple[list[Question], int]:
    """Twice as many as are asked: the others teach words."""
    from llm.data.review_questions import questions_of_reviews

    return questions_of_reviews(texts, 2 * wanted, stream.child("reviews"))


def _of_pairs(pairs: Frame, stream: Stream) -> list[Question]:
    """Each pair of different texts once, in random order, the first response chosen or rejected by a coin."""
    table = read_pairs(pairs).require_pairs("a question")
    require_texts(table, "tastes")
    items = response_texts(table.items, table.kind)
    prompts = response_texts(table.prompts, table.prompt_kind)
    coins, met, found = stream.child("coins").uniforms(len(table)), set(), []
    for j in stream.child("pairs").permutation(len(table)).tolist():
        both = (items[table.chosen[j]].strip(), items[table.rejected[j]].strip())
        first, second = both if coins[j] < 0.5 else both[::-1]
        key = (prompts[table.prompt[j]], *sorted(both))
        if first and second and first != second and key not in met:
            met.add(key)
            found.append((key[0], first, second))
    return found


def _scores(
    names: Sequence[str], asked: list[Question], texts: list[str], labels: Any, stream: Stream,
    say: Callable[[str], None],
) -> FloatArray:  # fmt: skip
    """(n, 2, n_tastes)."""
    from llm.scorers.named_scorers import Negated, Scorer, make_scorer
    from llm.scorers.sentiment import SentimentScorer

    prompts = [question[0] for question in asked for _ in range(2)]
    shown = [text for question in asked for text in question[1:]]
    taught: SentimentScorer | None = None
    columns = []
    for name in names:
        say(f"{name} of {len(shown)} responses")
        scorer: Scorer
        if name.removeprefix("negative-") == "sentiment":
            taught = taught or SentimentScorer.train(texts, np.asarray(labels), stream.child("sentiment"))
            scorer = taught if name == "sentiment" else Negated(taught)
        else:
            scorer = make_scorer(name)
        columns.append(scorer(prompts, shown))
    return np.stack(columns, axis=1).reshape(len(asked), 2, -1)
