"""Which answers train, which test, and how much an annotator's answers count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from sim.distinct import distinct, numbered
from sim.errors import InputError
from sim.files.item_numbers import spelt
from sim.files.pair_table import NONE_OF_THEM, SCALE, SPLITS, PairTable
from sim.fitting.settings import AskedHoldOut, HoldOut
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray
from sim.streams import Stream

# Why answers are on neither side of a split, in `set_aside`.
BETWEEN_SIDES = "about both an item to train on and one to score by"
OF_NOBODY_KNOWN = "to prompts held out, of people without another answer"


def items_recur(table: PairTable) -> bool:
    """Whether annotators meet the same item again and again (films) or once (generated responses).

    In another question: who gave a row twice, or was asked a question again, has met nothing else by it, and all her
    answers to one question are on one side anyway (`hold_out`).
    """
    answer, item = table.shown()
    person = table.annotator[answer]
    n_distinct = len(distinct(person * len(table.items) + item))
    if len(person) < 1.5 * n_distinct:
        return False
    question, n_questions = questions_of(table)
    first = np.zeros(len(table), dtype=np.bool_)
    first[np.unique(question, return_index=True)[1]] = True
    return n_questions == len(table) or int(first[answer].sum()) >= 1.5 * n_distinct


def is_designed(table: PairTable) -> bool:
    """Whether items are nothing but features that were made for the question: texts that spell these out (`price 2,
    ...`), as `pluralign convert choices` writes them.  A list of numbers may as well be an embedding of something."""
    if table.features is None:
        return False
    for label, values in zip(table.items, table.features.tolist(), strict=True):
        own = dict(zip(table.feature_names, values, strict=True))
        # Files that were converted up to November 2026 have six digits in their texts.
        shorter = ", ".join(f"{name} {value:g}" for name, value in own.items())
        if label not in (spelt(own), shorter, NONE_OF_THEM, SCALE):
            return False
    return True


def way_to_hold_out(table: PairTable, asked: AskedHoldOut = "auto") -> HoldOut:
    """What to hold out of this table: what is asked for, else items where annotators meet the same ones again and again
    and an item is more than its features (films), answers elsewhere.

    Two answers about one film are not independent: with a random split a model would learn the test film from the
    training one. Items that are nothing but their features (designed alternatives, given as lists of numbers) have
    nothing of their own to be learned, and of items without features nothing can be predicted once nobody was asked
    about them: there answers are held out, and none is lost between the two sides;
    so they are where a set of several would have to fall wholly on one side.
    """
    if asked == "prompts" and len(table.prompts) < 2:
        raise InputError("hold_out: there is one prompt only", file=table.source, fix="hold out answers or items")
    if asked != "auto":
        return asked
    designed = table.features is None or table.kind == "vector" or is_designed(table)
    # Of four alternatives all would have to be held out by chance, or none.
    designed |= table.offered is not None
    return "items" if not designed and items_recur(table) else "answers"


def questions_of(table: PairTable) -> tuple[IntArray, int]:
    """(number of the question that each answer is to (n,), by first appearance; how many there are): one question an
    annotator, prompt and set of items, whatever she said."""
    n_items = len(table.items)
    if table.offered is not None:
        answer, item = table.shown()
        ends = np.searchsorted(answer, np.arange(len(table) + 1))
        sets: dict[bytes, int] = {}
        about = np.array([
            sets.setdefault(item[i:j].tobytes(), len(sets)) for i, j in pairwise(ends)
        ], dtype=np.int64)  # fmt: skip
    else:
        low, high = np.minimum(table.chosen, table.rejected), np.maximum(table.chosen, table.rejected)
        about = low * n_items + high
    # Number by number: the product of all three may be beyond 64 bits.
    about = numbered(about)[0] * len(table.prompts) + table.prompt
    index, count = numbered(numbered(about)[0] * table.n_annotators + table.annotator)
    first = np.full(count, len(index))
    np.minimum.at(first, index, np.arange(len(index)))
    place = np.empty(count, dtype=np.int64)
    place[np.argsort(first)] = np.arange(count)
    return place[index], count


def hold_out(
    table: PairTable, rows: BoolArray, share: float, stream: Stream, by: AskedHoldOut = "auto"
) -> tuple[BoolArray, BoolArray]:
    """(kept, held) masks inside `rows`; auto: as `way_to_hold_out` says of this table, which may be a thinner one than
    that it comes from.

    items: a share of each annotator's items is set aside: held answers are between two of these, kept answers between
    none, the others are dropped.  prompts: all answers to a share of the prompts; where by chance all of them would be
    on one side, to the round(share * prompts) drawn first, one at least on either side.  answers: a share of the
    answers, those of one annotator to one question together (`questions_of`), or one would tell the other; so too
    inside the people who train where people are held out.
    """
    by = way_to_hold_out(table, by)
    if by == "prompts":
        of_prompts = _drawn_prompts(distinct(table.prompt[rows]), stream.uniforms(len(table.prompts)), share)
        return rows & ~of_prompts[table.prompt], rows & of_prompts[table.prompt]
    if by != "items":
        question, n_questions = questions_of(table)
        drawn = (stream.uniforms(n_questions) < share)[question]
        return rows & ~drawn, rows & drawn
    n_items = len(table.items)
    answer, item = table.shown()
    index, n_distinct = numbered(table.annotator[answer] * n_items + item)
    aside = (stream.uniforms(n_distinct) < share)[index]
    if table.offered is None and table.grade is None:
        first, second = aside.reshape(2, len(table))
        return rows & ~first & ~second, rows & first & second
    held, size = np.bincount(answer, aside, len(table)), np.bincount(answer, minlength=len(table))
    return rows & (held == 0), rows & (held == size)


def _drawn_prompts(present: IntArray, uniforms: FloatArray, share: float) -> BoolArray:
    """Mask of prompts to hold out, by a uniform each; present: those that are answered.

    Of three, none is below a third in 8 of 27 draws, and nothing would be left to choose or to test by.
    """
    drawn: BoolArray = uniforms < share
    if share > 0 and len(set(drawn[present].tolist())) == 1:
        n = min(max(round(share * len(present)), 1), len(present) - 1)
        drawn[present] = False
        drawn[present[np.argsort(uniforms[present], kind="stable")[:n]]] = True
    return drawn


def _independent(
    person: IntArray, item: IntArray, mass: FloatArray | None, n_annotators: int, n_items: int
) -> FloatArray:
    """How many independent comparisons each annotator's items allow; (n_annotators,).

    N = sum over items of min(1, w_i) - max over items of min(1, w_i)                               [derived]

    with w_i the weight of her answers about item i: the number of her items with w_i > t, less one, over t from 0 to 1.
    So m items, each in an answer of weight 1 or more, allow m - 1, and an item in an answer of weight w < 1 adds w at
    most: N does not jump where w goes to 0.  person, item, mass: an item of an answer each; mass None: all 1.
    """
    index, count = numbered(person * n_items + item)
    owner = np.empty(count, dtype=np.int64)
    owner[index] = person
    counted, largest = np.minimum(1.0, np.bincount(index, mass, count)), np.zeros(n_annotators)
    np.maximum.at(largest, owner, counted)
    return np.asarray(np.bincount(owner, counted, n_annotators) - largest)


def _share(independent: FloatArray, mass: AnyArray) -> FloatArray:
    """min(1, N / W), zero where W is."""
    return np.asarray(np.clip(independent / np.maximum(mass, 1e-300), 0.0, 1.0))


def independent_share(
    annotator: IntArray,
    chosen: IntArray,
    rejected: IntArray,
    n_annotators: int,
    n_items: int,
    weights: FloatArray | None = None,
) -> FloatArray:
    """min(1, N / W) of each annotator, zero without answers; (n_annotators,).

    W: the sum of her answers' weights; N: see `_independent`.  Where all weights are 1 that is (items - 1) / answers.
    weights: (n,), or None for ones.
    """
    person, item = np.concatenate([annotator, annotator]), np.concatenate([chosen, rejected])
    both = None if weights is None else np.concatenate([weights, weights])
    independent = _independent(person, item, both, n_annotators, n_items)
    return _share(independent, np.bincount(annotator, weights, n_annotators))


def _share_of_table(table: PairTable, rows: BoolArray) -> FloatArray:
    """`independent_share` of the masked answers, whatever they are made of; (n_annotators,)."""
    if table.grade is not None or is_designed(table):
        # Each grade is of another item; alternatives that are made for the question have no noise of their own.
        return np.ones(table.n_annotators)
    n, n_items, given = table.n_annotators, len(table.items), table.weights
    if table.offered is None:
        return independent_share(
            table.annotator[rows], table.chosen[rows], table.rejected[rows], n, n_items,
            None if given is None else given[rows],
        )  # fmt: skip
    answer, item = table.shown()
    answer, item = answer[rows[answer]], item[rows[answer]]
    mass = None if given is None else given[answer]
    independent = _independent(table.annotator[answer], item, mass, n, n_items)
    own = rows[table.offered.answer]
    choice, weight = table.offered.answer[own], table.offered.weight[own]
    # Every choice is a comparison, a rating as many as it has scores but one; sets that share no item share no noise.
    comparisons = np.bincount(table.annotator[choice], weight if given is None else weight * given[choice], n)
    return _share(independent, comparisons)


def effective_weights(table: PairTable, rows: BoolArray) -> FloatArray:
    """(n,) weight w of each answer among `rows`, times its annotator's share; zero elsewhere.

    w * min(1, N / W)    W: sum of her answers' weights; N: how many independent comparisons her items allow

    m items allow at most N = m - 1 independent comparisons (items that spell out their features, made for the question,
    have no noise of their own: there each answer counts whole). Taking 160 answers about 50 films for 160 independent
    ones makes an annotator's posterior over types far too sharp and rewards types that fit her noise.

    Both are of weights and not of rows: an answer of weight 2 is the answer given twice, and one whose weight goes to 0
    is no answer, also where it is about an item of its own (`_independent`).  All her answers together weigh
    min(W, N), which never falls as an answer is added, and grows by no more than its weight for each of its items.
    """
    share = _share_of_table(table, rows)
    weight = np.where(rows, share[table.annotator], 0.0)
    return weight if table.weights is None else weight * table.weights


def with_split(
    table: PairTable, stream: Stream, by: AskedHoldOut = "auto", unseen: float = 0.15, test: float = 0.3
) -> PairTable:
    """The table with a split of its own where the file has none: whole unseen annotators, and but for "people" held-out
    answers of the others.

    Somebody without a training answer is no known annotator: all of hers train, since none can be scored (but where
    prompts are held out, which then nobody trains on).  What is on neither side is left out, and `set_aside` says why.
    """
    if table.split is not None:
        return table
    by = way_to_hold_out(table, by)
    hidden = stream.child("unseen").uniforms(table.n_annotators) < unseen
    rows = ~hidden[table.annotator]
    share = 0.0 if by == "people" else test
    kept, held = hold_out(table, rows, share, stream.child("test"), by)
    known = (np.bincount(table.annotator[kept], minlength=table.n_annotators) > 0)[table.annotator]
    if by != "prompts":
        kept |= rows & ~known
    held &= known
    if not kept.any():
        raise InputError("no answers are left to train on", file=table.source, fix="give more answers an annotator")
    codes = np.full(len(table), -1, dtype=np.int64)
    for name, mask in zip(SPLITS, (kept, held, ~rows), strict=True):
        codes[mask] = SPLITS.index(name)
    lost = int((codes < 0).sum())
    why = OF_NOBODY_KNOWN if by == "prompts" else BETWEEN_SIDES
    return replace(table, split=codes, set_aside=((why, lost),) if lost else ()).select(codes >= 0)


def reserve_new_annotators(
    table: PairTable,
    unseen: BoolArray,
    stream: Stream,
    shown: tuple[int, ...],
    least: int,
    by: AskedHoldOut = "auto",
) -> tuple[tuple[int, ...], BoolArray, Callable[[int], BoolArray]]:
    """(numbers that can be shown, reserved answers, mask of the first s answers of everybody) for unseen annotators.

    Where items recur, answers are reserved about items none of her shown answers is about: two answers about one film
    share its noise, which a flexible method would learn and be rewarded for. The same annotators (with enough to show
    and at least `least` reserved) and the same reserved answers for every number shown.
    """
    kept, held = hold_out(table, unseen, 0.4, stream.child("reserve"), by)
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((stream.uniforms(len(rows)), table.annotator[rows]))]
    person, n = table.annotator[rows], table.n_annotators
    counts, reserved = np.bincount(person, minlength=n), np.bincount(table.annotator[held], minlength=n)
    steps = list(shown)
    while steps and not ((counts >= max(steps[-1], 1)) & (reserved >= least)).any():
        steps.pop()
    fit_for = (counts >= max(steps[-1], 1) if steps else counts < 0) & (reserved >= least)
    place = np.arange(len(rows)) - np.concatenate([[0], np.cumsum(counts)])[person]

    def first(s: int) -> BoolArray:
        seen: BoolArray = np.zeros(len(table.annotator), dtype=np.bool_)
        seen[rows[fit_for[person] & (place < s)]] = True
        return seen

    return tuple(steps), held & fit_for[table.annotator], first
