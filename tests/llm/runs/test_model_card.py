"""The card beside an adapter: the run's numbers, no name of an annotator, no place on a machine, nothing obeyed."""
# ruff: noqa: F811  # fixtures are imported

import html
import json
import re
import shutil

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from saved_runs import contents, finished, interrupted, pairs, run, settings  # noqa: E402, F401
from tiny_llm import tiny  # noqa: E402, F401

from llm.runs.model_card import RunNumbers, adapter_cards, escaped  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.run_folder import MixtureFile, read_whole  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.group_training import GroupRecord  # noqa: E402


def _head_and_rows(card):
    """The YAML in front, and the rows of the first table."""
    _, head, body = card.split("---\n", 2)
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", body, re.MULTILINE))
    return yaml.safe_load(head), rows


def test_a_card_says_what_the_run_says(finished, tiny, pairs):
    summary = json.loads((finished / "run.json").read_text())
    for k in range(2):
        card = (finished / f"group_{k}" / "README.md").read_text()
        head, rows = _head_and_rows(card)
        assert (head["base_model"], head["library_name"]) == ("sft", "peft")
        assert head["tags"] == ["base_model:adapter:sft", "lora", "dpo", "em-dpo", "pluralign"]
        assert rows["share of the annotators"] == f"{summary['mixture'][k]:.3f}"
        assert rows["held-out answers to prompts that were seen, of the run"] == (
            f"{summary['held_out_log_likelihood']:.4f} nats ({summary['n_held_out']} answers; a coin: -0.6931)"
        )
        assert (
            f"{summary['new_prompts_log_likelihood']:.4f} nats" in rows["held-out answers to new prompts, of the run"]
        )
        assert rows["kept"].startswith(f"round {summary['best_round']}: ")
        assert (rows["seed"], rows["beta"], rows["method"]) == ("0", "0.1", "em-dpo")
        told = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
        assert (told["lora.rank"], told["training.rate"], told["groups.rounds"]) == (2, 0.002, 1)
        # Who answered, and where, is in no card.
        assert not re.search(r"\ba\d\b", card)
        assert str(tiny.parent) not in card
        assert str(pairs.parent) not in card
        assert not re.search(r"[\s\"'(]/\w", card)
    import pyarrow.parquet as pq

    table = pq.read_table(finished / "responsibilities.parquet").to_pydict()
    own = sum(n * share for n, share in zip(table["n_answers"], table["group_1"], strict=True))
    assert rows["training answers, by the chance that they are its own"] == f"{own:.1f} of {summary['n_pairs']}"
    direct = (finished / "direct" / "README.md").read_text()
    told = json.loads((finished / "direct.json").read_text())
    assert f"{told['worst_regret']:.4f} (of the ensemble" in direct
    assert "direct MinMax-DPO" in direct


def test_hugging_face_reads_it(finished):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard((finished / "group_0" / "README.md").read_text())
    assert (card.data.base_model, card.data.library_name) == ("sft", "peft")


def test_it_is_there_with_its_adapter_and_may_be_edited(settings, finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(settings, out, monkeypatch, "fit", 2)
    assert not list(out.rglob("README.md"))
    train_run(settings, out)
    cards = {name: whole for name, whole in contents(out).items() if name.endswith("README.md")}
    assert sorted(cards) == ["group_0/README.md", "group_1/README.md"]
    assert all(contents(finished)[name] == whole for name, whole in cards.items()), "the same run, the same card"
    (out / "group_0" / "README.md").write_text("mine")
    (out / "group_1" / "README.md").unlink()
    assert read_whole(out).adapters == ("group_0", "group_1")
    open_run(out)


ODD = 'a<script>alert("x")</script>|*b*\n# c `d` [e](f) &amp; \\ $g$'


def test_names_of_files_are_shown_and_not_obeyed():
    mixture = MixtureFile(f"/home/me/{ODD.replace('/', '')}", "h", "t", 0.1, "group-dpo", ("group_0",), (1.0,))
    numbers = RunNumbers(
        2, 10, 0, 3, None, -0.5, None, -1.0986, "round 0: it ended", (GroupRecord(ODD, 0.5, -0.6, None, -0.7),)
    )
    settings = RunSettings(method="group-dpo", lora=RunSettings().lora.__class__(
        layers="x```\n<b>", start=("/home/me/runs/first/group_0",)))  # fmt: skip
    (card,) = adapter_cards(settings, mixture, numbers, np.ones((2, 1)), np.array([4, 6]), {"peft": "1"})
    head, rows = _head_and_rows(card)
    assert head["base_model"] == ODD.replace("/", "")
    assert head["tags"][0] == f"base_model:adapter:{ODD.replace('/', '')}"
    body = card.split("---\n", 2)[2]
    shown, fenced = body.split("```yaml\n")
    assert "<" not in shown
    assert not re.search(r"^# c", shown, re.MULTILINE)
    assert "/home" not in card
    (row,) = [line for line in shown.splitlines() if line.startswith("| a&lt;script")]
    # Unescaped as Markdown does it, it is the name again, in one line.
    cells = re.split(r"(?<!\\)\|", row)
    assert html.unescape(re.sub(r"\\([^\w\s])", r"\1", cells[1])).strip() == " ".join(ODD.split())
    assert [cell.strip() for cell in cells[2:-1]] == ["0.500", "-0.6000", "-", "-0.7000"]
    assert rows["held-out answers to prompts that were seen, of the run"] == "none were held out"
    assert rows["held-out answers to new prompts, of the run"] == "-0.5000 nats (3 answers; a coin: -1.0986)"
    told = yaml.safe_load(fenced.split("```")[0])
    assert told["lora.layers"] == "x```\n<b>"
    assert told["lora.start"] == ["first/group_0"]
    assert "ensemble" not in card
    assert escaped("plain words") == "plain words"


def test_an_adapter_of_before_gets_its_card_in_place(settings, finished, tmp_path):
    from llm.runs.run_folder import save_adapter

    place = shutil.copytree(finished / "group_0", tmp_path / "group_0")
    base = open_run(finished).base
    save_adapter(base, "group_0", place)
    assert not (place / "README.md").exists(), "no card of other numbers stays"
    save_adapter(base, "group_0", place, "new")
    assert (place / "README.md").read_text() == "new"
