"""Runs whose adapters begin where others ended: the same function at first, the base as reference, and no other start
when they go on."""
# ruff: noqa: F811  # fixtures are imported

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from saved_runs import contents, interrupted, pairs, refused, settings, train_command  # noqa: E402, F401
from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base.folder_format import checksums, stamped  # noqa: E402
from llm.base.lora_settings import LoraSettings  # noqa: E402
from llm.data.data_settings import DataSettings  # noqa: E402
from llm.runs.adapter_start import begin_at_start, may_have_seen, read_start, start_hashes  # noqa: E402
from llm.runs.run_folder import MixtureFile, save_adapter, save_mixture  # noqa: E402
from llm.runs.run_origin import Origin  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def first(settings, tmp_path_factory):
    """A finished run whose two adapters differ."""
    out = tmp_path_factory.mktemp("first") / "run"
    train_run(settings, out)
    return out


def _begins(settings, *folders, **changes):
    start = str(folders[0]) if len(folders) == 1 else tuple(map(str, folders))
    return replace(settings, lora=replace(settings.lora, start=start), **changes)


def _shaken(folder, place, **options):
    """A folder with a random adapter, its scores of some rows, and the rows' base."""
    base, _ = open_tiny(folder)
    base.lora = LoraSettings(rank=2, **options)
    base.add_adapter("one", Stream(1))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in base.parameters_of("one").values():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    save_adapter(base, "one", place)
    contexts, responses = random_rows(base, 7)
    return base, contexts, responses, base.score("one", contexts, responses)


@pytest.mark.parametrize("options", [{}, {"dora": True}, {"rslora": True, "dropout": 0.1}], ids=["lora", "dora", "rs"])
def test_it_begins_as_the_adapter_is_and_the_reference_is_the_base(tiny, tmp_path, options):
    old, contexts, responses, wanted = _shaken(tiny, tmp_path / "one", **options)
    base, _ = open_tiny(tiny)
    base.store, base.lora = old.store, LoraSettings(rank=2, start=str(tmp_path / "one"), **options)
    for k, name in enumerate(("group_0", "group_1")):
        base.add_adapter(name, Stream(k))
        begin_at_start(base, name, k, 2)
        assert (base.score(name, contexts, responses) == wanted).all()
    assert (base.score(None, contexts, responses) == old.score(None, contexts, responses)).all()
    assert (base.reference(contexts, responses) == old.score(None, contexts, responses)).all()
    assert np.abs(wanted - base.reference(contexts, responses)).max() > 0.1


def test_a_run_goes_on_from_the_adapters_of_another(settings, first, tmp_path):
    out, said = tmp_path / "run", []
    own = _begins(settings, first / "group_0", first / "group_1")
    train_run(own, out, said.append)
    assert any(text.startswith("note: groups begin in the order of groups.start=heads") for text in said)
    # Scores of the reference are those of the base, byte by byte.
    assert load_file(out / "reference.safetensors")["log_probability"].equal(
        load_file(first / "reference.safetensors")["log_probability"]
    )
    for name in ("config.json", "run.json"):
        assert sorted(json.loads((out / name).read_text())["origin"]["start"]) == ["0", "1"]
    assert json.loads((first / "run.json").read_text())["origin"]["start"] == {}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    # A policy that is the reference has margin zero; these begin with what the first run gave them.
    assert abs(next(row for row in rows if row["phase"] == "fit")["rewards/margins"]) > 1e-4
    assert (out / "group_0" / WEIGHTS).read_bytes() != (first / "group_0" / WEIGHTS).read_bytes()


def test_groups_begin_as_the_adapters_serve_people(settings, first, tmp_path):
    groups = replace(settings.groups, start="adapters", rounds=1)
    found = []
    for name, order in (("one", ("group_0", "group_1")), ("other", ("group_1", "group_0"))):
        train_run(_begins(settings, *(first / part for part in order), groups=groups), tmp_path / name)
        row = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0])
        # Before any fit: an E-step from the adapters as they are.
        assert (row["phase"], row["round"]) == ("round", 0)
        found.append((row["mixture"], row["log_likelihood"]))
    assert found[0][0] == pytest.approx(found[1][0][::-1], abs=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-4)
    assert abs(found[0][0][0] - 0.5) > 1e-3, "adapters that serve all alike test nothing"
    for wrong in (settings, _begins(settings, first / "group_0")):
        with pytest.raises(ValueError, match=r"groups\.start=adapters needs an adapter a group"):
            replace(wrong, groups=groups)


def test_another_start_does_not_go_on(settings, first, tmp_path, monkeypatch, refused):
    place = shutil.copytree(first / "group_0", tmp_path / "start")
    own = _begins(settings, place)
    done, cut = tmp_path / "done", tmp_path / "cut"
    train_run(own, done)
    interrupted(own, cut, monkeypatch, "fit")
    before = contents(cut)
    tensors = load_file(place / WEIGHTS)
    save_file({key: value + 1e-3 for key, value in tensors.items()}, place / WEIGHTS)
    more = ("--set", f"lora.start={place}")
    assert "its lora.start changed since it began" in refused(*train_command(own, cut), *more)
    assert contents(cut) == before
    said = refused(*train_command(own, done), *more)
    assert f"{place}, field 'lora.start': was changed since {done} began at it" in said
    assert "other settings (lora)" in refused(*train_command(own, done))
    shutil.rmtree(place)
    train_run(own, done)
    assert "holds no adapter_model.safetensors" in refused(*train_command(own, cut), *more)


def test_a_start_that_does_not_fit_is_one_line_before_the_work(settings, tiny, first, tmp_path, refused):
    def said(folder, *more):
        out = tmp_path / "refused"
        line = refused(*train_command(settings, out), "--set", f"lora.start={folder}",
                       *(part for text in more for part in ("--set", text)))  # fmt: skip
        assert not out.exists() or not [path for path in out.iterdir() if path.name != ".lock"]
        assert "lora.start" in line
        return line

    one = first / "group_0"
    assert "has r 2, and lora.rank is 3; set lora.rank=2" in said(one, "lora.rank=3")
    assert "has lora_alpha 16, and lora.alpha is 4; set lora.alpha=16" in said(one, "lora.alpha=4.0")
    assert "has use_dora false, and lora.dora is true" in said(one, "lora.dora=true")
    assert "has use_rslora false, and lora.rslora is true" in said(one, "lora.rslora=true")
    assert "has an adapter on model.layers.0.mlp.down_proj, which gets none" in said(one, "lora.layers=attention")
    assert f"is a run, not an adapter; give {one}, {first / 'group_1'}" in said(first)
    assert "holds no adapter_model.safetensors" in said(tmp_path)
    assert "names 3 adapters, and there are 2 groups" in said(f"[{one}, {one}, {one}]")
    _shaken(tiny, tmp_path / "attention", layers="attention")
    assert "lacks model.layers.0.mlp.down_proj" in said(tmp_path / "attention")
    other = shutil.copytree(first, tmp_path / "other")
    content = json.loads((other / "mixture.json").read_text())
    assert content["base_hash"]
    from llm.base.folder_format import stamped

    for stamp in ("format", "checksum"):
        del content[stamp]
    (other / "mixture.json").write_text(json.dumps(stamped({**content, "base_hash": "another"})))
    assert "is an adapter of another base" in said(other / "group_0")
    alone = shutil.copytree(one, tmp_path / "alone")
    tensors = load_file(alone / WEIGHTS)
    key = next(iter(tensors))
    save_file({**tensors, key: tensors[key] * torch.inf}, alone / WEIGHTS)
    assert "is not finite" in said(alone)
    save_file({**tensors, key: tensors[key][:, :-1].contiguous()}, alone / WEIGHTS)
    assert "has the shape" in said(alone)
    (alone / WEIGHTS).write_bytes(b"broken")
    assert "cannot be read" in said(alone)
    config = json.loads((alone / "adapter_config.json").read_text())
    (alone / "adapter_config.json").write_text(json.dumps({**config, "rank_pattern": {"q_proj": 4}}))
    assert "is no plain LoRA adapter" in said(alone)


def test_what_is_read_has_the_names_of_parameters(tiny, tmp_path):
    base, *_ = _shaken(tiny, tmp_path / "one", dora=True)
    assert read_start(base, tmp_path / "one").keys() == base.parameters_of("one").keys()
    (tmp_path / "one" / "adapter_config.json").write_text("[")
    with pytest.raises(InputError, match="is not JSON"):
        read_start(base, tmp_path / "one")


def test_a_start_that_may_have_seen_what_is_held_out_is_noted(tmp_path):
    from sim.files.atomic import write_json
    from sim.settings import resolved

    made = Origin(base="", tokenizer="t+1", data={"train": "1"}, dtype="float32", device="cpu", scoring="float32")

    def run(name, settings, origin=made):
        """A finished run, as far as it is looked at; the folder of its adapter."""
        place = tmp_path / name
        (place / "group_0").mkdir(parents=True)
        (place / "group_0" / "adapter_model.safetensors").write_text(name)
        (place / "group_0" / "adapter_config.json").write_text("{}")
        mixture = MixtureFile(
            base="", base_hash="", tokenizer_hash="", beta=1.0, method="dpo", adapters=("group_0",), mixture=(1.0,),
            files=checksums(place, ["group_0"]),
        )  # fmt: skip
        save_mixture(place, mixture)
        origin = replace(origin, start=start_hashes(settings.lora))
        write_json(place / "config.json", stamped({**resolved(settings), "origin": origin.as_json()}))
        return str(place / "group_0")

    def beginning(start, **changes):
        return RunSettings(model="m", data=DataSettings(train="a.jsonl"), lora=LoraSettings(start=start), **changes)

    plain = beginning(None)
    settings = beginning(run("first", plain))
    assert not may_have_seen(plain, made)
    assert may_have_seen(beginning(str(tmp_path / "elsewhere")), made), "of such an adapter nothing is known"
    assert not may_have_seen(settings, made), "the same seed and answers: the same split"
    assert may_have_seen(replace(settings, seed=1), made)
    assert may_have_seen(settings, replace(made, data={"train": "2"})), "other answers at the same path"
    assert may_have_seen(settings, replace(made, data={"train": "1", "test": "3"}))
    assert not may_have_seen(replace(settings, data=DataSettings(train="moved.jsonl")), made), "the same answers"
    assert may_have_seen(replace(settings, data=DataSettings(train="a.jsonl", window=8)), made)
    assert may_have_seen(settings, replace(made, tokenizer="u+1")), "other rows may be too long"
    # What a start began at.
    second = beginning(run("second", settings))
    assert not may_have_seen(second, made)
    assert may_have_seen(beginning(run("third", beginning(run("other", replace(plain, seed=1))))), made)
    (tmp_path / "first" / "group_0" / "adapter_model.safetensors").write_text("another")
    assert may_have_seen(settings, made), "put there afterwards"
    assert may_have_seen(second, made)
