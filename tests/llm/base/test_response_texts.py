"""Responses as texts keep the space before their first word, whatever the tokenizer does to beginnings."""

import pytest
from places import ROOT

pytest.importorskip("transformers")

from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from llm.base.texts import plain_text, response_text, response_texts


@pytest.fixture(scope="module")
def llama():
    """As Llama 2's: spaces are the letter ▁, and one put before a text is taken off again; bytes for the unknown."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁The", "▁film", "▁was", "▁good",
             "s", ".", "▁wa", "f", "i", "l", "m"]  # fmt: skip
    made = Tokenizer(models.BPE({word: k for k, word in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _ids(tokenizer, *words):
    return tokenizer.convert_tokens_to_ids(list(words))


def test_the_space_before_a_response_stays(llama):
    prompt, response = _ids(llama, "<s>", "▁The", "▁film"), _ids(llama, "▁was", "▁good", ".", "</s>")
    assert llama.decode(response, skip_special_tokens=True) == "was good.", "alone it loses it"
    assert plain_text(llama, prompt) == "The film"
    assert response_text(llama, prompt, response) == " was good."
    assert response_text(llama, prompt, _ids(llama, "s", ".")) == "s.", "the end of a word has none"
    assert response_texts(llama, [prompt, prompt[:1]], [response, response]) == [" was good.", "was good."]


def test_a_prompt_that_ends_within_a_character(llama):
    """é is two bytes."""
    prompt, response = _ids(llama, "▁The", "▁film", "<0xC3>"), _ids(llama, "<0xA9>", "▁was")
    assert "�" in plain_text(llama, prompt)
    assert response_text(llama, prompt, response).endswith(" was")


def test_tokens_become_texts_at_one_place():
    decoding = {
        str(path.relative_to(ROOT)) for folder in ("llm", "pluralign") for path in (ROOT / folder).rglob("*.py")
        if "skip_special_tokens" in path.read_text(encoding="utf-8")
    }  # fmt: skip
    assert decoding == {"llm/base/texts.py"}
