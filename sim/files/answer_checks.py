"""Whether a row is an answer, and of which kind: pairs, choices, rankings or ratings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError, short
from sim.files.answer_cells import STRENGTHS
from sim.files.number_tables import is_finite
from sim.files.pair_table import AnswerKind

# Columns that together say that an answer is not a pair.
KINDS: tuple[tuple[set[str], AnswerKind], ...] = (
    ({"responses", "choice"}, "choices"),
    ({"responses", "ranking"}, "rankings"),
    ({"responses", "scores"}, "ratings"),
    ({"response", "score"}, "grades"),
)


def kind_of_columns(present: set[str], source: str | Path) -> AnswerKind:
    """What the answers of a file with these columns are; pairs where no other column says more.

    Errors: InputError where a file mixes kinds.
    """
    found = [(columns, kind) for columns, kind in KINDS if columns <= present]
    if not found:
        return "pairs"
    others = [columns for columns, _ in found[1:]] + [{"chosen", "rejected"}] * ({"chosen", "rejected"} <= present)
    if others:
        first, second = (" and ".join(sorted(columns)) for columns in (found[0][0], others[0]))
        raise InputError(
            f"columns {first} are of one kind of answer, {second} of another", file=source,
            field=sorted(others[0] - found[0][0])[0], fix="write one kind a file",
        )  # fmt: skip
    return found[0][1]


def kind_of(row: Mapping[str, Any], where: dict[str, Any]) -> str:
    """Which kind of answer a row is, by its columns."""
    kinds = {"chosen": "pairs", "ranking": "rankings", "choice": "choices", "scores": "ratings", "score": "ratings"}
    found = [kind for column, kind in kinds.items() if column in row]
    if len(found) != 1:
        fix = "give chosen and rejected, or one of ranking, choice, scores, score"
        raise InputError(f"is no answer: its columns are {', '.join(row) or 'none'}", fix=fix, **where)
    return found[0]


def check_answer(row: Mapping[str, Any], where: dict[str, Any]) -> str:
    """The kind of an answer; InputError where it is none: `where` names file and row."""
    kind = kind_of(row, where)
    who = row.get("annotator_id")
    if who is None or who == "" or isinstance(who, list | dict | bool):
        fix = "name the annotator"
        raise InputError(f"expected a name or number, got {short(who)}", fix=fix, **{**where, "field": "annotator_id"})
    checks = {"pairs": _check_pair, "choices": _check_choice, "rankings": _check_ranking, "ratings": _check_rating}
    field, problem = checks[kind](row)
    if problem:
        raise InputError(problem, fix="mend or delete the row", **{**where, "field": field})
    return kind


def _response_problem(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | list) or value in ("", []):
        return f"expected a response, got {short(value)}"
    return ""


def _check_pair(row: Mapping[str, Any]) -> tuple[str, str]:
    for field in ("chosen", "rejected"):
        if problem := _response_problem(row.get(field)):
            return field, problem
    if type(row["chosen"]) is not type(row["rejected"]):
        return "rejected", "chosen and rejected are of different kinds"
    if row["chosen"] == row["rejected"]:
        return "rejected", f"equals chosen ({short(row['chosen'])})"
    tie, strength = row.get("tie"), row.get("strength")
    if tie is not None and not isinstance(tie, bool):
        return "tie", f"expected true or false, got {short(tie)}"
    least, most = STRENGTHS
    whole = not isinstance(strength, bool) and isinstance(strength, int)
    if strength is not None and not (whole and least <= strength <= most):
        return "strength", f"expected a whole number from {least} to {most}, got {short(strength)}"
    if tie and strength is not None:
        return "strength", "a tie has no strength"
    return "", ""


def _is_whole(value: Any) -> bool:
    """1.0 too: pandas makes floats of a column with an empty cell."""
    return not isinstance(value, bool) and isinstance(value, int | float) and value == value // 1


def _check_responses(row: Mapping[str, Any], least: int) -> str:
    responses = row.get("responses")
    if not isinstance(responses, list) or len(responses) < least:
        return f"expected a list of {least} or more responses, got {short(responses)}"
    return next((problem for response in responses if (problem := _response_problem(response))), "")


def _check_choice(row: Mapping[str, Any]) -> tuple[str, str]:
    if problem := _check_responses(row, 2):
        return "responses", problem
    choice, last = row["choice"], len(row["responses"]) - 1
    if not _is_whole(choice) or not -1 <= choice <= last:
        return "choice", f"expected a whole number from -1 to {last}, got {short(choice)}"
    return "", ""


def _check_ranking(row: Mapping[str, Any]) -> tuple[str, str]:
    if problem := _check_responses(row, 2):
        return "responses", problem
    ranking = row["ranking"]
    if not isinstance(ranking, list) or len(ranking) != len(row["responses"]):
        return "ranking", f"expected a rank for each of {len(row['responses'])} responses, got {short(ranking)}"
    for rank in ranking:
        if rank is not None and (not _is_whole(rank) or rank < 1):
            return "ranking", f"expected whole numbers from 1, got {short(rank)}"
    if all(rank is None for rank in ranking):
        # No answer, where equal ranks are one that puts nothing above anything: rather a column that was lost.
        return (
            "ranking",
            "ranks nothing: every rank is missing (if none is better, give equal ranks)",
        )
    return "", ""


def _check_rating(row: Mapping[str, Any]) -> tuple[str, str]:
    if "score" in row:
        if problem := _response_problem(row.get("response")):
            return "response", problem
        scores = [row["score"]]
    else:
        if problem := _check_responses(row, 1):
            return "responses", problem
        scores = row["scores"]
        if not isinstance(scores, list) or len(scores) != len(row["responses"]):
            return "scores", f"expected a score for each of {len(row['responses'])} responses, got {short(scores)}"
    for score in scores:
        if isinstance(score, bool) or not isinstance(score, int | float) or not is_finite(score):
            return "scores" if "scores" in row else "score", f"expected a number, got {short(score)}"
    return "", ""
