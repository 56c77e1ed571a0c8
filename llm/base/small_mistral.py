"""Small Mistrals and their tokenizers from scratch, and model folders opened safely."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llm.base.causality import require_causal
from llm.base.four_bit import four_bit_options
from llm.base.gguf_models import plain_folder
from llm.base.model_folder import base_folder, open_model, tokenizer_folder
from llm.base.progress import Progress
from llm.base.whole_weights import require_numbers
from sim.errors import InputError
from sim.streams import Stream

START, END, PAD = "<s>", "</s>", "<pad>"


@dataclass(frozen=True)
class Size:
    """Shape of a Mistral: vocabulary, hidden width, layers, heads and key-value heads, feed-forward width."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int

    @property
    def parameters(self) -> int:
        """Number of parameters with tied embeddings."""
        attention = 2 * self.hidden**2 + 2 * self.hidden * (self.hidden // self.heads) * self.kv_heads
        layer = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        return self.vocabulary * self.hidden + self.layers * layer + self.hidden


SIZES = {
    "mini": Size(512, 64, 2, 4, 2, 160),
    "tiny": Size(2_048, 128, 4, 4, 2, 384),
    "small": Size(4_096, 256, 6, 8, 4, 704),
    "medium": Size(8_192, 512, 8, 8, 4, 1_408),
    "base": Size(16_384, 768, 12, 12, 4, 2_560),
}
"""From 0.1 M parameters (tests) over 1 M (minutes on two cores) to 100 M (a GPU)."""


def new_mistral(size: Size, length: int, stream: Stream, device: str = "cpu") -> Any:
    """A Mistral with random weights (float32, tied embeddings) keyed by the stream."""
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=size.vocabulary, hidden_size=size.hidden, intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        max_position_embeddings=length, tie_word_embeddings=True, sliding_window=None,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.integer_seed())
        return MistralForCausalLM(config).to(device)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer: every text can be written, and decoding gives it back."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, START, END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def load_base(
    path: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32, progress: Progress = lambda text: None,
    *, four_bit: bool = False, head: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """(model, tokenizer) of a local folder: safetensors only, no code of the folder is run, nothing is fetched.

    path: a folder, or a GGUF file (or a folder with one), which is turned into a folder of safetensors once.
    head: whether a folder without the head's weights is refused, which hidden states do not need.
    See `open_model` for models of images and text, and for folders with adapters.
    """
    from transformers import AutoTokenizer

    folder = plain_folder(path, progress)
    base_folder(folder)
    try:
        model = open_model(folder, dtype, four_bit_options(device, dtype) if four_bit else {}, head=head)
        tokenizer = AutoTokenizer.from_pretrained(
            str(tokenizer_folder(folder)), local_files_only=True, trust_remote_code=False
        )
    except (InputError, MemoryError):
        raise
    # Weights or a tokenizer that are cut, or of another kind, end in whatever the reader meets first.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"is not a causal language model that can be opened ({reason})", file=folder) from error
    # What is packed lies on its device, and cannot be moved.
    model = model if four_bit else model.to(device)
    require_numbers(model, folder)
    require_causal(model, folder)
    return model, tokenizer
