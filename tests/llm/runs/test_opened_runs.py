"""Commands that open a finished run: what they are asked, which groups they take, where they look for files."""
# ruff: noqa: F811  # fixtures are imported

import io
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from chat_models import CHATML, chat_folder, chat_tokenizer  # noqa: E402
from saved_runs import finished, pairs, refused, run, settings  # noqa: E402, F401
from tiny_llm import tiny  # noqa: E402, F401
from typed_commands import typed, typed_json  # noqa: E402

from llm.base import generation  # noqa: E402
from llm.base.folder_format import read_stamped, stamped  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402

ONE = ["--max-new-tokens", 4]


def test_lines_of_any_system_are_prompts(finished, monkeypatch, capsys):
    """Windows' line ends and byte-order mark are no part of a prompt."""

    def asked(lines):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines, newline="\n"))
        return typed_json(monkeypatch, capsys, "llm", "generate", finished, *ONE)["responses"]

    assert [row["prompt"] for row in asked("\ufeffThe film\r\n\r\n The plot \r\n")] == ["The film", " The plot "]
    assert asked("The film\r\n The plot \r\n") == asked("The film\n The plot \n")


def test_a_scorer_is_of_a_group_that_is_there(run, refused, monkeypatch, capsys):
    options = ["llm", "eval", run, "--prompts", 2, "--twin", 0]
    before = (run / "eval.json").read_bytes()
    for wrong in ("group_7=length", "goood=length", "=length"):
        line = refused(*options, "--scorer", "group_0=length", "--scorer", wrong)
        assert f"--scorer: no group '{wrong.partition('=')[0]}'; choose one of " in line
        assert all(name in line for name in ("'good'", "'bad'", "'group_0'", "'group_1'"))
    line = refused(*options, "--scorer", "good=length", "--scorer", "good=lexicon")
    assert "group 'good' has a scorer already" in line
    assert (run / "eval.json").read_bytes() == before
    code, _, err = typed(monkeypatch, capsys, *options, "--scorer", "good=length")
    assert code == 0
    assert "note: no scorer was given for group_" in err


def test_minmax_says_that_its_rounds_were_too_few(run, monkeypatch, capsys):
    options = ["llm", "minmax", run, "--prompts", 4]
    code, _, err = typed(monkeypatch, capsys, *options, "--rounds", 1, "--priorities", "1,1", "--priorities", "1,1e6")
    assert code == 0
    assert "note: after 1 rounds the weights of priorities 1,1e+06 have a worst weighted regret of " in err


def test_a_coin_in_figures_is_that_of_the_answers(run):
    from llm.runs.run_figures import draw_run, training_figure
    from pluralign.page.runs import _coins

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    axis = training_figure(rows, [-1.7918]).axes[1]
    assert [line.get_ydata()[0] for line in axis.get_lines() if line.get_linestyle() == ":"][-1] == -1.7918
    assert [text.get_text() for text in axis.texts] == ["a coin"]
    found = read_stamped(run / "run.json", "")
    assert [line.at for line in _coins(found)] == [round(-np.log(2), 6)]
    # A run of before does not say it.
    for name in ("held_out_coin", "new_prompts_coin"):
        del found[name]
    (run / "run.json").write_text(json.dumps(stamped(found)))
    assert draw_run(run)
    assert not _coins(found)


THINKING = {"enable_thinking": False}
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]
PLAIN = "<|im_start|>user\nSay 3<|im_end|>\n<|im_start|>assistant\n"


def _asked_of(folder, monkeypatch, capsys, *renderings):
    """Train on conversations with these columns in turn; then a function: options of `generate` -> (contexts it asks
    with, or the message that it ends with)."""
    model = chat_folder(folder / "model")
    (model / "chat_template.jinja").write_text("{% if enable_thinking is false %}mute\n{% endif %}" + CHATML)
    rows = [
        {"prompt": [{"role": "user", "content": f"Say {j % 5}"}], "chosen": "A kind reply", "rejected": "A rude reply",
         "annotator_id": f"p{j % 5}", **renderings[j % len(renderings)]} for j in range(10)
    ]  # fmt: skip
    data, out = folder / "pairs.jsonl", folder / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = ["training.epochs=1", "groups.rounds=0", "threads=1", "lora.rank=2", "device=cpu", "data.unseen=0.2"]
    code, _, err = typed(
        monkeypatch, capsys, "llm", "train", "--model", model, "--data", data, "--method", "dpo", "--out", out,
        *(part for one in sets for part in ("--set", one)),
    )  # fmt: skip
    assert code == 0, err
    seen = []
    generated = generation._generate
    monkeypatch.setattr(generation, "_generate", lambda *told: seen.extend(told[2]) or generated(*told))

    def asked(*options):
        seen.clear()
        code, _, err = typed(monkeypatch, capsys, "llm", "generate", out, *ONE, "--prompt", "Say 3", *options)
        return [chat_tokenizer("chatml").decode(tokens) for tokens in seen] if code == 0 else err

    return asked


def test_a_run_is_asked_as_it_was_trained(tmp_path, monkeypatch, capsys):
    asked = _asked_of(tmp_path, monkeypatch, capsys, {"chat_template_kwargs": THINKING, "tools": TOOLS})
    opened = open_run(tmp_path / "run")
    contexts = [
        opened.tokenizer.decode(opened.base.store[number])
        for number in opened.preferences().train.pairs.contexts.tolist()
    ]
    (found,) = asked()
    assert found[: found.index("Say")] == contexts[0][: contexts[0].index("Say")]
    assert found.startswith("mute\n<|im_start|>system\n")
    assert asked("--chat-template-kwargs", "{}") == [found.removeprefix("mute\n")]
    assert asked("--chat-template-kwargs", "{}", "--tools", "[]") == [PLAIN]
    for wrong, words in (("{", "not whole JSON"), ("[1]", "expected an object name -> value, got [1]")):
        message = asked("--chat-template-kwargs", wrong)
        assert "field '--chat-template-kwargs'" in message
        assert words in message
    assert "for turns of a conversation" in asked("--no-chat", "--tools", "[]")
    card = (tmp_path / "run" / "group_0" / "README.md").read_text()
    assert "chat template with enable\\_thinking=false, 1 tools" in card


def test_answers_that_differ_in_how_they_were_rendered_leave_it_to_the_asker(tmp_path, monkeypatch, capsys):
    asked = _asked_of(tmp_path, monkeypatch, capsys, {"chat_template_kwargs": THINKING}, {})
    assert "the training answers differ in tools or chat_template_kwargs" in asked()
    assert asked("--chat-template-kwargs", json.dumps(THINKING)) == ["mute\n" + PLAIN]
    assert asked("--chat-template-kwargs", "{}") == [PLAIN]
    # Runs of before do not say it, and are asked as they were.
    mixture = read_stamped(tmp_path / "run" / "mixture.json", "")
    assert mixture.pop("rendering") is None
    (tmp_path / "run" / "mixture.json").write_text(json.dumps(stamped(mixture)))
    assert asked() == [PLAIN]


def test_data_given_by_a_relative_path_are_found_from_elsewhere_or_named_anew(
    settings, tmp_path, monkeypatch, capsys, refused
):
    shutil.copy(settings.data.train, tmp_path / "pairs.jsonl")
    monkeypatch.chdir(tmp_path)
    train_run(replace(settings, method="dpo", data=replace(settings.data, train="pairs.jsonl")), "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    asked = ["llm", "minmax", "../run", "--prompts", 2]
    assert typed(monkeypatch, capsys, *asked)[0] == 0
    # Another file of that name is not it.
    (elsewhere / "pairs.jsonl").write_text("{}")
    assert typed(monkeypatch, capsys, *asked)[0] == 0
    (elsewhere / "pairs.jsonl").unlink()
    (tmp_path / "pairs.jsonl").rename(elsewhere / "moved.jsonl")
    line = refused(*asked)
    assert "is not there, and ../run was trained on it; put the old one back, or say where it lies" in line
    assert line.endswith(f"--trained-on FILE (looked for {elsewhere}/pairs.jsonl and {tmp_path}/pairs.jsonl)")
    assert typed(monkeypatch, capsys, *asked, "--trained-on", "moved.jsonl")[0] == 0
    rows = [json.loads(line) for line in (elsewhere / "moved.jsonl").read_text().splitlines()]
    other = elsewhere / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows[:40]))
    assert "other.jsonl, field '--trained-on': is not what ../run was trained on" in refused(
        *asked, "--trained-on", "other.jsonl"
    )
    # Other people's answers need no file of training, unless they name groups.
    judged = ["llm", "eval", "../run", "--data", "other.jsonl", "--prompts", 2, "--twin", 0]
    assert "annotators are in the training data (the first is a0)" in refused(*judged)
    kept = ("prompt", "chosen", "rejected")
    other.write_text("".join(
        json.dumps({**{key: row[key] for key in kept}, "annotator_id": f"new{j % 4}"}) + "\n"
        for j, row in enumerate(rows[:40])
    ))  # fmt: skip
    code, _, err = typed(monkeypatch, capsys, *judged)
    assert code == 0, err
