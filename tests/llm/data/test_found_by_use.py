"""Files on which training went wrong without a word, each read as it is meant or refused with its row."""

import csv
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from chat_models import chat_folder, chat_tokenizer
from click.testing import CliRunner

from llm.base.tokens import TokenStore
from llm.data.preference_text import DataSettings, load_preferences
from pluralign.__main__ import command
from sim.errors import InputError
from sim.streams import Stream

TOPICS = ("bread", "trains", "rain", "chess", "tea")


def user(text):
    return [{"role": "user", "content": text}]


def said(text):
    return [{"role": "assistant", "content": text}]


def rows_of(make, n=10):
    """n rows of five people; make: topic with a number -> prompt, chosen, rejected (None: no such column)."""
    rows = []
    for j in range(n):
        values = zip(("prompt", "chosen", "rejected"), make(f"{TOPICS[j % 5]} nr {j}", j), strict=True)
        rows.append({**{k: v for k, v in values if v is not None}, "annotator_id": f"p{j % 5}"})
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def loaded(path, family="chatml", **settings):
    """(texts of contexts, of chosen answers; notes) as a model of that family sees them, special tokens and all."""
    tokenizer, store = chat_tokenizer(family), TokenStore()
    told = {"unseen": 0.0, "held_out": 0.0, "new_prompts": 0.0, "window": 120, **settings}
    found = load_preferences(DataSettings(train=str(path), **told), tokenizer, store, told["window"], Stream(0))
    pairs = found.train.pairs
    texts = [[tokenizer.decode(store[int(k)]) for k in column] for column in (pairs.contexts, pairs.chosen)]
    return texts[0], texts[1], " | ".join(found.notes)


CONVERSATION = {
    "prompt": lambda topic, j: (user(f"Say {topic}"), "A kind reply", "A rude reply"),
    "answers": lambda topic, j: (f"Say {topic}", said("A kind reply"), said("A rude reply")),
    "both": lambda topic, j: (user(f"Say {topic}"), said("A kind reply"), said("A rude reply")),
    "whole": lambda topic, j: (None, user(f"Say {topic}") + said("A kind reply"),
                               user(f"Say {topic}") + said("A rude reply")),
    "whole and its prompt": lambda topic, j: (f"Say {topic}", user(f"Say {topic}") + said("A kind reply"),
                                              user(f"Say {topic}") + said("A rude reply")),
    "repeated": lambda topic, j: (user(f"Say {topic}"), user(f"Say {topic}") + said("A kind reply"),
                                  user(f"Say {topic}") + said("A rude reply")),
}  # fmt: skip


@pytest.mark.parametrize("form", list(CONVERSATION))
def test_message_lists_are_rendered(form, tmp_path):
    contexts, chosen, notes = loaded(write(tmp_path / "p.jsonl", rows_of(CONVERSATION[form])))
    assert contexts[0] == "<|im_start|>user\nSay bread nr 0<|im_end|>\n<|im_start|>assistant\n"
    assert len(set(contexts)) == 10
    assert set(chosen) == {"A kind reply<|im_end|>\n"}
    assert "chat template" in notes
    assert ("whole conversations" in notes) == form.startswith("whole")


@pytest.mark.parametrize("form", ["both", "answers"])
@pytest.mark.parametrize("sides", [(True, True), (True, False), (False, True)])
def test_turns_of_the_prompt_are_no_answer_in_any_row(form, sides, tmp_path):
    """Some rows repeat the prompt in one answer or both, and others do not."""

    def of(topic, j):
        prompt, *answers = CONVERSATION[form](topic, j)
        repeated = [j % 2 and side for side in sides]
        return prompt, *(user(f"Say {topic}") + told if again else told
                         for again, told in zip(repeated, answers, strict=True))  # fmt: skip

    expected = loaded(write(tmp_path / "p.jsonl", rows_of(CONVERSATION[form])))
    contexts, chosen, notes = loaded(write(tmp_path / "q.jsonl", rows_of(of)))
    assert (contexts, chosen) == expected[:2]
    repeated = form == "both" or not all(sides)
    assert ("5 rows are whole transcripts: the prompt is taken off the answers" in notes) == repeated


@pytest.mark.parametrize("ending", [".parquet", ".csv", "saved"])
def test_other_readers_give_the_same(ending, tmp_path):
    rows = rows_of(CONVERSATION["both"])
    expected = loaded(write(tmp_path / "p.jsonl", rows))
    path = tmp_path / f"p{ending}"
    if ending == ".csv":
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]))
            lines.writeheader()
            lines.writerows([{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows])
    elif ending == ".parquet":
        pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        pytest.importorskip("datasets").Dataset.from_list(rows).save_to_disk(str(path))
    assert loaded(path) == expected


def test_text_is_a_chat_where_it_is_asked_for(tmp_path):
    path = write(tmp_path / "p.jsonl", rows_of(lambda topic, j: (f"Say {topic}", "A kind reply", "A rude reply")))
    assert loaded(path)[0][0] == "<s>Say bread nr 0"
    assert loaded(path, chat=True) == loaded(write(tmp_path / "c.jsonl", rows_of(CONVERSATION["both"])))


CLOCK = [{"type": "function", "function": {"name": "clock", "parameters": {}}}]


@pytest.mark.parametrize("sets", [False, True], ids=["pairs", "sets"])
def test_tools_go_to_the_template_of_texts_that_are_a_chat(tmp_path, sets):
    """As they do beside message lists, of pairs and of choices out of sets."""

    def of(make):
        rows = [{**row, "tools": CLOCK} if j % 2 else row for j, row in enumerate(rows_of(make))]
        if sets:
            for row in rows:
                row |= {"responses": [row.pop("chosen"), row.pop("rejected")], "choice": 0}
        return rows

    texts = write(tmp_path / "p.jsonl", of(lambda topic, j: (f"Say {topic}", "A kind reply", "A rude reply")))
    contexts, chosen, notes = loaded(texts, chat=True)
    assert (contexts, chosen, notes) == loaded(write(tmp_path / "c.jsonl", of(CONVERSATION["both"])))
    assert ['"name": "clock"' in context for context in contexts] == [False, True] * 5
    assert "clock" not in "".join(loaded(texts)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t, j: (user(t), said("x"), said(" ")), "row 1, field 'rejected': the response is empty"),
        (lambda t, j: (None, user(t) + said("x"), user(t)), "row 1, field 'rejected': the conversation ends where"),
        (lambda t, j: (None, said("x"), said("y")), "row 1, field 'chosen': the two conversations have no common"),
        (lambda t, j: ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], said("x"), said("y")),
         "row 1, field 'prompt': holds a part that is no text"),
        (lambda t, j: (str(user(t)), "x", "y"), "row 1, field 'prompt': is a list of messages written as text"),
        (lambda t, j: (json.dumps(user(t)), "x", "y"), "row 1, field 'prompt': is a list of messages written as text"),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_refused(make, message, tmp_path):
    with pytest.raises(InputError) as error:
        loaded(write(tmp_path / "p.jsonl", rows_of(make)))
    assert message in str(error.value)


def test_without_a_template_one_line_says_what_to_do(tmp_path):
    with pytest.raises(
        InputError, match=r"row 1.*no chat template.*put its chat_template\.jinja into the model's folder"
    ):
        loaded(write(tmp_path / "p.jsonl", rows_of(CONVERSATION["both"])), family=None)


def test_texts_that_were_rendered_have_one_begin_and_one_end(tmp_path):
    llama = rows_of(
        lambda t, j: (f"<s><|h|>user<|e|>\n\n{t}<|eot|><|h|>assistant<|e|>\n\n", "kind<|eot|>", "rude<|eot|>")
    )
    contexts, chosen, notes = loaded(write(tmp_path / "l.jsonl", llama), family="llama")
    assert contexts[0] == llama[0]["prompt"]
    assert chosen[0] == "kind<|eot|>"
    assert "begin with the begin token" in notes
    assert "end token of their own" in notes
    chatml = rows_of(
        lambda t, j: (f"<|im_start|>user\n{t}<|im_end|>\n<|im_start|>assistant\n", "kind<|im_end|>\n", "no<|im_end|>\n")
    )
    contexts, chosen, notes = loaded(write(tmp_path / "c.jsonl", chatml))
    assert contexts[0] == "<s>" + chatml[0]["prompt"]
    assert chosen[0] == "kind<|im_end|>\n"
    assert "end token of their own" in notes
    assert loaded(write(tmp_path / "p.jsonl", rows_of(lambda t, j: (t, "kind", "no"))))[1][0] == "kind<|im_end|>"


def test_transcripts_without_a_prompt_have_their_own(tmp_path):
    def of(more=""):
        return rows_of(
            lambda t, j: (
                None,
                f"\n\nHuman: on {t}{more}\n\nAssistant: kind",
                f"\n\nHuman: on {t}{more}\n\nAssistant: knew",
            )
        )

    contexts, chosen, notes = loaded(write(tmp_path / "p.jsonl", of()))
    assert contexts[0] == "<s>\n\nHuman: on bread nr 0\n\nAssistant:"
    assert len(set(contexts)) == 10
    assert chosen[0] == " kind<|im_end|>", "letters that both answers begin with are no prompt"
    assert "10 rows are transcripts without a prompt" in notes
    told = "\n\nAssistant: What?\n\nHuman: It"
    contexts, chosen, _ = loaded(write(tmp_path / "q.jsonl", of(told)), chat=True)
    assert chosen[0] == "kind<|im_end|>\n"
    assert contexts[0].count("<|im_start|>user") == 2
    assert contexts[0].endswith("It<|im_end|>\n<|im_start|>assistant\n")
    other = rows_of(lambda t, j: (None, f"kind {t}", f"knew {t}"))
    contexts, _, notes = loaded(write(tmp_path / "o.jsonl", other))
    assert set(contexts) == {"<s>"}
    assert "transcripts" not in notes


LONG = "word " * 60


def test_a_long_prompt_is_treated_as_a_long_answer(tmp_path):
    def made(topic, j):
        return LONG + topic if j == 3 else topic, "A kind reply", "A rude reply"

    path = write(tmp_path / "p.jsonl", rows_of(made))
    with pytest.raises(InputError, match=r"row 4, field 'prompt': the prompt has \d+ tokens, and the window is 60"):
        loaded(path, window=60)
    contexts, _, notes = loaded(path, window=60, too_long="drop")
    assert len(contexts) == 9
    assert "1 rows whose prompt is longer than the window of 60 tokens, dropped" in notes
    contexts, chosen, notes = loaded(path, window=60, too_long="truncate")
    assert contexts[3].startswith("<s>")
    assert contexts[3].endswith("chess nr 3"), "cut from the left"
    assert len(contexts[3]) < len(LONG)
    assert chosen[3] == "A kind reply<|im_end|>", "the answer is whole"
    assert "1 rows longer than the window of 60 tokens, whose prompt was cut from the left" in notes
    assert "responses" not in notes


def test_prompt_and_answers_share_the_window_where_both_are_long(tmp_path):
    path = write(tmp_path / "p.jsonl", rows_of(lambda t, j: (LONG + t, LONG + "kind " + LONG, f"no {LONG}{LONG}")))
    contexts, chosen, notes = loaded(path, window=60, too_long="truncate")
    tokenizer = chat_tokenizer("chatml")
    assert len(tokenizer(contexts[0], add_special_tokens=False)["input_ids"]) == 30
    assert len(tokenizer(chosen[0], add_special_tokens=False)["input_ids"]) == 30
    assert "10 rows with responses longer than the window of 60 tokens, which were cut at their end" in notes


def test_answers_that_are_the_same_once_cut_are_counted_as_that(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        rows_of(lambda t, j: (t, (LONG if j == 3 else "") + "kind", (LONG if j == 3 else "") + "no")),
    )
    contexts, _, notes = loaded(path, window=60, too_long="truncate")
    assert len(contexts) == 9
    assert "1 rows whose answers are the same tokens once they are cut, left out" in notes
    with pytest.raises(
        InputError, match=r"no answers are left to train on.*10 rows with responses longer than.*dropped"
    ):
        loaded(
            write(tmp_path / "q.jsonl", rows_of(lambda t, j: (t, LONG + "a", LONG + "b"))), window=60, too_long="drop"
        )


@pytest.mark.parametrize("sets", [False, True], ids=["pairs", "sets"])
def test_answers_that_the_template_makes_the_same_are_left_out(tmp_path, sets):
    """Templates trim; a file is not refused for one row of which nothing can be learned."""

    def of(same):
        rows = rows_of(lambda t, j: (user(t), said("kind"), said("kind\n" if same(j) else "no")))
        if sets:
            for row in rows:
                row |= {"responses": [row.pop("chosen"), row.pop("rejected")], "choice": 0}
        return rows

    contexts, _, notes = loaded(write(tmp_path / "p.jsonl", of(lambda j: j == 3)), family="llama")
    assert len(contexts) == 9
    assert "1 rows" in notes
    assert "the same tokens" in notes
    with pytest.raises(InputError, match=r"no answers are left to train on.*10 rows.*the same tokens"):
        loaded(write(tmp_path / "q.jsonl", of(lambda j: True)), family="llama")


def invoke(*arguments):
    found = CliRunner().invoke(command, [str(part) for part in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_commands_take_conversations(tmp_path):
    model = chat_folder(tmp_path / "model")
    data = write(tmp_path / "p.jsonl", rows_of(CONVERSATION["prompt"]))
    run = tmp_path / "run"
    sets = (
        "training.epochs=1",
        "threads=1",
        "data.unseen=0.2",
        "lora.rank=2",
        "device=cpu",
        "sampling.max_new_tokens=4",
    )
    chosen = [part for one in sets for part in ("--set", one)]
    invoke("llm", "train", "--model", model, "--data", data, "--method", "dpo", "--types", 1, "--out", run, *chosen)
    assert "chat template" in " ".join(json.loads((run / "run.json").read_text())["notes"])
    asked = ("llm", "generate", run, "--max-new-tokens", 4, "--json")
    spoken, listed, bare = (
        json.loads(invoke(*asked, "--prompt", prompt, *more))["responses"][0]["response"]
        for prompt, more in (("Say tea", ()), (json.dumps(user("Say tea")), ()), ("Say tea", ("--no-chat",)))
    )
    assert spoken == listed != bare
    others = write(tmp_path / "other.jsonl", [{**row, "annotator_id": "new"} for row in rows_of(CONVERSATION["whole"])])
    invoke("llm", "eval", run, "--data", others, "--samples", 1)
    assert (run / "eval.json").is_file()
