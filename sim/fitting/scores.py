"""Held-out scores with intervals over annotators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sim.distinct import numbered
from sim.estimators.bootstrap import ANY, GAP, LOG_CHANCE, SHARE, annotator_intervals
from sim.files.atomic import Json
from sim.fitting.prepare import Prepared
from sim.fitting.text_features.texts import readable_texts
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import mean_of, unequal

COIN = float(np.log(0.5))
# Answers of a new annotator that are shown, and how many must be left to score her on.
SHOWN = (0, 5, 10, 20, 40)
LEAST_RESERVED = 5

Interval = tuple[float, float] | None


def hits(scores: FloatArray) -> FloatArray:
    """1 where the observed answer had more than an even chance, 1/2 at exactly even odds."""
    return np.where(np.abs(scores - COIN) < 1e-12, 0.5, (scores > COIN).astype(np.float64))


@dataclass(frozen=True)
class Score:
    """Accuracy and mean log-likelihood (nats a pair) of held-out answers, each as often as its weight says, with 95 %
    intervals over annotators; None where there are no answers."""

    n_pairs: int = 0
    n_annotators: int = 0
    accuracy: float | None = None
    accuracy_interval: Interval = None
    log_likelihood: float | None = None
    log_likelihood_interval: Interval = None

    def as_json(self) -> dict[str, Json]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Difference:
    """One method minus another, answer by answer, with paired 95 % intervals over annotators."""

    log_likelihood: float
    log_likelihood_interval: Interval
    accuracy: float
    accuracy_interval: Interval

    def as_json(self) -> dict[str, Json]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Log-likelihoods of held-out answers, nats: known annotators' (n_test,), unseen annotators' (n_unseen,); and
    whether each was the most probable one, None where that is to have had more than an even chance."""

    known_users: FloatArray
    unseen_users: FloatArray
    known_right: FloatArray | None = None
    unseen_right: FloatArray | None = None

    def sets(self) -> dict[str, FloatArray]:
        return {"known_users": self.known_users, "unseen_users": self.unseen_users}

    def right(self) -> dict[str, FloatArray]:
        """1 where the answer was the most probable, 1/2 at even odds."""
        known = hits(self.known_users) if self.known_right is None else self.known_right
        unseen = hits(self.unseen_users) if self.unseen_right is None else self.unseen_right
        return {"known_users": known, "unseen_users": unseen}


def score(
    scores: FloatArray, annotator: IntArray, stream: Stream, right: FloatArray | None = None,
    weights: FloatArray | None = None,
) -> Score:  # fmt: skip
    """The mean of (n,) log-likelihoods, and how often the answer had the best chance; right: (n,), see `HeldOut`;
    weights: (n,) the file's own, None where it has none."""
    if len(scores) == 0:
        return Score()
    right = hits(scores) if right is None else right
    of_right, of_scores = annotator_intervals(
        [right, scores], annotator, stream.child("bootstrap"), weights=weights, within=[SHARE, LOG_CHANCE]
    )
    return Score(
        n_pairs=len(scores),
        n_annotators=numbered(annotator)[1],
        accuracy=mean_of(right, weights),
        accuracy_interval=of_right,
        log_likelihood=mean_of(scores, weights),
        log_likelihood_interval=of_scores,
    )


def _held_out(prepared: Prepared) -> dict[str, tuple[IntArray, FloatArray | None]]:
    """Whose held-out answers are, and how often each counts."""
    return {
        users: (prepared.annotator[rows], prepared.given_weights(rows))
        for users, rows in (("known_users", prepared.test), ("unseen_users", prepared.unseen))
    }


@dataclass(frozen=True, eq=False)
class Scored:
    """scores: method -> of known and of unseen annotators.  differences: (one, other) -> likewise, where there are
    answers."""

    scores: Mapping[str, Mapping[str, Score]]
    differences: Mapping[tuple[str, str], Mapping[str, Difference]]

    def against(self, other: str, names: Iterable[str]) -> dict[str, Mapping[str, Difference]]:
        """Each of `names` minus `other`."""
        return {name: self.differences[name, other] for name in names}


def scored(
    predicted: Mapping[str, HeldOut], differences: Iterable[tuple[str, str]], prepared: Prepared, stream: Stream
) -> Scored:
    """`score` of everything predicted, and the differences asked for; intervals from the same draws of annotators."""
    wanted = list(dict.fromkeys(differences))
    scores: dict[str, dict[str, Score]] = {name: {} for name in predicted}
    found: dict[tuple[str, str], dict[str, Difference]] = {pair: {} for pair in wanted}
    for users, (annotator, weights) in _held_out(prepared).items():
        own = {name: (held.sets()[users], held.right()[users]) for name, held in predicted.items()}
        if not len(annotator):
            scores = {name: {**row, users: Score()} for name, row in scores.items()}
            continue
        means: list[float] = []

        def columns(
            own: Mapping[str, tuple[FloatArray, FloatArray]], means: list[float], weights: FloatArray | None
        ) -> Iterator[FloatArray]:
            """Differences last, one at a time: together they would be most of the memory."""
            for part in (part for pair in own.values() for part in pair):
                means.append(mean_of(part, weights))
                yield part
            for one, other in wanted:
                for first, second in zip(own[one], own[other], strict=True):
                    gap = first - second
                    means.append(mean_of(gap, weights))
                    yield gap

        intervals = annotator_intervals(
            columns(own, means, weights),
            annotator,
            stream.child("bootstrap"),
            weights=weights,
            within=[LOG_CHANCE, SHARE] * len(own) + [ANY, GAP] * len(wanted),
        )
        told = iter(zip(means, intervals, strict=True))
        n_pairs, n_annotators = len(annotator), numbered(annotator)[1]
        for name in own:
            (mean, interval), (right, of_right) = next(told), next(told)
            scores[name][users] = Score(n_pairs, n_annotators, right, of_right, mean, interval)
        for pair in wanted:
            (mean, interval), (right, of_right) = next(told), next(told)
            found[pair][users] = Difference(mean, interval, right, of_right)
    return Scored(scores, found)


def _sized(prepared: Prepared) -> Sequence[str]:
    """What is measured of each item: its label, or of a prompt with its response the response."""
    table = prepared.table
    return readable_texts(table.items, table.kind) if table.kind == "answered" else table.items


def longer_wins(prepared: Prepared) -> HeldOut:
    """ "The longer response wins", with the share of training answers where that is so (ties: even odds).

    Only generated text has a length that could give a response away; an identifier's length means nothing, but is
    reported all the same, so that nobody has to trust that.
    """
    size = np.array([len(text) for text in _sized(prepared)])
    longer = np.sign(size[prepared.table.chosen] - size[prepared.table.rejected])
    train = longer[prepared.train]
    weights = unequal(prepared.given_weights(prepared.train))
    counted = np.ones(len(train)) if weights is None else weights
    wins, losses = counted[train > 0].sum(), counted[train < 0].sum()
    share = (wins + 1) / (wins + losses + 2)
    chance = np.where(longer > 0, share, np.where(longer < 0, 1 - share, 0.5))
    return HeldOut(np.log(chance[prepared.test]), np.log(chance[prepared.unseen]))


@dataclass(frozen=True)
class NewAnnotatorScore:
    """A method on annotators nobody trained on, after so many answers of theirs: its score on reserved answers, and
    its gain over the common reward."""

    score: Score
    gain_over_pooled: float
    gain_over_pooled_interval: Interval

    def as_json(self) -> dict[str, Json]:
        interval = self.gain_over_pooled_interval
        return {
            **self.score.as_json(),
            "gain_over_pooled": self.gain_over_pooled,
            "gain_over_pooled_interval": None if interval is None else list(interval),
        }


@dataclass(frozen=True)
class NewAnnotators:
    """answers_shown, and the score of each method after them."""

    answers_shown: int
    by_method: Mapping[str, NewAnnotatorScore]

    def as_json(self) -> dict[str, Json]:
        return {"answers_shown": self.answers_shown, **{k: row.as_json() for k, row in self.by_method.items()}}


def no_rows(prepared: Prepared) -> BoolArray:
    """The mask of no answer."""
    return np.zeros(len(prepared.annotator), dtype=np.bool_)
