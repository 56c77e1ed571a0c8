"""A command writes into a new folder, an empty one or its own; whatever else lies there stays as it is."""

import json
from pathlib import Path

import pytest
from typed_commands import typed

import pluralign as pl
from sim.errors import InputError
from sim.files.own_folder import is_bare, require_own_folder

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDY = ("study", EXAMPLES / "own_study" / "majority.yaml", "--set", "replicates=1", "--workers", "1")
CHECK = ("check", "regret-beta", "--workers", "1")
COMMANDS = {
    "study": (*STUDY, "--out"),
    "share": (*STUDY, "--shard", "1/2", "--out"),
    "check": (*CHECK, "--out"),
    "alarms": (*CHECK, "--seeds", "1", "--out"),
    "mutate": ("mutate", "unobserved_types", "--only", "em-no-prior", "--workers", "1", "--out"),
    "fit": ("fit", EXAMPLES / "pairs.jsonl.gz", "--method", "pooled", "--out"),
}
OTHERS = {
    "of a fit": ("fit.json", "resolved.yaml", "model.npz"),
    "somebody's": ("results.parquet", "summary.md", "status.json", "witnesses/mine.json"),
}


def _filled(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine\n")


def _content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "fit"])
def test_other_peoples_files_are_left_alone(tmp_path, monkeypatch, capsys, command, others):
    _filled(tmp_path / "there", OTHERS[others])
    before = _content(tmp_path / "there")
    code, _, err = typed(monkeypatch, capsys, *COMMANDS[command], tmp_path / "there")
    assert (code, "there: is not empty and holds no earlier" in err) == (2, True), err
    assert _content(tmp_path / "there") == before


def test_each_command_goes_on_in_its_own_folder_and_in_no_others(tmp_path, monkeypatch, capsys):
    """Also where the run before was killed with nothing but a lock written, or before its results were."""
    made = ("study", "check")
    for name in made:
        (tmp_path / name).mkdir()
        (tmp_path / name / ".lock").write_text("1\n")
        code, _, err = typed(monkeypatch, capsys, *COMMANDS[name], tmp_path / name)
        assert code == 0, err
    for results in ("study/study.json", "study/results.parquet", "check/verdicts.json", "check/resolved.yaml"):
        (tmp_path / results).unlink()
    (tmp_path / "study" / "notes.txt").write_text("mine")
    for name in made:
        code, _, err = typed(monkeypatch, capsys, *COMMANDS[name], tmp_path / name)
        assert (code, "taken from" in err) == (0, True), err
    before = {name: _content(tmp_path / name) for name in made}
    for name in made:
        for command, words in COMMANDS.items():
            if name != {"share": "study", "alarms": "check"}.get(command, command):
                assert typed(monkeypatch, capsys, *words, tmp_path / name)[0] == 2, (command, name)
    assert {name: _content(tmp_path / name) for name in made} == before


def test_a_check_removes_its_own_old_counter_examples_alone(tmp_path, monkeypatch, capsys):
    """A claim that is not checked any more loses its file; one of somebody's own stays."""
    assert typed(monkeypatch, capsys, *COMMANDS["check"], tmp_path)[0] == 0
    _filled(tmp_path / "witnesses", ("old-claim--as_stated.json", "mine.json"))
    assert typed(monkeypatch, capsys, *COMMANDS["check"], tmp_path)[0] == 0
    assert {path.name for path in (tmp_path / "witnesses").glob("*") if path.read_text() == "mine\n"} == {"mine.json"}


def test_python_keeps_to_them_too(tmp_path):
    _filled(tmp_path, OTHERS["of a fit"])
    before = _content(tmp_path)
    study = pl.run_study(str(STUDY[1]), settings={"replicates": 1}, workers=1)
    checked = pl.check("regret-beta", workers=1)
    for write in (
        study.save, checked.save, lambda out: pl.check("regret-beta", workers=1, out=out),
        lambda out: pl.run_study(str(STUDY[1]), settings={"replicates": 1}, workers=1, out=out),
        lambda out: pl.false_alarms("regret-beta", seeds=1, workers=1, out=out),
        lambda out: pl.mutate("unobserved_types", only=["em-no-prior"], workers=1, out=out),
    ):  # fmt: skip
        with pytest.raises(InputError, match="is not empty and holds no earlier"):
            write(tmp_path)
    assert _content(tmp_path) == before
    for name, result in (("study", study), ("check", checked)):
        result.save(tmp_path / name)
        result.save(tmp_path / name)


def test_a_merge_keeps_to_its_own(tmp_path):
    parts = [tmp_path / f"part-{i}" for i in (1, 2)]
    for i, part in enumerate(parts, start=1):
        pl.run_study(str(STUDY[1]), settings={"replicates": 2}, workers=1, shard=(i, 2), out=part)
    _filled(tmp_path / "there", OTHERS["somebody's"])
    with pytest.raises(InputError, match="there: is not empty and holds no earlier study"):
        pl.merge_studies(*parts, out=tmp_path / "there")
    assert _content(tmp_path / "there") == dict.fromkeys(OTHERS["somebody's"], b"mine\n")


@pytest.mark.parametrize(("files", "bare"), [
    ((), True), ((".lock", ".status-x1.json", "cells/.records"), True), (("a",), False), (("b/c/d",), False),
])  # fmt: skip
def test_what_counts_as_nothing(tmp_path, files, bare):
    (tmp_path / "b" / "c").mkdir(parents=True)
    _filled(tmp_path, files)
    assert is_bare(tmp_path) is bare
    assert is_bare(tmp_path / "not there")
    if not bare:
        with pytest.raises(InputError, match="holds no earlier thing"):
            require_own_folder(tmp_path, "thing", ("x*",))


def test_a_finished_claim_is_no_file_of_the_studies_before(tmp_path):
    """`--cells` of a study may name any folder: of files that are not its own nothing is said."""
    pl.check("regret-beta", workers=1, out=tmp_path / "check")
    found = pl.run_study(str(STUDY[1]), settings={"replicates": 1}, workers=1, cells=tmp_path / "check" / "cells",
                         out=tmp_path / "study")  # fmt: skip
    assert json.loads((tmp_path / "study" / "request.json").read_text())["cells"]
    assert not [line for line in found._report.run.notices if "format 1" in line]


def test_hidden_files_do_not_count_where_a_fit_goes_and_stay_there(tmp_path):
    """An empty folder of git has .gitkeep, and a Mac leaves .DS_Store where somebody looked."""
    rows = [{"annotator_id": f"p{j % 3}", "chosen": [j % 2, 1.0], "rejected": [0.0, j % 5]} for j in range(60)]
    found = pl.fit(rows, method="dpo")
    out = tmp_path / "fit"
    _filled(out, (".gitkeep", ".git/config"))
    found.save(out)
    _filled(out, (".DS_Store",))
    found.save(out)
    assert pl.load_fit(out).method == found.method
    assert {name for name in _content(out) if name.startswith(".")} == {".gitkeep", ".git/config", ".DS_Store"}
    assert (out / ".git" / "config").read_text() == "mine\n"
    assert not [path.name for path in tmp_path.iterdir() if path != out], "nothing is left beside it"
    _filled(out, ("notes.txt",))
    with pytest.raises(InputError, match=r"holds 'notes.txt', which is not of a fit"):
        found.save(out)
