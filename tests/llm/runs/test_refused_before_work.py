"""What a run cannot do on its base is said before anything is computed or written."""

import json

import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import VOCABULARY, save_architecture  # noqa: E402
from tiny_llm import corpus, write_pairs  # noqa: E402

from llm.base.small_mistral import train_tokenizer  # noqa: E402
from pluralign.__main__ import main  # noqa: E402


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", annotators=3, answers=4, unseen=0)


def _mamba(folder):
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4, bos_token_id=1,
                         eos_token_id=2, pad_token_id=0)  # fmt: skip
    MambaForCausalLM(config).save_pretrained(folder)
    train_tokenizer(corpus(60), VOCABULARY).save_pretrained(folder)
    return folder


def _train(folder, pairs, out, monkeypatch, *more):
    settings = ["threads=1", "lora.rank=2", "groups.rounds=1", "groups.types=2", "training.epochs=1", *more]
    given = [word for setting in settings for word in ("--set", setting)]
    monkeypatch.setattr(
        "sys.argv",
        ["pluralign", "llm", "train", "--model", str(folder), "--data", str(pairs), "--out", str(out), "--device",
         "cpu", "--method", "em-dpo", *given],
    )  # fmt: skip
    return main()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("lora.layers=foo", "no linear layer of this model is called 'foo'"),
        ("groups.embedding=/nowhere/at/all", "field 'groups.embedding': no such folder"),
        ("training.gradient_checkpointing=true", "this model cannot recompute its activations"),
    ],
)
def test_settings_that_the_base_cannot_have_leave_no_folder(setting, said, pairs, tmp_path, monkeypatch, capsys):
    if "checkpointing" in setting:
        from transformers import LlamaForCausalLM

        monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    folder, out = save_architecture("llama", tmp_path / "model"), tmp_path / "out"
    assert _train(folder, pairs, out, monkeypatch, setting) == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert "reference scores" not in heard
    assert not out.exists()


def test_mamba_is_trained_without_the_layer_that_its_kernels_read(pairs, tmp_path, monkeypatch, capsys):
    folder = _mamba(tmp_path / "model")
    assert _train(folder, pairs, tmp_path / "asked", monkeypatch, "lora.layers=out_proj") == 2
    assert "PEFT puts no adapter on 'out_proj' of a model of type mamba" in capsys.readouterr().err
    assert not (tmp_path / "asked").exists()
    assert _train(folder, pairs, tmp_path / "out", monkeypatch) == 0
    assert "in_proj, x_proj, dt_proj (" in (heard := capsys.readouterr().err)
    assert "none on out_proj" in heard


def _knowing(folder, *tokens, **special):
    """The folder, its tokenizer with more tokens than the model has embeddings of."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(tokens))
    if special:
        tokenizer.add_special_tokens(special)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("command", ["train", "sft", "reward"])
def test_a_token_of_the_texts_without_an_embedding_is_refused(command, pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, out = _knowing(save_architecture("llama", tmp_path / "model"), " movie"), tmp_path / "out"
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in corpus(40)))
    if command == "train":
        assert _train(folder, pairs, out, monkeypatch) == 2
    else:
        given = ["--model", str(folder), "--data", str(texts if command == "sft" else pairs), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["pluralign", "llm", command, *given])
        assert main() == 2
    heard = capsys.readouterr().err
    assert f"{folder}: its tokenizer makes token 280 of these texts, and it has embeddings of 280 tokens" in heard
    assert "reference scores" not in heard
    assert not out.exists() or not [file for file in out.rglob("*") if file.is_file()]


def test_tokens_without_an_embedding_that_no_text_has_do_no_harm(pairs, tmp_path, monkeypatch):
    """Nor does a pad, which stands where nobody looks."""
    plain = save_architecture("llama", tmp_path / "plain")
    more = _knowing(save_architecture("llama", tmp_path / "more"), "<|nobody|>", pad_token="<|pad|>")
    found = []
    for folder in (plain, more):
        assert _train(folder, pairs, tmp_path / f"{folder.name}-out", monkeypatch) == 0
        found.append(json.loads((tmp_path / f"{folder.name}-out" / "run.json").read_text())["mixture"])
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("verb", ["train", "make-imdb"])
def test_a_folder_with_other_files_is_left_alone(verb, pairs, tmp_path, monkeypatch, capsys):
    (tmp_path / "mixture.json").write_text("mine\n")
    monkeypatch.setattr("sys.argv", [
        "pluralign", "llm", verb, "--model", str(tmp_path / "none"), "--data", str(pairs), "--out", str(tmp_path),
    ])  # fmt: skip
    assert main() == 2
    assert "is not empty and holds no earlier" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.json"]
    assert (tmp_path / "mixture.json").read_text() == "mine\n"
