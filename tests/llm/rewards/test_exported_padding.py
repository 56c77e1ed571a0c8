"""Exported heads of models with and without a pad of their own: as the fit scores, alone and in padded batches."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from chat_models import TEXTS  # noqa: E402

from llm.base.small_mistral import train_tokenizer  # noqa: E402
from llm.rewards.answered_items import item_label  # noqa: E402
from llm.rewards.export import export_head  # noqa: E402
from llm.rewards.reward_encoder import RewardEncoder  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402

END, HIDDEN = "<|endoftext|>", 16
PROMPT = "Say something on tea."
RESPONSES = (" A reply.", " Hello there, what is it? Bread, please, and tea.", " No", " A kind, kind reply on bread.")
# Turns that end with the token that pads, as in a template made for a base model.
TURNS = "{% for m in messages %}{{ m.role + ': ' + m.content + '<|turn|>' }}{% endfor %}"


def _tokenizer(first, **special):
    """Bytes as GPT-2's: its end token is the last number, or (first) number 0 as in GPT-NeoX."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [END, *names] if first else [*names, END]
    made = Tokenizer(models.BPE({name: k for k, name in enumerate(names)}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, **special)


def _gpt2(vocabulary):
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(
        vocab_size=vocabulary, n_positions=256, n_embd=HIDDEN, n_layer=2, n_head=2, initializer_range=0.3,
    ))  # fmt: skip


def _neox(vocabulary):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(
        vocab_size=vocabulary, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=256, initializer_range=0.3,
    ))  # fmt: skip


def _qwen2(vocabulary):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(
        vocab_size=vocabulary, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, max_position_embeddings=256, initializer_range=0.3, tie_word_embeddings=True,
    ))  # fmt: skip


def _of_turns():
    made = _tokenizer(True, pad_token="<|turn|>")
    made.chat_template = TURNS
    return made


CASES = {
    # The end token is the last embedding, and everything else that is special.
    "gpt2": (_gpt2, 257, lambda: _tokenizer(False, bos_token=END, unk_token=END)),
    "gpt2 from the left": (_gpt2, 257, lambda: _tokenizer(False, bos_token=END, padding_side="left")),
    # More embeddings than tokens.
    "pythia": (_neox, 304, lambda: _tokenizer(True, bos_token=END, unk_token=END)),
    "qwen": (_qwen2, 304, lambda: _tokenizer(True, pad_token=END)),
    # A letter that texts end with stands for what is unknown.
    "without ends": (_neox, 257, lambda: _tokenizer(True, unk_token=".")),
    "a pad of its own": (_qwen2, 420, lambda: train_tokenizer(TEXTS, 420)),
    "a pad that the model was not given": (_neox, 257, lambda: _tokenizer(True, pad_token="<|padding|>")),
    "turns end with the pad": (_neox, 304, _of_turns),
}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_the_fits_rewards_alone_and_in_batches(case, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, vocabulary, tokenizer = CASES[case]
    chat, ended, tokenizer = case == "turns end with the pad", case != "without ends", tokenizer()
    torch.manual_seed(0)
    model(vocabulary).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    weight = Stream(1).normals(HIDDEN)
    encoder = RewardEncoder(tmp_path / "model", chat=chat, append_end=ended)
    if chat:
        asked = [[{"role": "user", "content": PROMPT}]] * len(RESPONSES)
        given = [[{"role": "assistant", "content": text}] for text in RESPONSES]
        texts = [tokenizer.apply_chat_template(a + g, tokenize=False) for a, g in zip(asked, given, strict=True)]
    else:
        asked, given = [PROMPT] * len(RESPONSES), list(RESPONSES)
        texts = [PROMPT + text + (tokenizer.eos_token if ended else "") for text in RESPONSES]
    wanted = encoder.encode([item_label(a, g) for a, g in zip(asked, given, strict=True)]) @ weight
    assert np.ptp(wanted) > 0.1, "rewards that are alike tell nothing"
    folder = export_head("stranger", weight, tmp_path / "model", tmp_path / "head", {})

    network, own = (kind.from_pretrained(folder) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    with torch.no_grad():
        alone = [network(**own(text, return_tensors="pt")).logits.item() for text in texts]
        together = network(**own(texts, return_tensors="pt", padding=True)).logits[:, 0].numpy()
    assert alone == pytest.approx(wanted, abs=1e-4)
    assert together == pytest.approx(wanted, abs=1e-4)
    assert network.config.pad_token_id == own.pad_token_id
    assert own.pad_token_id < network.get_input_embeddings().num_embeddings
    if case == "a pad of its own":
        assert own.pad_token == tokenizer.pad_token
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == vocabulary


def test_a_tokenizer_that_takes_no_pad_is_refused(tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    _neox(257).save_pretrained(tmp_path / "model")
    _tokenizer(True).save_pretrained(tmp_path / "model")

    def refuses(self, tokens):
        raise NotImplementedError

    monkeypatch.setattr(PreTrainedTokenizerFast, "add_special_tokens", refuses)
    with pytest.raises(InputError, match="has no pad token but its end token, and takes no other"):
        export_head("stranger", np.ones(HIDDEN), tmp_path / "model", tmp_path / "head", {})
    assert not (tmp_path / "head").exists()
