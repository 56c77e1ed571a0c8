"""A group merged into its base: plain transformers gives base plus adapter, in the base's own dtype; the ensemble is
refused, and so is all that does not fit."""
# ruff: noqa: F811  # fixtures are imported

import json
import shutil
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from chat_models import chat_folder  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from saved_runs import finished, pairs, refused, run, settings  # noqa: E402, F401
from tiny_architectures import save_architecture  # noqa: E402
from tiny_llm import tiny  # noqa: E402, F401

import pluralign as pl  # noqa: E402
from llm.base.folder_format import read_stamped  # noqa: E402
from llm.base.model_folder import wrapping  # noqa: E402
from llm.runs.merged_model import TOLERANCE, merge_group_model  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from pluralign.__main__ import command  # noqa: E402
from sim.errors import InputError  # noqa: E402


def _ids(model, n=40):
    return torch.randint(3, model.config.vocab_size, (2, n), generator=torch.Generator().manual_seed(1))


def _logits(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits.float()


def _beside(base, adapter):
    """Base plus adapter by plain transformers and PEFT, float32."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with wrapping():
        return PeftModel.from_pretrained(model, adapter)


def _trained(model, settings, out, **lora):
    groups, training = replace(settings.groups, rounds=0), replace(settings.training, rate=0.02)
    lora = replace(settings.lora, **lora)
    train_run(replace(settings, model=str(model), lora=lora, groups=groups, training=training), out)
    return out


@pytest.mark.parametrize("options", [{}, {"rslora": True}, {"dora": True}, {"dropout": 0.1}], ids=str)
def test_plain_transformers_gives_base_and_adapter(tiny, settings, tmp_path, options):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = _trained(tiny, settings, tmp_path / "run", **options)
    found = pl.merge_group(run, 1, tmp_path / "merged")
    assert (found.group, found.dtype, found.folder) == ("group_1", "float32", tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    ids = _ids(merged)
    wanted = _logits(_beside(tiny, run / "group_1"), ids)
    largest = float(wanted.abs().max())
    assert float((_logits(merged, ids) - wanted).abs().max()) < TOLERANCE * largest
    base = AutoModelForCausalLM.from_pretrained(tiny)
    assert float((_logits(base, ids) - wanted).abs().max()) > 100 * TOLERANCE * largest, "the adapter does something"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert (
        tokenizer("The film was great.").input_ids
        == AutoTokenizer.from_pretrained(tiny)("The film was great.").input_ids
    )
    told = read_stamped(tmp_path / "merged" / "merged.json", "")
    assert told["group"] == "group_1"
    assert told["merging"] < TOLERANCE * told["largest_logit"]
    assert told["rounding"] == told["rounding_log_probability"] == 0.0
    for file in (tmp_path / "merged").glob("*.json"):
        assert str(tmp_path) not in file.read_text(), f"a place on this machine in {file.name}"
        assert str(tiny) not in file.read_text()
    assert not list((tmp_path / "merged").glob("adapter_*")), "a model, not one with an adapter beside it"


def test_a_bfloat16_base_is_merged_in_float32_and_rounded_once(tmp_path, settings):
    from transformers import AutoModelForCausalLM

    model = save_architecture("llama", tmp_path / "base")
    network = AutoModelForCausalLM.from_pretrained(model).to(torch.bfloat16)
    network.save_pretrained(model)
    run = _trained(model, settings, tmp_path / "run")
    found = pl.merge_group(run, "group_0", tmp_path / "merged")
    assert found.dtype == "bfloat16"
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == torch.bfloat16
    both = _beside(model, run / "group_0")
    ids = _ids(merged)
    wanted = _logits(both, ids)
    exact = both.merge_and_unload()
    for name, value in merged.named_parameters():
        assert (value == exact.get_parameter(name).to(torch.bfloat16)).all(), name
    off = float((_logits(merged.float(), ids) - wanted).abs().max())
    assert 0 < off < 4 * found.told["rounding"], "what it says that rounding moves"
    assert found.told["merging"] < 0.01 * found.told["rounding"]
    assert "rounding to bfloat16, logits" in str(found)


def test_generation_configuration_and_chat_template_come_along(tmp_path, settings):
    from transformers import AutoTokenizer, GenerationConfig

    model = chat_folder(tmp_path / "base")
    told = {"eos_token_id": [2, 5], "temperature": 0.6, "do_sample": False, "max_new_tokens": 9}
    (model / "generation_config.json").write_text(json.dumps(told))
    run = _trained(model, settings, tmp_path / "run")
    pl.merge_group(run, 0, tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / "generation_config.json").read_text()) == told
    assert GenerationConfig.from_pretrained(tmp_path / "merged").max_new_tokens == 9
    for folder in (model, tmp_path / "merged"):
        text = AutoTokenizer.from_pretrained(folder).apply_chat_template(
            [{"role": "user", "content": "Tea?"}], tokenize=False, add_generation_prompt=True
        )
        assert text.endswith("<|im_start|>assistant\n")


def test_the_command_says_what_it_moved(finished, tmp_path):
    def asked(*more):
        words = ["llm", "merge", finished, *more]
        return CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)

    out = asked("--group", "group_0", "--out", tmp_path / "a", "--json")
    assert out.exit_code == 0, out.output
    told = json.loads(out.stdout)
    assert (told["group"], told["folder"]) == ("group_0", str(tmp_path / "a"))
    out = asked("--group", "direct", "--out", tmp_path / "b")
    assert out.stdout.startswith("direct merged into its base (float32)")
    assert (tmp_path / "b" / "model.safetensors").is_file()


def test_what_is_refused(run, tiny, tmp_path, refused):
    out = tmp_path / "merged"

    def said(*words):
        line = refused("llm", "merge", run, *words)
        assert not out.exists()
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".merged")]
        return line

    for name in ("mixture", "ensemble", "minmax"):
        line = said("--group", name, "--out", out)
        assert "--group: the ensemble of" in line
        assert "draws one of group_0, group_1 for each response" in line
        assert "docs/serving.md" in line
    line = said("--group", "7", "--out", out)
    assert f"--group: no 'group_7' in {run}; choose one of group_0, group_1" in line
    assert "exists already" in said("--group", "0", "--out", tiny)
    moved = shutil.copytree(tiny, tmp_path / "moved")
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rope_theta": 5.0}))
    assert "is not the one this run was trained on" in said("--group", "0", "--out", out, "--model", moved)
    weights = run / "group_0" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "its checksum differs" in said("--group", "0", "--out", out)
    weights.write_bytes(whole)
    assert "holds no mixture.json" in refused("llm", "merge", tiny, "--group", "0", "--out", out)
    (run / "direct.json").unlink()
    assert "no 'direct'" in said("--group", "direct", "--out", out)


def test_merged_weights_that_are_another_function_are_not_written(finished, tmp_path, monkeypatch):
    from llm.runs import merged_model

    merge = merged_model.into_weights

    def broken(wrapped, folder):
        model = merge(wrapped, folder)
        with torch.no_grad():
            next(model.parameters()).mul_(1.01)
        return model

    monkeypatch.setattr(merged_model, "into_weights", broken)
    with pytest.raises(pl.InputError, match="the merged weights give other logits than base and adapter"):
        pl.merge_group(finished, 0, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_a_base_that_is_gone_is_not_called_a_wrong_one(finished, tmp_path, monkeypatch):
    from llm.runs.open_run import base_of, open_run
    from llm.runs.run_folder import read_mixture

    mixture = read_mixture(finished)
    assert base_of(mixture, finished, None) == mixture.base
    gone = replace(mixture, base="nowhere")
    with pytest.raises(InputError, match=r"its base, nowhere, is not here .*; give the base's folder with --model"):
        base_of(gone, finished, None)
    assert base_of(gone, finished, "there") == "there"
    for module in ("llm.runs.open_run", "llm.runs.merged_model"):
        monkeypatch.setattr(f"{module}.read_mixture", lambda folder: gone)
    for tried in (lambda: open_run(finished), lambda: merge_group_model(finished, 0, tmp_path / "m")):
        with pytest.raises(InputError, match="its base, nowhere, is not here"):
            tried()
