"""Random models of many architectures, each a few thousand parameters, saved as folders like those of users."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from tiny_llm import corpus  # noqa: E402

from llm.base.small_mistral import train_tokenizer  # noqa: E402  # after the skips

VOCABULARY = 280

_LLAMA = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip
_GEMMA = {**_LLAMA, "head_dim": 8}
_VISION = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
_DROPOUT = {"attention_dropout": 0.1, "hidden_dropout": 0.1}


def _config(kind: str, **shape: Any) -> Any:
    """kind: a configuration class of transformers without its ending, such as Llama."""
    import transformers

    return getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape
    )


def _gemma3_of_images() -> Any:
    from transformers import Gemma3Config

    text = _config("Gemma3Text", **_GEMMA, sliding_window=8, layer_types=["sliding_attention", "full_attention"])
    return Gemma3Config(
        text_config=text.to_dict(), vision_config={**_VISION, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4, image_token_index=5, boi_token_index=6, eoi_token_index=7,
    )  # fmt: skip


def _mistral3_of_images() -> Any:
    from transformers import Mistral3Config

    text = {**_config("Mistral", **_LLAMA).to_dict(), "model_type": "mistral"}
    return Mistral3Config(text_config=text, vision_config={**_VISION, "model_type": "pixtral"}, image_token_index=5)


# Dropout is set wherever the architecture has one: training must not feel it.
CONFIGURATIONS: dict[str, Callable[[], Any]] = {
    "mistral": lambda: _config("Mistral", **_LLAMA, attention_dropout=0.1),
    "llama": lambda: _config("Llama", **_LLAMA, attention_dropout=0.1),
    "qwen2": lambda: _config("Qwen2", **_LLAMA, tie_word_embeddings=True, attention_dropout=0.1),
    "qwen3": lambda: _config("Qwen3", **_LLAMA, head_dim=8, attention_dropout=0.1),
    "phi3": lambda: _config("Phi3", **_LLAMA, attention_dropout=0.1, resid_pdrop=0.1, embd_pdrop=0.1),
    "gemma2": lambda: _config(
        "Gemma2", **_GEMMA, sliding_window=8, query_pre_attn_scalar=8, final_logit_softcapping=0.5,
        attn_logit_softcapping=1.0, attention_dropout=0.1,
    ),
    "gemma3": lambda: _config("Gemma3Text", **_GEMMA, sliding_window=8, attention_dropout=0.1),
    "gemma3-images": _gemma3_of_images,
    "gpt2": lambda: _config("GPT2", n_embd=16, n_layer=2, n_head=2, n_positions=64),
    "gpt-neox": lambda: _config(
        "GPTNeoX", hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, **_DROPOUT,
    ),
    "opt": lambda: _config(
        "OPT", hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
        word_embed_proj_dim=16, dropout=0.1, attention_dropout=0.1,
    ),
    "falcon": lambda: _config(
        "Falcon", hidden_size=16, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
        alibi=True, **_DROPOUT,
    ),
    "bloom": lambda: _config("Bloom", hidden_size=16, n_layer=2, n_head=2, **_DROPOUT),
    "mixtral": lambda: _config("Mixtral", **_LLAMA, num_local_experts=3, attention_dropout=0.1),
    "granite": lambda: _config("Granite", **_LLAMA, logits_scaling=4.0, embedding_multiplier=3.0),
    "cohere": lambda: _config("Cohere", **_LLAMA, logit_scale=0.25),
    "mistral3-images": _mistral3_of_images,
}  # fmt: skip


def new_model(architecture: str) -> Any:
    """A random model of this architecture, the whole of it: with its vision tower where it has one."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    config = CONFIGURATIONS[architecture]()
    auto = AutoModelForImageTextToText if "images" in architecture else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = auto.from_config(config).eval()
        # Larger than the usual start of 0.02: scores of random models should tell rows apart.
        with torch.no_grad():
            for name, value in model.named_parameters():
                if value.dim() > 1 and "norm" not in name:
                    value.normal_(std=0.3)
    return model


def save_architecture(architecture: str, folder: Path) -> Path:
    """The folder with this architecture's random model and a tokenizer for it."""
    new_model(architecture).save_pretrained(folder)
    train_tokenizer(corpus(60), VOCABULARY).save_pretrained(folder)
    return folder
