"""A model that changed where it lies is another model: to folders that were finished with it, and to kept pieces."""
# ruff: noqa: F811  # fixtures are imported

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from saved_runs import FAST, contents, small_sft  # noqa: E402
from tiny_llm import corpus, open_tiny, random_rows, score, tiny, write_corpus, write_pairs  # noqa: E402, F401

from llm.base import embeddings  # noqa: E402
from llm.base.folder_format import checksums, stamped  # noqa: E402
from llm.base.identity import (  # noqa: E402
    hash_of_tokenizer_files,
    tokenizer_change,
    tokenizer_files_hash,
    tokenizer_hash,
)
from llm.base.journal import Journal  # noqa: E402
from llm.data.imdb import make_imdb  # noqa: E402
from llm.data.imdb_settings import ImdbSettings  # noqa: E402
from llm.runs import response_embeddings  # noqa: E402
from llm.runs.merged_model import merge_group_model  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.response_embeddings import RunEmbeddings  # noqa: E402
from llm.runs.run_folder import read_mixture  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.sft import train_sft  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.settings import read_settings  # noqa: E402


@pytest.fixture
def model(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "model")


def _train(model, place, out):
    data = place / "pairs.jsonl"
    if not data.exists():
        write_pairs(data, annotators=3, answers=8, unseen=1)
    settings = read_settings(RunSettings, None, [*FAST, f"model={model}", f"data.train={data}", "method=dpo"])
    train_run(settings, out)


def _sft(model, place, out):
    data = place / "text.jsonl"
    if not data.exists():
        write_corpus(data, 80)
    train_sft(small_sft(data, model=str(model), steps=2), out)


def _imdb_settings(model, place):
    data = place / "reviews.jsonl"
    if not data.exists():
        texts = [" ".join(corpus(60, seed=5)[j : j + 3]) for j in range(58)]
        rows = [{"text": text, "label": "pos" if score(text) > 0 else "neg"} for text in texts]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ImdbSettings(
        data=str(data), model=str(model), scenario="opposed", annotators=3, unseen=0, pairs=4, pool=6, prompt_tokens=9,
        new_tokens=6, threads=1, device="cpu",
    )  # fmt: skip


def _make_imdb(model, place, out):
    make_imdb(_imdb_settings(model, place), out)


def _other_weights(model):
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, "rms_norm_eps": 1e-3}))


def _other_tokenizer(model):
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 77}))


def _other_template(model):
    (model / "chat_template.json").write_text("{}")


def _other_ends(model):
    path = model / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [2, 5]}))


def _tools_template(model):
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}")


def test_what_decides_tokens_is_in_the_hash_and_nothing_else(model):
    """What generation_config.json says of sampling is replaced (`generation._policy_alone`), and decides nothing."""
    plain, file = tokenizer_hash(model), model / "generation_config.json"
    assert tokenizer_hash(model) == plain
    file.write_text(json.dumps({**json.loads(file.read_text()), "temperature": 0.3, "repetition_penalty": 1.5}))
    assert tokenizer_hash(model) == plain
    found = {plain}
    for change in (_other_ends, _tools_template):
        change(model)
        found.add(tokenizer_hash(model))
    (model / "additional_chat_templates" / "tool_use.jinja").write_text("{{ messages }}")
    found.add(tokenizer_hash(model))
    assert len(found) == 4
    assert {hash_of_tokenizer_files(own) for own in found} == {tokenizer_files_hash(model)}
    file.unlink()
    assert tokenizer_hash(model) not in found


def test_two_runs_of_one_tokenizer_are_so_whichever_knew_its_files_alone():
    """`eval --against` compares what two runs have kept, of which the one that is evaluated may be the younger."""
    assert not tokenizer_change("files", "files+more")
    assert not tokenizer_change("files+more", "files")
    assert tokenizer_change("files+more", "files+other").startswith("end tokens")
    assert tokenizer_change("files+more", "others") == "tokenizer"


def test_a_run_from_before_end_tokens_were_hashed_is_read_by_its_tokenizer_files(model, tmp_path):
    """Its folder holds the hash of the files alone; a run of today refuses to be opened with other ends."""
    out = tmp_path / "run"
    _train(model, tmp_path, out)
    whole = contents(out)
    _other_ends(model)
    with pytest.raises(InputError, match=r"the end tokens .* in .* is not the one this run was trained on"):
        open_run(out)
    with pytest.raises(InputError, match=r"the end tokens .* in .* is not the one this run was trained on"):
        merge_group_model(out, 0, tmp_path / "merged")
    for name in ("config.json", "run.json", "mixture.json"):
        _as_before(out / name, read_mixture(out).tokenizer_hash)
    _as_before(out / "mixture.json", "", config=checksums(out, ["config.json"]))
    _train(model, tmp_path, out)
    open_run(out)
    _other_tokenizer(model)
    with pytest.raises(InputError, match="its tokenizer differ"):
        _train(model, tmp_path, out)
    assert contents(out).keys() == whole.keys()


def _as_before(path, tokenizer, config=()):
    """The file as a version wrote it that hashed a tokenizer's files alone."""
    text = path.read_text()
    content = json.loads(text.replace(tokenizer, hash_of_tokenizer_files(tokenizer)) if tokenizer else text)
    content.get("files", {}).update(config)
    path.write_text(json.dumps(stamped({key: content[key] for key in content if key not in ("format", "checksum")})))


@pytest.mark.parametrize("command", [_train, _sft, _make_imdb])
def test_a_finished_folder_wants_the_model_it_was_made_with(command, model, tmp_path):
    out = tmp_path / "out"
    command(model, tmp_path, out)
    whole = contents(out)
    command(model, tmp_path, out)
    for change, what in (
        (_other_weights, "weights"), (_other_tokenizer, "tokenizer"), (_other_template, "tokenizer"),
        (_other_ends, r"end tokens \(generation_config.json\) or additional_chat_templates"),
        (_tools_template, r"end tokens \(generation_config.json\) or additional_chat_templates"),
    ):  # fmt: skip
        kept = shutil.copytree(model, tmp_path / "kept")
        change(model)
        with pytest.raises(InputError, match=f"model': was changed since .*out was made with it: its {what} differ"):
            command(model, tmp_path, out)
        shutil.rmtree(model)
        kept.rename(model)
        command(model, tmp_path, out)
    shutil.rmtree(model)
    command(model, tmp_path, out)
    assert contents(out) == whole


def test_continuations_of_another_model_are_sampled_anew(model, tmp_path):
    settings = replace(_imdb_settings(model, tmp_path), continuations=str(tmp_path / "kept"))
    make_imdb(settings, tmp_path / "first")
    pieces = set(contents(tmp_path / "kept"))
    make_imdb(settings, tmp_path / "again")
    assert set(contents(tmp_path / "kept")) == pieces
    for number, change in enumerate((_other_weights, _other_tokenizer, _other_template, _other_ends), 2):
        change(model)
        make_imdb(settings, tmp_path / change.__name__)
        assert len(contents(tmp_path / "kept")) == number * len(pieces)


@pytest.fixture
def sentences(tmp_path, monkeypatch):
    """A stand-in for a sentence model, which says what one of its files holds, and for the package that opens one."""
    folder = tmp_path / "sentences"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text("1")

    def embedded(texts, place, device):
        assert place == str(folder)
        return np.full((len(texts), 2), float((folder / "1_Pooling" / "config.json").read_text()))

    monkeypatch.setattr(response_embeddings, "sentence_embeddings", embedded)
    monkeypatch.setattr(embeddings, "find_spec", lambda name: name)
    return folder


def test_embeddings_of_another_sentence_model_are_made_anew(tiny, sentences, tmp_path):
    base, tokenizer = open_tiny(tiny)
    rows = random_rows(base, 5)
    for value in (1.0, 2.0):
        (sentences / "1_Pooling" / "config.json").write_text(str(value))
        for _ in range(2):
            own = RunEmbeddings(base, tokenizer, str(sentences), Journal(tmp_path / "journal"))
            assert (own.of(*rows) == value).all()
    assert len(contents(tmp_path / "journal")) == 2


def test_a_finished_run_wants_the_sentence_model_it_was_made_with(tiny, sentences, tmp_path):
    data = write_pairs(tmp_path / "pairs.jsonl", annotators=3, answers=8, unseen=1)
    settings = read_settings(RunSettings, None, [
        *FAST, f"model={tiny}", f"data.train={data}", "method=cluster-dpo", f"groups.embedding={sentences}",
    ])  # fmt: skip
    done = train_run(settings, tmp_path / "run")
    assert train_run(settings, tmp_path / "run").mixture == done.mixture
    (sentences / "1_Pooling" / "config.json").write_text("2")
    with pytest.raises(InputError, match=r"groups.embedding': was changed since .*run was trained with it"):
        train_run(settings, tmp_path / "run")
    shutil.rmtree(sentences)
    train_run(settings, tmp_path / "run")
