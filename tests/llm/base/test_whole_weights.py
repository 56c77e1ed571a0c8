"""Folders whose weights are not a causal model's: missing, of another shape, no numbers, cut, or an encoder's."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_architectures import VOCABULARY, new_model, save_architecture  # noqa: E402
from tiny_llm import corpus, write_pairs  # noqa: E402

from llm.base.causality import require_causal  # noqa: E402
from llm.base.small_mistral import load_base, train_tokenizer  # noqa: E402
from pluralign.__main__ import main  # noqa: E402
from sim.errors import InputError  # noqa: E402

QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return save_architecture("qwen2", tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def _change(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )


def _configure(folder, **more):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def _refused(folder, match, **options):
    with pytest.raises(InputError, match=match) as caught:
        load_base(folder, **options)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_tensors_that_are_missing_are_named(folder):
    """Not drawn at random: another model in every process."""
    _change(folder, lambda tensors: tensors.pop(QUERY))
    _refused(folder, rf"lacks 1 of the tensors .*\({QUERY}\)")
    _configure(folder, num_hidden_layers=3, layer_types=["full_attention"] * 3)
    _refused(folder, "lacks 13 of the tensors .* and 10 more")


def test_an_embedding_or_an_untied_head_that_is_missing_is_named(folder):
    _configure(folder, tie_word_embeddings=False)
    _refused(folder, r"\(lm_head\.weight\)")
    load_base(folder, head=False)
    _configure(folder, tie_word_embeddings=True)
    load_base(folder)
    _change(folder, lambda tensors: tensors.pop("model.embed_tokens.weight"))
    _refused(folder, r"model\.embed_tokens\.weight")
    _refused(folder, r"model\.embed_tokens\.weight", head=False)


def test_a_tensor_of_another_shape_is_named(folder):
    _change(folder, lambda tensors: tensors.update({QUERY: tensors[QUERY][:8]}))
    _refused(folder, rf"1 tensors of another shape .*{QUERY} \(8, 16\), not \(16, 16\)")


def test_weights_that_are_no_numbers_are_refused(folder):
    """Kernels of attention pass over a NaN in a query, and the model without that head would be trained."""
    _change(folder, lambda tensors: tensors[QUERY].__setitem__((0, 0), float("nan")))
    _refused(folder, rf"not all numbers \({QUERY} has a NaN\)")


def test_a_classifier_has_no_head_of_a_language_model(tmp_path):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    LlamaForSequenceClassification(
        LlamaConfig(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                    num_attention_heads=2, pad_token_id=0)
    ).save_pretrained(tmp_path)  # fmt: skip
    train_tokenizer(corpus(60), VOCABULARY).save_pretrained(tmp_path)
    _refused(tmp_path, r"\(lm_head\.weight\)")
    # Hidden states are the decoder's, which is whole.
    load_base(tmp_path, head=False)


def test_of_a_model_of_images_the_language_part_must_be_whole(tmp_path):
    folder = save_architecture("gemma3-images", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    seeing = next(name for name in tensors if "vision_tower" in name and name.endswith("q_proj.weight"))
    reading = next(name for name in tensors if "language_model" in name and name.endswith("q_proj.weight"))
    _change(folder, lambda tensors: tensors.pop(seeing))
    load_base(folder)
    _change(folder, lambda tensors: tensors.pop(reading))
    _refused(folder, r"lacks 1 of the tensors .*language_model.*q_proj")


def test_files_that_are_cut_are_one_line(folder):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for kept in (len(whole) // 2, 100, 0):
        weights.write_bytes(whole[:kept])
        _refused(folder, "can be opened")
    weights.write_bytes(whole)
    shard = "model-00001-of-00001.safetensors"
    weights.rename(folder / shard)
    index = folder / "model.safetensors.index.json"
    for named in ({"weight_map": dict.fromkeys(load_file(folder / shard), "gone.safetensors"), "metadata": {}}, []):
        index.write_text(json.dumps(named))
        _refused(folder, "can be opened")
    (folder / shard).rename(weights)
    index.unlink()
    written = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(json.dumps({**json.loads(written), "model": {"type": "Nothing"}}))
    _refused(folder, "can be opened")


@pytest.mark.parametrize("words", [
    ["train", "--data", "PAIRS"], ["sft", "--data", "TEXTS"], ["reward", "--data", "PAIRS"],
])  # fmt: skip
def test_commands_say_it_and_write_nothing(words, folder, tmp_path, monkeypatch, capsys):
    """Whichever opens the model."""
    pairs, texts = write_pairs(tmp_path / "pairs.jsonl", annotators=3, answers=4, unseen=0), tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in corpus(20)))
    _change(folder, lambda tensors: tensors.pop(QUERY))
    places = {"PAIRS": str(pairs), "TEXTS": str(texts)}
    out = tmp_path / "out"
    given = [*(places.get(word, word) for word in words), "--model", str(folder), "--out", str(out)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["pluralign", "llm", *given])
    assert main() == 2
    assert QUERY in capsys.readouterr().err
    assert not out.exists() or not [file for file in out.rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_an_encoder_is_no_causal_model(tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    BertForMaskedLM(
        BertConfig(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                   num_attention_heads=2, max_position_embeddings=64)
    ).save_pretrained(tmp_path)  # fmt: skip
    train_tokenizer(corpus(60), VOCABULARY).save_pretrained(tmp_path)
    _refused(tmp_path, "is not causal")


def test_a_model_in_a_short_format_is_still_seen_to_be_causal(tmp_path):
    for name in ("mixtral", "gemma2"):
        require_causal(new_model(name).to(torch.bfloat16), tmp_path)


def test_logits_that_are_no_numbers_are_refused(tmp_path):
    model = new_model("llama")
    with torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    with pytest.raises(InputError, match="not numbers"):
        require_causal(model, tmp_path)


def test_scores_and_hidden_states_that_are_not_finite_are_the_models_fault():
    """Of a token that no probe meets: they were a traceback in the linear heads, or the training rate was blamed."""
    from llm.base.embeddings import hidden_state_embeddings
    from llm.base.shared_base import SharedBase
    from llm.base.tokens import TokenStore

    model = new_model("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[50] = float("inf")
    base = SharedBase(model, TokenStore(), pad=0, end=2)
    contexts, responses = base.store.add_all([[1, 20], [1, 21]]), base.store.add_all([[22, 23, 24], [50, 23, 24]])
    assert base.score(None, contexts[:1], responses[:1]) < 0
    for work in (base.reference, lambda *rows: base.score(None, *rows)):
        with pytest.raises(InputError, match="gives 1 of 2 responses log-probabilities that are not finite"):
            work(contexts, responses)
    with pytest.raises(InputError, match="hidden states that are not finite"):
        hidden_state_embeddings(base, contexts, responses)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_no_numbers_are_said(folder, value, monkeypatch):
    model, _ = load_base(folder)
    forward = type(model).forward

    def broken(self, *arguments, **options):
        found = forward(self, *arguments, **options)
        found.logits = torch.full_like(found.logits, value)
        return found

    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(InputError, match="its logits are not numbers"):
        require_causal(model, folder)
