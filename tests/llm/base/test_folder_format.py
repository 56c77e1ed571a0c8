"""A folder of another format is refused by name, by everything that reads it; restarting does not mix formats."""

import json
import shutil
import sys

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from tiny_llm import corpus, score, tiny, write_corpus, write_pairs  # noqa: E402, F401

from llm.base.folder_format import FORMAT, read_stamped, stamped  # noqa: E402
from llm.runs.open_run import open_run  # noqa: E402
from llm.runs.run_figures import draw_run  # noqa: E402
from llm.runs.twin import fit_twin  # noqa: E402
from llm.training.sft import train_sft  # noqa: E402
from llm.training.sft_settings import SftSettings  # noqa: E402
from pluralign.__main__ import command, main  # noqa: E402
from sim.errors import InputError  # noqa: E402
from sim.streams import Stream  # noqa: E402

FAST = [
    "--set", "threads=1", "--set", "training.rate=2e-3", "--set", "training.batch=16", "--set", "lora.rank=2",
    "--set", "groups.rounds=0", "--set", "sampling.max_new_tokens=4", "--device", "cpu",
]  # fmt: skip
WRONG = [(None, "has no format"), (FORMAT + 1, f"has format {FORMAT + 1}"), (True, "has format True"),
         (str(FORMAT), f"has format '{FORMAT}'")]  # fmt: skip


def _rewrite(path, stamp):
    content = json.loads(path.read_text())
    assert next(iter(content)) == "format"
    assert content.pop("format") == FORMAT
    path.write_text(json.dumps(content if stamp is None else {"format": stamp, **content}))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("answers") / "pairs.jsonl", annotators=4, answers=6, unseen=2)


@pytest.fixture(scope="module")
def finished(tiny, pairs, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("formats") / "run"
    for arguments in (
        ["train", "--model", tiny, "--data", pairs, *FAST, "--out", folder],
        ["minmax", folder, "--prompts", 4],
        ["eval", folder, "--prompts", 4],
    ):
        result = CliRunner().invoke(command, ["llm", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def _refused(arguments, capsys, monkeypatch):
    """The one line on standard error of a command that ends with 2."""
    monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, arguments)])
    assert main() == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(("stamp", "came"), WRONG)
def test_stamps(tmp_path, stamp, came):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(stamped({"a": 1})))
    assert read_stamped(path, "again") == {"a": 1}
    _rewrite(path, stamp)
    with pytest.raises(InputError) as error:
        read_stamped(path, "run it again")
    assert str(error.value) == f"{path}: {came}, this version reads format {FORMAT}; run it again"


def test_what_is_no_json_object_is_refused(tmp_path):
    path = tmp_path / "x.json"
    for text, message in (("[1]", "expected a JSON object, got list"), ("{", "is not JSON")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_stamped(path, "again")


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
@pytest.mark.parametrize("file", ["mixture.json", "config.json"])
@pytest.mark.parametrize("reader", ["eval", "generate", "minmax"])
def test_commands_refuse_a_run(run, reader, file, stamp, came, capsys, monkeypatch):
    _rewrite(run / file, stamp)
    more = ["--prompt", "x"] if reader == "generate" else []
    said = _refused(["llm", reader, run, *more], capsys, monkeypatch)
    assert f"{run / file}: {came}, this version reads format {FORMAT}; run `pluralign llm train` again" in said


def test_eval_refuses_what_it_compares_with(run, finished, capsys, monkeypatch):
    _rewrite(run / "mixture.json", None)
    assert "mixture.json: has no format" in _refused(["llm", "eval", finished, "--against", run], capsys, monkeypatch)


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
@pytest.mark.parametrize(("file", "again"), [("mixture", "train"), ("run", "train"), ("eval", "eval")])
def test_report_refuses_a_run(run, file, again, stamp, came, capsys, monkeypatch):
    _rewrite(run / f"{file}.json", stamp)
    said = _refused(["report", run], capsys, monkeypatch)
    assert f"{file}.json: {came}, this version reads format {FORMAT}; run `pluralign llm {again}` again" in said


def test_figures_refuse_an_evaluation(run):
    _rewrite(run / "eval.json", None)
    with pytest.raises(InputError, match="has no format"):
        draw_run(run)


def test_eval_refuses_weights_of_another_format(run, capsys, monkeypatch):
    _rewrite(run / "minmax.json", None)
    said = _refused(["llm", "eval", run, "--prompts", 4], capsys, monkeypatch)
    came = f"minmax.json: has no format, this version reads format {FORMAT}; run `pluralign llm minmax` again"
    assert came in said


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
def test_the_twin_of_another_format_is_refused(run, stamp, came):
    """A twin is fitted to an opened run, and such a run does not open."""
    _rewrite(run / "mixture.json", stamp)
    with pytest.raises(InputError, match=came):
        fit_twin(open_run(run), 4, Stream(0, "twin"))


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_training_again_in_a_folder_of_another_format_is_refused(
    run, tiny, pairs, state, stamp, came, capsys, monkeypatch  # noqa: F811
):  # fmt: skip
    """Whether the run ended or was killed: its journal holds pieces of the other format."""
    if state == "unfinished":
        (run / "run.json").unlink()
    name = "config.json" if state == "unfinished" else "run.json"
    _rewrite(run / name, stamp)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    said = _refused(["llm", "train", "--model", tiny, "--data", pairs, *FAST, "--out", run], capsys, monkeypatch)
    assert f"{name}: {came}, this version reads format {FORMAT}; run `pluralign llm train` again, with another" in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before, "something was written"


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
def test_sft_again_in_a_folder_of_another_format_is_refused(tiny, tmp_path, stamp, came):  # noqa: F811
    folder = shutil.copytree(tiny, tmp_path / "sft")
    _rewrite(folder / "sft.json", stamp)
    with pytest.raises(InputError, match=f"sft.json: {came}.*run `pluralign llm sft` again"):
        train_sft(SftSettings(data="x"), folder)


@pytest.mark.parametrize(("stamp", "came"), WRONG[:2])
def test_make_imdb_again_in_a_folder_of_another_format_is_refused(tmp_path, stamp, came):
    from llm.data.imdb import make_imdb
    from llm.data.imdb_settings import ImdbSettings

    (tmp_path / "make.json").write_text(json.dumps(stamped({"settings": {}})))
    _rewrite(tmp_path / "make.json", stamp)
    with pytest.raises(InputError, match=f"make.json: {came}.*run `pluralign llm make-imdb` again"):
        make_imdb(ImdbSettings(), tmp_path)


def test_unfinished_work_of_another_format_is_not_resumed(tmp_path, monkeypatch):
    """sft keeps unfinished work beside its folder, under a key that names the format."""
    from llm.training import next_token_training, sft

    data = write_corpus(tmp_path / "text.jsonl", 80)
    settings = SftSettings(data=str(data), size="mini", length=24, passage_words=12, batch=16, steps=6, rate=1e-3,
                           threads=1, device="cpu", checkpoint_steps=2)  # fmt: skip

    def stop(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    keep = next_token_training._keep
    monkeypatch.setattr(next_token_training, "_keep", stop)
    with pytest.raises(KeyboardInterrupt):
        train_sft(settings, tmp_path / "model")
    monkeypatch.setattr(next_token_training, "_keep", keep)
    monkeypatch.setattr(sft, "FORMAT", FORMAT + 1)
    said = []
    train_sft(settings, tmp_path / "model", said.append)
    assert not [text for text in said if "resumed" in text]
