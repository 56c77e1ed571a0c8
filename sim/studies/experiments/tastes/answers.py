"""Who answers what, and which answers are held out: annotators drawn over scored questions, or real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import SPLITS, PairTable
from sim.files.preference_files import read_pairs
from sim.files.scored_questions import ScoredQuestions, read_questions
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.text_features.texts import require_texts, response_texts
from sim.fitting.text_features.words import learn_words
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.studies.experiments.tastes.setting import TastesSetting
from sim.weighted_means import spread_or_one

_TRAIN, _TEST, _UNSEEN = (SPLITS.index(name) for name in ("train", "test", "unseen"))
_DIRECTIONS = 128
_LEAST = 2


@dataclass(frozen=True, eq=False)
class Asked:
    """prepared: all answers.  held: masks of known annotators' held-out answers, to prompts that others answer in
    training (`answers`) and to new ones (`prompts`).  pool: of new annotators' answers, those that may be shown;
    reserved: those they are scored on.  truth: (n,) log-probability of each answer under the annotators' own
    preferences, None where nobody knows it."""

    prepared: Prepared
    held: dict[str, BoolArray]
    pool: BoolArray
    reserved: BoolArray
    truth: FloatArray | None


def asked_of(setting: TastesSetting, stream: Stream) -> Asked:
    """The replicate's answers."""
    if setting.answers_file is not None:
        return _real(setting, read_pairs(setting.answers_file), stream)
    assert setting.questions is not None
    return _drawn(setting, read_questions(setting.questions), stream)


def require_enough(setting: TastesSetting, questions: ScoredQuestions) -> None:
    """Nobody is asked twice."""
    n_new = round(setting.new_prompts * len(questions))
    known = max(setting.answers + setting.test_answers, setting.pool if setting.new_annotators else 0)
    for name, wanted, there in (
        ("known", known, len(questions) - n_new), ("new", setting.test_answers, n_new)
    ):  # fmt: skip
        if wanted > there:
            raise InputError(
                f"{wanted} answers of one annotator to {name} prompts, and there are {there}", file=setting.questions,
                fix="make more questions, or ask for fewer answers",
            )  # fmt: skip


def _drawn(setting: TastesSetting, questions: ScoredQuestions, stream: Stream) -> Asked:
    require_enough(setting, questions)
    n, N, new = len(questions), setting.annotators, setting.new_annotators
    order = stream.child("prompts").permutation(n)
    edge = n - round(setting.new_prompts * n)
    # Whole prompts are new; those that two questions share stay with the first.
    numbers = np.unique(questions.prompts, return_inverse=True)[1]
    is_new = np.zeros(n, dtype=np.bool_)
    is_new[order[edge:]] = True
    is_new &= ~np.isin(numbers, numbers[order[:edge]])
    own_known, own_new = np.flatnonzero(~is_new), np.flatnonzero(is_new)
    m, t = setting.answers, setting.test_answers

    def some(people: int, among: IntArray, count: int, role: str) -> IntArray:
        """(people, count) different questions each."""
        keys = stream.child(role).uniforms((people, len(among)))
        return np.asarray(among[np.argsort(keys, axis=1)[:, :count]])

    parts = [
        (some(N, own_known, m + t, "known"), 0), (some(N, own_new, t, "known/new prompts"), 0),
        (some(new, own_known, setting.pool, "new"), N), (some(new, own_new, t, "new/new prompts"), N),
    ]  # fmt: skip
    question = np.concatenate([asked.ravel() for asked, _ in parts])
    annotator = np.concatenate([np.repeat(np.arange(len(asked)) + first, asked.shape[1]) for asked, first in parts])
    kind = np.concatenate([np.full(asked.size, number) for number, (asked, _) in enumerate(parts)])
    learned = np.zeros(len(question), dtype=np.bool_)
    learned[: parts[0][0].size] = np.tile(np.arange(m + t) < m, N)
    weights = _weights(setting, N + new, len(questions.tastes), stream.child("tastes"))
    advantage = questions.advantages @ weights.T
    advantage /= spread_or_one(advantage, axis=0)
    margin = setting.sharpness * advantage[question, annotator]
    # What somebody would answer does not depend on what else is asked.
    coins = stream.child("answers").uniforms((N + new, n))[annotator, question]
    wins = coins < 1.0 / (1.0 + np.exp(-margin))
    first, second = 2 * question, 2 * question + 1
    told: FloatArray | None = None
    if setting.context_noise is not None:
        noise = stream.child("contexts").normals(weights.shape)
        told = weights + setting.context_noise * weights.std() * noise
    features = questions.features[:, :, : setting.directions].reshape(2 * n, -1)
    table = PairTable(
        items=tuple(str(number) for number in range(2 * n)),
        features=features,
        feature_names=tuple(f"feature {j + 1}" for j in range(features.shape[1])),
        prompts=tuple(str(number) for number in range(int(numbers.max()) + 1)),
        prompt=numbers[question],
        chosen=np.where(wins, first, second),
        rejected=np.where(wins, second, first),
        annotators=tuple(str(number) for number in range(N + new)),
        annotator=annotator,
        split=np.where(kind >= 2, _UNSEEN, np.where(learned, _TRAIN, _TEST)),
        annotator_features=told,
        annotator_feature_names=() if told is None else questions.tastes,
        source=str(setting.questions),
    )
    held = {"answers": (kind == 0) & ~learned, "prompts": kind == 1}
    truth = np.asarray(log_sigmoid(np.where(wins, margin, -margin)))
    return Asked(prepare(table, stream, "prompts"), held, kind == 2, kind == 3, truth)


def _weights(setting: TastesSetting, people: int, n_tastes: int, stream: Stream) -> FloatArray:
    """(people, n_tastes), rows of sum 1: one taste each in turn, or uniform on the simplex (Dirichlet of ones)."""
    if setting.people == "single":
        return np.eye(n_tastes)[np.arange(people) % n_tastes]
    drawn = -np.log(stream.uniforms((people, n_tastes)))
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))


def _real(setting: TastesSetting, table: PairTable, stream: Stream) -> Asked:
    """Known annotators are those with the most answers, new ones those that come next."""
    table.require_pairs("the study of tastes")
    counts = np.bincount(table.annotator, minlength=table.n_annotators)
    by_count = np.argsort(-counts, kind="stable")
    by_count = by_count[counts[by_count] >= 3 * _LEAST]
    if len(by_count) < setting.annotators:
        raise InputError(
            f"{len(by_count)} annotators have {3 * _LEAST} answers or more, and {setting.annotators} are asked for",
            file=setting.answers_file, field="annotators", fix="ask for fewer",
        )  # fmt: skip
    known = np.isin(table.annotator, by_count[: setting.annotators])
    new = np.isin(table.annotator, by_count[setting.annotators : setting.annotators + setting.new_annotators])
    of_prompt = stream.child("prompts").uniforms(len(table.prompts)) < setting.new_prompts
    is_new = of_prompt[table.prompt]
    # The place of each answer among her own of the same kind, in random order.
    place = _places(table.annotator * 2 + is_new, stream.child("order"))
    n_own = np.bincount(table.annotator[~is_new], minlength=table.n_annotators)
    kept = np.maximum(_LEAST, np.minimum(setting.answers, n_own - np.minimum(setting.test_answers, n_own // 3)))
    train = known & ~is_new & (place < kept[table.annotator])
    answers = known & ~is_new & ~train & (place < (kept + setting.test_answers)[table.annotator])
    prompts = known & is_new & (place < setting.test_answers)
    pool = new & ~is_new & (place < setting.pool)
    reserved = new & is_new & (place < setting.test_answers)
    if not (train.any() and answers.any() and prompts.any()):
        raise InputError(
            "no answers are left to learn from, or to score by", file=setting.answers_file,
            fix="give more answers an annotator, or another new_prompts",
        )  # fmt: skip
    codes = np.select([train, answers | prompts, pool | reserved], [_TRAIN, _TEST, _UNSEEN], -1)
    rows = codes >= 0
    own = replace(table, split=codes).select(rows)
    own = _with_features(own, setting)
    held = {"answers": answers[rows], "prompts": prompts[rows]}
    return Asked(prepare(own, stream, "prompts"), held, pool[rows], reserved[rows], None)


def _places(group: IntArray, stream: Stream) -> IntArray:
    """(n,) place of each row among those of its group, in random order."""
    order = np.lexsort((stream.uniforms(len(group)), group))
    starts = np.searchsorted(group[order], group[order])
    place = np.empty(len(group), dtype=np.int64)
    place[order] = np.arange(len(group)) - starts
    return place


def _with_features(table: PairTable, setting: TastesSetting) -> PairTable:
    """The leading features of the file, or of the words of training texts."""
    if table.features is not None:
        width = setting.directions or table.features.shape[1]
        return replace(
            table, features=table.features[:, :width], feature_names=table.feature_names[:width]
        )  # fmt: skip
    require_texts(table, "words")
    texts = response_texts(table.items, table.kind)
    train = table.rows_of("train")
    used, uses = np.unique(np.concatenate([table.chosen[train], table.rejected[train]]), return_counts=True)
    made = learn_words([texts[item] for item in used], setting.directions or _DIRECTIONS, uses.tolist())
    return replace(table, features=made.of(texts), feature_names=made.names)


def files_of(setting: TastesSetting) -> tuple[Path, ...]:
    """What is read."""
    return tuple(Path(name) for name in (setting.questions, setting.answers_file) if name is not None)
