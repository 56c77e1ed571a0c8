"""Which answers are held out: about prompts that were seen, about new ones, or neither."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_llm import open_tiny, tiny  # noqa: F401

from llm.data.preference_text import DataSettings, load_preferences
from llm.data.splits import hold_out_answers, hold_out_prompts
from sim.preferences import PreferencePairs
from sim.streams import Stream


def _pairs(contexts, annotator, responses=None):
    """One pair a prompt for everybody, or `responses` (n, 2)."""
    contexts, annotator = np.array(contexts), np.array(annotator)
    pair = np.stack([2 * contexts, 2 * contexts + 1], axis=1) if responses is None else np.array(responses)
    # Every other answer prefers the second response: the pair is the same.
    turned = np.arange(len(contexts)) % 2 == 1
    pair[turned] = pair[turned, ::-1]
    return PreferencePairs(contexts, pair[:, 0], pair[:, 1], annotator, int(annotator.max()) + 1)


def test_answers_held_out_are_about_pairs_that_others_answer():
    contexts, annotator = np.tile(np.arange(20), 30), np.repeat(np.arange(30), 20)
    pairs = _pairs(contexts, annotator)
    everywhere = np.ones(len(pairs), dtype=bool)
    held = hold_out_answers(pairs, pairs.contexts, everywhere, 0.2, Stream(1))
    assert np.bincount(annotator[held]).tolist() == [4] * 30, "each annotator gives her share"
    assert set(contexts[held]) <= set(contexts[~held])
    assert (hold_out_answers(pairs, pairs.contexts, everywhere, 0.2, Stream(1)) == held).all()
    assert (hold_out_answers(pairs, pairs.contexts, everywhere, 0.2, Stream(2)) != held).any()


def test_shares_hold_on_average_for_people_with_few_answers():
    contexts, annotator = np.tile(np.arange(4), 500), np.repeat(np.arange(500), 4)
    held = hold_out_answers(_pairs(contexts, annotator), contexts, np.ones(2000, dtype=bool), 0.1, Stream(3))
    assert held.mean() == pytest.approx(0.1, abs=0.02)
    assert np.bincount(annotator[~held]).min() >= 3


def test_where_no_pair_is_shared_prompts_are():
    contexts, annotator = np.tile(np.arange(10), 12), np.repeat(np.arange(12), 10)
    own = np.arange(240).reshape(120, 2)
    held = hold_out_answers(_pairs(contexts, annotator, own), contexts, np.ones(120, dtype=bool), 0.2, Stream(1))
    assert held.sum() == 24
    assert set(contexts[held]) <= set(contexts[~held])


def test_where_no_prompt_has_two_answers_none_is_held_out():
    contexts, annotator = np.arange(40), np.repeat(np.arange(4), 10)
    assert not hold_out_answers(_pairs(contexts, annotator), contexts, np.ones(40, dtype=bool), 0.5, Stream(1)).any()


def test_everybody_and_every_pair_keeps_an_answer():
    contexts, annotator = np.repeat(np.arange(8), 2), np.array([0, 1] * 4 + [2, 3] * 4)
    held = hold_out_answers(_pairs(contexts, annotator), contexts, np.ones(16, dtype=bool), 0.9, Stream(1))
    assert np.bincount(contexts[~held], minlength=8).min() >= 1
    assert np.bincount(annotator[~held], minlength=4).min() >= 1
    assert held.sum() == 8


def test_rows_that_are_no_candidates_are_never_drawn():
    contexts, annotator = np.tile(np.arange(20), 10), np.repeat(np.arange(10), 20)
    rows = annotator < 5
    held = hold_out_answers(_pairs(contexts, annotator), contexts, rows, 0.2, Stream(1))
    assert held.any()
    assert not (held & ~rows).any()
    assert not (hold_out_prompts(contexts, annotator, rows, 0.2, Stream(1)) & ~rows).any()


def test_new_prompts_are_whole():
    contexts, annotator = np.tile(np.arange(20), 10), np.repeat(np.arange(10), 20)
    held = hold_out_prompts(contexts, annotator, np.ones(200, dtype=bool), 0.25, Stream(1))
    assert len(set(contexts[held])) == 5
    assert not set(contexts[held]) & set(contexts[~held])
    assert not hold_out_prompts(np.zeros(5, dtype=int), np.arange(5), np.ones(5, dtype=bool), 0.5, Stream(1)).any()


def test_answers_to_one_question_are_held_out_together_or_not_at_all():
    """The same answer twice, or a person who says first one thing and then the other."""
    contexts, annotator = np.tile(np.arange(20), 30), np.repeat(np.arange(30), 20)
    once = _pairs(contexts, annotator)
    everywhere = np.ones(len(once), dtype=bool)
    alone = hold_out_answers(once, contexts, everywhere, 0.2, Stream(1))
    numbers = annotator * 20 + contexts
    assert (hold_out_answers(once, contexts, everywhere, 0.2, Stream(1), numbers) == alone).all(), "as it was"
    twice = np.concatenate([np.arange(600), np.arange(0, 600, 3)])
    pairs = PreferencePairs(
        contexts[twice], np.where(np.arange(800) < 600, once.chosen[twice], once.rejected[twice]),
        np.where(np.arange(800) < 600, once.rejected[twice], once.chosen[twice]), annotator[twice], 30,
    )  # fmt: skip
    held = hold_out_answers(pairs, pairs.contexts, np.ones(800, dtype=bool), 0.2, Stream(1), numbers[twice])
    assert not set(numbers[twice][held]) & set(numbers[twice][~held])
    assert (held[:600] == alone).all(), "people who are asked again give no more of their questions"


@pytest.mark.parametrize("kind", ["pairs", "rankings", "contradictions"])
def test_a_file_that_holds_its_rows_twice_holds_out_nothing_that_it_trains_on(tiny, tmp_path, kind):  # noqa: F811
    rows = []
    for j in range(48):
        row = {"prompt": f"The film {j % 8} was", "annotator_id": f"a{j // 8}"}
        sides = [" good", " bad"] if j // 8 % 2 else [" bad", " good"]
        if kind == "rankings":
            rows.append({**row, "responses": [*sides, " long"], "ranking": [1, 2, 3]})
        else:
            rows.append({**row, "chosen": sides[0], "rejected": sides[1]})

    def again(row):
        if kind == "contradictions":
            return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
        return row if kind == "pairs" else {**row, "responses": row["responses"][::-1]}

    def loaded(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        base, tokenizer = open_tiny(tiny)
        told = DataSettings(train=str(path), unseen=0.0, new_prompts=0.0, held_out=0.2)
        return load_preferences(told, tokenizer, base.store, 64, Stream(1))

    def asked(answers):
        pairs = answers.pairs
        return set(zip(pairs.annotator.tolist(), pairs.contexts.tolist(), strict=True))

    once, twice = loaded("once.jsonl", rows), loaded("twice.jsonl", [*rows, *map(again, rows)])
    assert len(twice.held_out) == 2 * len(once.held_out) > 0
    assert asked(twice.held_out) == asked(once.held_out)
    assert not asked(twice.held_out) & asked(twice.train)
    assert any("48 answers are of people who answered the same question before" in note for note in twice.notes)
    assert not any("same question" in note for note in once.notes)


def test_that_no_prompt_is_shared_is_said_only_where_it_is_so(tiny, tmp_path):  # noqa: F811
    def notes(prompts):
        path = tmp_path / "p.jsonl"
        rows = [
            {"prompt": prompt, "chosen": f" good {j}", "rejected": f" bad {j}", "annotator_id": f"a{j % 3}"}
            for j, prompt in enumerate(prompts)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        base, tokenizer = open_tiny(tiny)
        settings = DataSettings(train=str(path), unseen=0.0, held_out=1e-6)
        found = load_preferences(settings, tokenizer, base.store, 64, Stream(1))
        return len(found.held_out), any("no prompt has answers of two" in note for note in found.notes)

    assert notes([f"q{j}" for j in range(9)]) == (0, True)
    assert notes(["q", "p", "r"] * 3) == (0, False), "too few answers to hold one out is another matter"
