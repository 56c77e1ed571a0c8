"""make-imdb on a model that must be asked: what is asked, what scorers see, and what scenarios share."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("peft")

from chat_models import LLAMA
from tiny_llm import corpus, score, tiny  # noqa: F401

from llm.base.small_mistral import load_base
from llm.base.tokens import TokenStore
from llm.data import imdb, imdb_pool
from llm.data.data_settings import DataSettings
from llm.data.imdb import make_imdb, without_repeats
from llm.data.imdb_settings import ImdbSettings
from llm.data.preference_text import load_preferences
from llm.scorers import named_scorers
from pluralign.__main__ import command
from sim.errors import InputError
from sim.streams import Stream

ASKED = "The new film?"


@pytest.fixture(scope="module")
def chat(tiny, tmp_path_factory):  # noqa: F811
    """The tiny model with a chat template that begins with the begin token, as Llama's does."""
    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(LLAMA)
    return folder


@pytest.fixture(scope="module")
def settings(chat, tmp_path_factory):
    reviews = tmp_path_factory.mktemp("reviews") / "reviews.jsonl"
    texts = corpus(300, seed=5)
    joined = [" ".join(texts[j : j + 3]) for j in range(290)]
    rows = [{"text": text, "label": "pos" if score(text) > 0 else "neg"} for text in joined]
    reviews.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ImdbSettings(
        data=str(reviews), model=str(chat), scenario="opposed", annotators=3, unseen=2, pairs=8, pool=20, test_pool=12,
        prompt_tokens=9, new_tokens=10, candidates=3, instruction=ASKED, threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    kept = replace(settings, continuations=str(folder / "continuations"))
    return folder, kept, make_imdb(kept, folder / "pairs")


def _told(summary):
    return json.loads(json.dumps(summary.as_json()))


def _rows(folder):
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]


def test_prompts_are_the_instruction_and_the_beginning_of_an_answer(made, settings, chat):
    folder, _, summary = made
    opening = f"<s><|h|>user<|e|>\n\n{ASKED}<|eot|><|h|>assistant<|e|>\n\n"
    assert all(row["prompt"].startswith(opening) for row in _rows(folder / "pairs"))
    beginnings = {row["prompt"].removeprefix(opening) for row in _rows(folder / "pairs")}
    texts = " ".join(json.loads(line)["text"] for line in Path(settings.data).read_text().splitlines())
    assert all(text in texts for text in beginnings)
    assert summary.before == opening.removeprefix("<s>")
    # What was continued is what the file is read as: the template's begin token once, then instruction and beginning.
    _, tokenizer = load_base(chat)
    store = TokenStore()
    data = DataSettings(train=str(folder / "pairs" / "pairs.jsonl"), append_end=False, new_prompts=0.0, held_out=0.0)
    read = load_preferences(data, tokenizer, store, 256, Stream(0))
    writer = imdb_pool.Writer(None, tokenizer, ASKED)
    begun, ids = writer.beginnings(sorted(beginnings), 1)
    assert begun
    known = {tuple(store[c].tolist()) for c in read.train.pairs.contexts}
    for row in known:
        assert row[0] == tokenizer.bos_token_id
        assert tokenizer.bos_token_id not in row[1:]
    assert all(row[: len(ids[0]) - 1] == tuple(ids[0][:-1]) for row in known)


def test_scorers_of_eval_see_what_those_of_the_labels_saw(made, monkeypatch, chat):
    folder, _, summary = made
    asked = []

    class Spy:
        name = "spy"

        def __call__(self, prompts, responses):
            asked.extend(prompts)
            return [0.0] * len(prompts)

    monkeypatch.setattr(named_scorers, "make_scorer", lambda name, folder=None: Spy())
    scorers = named_scorers.scorers_of(folder / "pairs", [])
    _, tokenizer = load_base(chat)
    row = _rows(folder / "pairs")[0]
    decoded = tokenizer.decode(tokenizer(row["prompt"])["input_ids"][1:], skip_special_tokens=True)
    assert decoded.startswith(summary.before)
    scorers["positive"]([decoded], [row["chosen"]])
    assert asked == [row["prompt"].split("\n\n")[-1]]


def test_scenarios_share_what_was_sampled(made, settings, tmp_path, monkeypatch):
    _, kept, _ = made
    alone = make_imdb(replace(settings, candidates=2), tmp_path / "alone")

    def never(*arguments):
        raise AssertionError("sampled again")

    monkeypatch.setattr(imdb_pool.ReferencePolicy, "sample", never)
    shared = make_imdb(replace(kept, candidates=2), tmp_path / "shared")
    assert shared == alone
    assert (tmp_path / "shared" / "pairs.jsonl").read_bytes() == (tmp_path / "alone" / "pairs.jsonl").read_bytes()
    with pytest.raises(AssertionError, match="sampled again"):
        make_imdb(replace(kept, candidates=2, instruction="Other?"), tmp_path / "other")
    with pytest.raises(AssertionError, match="sampled again"):
        make_imdb(replace(kept, candidates=2, new_tokens=9), tmp_path / "longer")


def test_continuations_end_where_responses_do(settings, chat, tmp_path, monkeypatch):
    """At every end token of generation_config.json, the end of a turn among them; and pieces that were sampled with
    other ends are not taken."""
    model = shutil.copytree(chat, tmp_path / "model")
    _, tokenizer = load_base(model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["."]})
    tokenizer.save_pretrained(model)
    dot, seen, candidates = tokenizer.convert_tokens_to_ids("."), [], imdb_pool._candidates

    def watched(*arguments):
        found = candidates(*arguments)
        seen.extend(found)
        return found

    monkeypatch.setattr(imdb_pool, "_candidates", watched)
    kept = str(tmp_path / "continuations")
    own = replace(settings, model=str(model), continuations=kept, instruction="", pool=4, pairs=4, unseen=0)

    def go_on(name, ends):
        config = json.loads((model / "generation_config.json").read_text())
        (model / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": ends}))
        seen.clear()
        # Of continuations that end so soon few are texts, and there need not be two of a prompt.
        with contextlib.suppress(InputError):
            make_imdb(own, tmp_path / name)
        return sum(dot in row[:-1] for row in seen)

    assert go_on("one", [tokenizer.eos_token_id])
    assert not go_on("two", [tokenizer.eos_token_id, dot])
    assert any(row[-1] == dot for row in seen)


def test_a_pool_whose_pairs_all_tie_is_made_and_said(settings, tmp_path, monkeypatch):
    class Same:
        name = "same"

        def __call__(self, prompts, responses):
            return np.zeros(len(prompts))

    monkeypatch.setattr(imdb, "make_scorer", lambda scorer, folder=None: Same())
    sets = {"annotators": 2, "unseen": 0, "pairs": 3, "pool": 4, "prompt_tokens": 9, "new_tokens": 4, "threads": 1}
    more = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    done = CliRunner().invoke(command, [
        "llm", "make-imdb", "--data", settings.data, "--model", settings.model, "--out", str(tmp_path / "out"),
        "--device", "cpu", "--scenario", "opposed", *more,
    ], catch_exceptions=False)  # fmt: skip
    assert done.exit_code == 0
    assert "there is no pair that both groups decide; ties: positive 100.0%" in done.output
    assert json.loads((tmp_path / "out" / "make.json").read_text())["groups_agree"] is None
    better = np.array([[1.0, 2.0, 0.0, -1.0], [3.0, -1.0, 1.0, -2.0]])
    assert imdb._agreement(better) == pytest.approx(2 / 3)
    assert imdb._agreement(np.zeros((2, 3))) is None


def test_a_damaged_piece_is_sampled_again_and_said(made, settings, tmp_path):
    folder, _, _ = made
    pieces = tmp_path / "continuations"
    shutil.copytree(folder / "continuations", pieces)
    file = sorted(pieces.iterdir())[0]
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    said = []
    make_imdb(replace(settings, continuations=str(pieces)), tmp_path / "again", said.append)
    assert sum("was damaged" in line for line in said) == 1
    assert (tmp_path / "again" / "pairs.jsonl").read_bytes() == (folder / "pairs" / "pairs.jsonl").read_bytes()


def test_a_finished_folder_wants_the_same_reviews_and_instruction(made, tmp_path):
    folder, kept, summary = made
    said = []
    assert _told(make_imdb(kept, folder / "pairs", said.append)) == _told(summary)
    assert said == [f"{folder / 'pairs'} is finished; nothing to do"]
    with pytest.raises(InputError, match="made with other settings"):
        make_imdb(replace(kept, instruction=""), folder / "pairs")
    changed = tmp_path / "reviews.jsonl"
    shutil.copy(kept.data, changed)
    place = tmp_path / "pairs"
    finished = make_imdb(replace(kept, data=str(changed)), place)
    with changed.open("a") as file:
        file.write(json.dumps({"text": "One more.", "label": "pos"}) + "\n")
    with pytest.raises(InputError, match=r"was changed since .*pairs was made from it"):
        make_imdb(replace(kept, data=str(changed)), place)
    changed.unlink()
    assert _told(make_imdb(replace(kept, data=str(changed)), place)) == _told(finished)


def test_a_finished_folder_is_as_it_was_made(made, tmp_path):
    """What is trained on lies in it: cut short, or gone, it is not finished."""
    folder, kept, _ = made
    place = tmp_path / "pairs"
    shutil.copytree(folder / "pairs", place)
    pairs = place / "pairs.jsonl"
    pairs.write_text("".join(pairs.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"pairs.jsonl: was changed or damaged.*remove .*make.json to make it again"):
        make_imdb(kept, place)
    pairs.unlink()
    with pytest.raises(InputError, match=r"pairs.jsonl: cannot be read \(No such file"):
        make_imdb(kept, place)
    (place / "make.json").unlink()
    make_imdb(kept, place)
    assert pairs.read_bytes() == (folder / "pairs" / "pairs.jsonl").read_bytes()


def test_a_model_without_a_template_cannot_be_asked(settings, tiny, tmp_path):  # noqa: F811
    with pytest.raises(InputError, match="no chat template"):
        make_imdb(replace(settings, model=str(tiny)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_groups_meet_their_own_prompts(made, tmp_path):
    _, kept, plain = made
    assert "correlation" not in plain.settings, "folders made before there was one are finished as they are"
    apart = replace(kept, annotators=12, correlation=1.0)
    make_imdb(apart, tmp_path / "apart")
    met = {"positive": set(), "negative": set()}
    for row in _rows(tmp_path / "apart"):
        if row["split"] == "train":
            met[row["group_id"]].add(row["prompt"])
    assert all(met.values())
    assert not met["positive"] & met["negative"]
    with pytest.raises(ValueError, match="pairs are drawn without repeats, with correlation"):
        replace(kept, correlation=0.5, pairs=11)


def test_a_part_is_asked_that_often_and_nothing_twice():
    stream = Stream(2, "leaning")
    order, lean = stream.permutation(4000), stream.child("lean").uniforms(1000) < 0.3
    part = stream.child("part").permutation(4000)
    taken = without_repeats(order, part[part % 2 == 0], lean)
    assert len(set(taken.tolist())) == len(taken) == 1000
    assert (taken[lean] % 2 == 0).all()
    assert (taken[~lean] % 2 == 0).mean() == pytest.approx(0.5, abs=0.06)
