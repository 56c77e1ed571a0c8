"""Adapters beside base weights: every tensor has its place, or the folder is refused."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_architectures import new_model, save_architecture  # noqa: E402

from llm.base.small_mistral import load_base  # noqa: E402
from sim.errors import InputError  # noqa: E402

WEIGHTS = "adapter_model.safetensors"
PROBE = torch.arange(20, 32)[None]


def _adapted(model, folder, **options):
    """The model's logits with a random adapter, which is written beside the weights in the folder."""
    from peft import LoraConfig, get_peft_model

    from llm.base.model_folder import wrapping

    with wrapping():
        wrapped = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, **options))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if "lora_" in name:
                value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    wrapped.eval()
    written = folder.parent / "adapter"
    wrapped.save_pretrained(written)
    for file in written.iterdir():
        shutil.copy(file, folder / file.name)
    with torch.no_grad():
        return wrapped(input_ids=PROBE, use_cache=False).logits.numpy()


def _logits(folder):
    with torch.no_grad():
        return load_base(folder)[0](input_ids=PROBE, use_cache=False).logits.numpy()


def _change(folder, change):
    tensors = {name: new for key, value in load_file(folder / WEIGHTS).items() for name, new in change(key, value)}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def _refused(folder, match):
    with pytest.raises(InputError, match=match) as caught:
        load_base(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("architecture", ["gemma3-images", "mistral3-images"])
@pytest.mark.parametrize(
    "targets", [["q_proj", "down_proj"], r"model\.language_model\..*\.(q_proj|down_proj)"], ids=["names", "paths"]
)
def test_an_adapter_of_a_whole_model_of_images_is_put_on_its_language_part(architecture, targets, tmp_path):
    """It had no effect at all. What it has on the tower that sees is left out with the tower."""
    folder = save_architecture(architecture, tmp_path / "model")
    plain = _logits(folder)
    more = {} if isinstance(targets, list) else {"alpha_pattern": {"model.language_model.layers.1.mlp.down_proj": 9}}
    wanted = _adapted(new_model(architecture), folder, target_modules=targets, **more)
    seen = [key for key in load_file(folder / WEIGHTS) if "vision" in key]
    assert bool(seen) == isinstance(targets, list)
    assert np.abs(wanted - plain).max() > 0.1
    assert _logits(folder) == pytest.approx(wanted, abs=2e-4)
    # As transformers before 5 had the names.
    _change(
        folder, lambda key, value: [(key.replace("model.model.language_model", "model.language_model.model"), value)]
    )
    assert _logits(folder) == pytest.approx(wanted, abs=2e-4)
    kept = (folder / WEIGHTS).read_bytes()
    _change(folder, lambda key, value: [] if "language_model" in key and "layers.1" in key else [(key, value)])
    _refused(folder, "its adapter lacks tensors")
    (folder / WEIGHTS).write_bytes(kept)
    _change(folder, lambda key, value: [(key.replace("q_proj", "o_proj") if "language_model" in key else key, value)])
    _refused(folder, r"has tensors for which its base has no place \(model\.layers\.0\.self_attn\.o_proj")


def test_an_adapter_that_is_not_whole_is_refused(tmp_path):
    folder = save_architecture("llama", tmp_path / "model")
    wanted = _adapted(new_model("llama"), folder, target_modules=["q_proj", "v_proj"])
    assert _logits(folder) == pytest.approx(wanted, abs=2e-4)
    kept = (folder / WEIGHTS).read_bytes()
    _change(folder, lambda key, value: [] if "layers.1" in key else [(key, value)])
    _refused(
        folder, r"its adapter lacks tensors \(model\.layers\.1\.self_attn\.q_proj\.lora_A\.weight, .* and 1 more\)"
    )
    (folder / WEIGHTS).write_bytes(kept)
    _change(folder, lambda key, value: [(key.replace("layers.1", "layers.7"), value)])
    _refused(folder, r"has tensors for which its base has no place \(model\.layers\.7\.self_attn")
    (folder / WEIGHTS).write_bytes(kept)
    _change(folder, lambda key, value: [(key.replace("model.model.layers", "model.transformer.layers"), value)])
    _refused(folder, r"no place \(transformer\.layers\.0")
    for cut in (len(kept) // 2, 0):
        (folder / WEIGHTS).write_bytes(kept[:cut])
        _refused(folder, "its adapter does not fit its base")


def test_an_adapter_on_some_layers_alone_is_whole(tmp_path):
    """Its configuration says so."""
    folder = save_architecture("llama", tmp_path / "model")
    wanted = _adapted(
        new_model("llama"), folder, target_modules=["q_proj"], layers_to_transform=[1], rank_pattern={"q_proj": 3}
    )
    assert json.loads((folder / "adapter_config.json").read_text())["layers_to_transform"] == [1]
    assert _logits(folder) == pytest.approx(wanted, abs=2e-4)


def test_a_weight_decomposed_adapter_is_whole(tmp_path):
    """PEFT leaves the end of the name of its lengths out."""
    folder = save_architecture("llama", tmp_path / "model")
    wanted = _adapted(new_model("llama"), folder, target_modules=["q_proj"], use_dora=True)
    assert _logits(folder) == pytest.approx(wanted, abs=2e-3)
