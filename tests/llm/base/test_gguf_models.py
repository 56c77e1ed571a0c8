"""GGUF files become folders once, of the same logits, and are known by their content."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
gguf = pytest.importorskip("gguf", reason="pip install gguf")

from llm.base.gguf_models import converted, plain_folder  # noqa: E402
from llm.base.identity import weights_hash  # noqa: E402
from llm.base.kept_hashes import cache_folder  # noqa: E402
from llm.base.model_folder import gguf_file_of  # noqa: E402
from llm.base.small_mistral import load_base  # noqa: E402
from sim.errors import InputError  # noqa: E402

HIDDEN, LAYERS, HEADS, FORWARD = 32, 2, 4, 64


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLURALIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_gguf(path, seed=0):
    """A tiny Llama with random weights and byte-level tokens."""
    rng = np.random.default_rng(seed)
    tokens = ["<unk>", "<s>", "</s>", *(chr(33 + j) for j in range(94)), "Ġ", "ab"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])
    writer.add_token_types([3, 3, 3, *[1] * 96])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def tensor(name, *shape):
        value = np.ones(shape) if len(shape) == 1 else 0.05 * rng.normal(size=shape)
        writer.add_tensor(name, value.astype(np.float32))

    tensor("token_embd.weight", len(tokens), HIDDEN)
    tensor("output_norm.weight", HIDDEN)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{name}.weight", HIDDEN, HIDDEN)
        for name, shape in (
            ("ffn_gate", (FORWARD, HIDDEN)),
            ("ffn_up", (FORWARD, HIDDEN)),
            ("ffn_down", (HIDDEN, FORWARD)),
        ):
            tensor(f"blk.{layer}.{name}.weight", *shape)
        for name in ("attn_norm", "ffn_norm"):
            tensor(f"blk.{layer}.{name}.weight", HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_converted_once(tmp_path, cache):
    file = write_gguf(tmp_path / "tiny.gguf")
    model, tokenizer = load_base(file)
    assert tokenizer("ab")["input_ids"]
    assert model.dtype == torch.float32
    folder = plain_folder(file)
    assert folder.parent == cache / "gguf" == cache_folder() / "gguf"
    before = (folder / "model.safetensors").stat().st_mtime_ns
    again, _ = load_base(tmp_path)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    ids = torch.arange(3, 13)[None]
    with torch.no_grad():
        assert torch.equal(model(ids).logits, again(ids).logits)
        from transformers import AutoModelForCausalLM

        direct = AutoModelForCausalLM.from_pretrained(str(tmp_path), gguf_file="tiny.gguf", dtype=torch.float32)
        assert torch.allclose(direct(ids).logits, model(ids).logits, atol=1e-6)
    assert set(cache.glob("gguf/*")) == {folder, folder.with_name(f"{folder.name}.json")}


def _without_hash(folder):
    folder.with_name(f"{folder.name}.json").unlink()


def _zeroed(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-4000] + bytes(4000))


def _other_ends(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')


def _more(folder):
    (folder / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize("change", [_without_hash, _zeroed, _other_ends, _more])
def test_a_converted_folder_that_was_changed_is_converted_again(tmp_path, cache, change):
    """The file's hash is the model's: what is computed must be the file's numbers, whatever became of the folder."""
    file, said = write_gguf(tmp_path / "tiny.gguf"), []
    folder = converted(file)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(folder)
    assert converted(file, said.append) == folder
    assert said[0] == f"note: {folder} is not as it was written"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert converted(file, said.append) == folder
    assert len(said) == 2
    assert len(list(cache.glob("gguf/*"))) == 2


def test_another_content_is_another_model(tmp_path, cache):
    file = write_gguf(tmp_path / "tiny.gguf")
    first = converted(file)
    hashed = weights_hash(tmp_path)
    assert weights_hash(file) == hashed
    write_gguf(file, seed=1)
    assert converted(file) != first
    assert weights_hash(file) != hashed


def test_which_file_is_meant(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"x")
    assert gguf_file_of(tmp_path) == gguf_file_of(tmp_path / "a.gguf") == tmp_path / "a.gguf"
    shutil.copy(tmp_path / "a.gguf", tmp_path / "b.gguf")
    with pytest.raises(InputError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); give one of the files"):
        gguf_file_of(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert gguf_file_of(tmp_path) is None


def test_a_broken_file_is_one_line_and_leaves_nothing(tmp_path, cache):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(InputError, match=r"broken.gguf: is not a language model that can be read"):
        load_base(tmp_path / "broken.gguf")
    assert not list(cache.rglob("*.safetensors"))


def test_every_command_takes_the_file_as_model(tmp_path, cache):
    import click
    from click.testing import CliRunner

    from pluralign.__main__ import command

    group = command.get_command(click.Context(command), "llm")
    taking = []
    for name in group.list_commands(click.Context(group)):
        for option in group.get_command(click.Context(group), name).params:
            if "--model" in option.opts:
                taking.append(name)
                assert option.type.file_okay, f"llm {name} refuses a file"
    assert {"train", "plan", "sft", "make-imdb", "minmax", "eval", "generate"} <= set(taking)
    file = write_gguf(tmp_path / "tiny.gguf")
    planned = CliRunner().invoke(
        command, ["llm", "plan", "--model", str(file), "--pairs", "20"], catch_exceptions=False
    )
    assert planned.exit_code == 0
    assert "parameters (float32)" in planned.output
    assert not cache.exists(), "a plan converts nothing"


def test_a_conversion_is_said_once(tmp_path, cache):
    file, said = write_gguf(tmp_path / "tiny.gguf"), []
    folder = plain_folder(file, said.append)
    plain_folder(file, said.append)
    assert said == [f"note: tiny.gguf is turned into a folder of safetensors, once: {folder}"]


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(InputError, match="is neither a folder nor a GGUF file"):
        load_base(tmp_path / "notes.txt")


def test_texts_are_encoded_by_it(tmp_path, cache):
    from llm.base.text_encoders import HiddenStateEncoder

    found = HiddenStateEncoder(write_gguf(tmp_path / "tiny.gguf")).encode(["ab", "ba"])
    assert found.shape == (2, HIDDEN)
    # Rows of other batches round otherwise.
    assert HiddenStateEncoder(tmp_path).encode(["ab"])[0] == pytest.approx(found[0], abs=1e-5)


def test_a_file_that_lacks_a_tensor_is_refused_and_nothing_is_kept(tmp_path, cache, monkeypatch):
    add = gguf.GGUFWriter.add_tensor

    def some(writer, name, value):
        if name != "blk.1.attn_q.weight":
            add(writer, name, value)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", some)
    write_gguf(tmp_path / "model.gguf")
    with pytest.raises(InputError, match=r"model\.gguf: lacks 1 of the tensors .*layers\.1\.self_attn\.q_proj"):
        load_base(tmp_path / "model.gguf")
    assert not list((cache / "gguf").glob("*"))
