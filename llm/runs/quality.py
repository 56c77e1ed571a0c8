"""What policies write: samples of each on common prompts, scored, with intervals over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llm.base.journal import Journal, fingerprint
from llm.base.reference_policy import ReferencePolicy
from llm.base.texts import plain_text, response_texts
from llm.scorers.named_scorers import Scorer, kept_as
from llm.training.adapter_policy import AdapterPolicy
from sim.estimators.bootstrap import annotator_interval
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import spread_or_one


@dataclass(frozen=True, eq=False)
class Samples:
    """Of one policy: responses (n_prompts, S) as store numbers; log_ratio (K, n_prompts, S) of the groups' policies;
    scores by scorer name (n_prompts, S); words (n_prompts, S).  prompts, texts: the prompts (n_prompts,) and the first
    response to each, as they read."""

    responses: IntArray
    log_ratio: FloatArray
    scores: Mapping[str, FloatArray]
    words: FloatArray
    prompts: tuple[str, ...]
    texts: tuple[str, ...]


def draw_samples(
    policy: AdapterPolicy | ReferencePolicy,
    groups: Sequence[AdapterPolicy],
    contexts: IntArray,
    samples: int,
    scorers: Sequence[Scorer],
    tokenizer: Any,
    stream: Stream,
) -> Samples:
    """`samples` responses a prompt from `policy`, seen by every group's policy and every scorer."""
    repeated = np.repeat(contexts, samples)
    responses = policy.sample(repeated, stream)
    shape = (len(contexts), samples)
    store = policy.base.store
    prompts = [plain_text(tokenizer, store[c]) for c in repeated.tolist()]
    texts = response_texts(tokenizer, [store[c] for c in repeated.tolist()], [store[r] for r in responses.tolist()])
    return Samples(
        responses=responses.reshape(shape),
        log_ratio=np.stack([group.log_ratio(repeated, responses).reshape(shape) for group in groups]),
        scores={scorer.name: _scores(scorer, prompts, texts, policy.journal).reshape(shape) for scorer in scorers},
        words=np.array([float(len(text.split())) for text in texts]).reshape(shape),
        prompts=tuple(prompts[::samples]),
        texts=tuple(texts[::samples]),
    )


def _scores(scorer: Scorer, prompts: Sequence[str], texts: Sequence[str], journal: Journal) -> FloatArray:
    """A scorer's numbers (n,), read from the journal where they are slow to make and there already."""
    made_by = kept_as(scorer)
    if not made_by:
        return scorer(prompts, texts)
    piece = "judged-" + fingerprint(made_by, list(prompts), list(texts))
    found = journal.read(piece)
    if found is not None:
        return np.asarray(found[0]["scores"].numpy())
    scores = scorer(prompts, texts)
    journal.write(piece, {"scores": torch.from_numpy(np.ascontiguousarray(scores))})
    return scores


@dataclass(frozen=True, eq=False)
class PromptMeans:
    """A policy's numbers prompt by prompt, linear in the policy: what an ensemble's are a weighted sum of.

    log_ratio (K, n_prompts): E_{y ~ pi} log(pi_z / pi_ref).  scores: name -> (n_prompts,).  words (n_prompts,).
    """

    log_ratio: FloatArray
    scores: Mapping[str, FloatArray]
    words: FloatArray

    @staticmethod
    def of(samples: Samples) -> PromptMeans:
        return PromptMeans(
            samples.log_ratio.mean(axis=2),
            {name: values.mean(axis=1) for name, values in samples.scores.items()},
            samples.words.mean(axis=1),
        )

    @staticmethod
    def mixed(parts: Sequence[PromptMeans], weights: FloatArray) -> PromptMeans:
        """The ensemble that draws part k with probability w_k once a response (exact in k, no extra samples); one that
        always draws the same part is that part."""
        if weights.max() == 1.0:
            return parts[int(weights.argmax())]
        return PromptMeans(
            np.tensordot(weights, np.stack([part.log_ratio for part in parts]), axes=1),
            {name: weights @ np.stack([part.scores[name] for part in parts]) for name in parts[0].scores},
            weights @ np.stack([part.words for part in parts]),
        )


@dataclass(frozen=True)
class MeanInterval:
    """A mean over prompts and its 95 % limits, None where there is one prompt or all are the same: a score has no
    edges that would tell how far others may be."""

    mean: float
    interval: tuple[float, float] | None


def with_interval(values: FloatArray, stream: Stream, known: bool = False) -> MeanInterval:
    """Mean over prompts (n,) and its 95 % limits: the rule is that of annotators (`annotator_intervals`), Student's of
    few prompts, or where few of them differ, and the bootstrap's of others.
    known: they are the same at every prompt there is, as the regret of a policy against itself."""
    mean = float(values.mean())
    if known:
        return MeanInterval(mean, (mean, mean))
    return MeanInterval(mean, annotator_interval(values, np.arange(len(values)), stream))


def implicit_regrets(own: Sequence[PromptMeans], policy: PromptMeans, beta: float) -> FloatArray:
    """beta (E_{pi_z} h_z - E_pi h_z) prompt by prompt, h_z = log(pi_z / pi_ref); (K, n_prompts), reward units.

    own[z]: the policy of group z itself.            [arXiv 2405.15065, Appendix E, with the sign as it must be]
    """
    return np.stack([beta * (own[z].log_ratio[z] - policy.log_ratio[z]) for z in range(len(own))])


@dataclass(frozen=True, eq=False)
class ScoreUnit:
    """A score's standard deviation over the reference's samples, which groups are compared in: s^2 = mean_i v_i, v_i
    the mean square at prompt i.

    influence (n_prompts,): (v_i / s^2 - 1) / 2, what prompt i adds to log s, to first order.
    """

    scale: float
    influence: FloatArray

    @staticmethod
    def of(scores: FloatArray) -> ScoreUnit:
        """scores (n_prompts, n_samples) of the reference; 1 where all are the same."""
        squares = np.square(scores - scores.mean()).mean(axis=1)
        scale = float(spread_or_one(scores))
        return ScoreUnit(scale, (squares - squares.mean()) / (2 * scale**2))


def scored_regrets(
    own: Sequence[PromptMeans], policy: PromptMeans, scorers: Sequence[str], units: Mapping[str, ScoreUnit]
) -> FloatArray:
    """(score of pi_z's samples - score of pi's samples) / s, each group by its own scorer; (K, n_prompts).

    The unit s is estimated from the same prompts.  With gaps g_i their mean is R = mean(g) / s, and by the delta method
    its error is that of a mean of g_i / s - R (v_i / s^2 - 1) / 2: these are returned, so that limits over prompts hold
    the unit's error, too (with a known unit 95 % limits of 4.4 sd held .43 of the time).  A group whose gaps are the
    same at every prompt stays so: no limits are known of it.
    """
    rows = []
    for z, name in enumerate(scorers):
        gaps = (own[z].scores[name] - policy.scores[name]) / units[name].scale
        alike = np.ptp(gaps) <= 1e-12 * np.abs(gaps).max()
        rows.append(gaps if alike else gaps - gaps.mean() * units[name].influence)
    return np.stack(rows)
