"""What lies on disk is believed only if it is what was written: same numbers, same data, one process."""
# ruff: noqa: F811  # fixtures are imported

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from saved_runs import (  # noqa: E402, F401
    FAST,
    Stop,
    contents,
    finished,
    interrupted,
    pairs,
    refused,
    run,
    settings,
    small_sft,
    train_command,
)  # fmt: skip
from tiny_llm import open_tiny, random_rows, tiny, write_corpus  # noqa: E402, F401

from llm.base.journal import Journal  # noqa: E402
from llm.runs.minmax_runs import direct_adapter, read_tuples  # noqa: E402
from llm.runs.open_run import open_run, read_config  # noqa: E402
from llm.runs.run_folder import read_whole, read_written  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from llm.training.direct_saddle_point import SaddleSettings, direct_saddle_point  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from llm.training.sft import train_sft  # noqa: E402
from llm.training.sft_settings import SftSettings  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.files.locks import LOCK  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.settings import read_settings  # noqa: E402
from sim.streams import Stream  # noqa: E402


def _damages(whole):
    """The content with one byte changed, in head, body and end, and cut off."""
    places = {0, 1, 7, 8, 9, len(whole) - 1, *np.linspace(0, len(whole) - 1, 14).astype(int).tolist()}
    for place in sorted(place for place in places if 0 <= place < len(whole)):
        for flip in (0x01, 0xFF):
            yield whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
    yield from (b"", whole[: len(whole) // 2], whole[:-1], b"\0" * len(whole))


def test_a_damaged_file_of_a_run_changes_no_number(run, settings):
    """Each byte's reader says the same as before, or refuses."""
    readers = {
        "mixture": read_whole, "config": read_config, "written": read_written, "tuples": read_tuples,
        "direct": direct_adapter, "again": lambda folder: train_run(settings, folder),
    }  # fmt: skip
    before = {name: read(run) for name, read in readers.items()}
    # Figures and cards are for people, and may be edited; samples that are damaged are sampled again.
    beside = ("README.md", ".png", ".svg", "reference.safetensors")
    names = [name for name in contents(run) if not name.endswith(beside) and not name.startswith("samples/")]
    assert len(names) == 14
    for name in names:
        path, refusals = run / name, 0
        whole = path.read_bytes()
        for damaged in _damages(whole):
            path.write_bytes(damaged)
            for reader, read in readers.items():
                try:
                    assert read(run) == before[reader], (name, reader)
                except InputError:
                    refusals += 1
        path.write_bytes(whole)
        assert refusals > 20, name


READ = {
    "generate": ["mixture.json", "config.json", "group_1/adapter_model.safetensors", "group_0/adapter_config.json"],
    "minmax": ["mixture.json", "responsibilities.parquet", "group_0/adapter_model.safetensors"],
    "eval": ["responsibilities.parquet", "minmax.json", "direct.json", "direct/adapter_model.safetensors"],
    "report": ["mixture.json", "run.json", "eval.json", "metrics.jsonl", "group_0/adapter_model.safetensors"],
    "train": ["run.json", "config.json", "group_1/adapter_model.safetensors"],
}


@pytest.mark.parametrize("reader", READ)
def test_commands_refuse_damage_in_one_line(run, settings, reader, refused):
    arguments = {
        "generate": ["llm", "generate", run, "--prompt", "x"], "report": ["report", run],
        "minmax": ["llm", "minmax", run], "eval": ["llm", "eval", run, "--prompts", 4],
        "train": train_command(settings, run),
    }[reader]  # fmt: skip
    for name in READ[reader]:
        whole = (run / name).read_bytes()
        # A letter for another, so that JSON stays JSON; a number's last digit may be beyond what it holds.
        place = next(j for j in range(len(whole) // 2, len(whole)) if chr(whole[j]).isalpha())
        (run / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        said = refused(*arguments)
        assert name in said
        assert "its checksum differs" in said or "is not JSON" in said
        (run / name).write_bytes(whole)


def test_a_damaged_piece_of_the_journal_counts_as_absent(tmp_path):
    said = []
    journal = Journal(tmp_path, said.append)
    tensors = {"x": torch.arange(40, dtype=torch.float32), "y": torch.ones(3, dtype=torch.bfloat16)}
    journal.write("fit-1", tensors, {"steps": 3, "record": [{"loss": 0.1}]})
    path = tmp_path / "fit-1.safetensors"
    whole = path.read_bytes()
    for damaged in _damages(whole):
        path.write_bytes(damaged)
        assert journal.read("fit-1") is None
        assert said.pop().startswith(f"note: {path} was damaged")
    path.write_bytes(whole)
    found, notes = journal.read("fit-1")
    assert (found["x"] == tensors["x"]).all()
    assert notes["record"] == [{"loss": 0.1}]
    path.rename(tmp_path / "fit-2.safetensors")
    assert journal.read("fit-2") is None, "one piece passed for another"


@pytest.mark.parametrize("kind", ["part", "score"])
def test_damage_while_a_run_is_unfinished_leaves_its_result(settings, finished, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("llm.training.adapter_policy.WORTH_KEEPING", 1)
    out, said = tmp_path / "run", []
    interrupted(settings, out, monkeypatch, kind, 3)
    pieces = sorted((out / "journal").glob("*.safetensors"))
    assert {path.name.split("-")[0] for path in pieces} >= {"reference", "fit", kind}
    for path in [*pieces, out / "reference.safetensors"]:
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content if path.name != "reference.safetensors" else bytes(len(content)))
    train_run(settings, out, said.append)
    notes = [text for text in said if text.startswith("note: ")]
    assert sum("was damaged" in text and "computed again" in text for text in notes) >= 3
    for name in ("run.json", "metrics.jsonl", "group_0/adapter_model.safetensors", "responsibilities.parquet",
                 "group_1/adapter_model.safetensors", "reference.safetensors"):  # fmt: skip
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert not (out / "journal").exists()


def test_numbers_of_another_dtype_are_not_read(tiny, tmp_path):
    hashes = []
    for dtype in (torch.float32, torch.bfloat16):
        base, _ = open_tiny(tiny, dtype=dtype)
        base.add_adapter("one", Stream(1))
        contexts, responses = random_rows(base, 5)
        hashes.append({"base": "b", **base.computed_in})
        if dtype is torch.float32:
            base.prepare_reference(tmp_path / "r.safetensors", hashes[0], contexts, responses, Journal(None))
        policy = AdapterPolicy(base, "one", beta=0.1, journal=Journal(tmp_path))
        policy._kept(contexts, responses)
    assert len(list(tmp_path.glob("score-*"))) == 2
    with pytest.raises(InputError, match=r"another dtype \(float32, now bfloat16"):
        base.prepare_reference(tmp_path / "r.safetensors", hashes[1], contexts, responses, Journal(None))


def test_a_run_stays_in_its_dtype(settings, finished, run, tmp_path, monkeypatch, refused):
    for name in ("config.json", "run.json"):
        origin = json.loads((finished / name).read_text())["origin"]
        assert (origin["dtype"], origin["device"]) == ("float32", "cpu")
    assert "other settings (dtype)" in refused(*train_command(settings, run), "--set", "dtype=bfloat16")
    interrupted(settings, tmp_path / "cut", monkeypatch, "fit")
    before = contents(tmp_path / "cut")
    said = refused(*train_command(settings, tmp_path / "cut"), "--set", "dtype=bfloat16")
    assert "an unfinished run, begun in float32 on cpu, and this is in bfloat16 on cpu" in said
    assert contents(tmp_path / "cut") == before
    notes = []
    monkeypatch.setattr("llm.runs.open_run.pick_dtype", lambda *_: torch.bfloat16)
    open_run(run, progress=notes.append)
    assert notes == [f"note: {run} was trained in float32 on cpu, and is used in bfloat16 on cpu"]


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_a_run_whose_data_changed_says_so(settings, run, tmp_path, monkeypatch, refused, what):
    data = tmp_path / "pairs.jsonl"
    shutil.copy(settings.data.train, data)
    own = replace(settings, data=replace(settings.data, train=str(data)))
    for name, out in (("done", tmp_path / "done"), ("cut", tmp_path / "cut")):
        train_run(own, out) if name == "done" else interrupted(own, out, monkeypatch, "fit")
    before = contents(tmp_path / "cut")
    data.write_text(data.read_text().replace("great", "grand", 1)) if what == "changed" else data.unlink()
    out, words = tmp_path / "done", "was changed since" if what == "changed" else "is not there, and"
    for arguments in (train_command(own, out), ["llm", "minmax", out], ["llm", "eval", out]):
        said = refused(*arguments)
        assert f"{data}, field 'data.train': {words} {out} was trained on it" in said
    said = refused(*train_command(own, tmp_path / "cut"))
    assert ("its data changed since it began" if what == "changed" else "no such file") in said
    assert contents(tmp_path / "cut") == before


def test_sft_keeps_to_its_data(tmp_path, monkeypatch):
    from llm.training import next_token_training

    data, keep = write_corpus(tmp_path / "text.jsonl", 80), next_token_training._keep

    def stop(*arguments):
        keep(*arguments)
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(next_token_training, "_keep", stop)
        with pytest.raises(Stop):
            train_sft(small_sft(data), tmp_path / "cut")
    unfinished = tmp_path / ".cut-unfinished"
    assert not (unfinished / LOCK).exists()
    whole = data.read_text()
    data.write_text(whole.replace("great", "grand", 1))
    said = []
    train_sft(small_sft(data), tmp_path / "cut", said.append)
    assert f"note: what {unfinished} holds is of other settings, data or device, and is not continued" in said
    assert not any("resumed" in text for text in said)
    assert not unfinished.exists()
    assert train_sft(small_sft(data), tmp_path / "cut").steps == 6
    data.write_text(whole)
    with pytest.raises(InputError, match=r"was changed since .*cut was trained on it; put the old one back"):
        train_sft(small_sft(data), tmp_path / "cut")
    data.unlink()
    with pytest.raises(InputError, match=r"is not there, and .*cut was trained on it"):
        train_sft(small_sft(data), tmp_path / "cut")


def test_how_often_fits_are_kept_does_not_make_a_run_another(settings, finished, run, tmp_path, monkeypatch):
    oftener = replace(settings, training=replace(settings.training, checkpoint_steps=50))
    told = []
    train_run(oftener, run, told.append)
    assert told == [f"{run} is finished; nothing to do"]
    out = tmp_path / "unfinished"
    interrupted(settings, out, monkeypatch, "fit-", 2)
    fits = {path.name: path.stat().st_mtime_ns for path in (out / "journal").glob("fit-*")}
    assert len(fits) == 2, "both groups were fitted before the run goes on"
    train_run(replace(oftener, keep_journal=True), out)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "journal").glob("fit-*")}
    assert fits.items() <= after.items(), "a finished fit was made again"
    assert (out / "run.json").read_bytes() == (finished / "run.json").read_bytes()


def test_the_last_step_may_not_write_nan(tiny, tmp_path, monkeypatch):
    base, _ = open_tiny(tiny)
    base.add_adapter("one", Stream(1))
    contexts, responses = random_rows(base, 8)
    pairs = PreferencePairs(contexts, responses, np.roll(responses, 1), np.zeros(8, dtype=np.int64), 1)
    # The first step of rmsprop is ten times the rate: beyond float32.
    training = DPOTraining(rate=3e38, epochs=1, batch=8, warmup=0.0, optimizer="rmsprop")
    policy = AdapterPolicy(base, "one", beta=0.1, training=training, journal=Journal(tmp_path / "journal"))
    start = policy.snapshot()[0]
    with pytest.raises(InputError, match=r"training of 'one' diverged: .* is not finite after an optimiser step"):
        policy.fit(pairs, np.ones(8))
    assert not (tmp_path / "journal").exists()
    step = torch.optim.AdamW.step

    def overflowing(optimizer, *arguments):
        step(optimizer, *arguments)
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].view(-1)[0] = torch.inf

    monkeypatch.setattr(torch.optim.AdamW, "step", overflowing)
    data = write_corpus(tmp_path / "text.jsonl", 80)
    with pytest.raises(InputError, match="is not finite after an optimiser step; lower the rate"):
        train_sft(small_sft(data, steps=1), tmp_path / "model")
    policy.restore((start, {}))
    with pytest.raises(InputError, match=r"the direct policy diverged: .* is not finite"):
        direct_saddle_point(base, [policy], np.zeros(1), contexts, SaddleSettings(steps=1, prompts=2, samples=2),
                            Stream(2), journal=Journal(tmp_path / "journal"))  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.jsonl"]


def test_paths_in_settings_may_begin_at_home(settings, tiny, tmp_path, monkeypatch):
    from llm.data.imdb_settings import ImdbSettings
    from llm.planning.plan_settings import PlanSettings

    monkeypatch.setenv("HOME", str(tiny.parent))
    home = str(tiny)
    config = tmp_path / "c.yaml"
    config.write_text("model: ~/sft\ndata:\n  test: ~/sft\n")
    found = read_settings(RunSettings, config, ["data.train=~/sft"])
    assert (found.model, found.data.train, found.data.test) == (home, home, home)
    for kind in (ImdbSettings, SftSettings):
        both = read_settings(kind, None, ["data=~/sft", "model=~/sft"])
        assert (both.data, both.model) == (home, home)
    assert read_settings(PlanSettings, None, ["model=~/sft"]).model == home
    train_run(read_settings(RunSettings, config, [*FAST, f"data.train={settings.data.train}", "data.test=null",
                                                  "groups.rounds=0"]), tmp_path / "run")  # fmt: skip
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["model"] == home
