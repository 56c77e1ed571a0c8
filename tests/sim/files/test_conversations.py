"""Message lists in files of answers: one table from every reader, and back."""

import csv
import json

import pytest

from sim.errors import InputError
from sim.files.preference_files import read_pairs, write_pairs

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]}]
TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]


def said(text, **more):
    return [{"role": "assistant", "content": text, **more}]


def row(who="a", **changes):
    return {"prompt": ASKED, "chosen": said("So."), "rejected": said("No."), "annotator_id": who, **changes}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def same_but_source(one, other):
    for name in ("items", "prompts", "kind", "prompt_kind", "rendering", "annotators"):
        assert getattr(one, name) == getattr(other, name), name


def test_every_reader_gives_the_same_table(tmp_path):
    asked = [ASKED[0], {"role": "user", "content": "Why?"}]
    rows = [row(prompt=asked), row("b", prompt=asked, chosen=said("So.", name="x"))]
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert (table.kind, table.prompt_kind, table.rendering) == ("conversation", "conversation", None)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows([{k: v if isinstance(v, str) else json.dumps(v) for k, v in one.items()} for one in rows])
    same_but_source(read_pairs(tmp_path / "a.csv"), table)
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    # Arrow gives every message the field `name`.
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    same_but_source(read_pairs(tmp_path / "a.parquet"), table)
    for name in ("b.jsonl", "b.parquet"):
        write_pairs(tmp_path / name, table)
        same_but_source(read_pairs(tmp_path / name), table)
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    same_but_source(read_pairs(tmp_path / "saved"), table)


def test_tools_go_with_the_prompt(tmp_path):
    rows = [row(), row("b", tools=TOOLS), row("c", tools=json.dumps(TOOLS), chat_template_kwargs={"thinking": False})]
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert len(table.prompts) == 3
    assert len(set(table.prompts)) == 1
    assert [json.loads(beside or "{}") for beside in table.rendering] == [
        {}, {"tools": TOOLS}, {"tools": TOOLS, "chat_template_kwargs": {"thinking": False}}
    ]  # fmt: skip
    write_pairs(tmp_path / "b.jsonl", table)
    same_but_source(read_pairs(tmp_path / "b.jsonl"), table)
    # A column of Parquet has one form of content.
    with pytest.raises(InputError, match=r"write a file ending in \.jsonl"):
        write_pairs(tmp_path / "b.parquet", table)
    plain = read_pairs(write(tmp_path / "c.jsonl", [{**row(), "prompt": "Why?", "chosen": "So.", "rejected": "No.",
                                                     "tools": "a hammer"}]))  # fmt: skip
    assert plain.rendering is None, "of a text no template is asked"


def test_tools_go_with_texts_that_are_turns_of_a_conversation(tmp_path):
    """And with the responses of a set; where no template is asked they are nobody's concern."""
    texts = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    sets = {"prompt": "Why?", "responses": ["So.", "No.", "Hm."], "choice": 1}
    told = [{"prompt": said("Why?"), "responses": [said("So."), said("No.")], "choice": 0}]
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for number, asked in enumerate((texts, sets, *told)):
        rows = [{**asked, "annotator_id": who} for who in "ab"]
        rows[1]["tools"] = json.dumps(TOOLS)
        file = write(tmp_path / f"{number}.jsonl", rows)
        pq.write_table(pa.Table.from_pylist([{"tools": None, **row} for row in rows]), tmp_path / f"{number}.parquet")
        for path in (file, tmp_path / f"{number}.parquet"):
            table = read_pairs(path, chats=True)
            assert [json.loads(beside or "{}") for beside in table.rendering] == [{}, {"tools": TOOLS}]
            assert table.prompt.tolist() == [0, 1]
            assert len(set(table.prompts)) == 1
            plain = read_pairs(path)
            assert (plain.rendering is None) == (asked not in told)
            assert len(plain.prompts) == 1 + (asked in told)
    hammers = write(tmp_path / "c.jsonl", [{**texts, "annotator_id": "a", "tools": {"name": "hammer"}}])
    assert read_pairs(hammers).rendering is None
    with pytest.raises(InputError, match="row 1, field 'tools': expected a list of tools"):
        read_pairs(hammers, chats=True)
    only = write(tmp_path / "d.jsonl", [{**texts, "annotator_id": "a"}])
    assert read_pairs(only, chats=True).rendering is None


def test_text_that_looks_like_messages_is_text(tmp_path):
    text = json.dumps(ASKED)
    rows = [{**row(), "prompt": text, "chosen": "So.", "rejected": text}]
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert (table.kind, table.prompt_kind) == ("text", "text")
    write_pairs(tmp_path / "b.jsonl", table)
    assert read_pairs(tmp_path / "b.jsonl").prompts == (text,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "Why?"}, "row 2, field 'prompt': is no conversation, and one in the cells before"),
        ({"prompt": None}, "row 2, field 'prompt': is no conversation"),
        ({"prompt": []}, "row 2, field 'prompt': is no conversation"),
        ({"rejected": "No."}, "row 2, field 'rejected': is no conversation"),
        ({"prompt": [{"role": "user", "content": 3}]}, "message 1 has the content 3"),
        ({"tools": "[{"}, "row 2, field 'tools': is not whole JSON"),
        ({"tools": {"name": "clock"}}, "row 2, field 'tools': expected a list of tools"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(InputError) as error:
        read_pairs(write(tmp_path / "a.jsonl", [row(), row("b", **change)]))
    assert message in str(error.value)


def test_a_list_of_something_else_is_no_prompt(tmp_path):
    rows = [{**row(), "prompt": ["Why?"], "chosen": "So.", "rejected": "No."}]
    with pytest.raises(InputError, match="row 1, field 'prompt': expected text or a list of messages"):
        read_pairs(write(tmp_path / "a.jsonl", rows))
