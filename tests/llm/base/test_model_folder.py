"""Folders as people have them: with adapters, with settings of generation, with lengths under many names."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_architectures import CONFIGURATIONS, save_architecture  # noqa: E402
from tiny_llm import random_rows  # noqa: E402

from llm.base.generation import Sampling, sample_responses  # noqa: E402
from llm.base.identity import tokenizer_hash, weights_hash  # noqa: E402
from llm.base.model_folder import end_tokens, longest_input  # noqa: E402
from llm.base.shared_base import LoraSettings, SharedBase  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from llm.base.tokens import TokenStore  # noqa: E402
from llm.runs.open_run import open_base, window_of  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402


def _open(folder):
    model, tokenizer = load_base(folder)
    lora = LoraSettings(rank=2)
    return SharedBase(model, TokenStore(), pad=tokenizer.pad_token_id, end=tokenizer.eos_token_id, lora=lora)


@pytest.fixture
def plain(tmp_path):
    return save_architecture("qwen2", tmp_path / "plain")


def _with_adapter(plain, folder, alone=False):
    """(folder, base with the adapter switched on): the adapter beside a copy of the weights, or alone."""
    base = _open(plain)
    base.add_adapter("default", Stream(1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in base.parameters_of("default").values():
            value.add_(0.2 * torch.randn(value.shape, generator=generator))
    base.peft.save_pretrained(folder)
    if not alone:
        for file in plain.iterdir():
            shutil.copy(file, folder / file.name)
    return folder, base


@pytest.mark.parametrize("alone", [False, True])
def test_an_adapter_in_the_folder_is_part_of_the_base(plain, tmp_path, alone):
    """Reference and fresh policies both have it; transformers' own load gave it to the reference only."""
    folder, wanted = _with_adapter(plain, tmp_path / "adapted", alone)
    base = _open(folder)
    contexts, responses = random_rows(base, 5)
    wanted.store = base.store
    scores = wanted.score("default", contexts, responses)
    assert np.abs(scores - wanted.score(None, contexts, responses)).max() > 0.5
    assert base.score(None, contexts, responses) == pytest.approx(scores, abs=2e-4)
    base.add_adapter("group_0", Stream(2))
    assert base.score("group_0", contexts, responses) == pytest.approx(scores, abs=2e-4)
    assert base.reference(contexts, responses) == pytest.approx(scores, abs=2e-4)
    assert base.adapters == ("group_0",)
    assert base.model.name_or_path == str(folder)
    assert tokenizer_hash(folder) == tokenizer_hash(plain)


def test_adapters_and_every_format_of_weights_are_in_the_hash(plain, tmp_path):
    folder, _ = _with_adapter(plain, tmp_path / "beside")
    alone, _ = _with_adapter(plain, tmp_path / "alone", alone=True)
    seen = {weights_hash(plain), weights_hash(folder), weights_hash(alone)}
    assert len(seen) == 3
    for place in (folder, alone):
        before = weights_hash(place)
        config = json.loads((place / "adapter_config.json").read_text())
        (place / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 3}))
        assert weights_hash(place) != before
        before = weights_hash(place)
        weights = (place / "adapter_model.safetensors").read_bytes()
        (place / "adapter_model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
        assert weights_hash(place) != before
    before = weights_hash(plain), weights_hash(alone)
    (plain / "model.gguf").write_bytes(b"GGUF")
    assert weights_hash(plain) != before[0]
    assert weights_hash(alone) != before[1], "the base it names is part of what it is"


def test_adapters_that_cannot_be_opened_say_why(plain, tmp_path):
    folder, _ = _with_adapter(plain, tmp_path / "alone", alone=True)
    config = json.loads((folder / "adapter_config.json").read_text())

    def refused(match, **change):
        (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(InputError, match=match) as caught:
            load_base(folder)
        assert "\n" not in str(caught.value)

    refused("'somebody/model', is not a folder here", base_model_name_or_path="somebody/model")
    refused("'None', is not a folder here", base_model_name_or_path=None)
    refused("does not fit its base", r=3)
    refused("does not fit its base", peft_type="SOMETHING")
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(InputError, match="expected a JSON object"):
        load_base(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        load_base(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_base(folder)


# Each of them makes generate sample another distribution than the model's.
OTHER_POLICY = {
    "do_sample": True, "temperature": 0.1, "top_k": 2, "top_p": 0.3, "min_p": 0.2, "typical_p": 0.3,
    "repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "suppress_tokens": list(range(3, 150)),
    "begin_suppress_tokens": list(range(150, 250)), "forced_eos_token_id": 2, "forced_bos_token_id": 260,
    "min_new_tokens": 6, "bad_words_ids": [[7]], "num_beams": 2, "renormalize_logits": True, "length_penalty": 3.0,
    "encoder_repetition_penalty": 2.0, "exponential_decay_length_penalty": [1, 2.0], "max_time": 1e-9,
    "sequence_bias": [[[9], 20.0]], "stop_strings": ["a"], "max_length": 3, "remove_invalid_values": True,
}  # fmt: skip


def test_settings_of_generation_do_not_change_the_policy(plain):
    contexts, _ = random_rows(_open(plain), 12)

    def drawn():
        base = _open(plain)
        numbers = sample_responses(base, None, random_rows(base, 12)[0], Stream(4), Sampling(8))
        return [base.store[n].tolist() for n in numbers]

    wanted = drawn()
    assert len(contexts) == len(wanted)
    (plain / "generation_config.json").write_text(json.dumps(OTHER_POLICY))
    assert drawn() == wanted
    for name, value in OTHER_POLICY.items():
        if name in ("repetition_penalty", "suppress_tokens", "forced_eos_token_id", "num_beams"):
            (plain / "generation_config.json").write_text(json.dumps({name: value}))
            assert drawn() == wanted, name
    base = _open(plain)
    sample_responses(base, None, random_rows(base, 2)[0], Stream(4), Sampling(2))
    assert base.model.generation_config.num_beams == 2, "the model's own settings are put back"


def test_a_response_ends_at_any_end_token_of_the_folder(plain):
    """Those of generation_config.json that are special tokens; the tokenizer's comes first."""
    config = json.loads((plain / "generation_config.json").read_text())
    (plain / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [2, 0, 77]}))
    base, tokenizer, _ = open_base(str(plain), RunSettings(device="cpu", threads=1))
    assert base.ends == (2, 0), "77 is a word"
    assert base.end == 2
    contexts, _ = random_rows(base, 30)
    # Every response would be cut at the first 0 or 2, and kept with it.
    with torch.no_grad():
        base.model.lm_head.weight[0] *= 3
    drawn = [base.store[n].tolist() for n in sample_responses(base, None, contexts, Stream(1), Sampling(12))]
    assert any(row[-1] == 0 for row in drawn)
    assert not any(token in (0, 2) for row in drawn for token in row[:-1])
    bare = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    assert end_tokens(bare, tokenizer) == (2,)


def test_longest_input_by_any_name():
    for name, make in CONFIGURATIONS.items():
        assert longest_input(make()) == (None if name == "bloom" else 64), name
    for name in ("n_positions", "max_seq_len", "seq_length"):
        text = SimpleNamespace(**{name: 33})
        assert longest_input(SimpleNamespace(get_text_config=lambda text=text: text)) == 33
    wrong = SimpleNamespace(max_position_embeddings=None, n_positions=0)
    assert longest_input(SimpleNamespace(get_text_config=lambda: wrong)) is None


def test_windows_of_models_with_and_without_a_limit(tmp_path):
    settings = RunSettings(device="cpu", threads=1)
    for name, wanted in (("bloom", 512), ("gemma3-images", 64)):
        base, _, _ = open_base(str(save_architecture(name, tmp_path / name)), settings)
        assert window_of(base, settings.data) == wanted
