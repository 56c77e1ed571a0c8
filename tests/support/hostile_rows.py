"""Hostile files of answers and of all else that is rows: read, fitted, predicted, converted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hostile_asked import Asked
from hostile_values import as_lines, files, odd_word, texts
from hypothesis import strategies as st
from places import ROOT

EXAMPLES = ROOT / "examples"
SETS = EXAMPLES / "sets"


def features_of(k: int) -> list[float]:
    return [0.1 * (7 * k % 13) - 0.6, 0.1 * (5 * k % 11) - 0.5]


def _answer(kind: str, k: int) -> dict[str, Any]:
    names = [f"{name}{k}" for name in "abc"]
    own = [features_of(3 * k + j) for j in range(3)]
    said = {
        "pairs": {"chosen": names[0], "rejected": names[1], "chosen_features": own[0], "rejected_features": own[1]},
        "ties": {"chosen": names[0], "rejected": names[1], "chosen_features": own[0], "rejected_features": own[1],
                 "tie": k % 3 == 0, "weight": 1.0},
        "strengths": {"chosen": names[0], "rejected": names[1], "chosen_features": own[0], "rejected_features": own[1],
                      "strength": 1 + k % 3},
        "named": {"chosen": names[0], "rejected": names[1],
                  "chosen_features": dict(zip(("length", "<b>warmth"), own[0], strict=True)),
                  "rejected_features": dict(zip(("length", "<b>warmth"), own[1], strict=True))},
        "choices": {"responses": names, "features": own, "choice": k % 4 - 1},
        "rankings": {"responses": names, "features": own, "ranking": [2, 1, None] if k % 2 else [1, 2, 2]},
        "ratings": {"responses": names, "features": own, "scores": [5, 3, k % 4]},
        "grades": {"response": names[0], "features": own[0], "score": k % 5},
        "texts": {"chosen": f"A long warm answer {k}.", "rejected": f"No {k}!"},
        "chats": {"prompt": [{"role": "user", "content": f"q{k % 3}"}],
                  "chosen": [{"role": "assistant", "content": f"yes {k}"}],
                  "rejected": [{"role": "assistant", "content": f"no {k}"}]},
    }[kind]  # fmt: skip
    row = {"annotator_id": f"p{k % 4}", "prompt": f"q{k % 5}", **said}
    if kind == "pairs":
        row |= {"annotator_features": [k % 4, (k % 4) ** 2], "group_id": f"g{k % 2}"}
    return row


KINDS = ("pairs", "ties", "strengths", "named", "choices", "rankings", "ratings", "grades", "texts", "chats")
ANSWERS = {kind: [_answer(kind, k) for k in range(16)] for kind in KINDS}
FAST = ("--restarts", 1, "--max-types", 2)


def _read_both_ways(path):
    """As a user's call reads it; where the pass over columns reads the file, the pass over rows reads the same."""
    from read_both_ways import assert_same, by_columns, by_rows

    found = by_columns(path)
    if found is None:
        from sim.files.preference_files import read_pairs

        return read_pairs(path)
    assert_same(found, by_rows(path))
    return found


@st.composite
def answers_read(draw):
    name, data = draw(files(ANSWERS[draw(st.sampled_from(KINDS))]))
    return Asked({name: data}, reader=(_read_both_ways, name))


@st.composite
def answers_fitted(draw):
    kind = draw(st.sampled_from(KINDS))
    name, data = draw(files(ANSWERS[kind]))
    texts = kind in ("texts", "chats")
    methods = ["pooled", "dpo", "em-dpo", "personal", "cluster-dpo", "shared", "cluster", "low-rank", "group-dpo",
               "group-robust", "maxmin-rlhf"]  # fmt: skip
    words = ["fit", name, "--method", draw(st.sampled_from(methods)), *FAST, "--out", "out"]
    words += ["--types", draw(st.sampled_from([1, 2, 2, "auto"]))]
    words += ["--features", "words"] if texts or draw(st.integers(0, 5)) == 0 else []
    words += draw(
        st.sampled_from([(), (), ("--json",), ("--hold-out", "items"), ("--folds", 2), ("--beside", "personal")])
    )
    return Asked({name: data}, tuple(words))


@st.composite
def predicted(draw, made):
    """made: a saved fit."""
    rows = {
        "items": [{"item": f"i{k}", "features": features_of(k)} for k in range(6)],
        "named": [{"item": f"i{k}", "features": {"feature 1": 0.5, "feature 2": 1.0}} for k in range(6)],
        "pairs": ANSWERS["pairs"][:6], "choices": ANSWERS["choices"][:6],
    }  # fmt: skip
    name, data = draw(files(rows[draw(st.sampled_from(list(rows)))]))
    words = ["predict", "fit", name]
    held = {"fit": made, name: data}
    if draw(st.booleans()):
        other, answers = draw(files(ANSWERS["pairs"][:8], name="answers"))
        held[other] = answers
        words += ["--answers", other]
    words += draw(st.sampled_from([(), ("--json",), ("--by-type",), ("--annotator", "p1"), ("--out", "rows.parquet")]))
    if draw(st.integers(0, 3)) == 0:
        words += ["--annotator", odd_word(draw)]
    return Asked(held, tuple(words))


# Converter -> the files of its example.
CONVERTED = {
    "arena": ["arena.jsonl"], "choices": ["choices_long.csv"], "community-alignment": ["community_alignment.jsonl"],
    "collective-alignment": ["collective_alignment_comparisons.jsonl", "collective_alignment_annotators.jsonl"],
    "dices": ["dices.csv"], "helpsteer3": ["helpsteer3.jsonl"], "hh": ["hh.jsonl"], "multipref": ["multipref.jsonl"],
    "oasst": ["oasst.jsonl"], "prism": ["prism_conversations.jsonl", "prism_survey.jsonl"], "shp": ["shp.jsonl"],
    "tldr": ["tldr.jsonl"], "ultrafeedback": ["ultrafeedback.jsonl"], "preflib": ["council.toi"],
    "columns": [], "movielens": [], "wide": ["choices_wide.csv"],
}  # fmt: skip


def _rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        import csv

        with path.open(newline="") as lines:
            return list(csv.DictReader(lines))
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


@st.composite
def converted(draw):
    name = draw(st.sampled_from(list(CONVERTED)))
    out = draw(st.sampled_from(["o.jsonl", "o.parquet"]))
    more = draw(st.sampled_from([(), ("--json",), ("--skip-bad",), ("--skip-bad", "--json")]))
    if name == "movielens":
        kinds = {"ratings": "ratings.csv", "movies": "movies.csv"}
        broken = draw(st.sampled_from(list(kinds)))
        held = {file: (EXAMPLES / "movielens" / file).read_bytes() for file in kinds.values()}
        rows = _rows_of(EXAMPLES / "movielens" / kinds[broken])[:40]
        held[kinds[broken]] = draw(files(rows, (".csv",)))[1]
        flags = ("--ratings", "ratings.csv", "--movies", "movies.csv", "--min-ratings", 2, "--pairs-per-user", 4)
        return Asked(held, ("convert", "movielens", *flags, "--out", out))
    if name == "preflib":
        return Asked({"v.toi": draw(texts((SETS / "council.toi").read_text()))},
                     ("convert", name, "v.toi", "--out", out, *more))  # fmt: skip
    if name == "columns":
        base = [{"a": f"x{k}", "b": f"y{k}", "who": k % 3, "even": k % 4 == 0, "much": 1 + k % 3} for k in range(8)]
        file, data = draw(files(base))
        flags = ("--chosen", "a", "--rejected", "b", "--annotator", "who", "--tie", "even")
        return Asked({file: data}, ("convert", name, file, *flags, "--out", out, *more))
    places = [SETS / file for file in CONVERTED[name]]
    broken = draw(st.integers(0, len(places) - 1))
    held, names = {}, []
    for number, place in enumerate(places):
        rows = _rows_of(place)
        if number == broken:
            file, data = draw(files(rows[:8], (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz"), f"input{number}"))
        else:
            file, data = f"input{number}.jsonl", as_lines(rows)
        held[file] = data
        names.append(file)
    return Asked(held, ("convert", "choices" if name == "wide" else name, *names, "--out", out, *more))


@st.composite
def choice_models(draw):
    base = _rows_of(SETS / draw(st.sampled_from(["choices_long.csv", "choices_wide.csv"])))
    name, data = draw(files(base, (".csv", ".jsonl", ".parquet")))
    more = draw(st.sampled_from([(), ("--json",), ("--ridge", 1), ("--random", "all", "--draws", 8)]))
    return Asked({name: data}, ("choice-model", name, *more))


def _llm_readers():
    from llm.base.plain_text import read_documents
    from llm.scorers.sentiment import read_reviews
    from sim.files.candidate_files import read_candidates
    from sim.files.item_files import read_items
    from sim.files.ranking_files import read_rankings
    from sim.tables.opinions_beside import opinions_beside

    asked = [{"prompt": f"q{k}", "responses": ["a", "b", "c"], "ref_logps": [-1.0, -2.0, -3.5]} for k in range(4)]
    chats = [{"prompt": [{"role": "user", "content": f"q{k}"}],
              "responses": [[{"role": "assistant", "content": text}] for text in "ab"]} for k in range(3)]  # fmt: skip
    views = [{"annotator_id": who, "prompt_id": f"q{k}", "candidates": ["a", "b", "c"], "probs": [0.2, 0.3, 0.5]}
             for k in range(4) for who in "xy"]  # fmt: skip

    def beside(path):
        from sim.files.candidate_files import candidates_of
        from sim.files.opinion_files import read_opinions

        return opinions_beside(candidates_of(asked), read_opinions(path), ("type 1",), str(path))

    return {
        "documents": (read_documents, [{"text": f"A text {k}. And more."} for k in range(4)]),
        "talks": (read_documents, [{"messages": [{"role": "user", "content": f"hi {k}"}]} for k in range(4)]),
        "reviews": (read_reviews, [{"text": f"good film {k}", "label": "pos"} for k in range(4)]),
        "candidates": (read_candidates, asked),
        "chats": (read_candidates, chats),
        "beside": (beside, views),
        "items": (read_items, [{"item": f"i{k}", "features": features_of(k)} for k in range(5)]),
        "rankings": (read_rankings, [{"context": [0.5], "responses": [[1.0], [2.0]], "n_ranked": 2, "annotator_id": k}
                                     for k in range(4)]),
    }  # fmt: skip


@st.composite
def other_files(draw):
    readers = _llm_readers()
    read, base = readers[draw(st.sampled_from(list(readers)))]
    name, data = draw(files(base, (".jsonl", ".jsonl.gz", ".parquet", ".csv")))
    return Asked({name: data}, reader=(read, name))
