"""Claims, checks and studies by `import pluralign`: the commands' numbers, with any workers, from plain scripts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from looks import looks
from typed_commands import typed, typed_json

import pluralign as pl

ROOT = Path(__file__).resolve().parents[2]
# Cheap ones, one of them with a printed slip.
CLAIMS = ("regret-beta", "zero-row")


def test_claims_are_the_commands(tmp_path, monkeypatch, capsys):
    found = pl.claims("unobserved_types")
    assert found.as_dict() == {"claims": typed_json(monkeypatch, capsys, "list", "unobserved_types")["claims"]}
    assert isinstance(found[0].theorem, pl.Theorem)
    assert len(found[:3]) == 3
    looks(found, tmp_path, plot=False)
    one = pl.claim("regret-beta")
    assert one.as_dict() == typed_json(monkeypatch, capsys, "show", "regret-beta")
    looks(one, tmp_path, plot=False)
    assert [own.claim_id for own in pl.claims(search="Regret-Beta")] == ["regret-beta"]
    assert len(pl.claims()) > 200
    with pytest.raises(pl.InputError, match="did you mean 'regret-beta'"):
        pl.claim("regret-betta")


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    return pl.check(*CLAIMS, seed=4, workers=1)


def _without_times(answer):
    answer = json.loads(json.dumps(answer))
    return {key: value for key, value in answer.items() if key not in ("seconds", "resumed", "out")}


def test_check_is_the_command(checked, tmp_path, monkeypatch, capsys):
    words = ("check", *CLAIMS, "--seed", 4, "--workers", 1, "--out", tmp_path / "report")
    printed = typed_json(monkeypatch, capsys, *words)
    assert _without_times(checked.as_dict()) == _without_times(printed)
    assert checked.all_as_expected
    assert checked.controls_caught == checked.controls_total > 0
    looks(checked, tmp_path)
    read = pl.load_check(tmp_path / "report")
    assert _without_times(read.as_dict())["verdicts"] == _without_times(printed)["verdicts"]
    looks(read, tmp_path)
    checked.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "verdicts.md").read_text() == (tmp_path / "report" / "verdicts.md").read_text()
    with pytest.raises(pl.InputError, match="only a fresh check can be saved"):
        read.save(tmp_path / "again")
    with pytest.raises(pl.InputError, match="'zero-row' has no rate to draw"):
        checked.plot("zero-row")


def test_a_surprise_stands_on_top(checked):
    from dataclasses import replace

    from pluralign.api.checks import CheckResult

    last = replace(checked.checks[-1], expected=pl.Verdict.VACUOUS)
    shown = repr(CheckResult([*checked.checks[:-1], last]))
    assert "(!)" in shown.splitlines()[2]
    assert "not the verdict expected" in shown


def test_replay_is_the_command(checked, tmp_path, monkeypatch, capsys):
    checked.save(tmp_path / "saved")
    witness = next((tmp_path / "saved" / "witnesses").glob("*.json"))
    found = pl.replay(witness)
    assert found.reproduced
    assert json.loads(json.dumps(found.as_dict())) == typed_json(monkeypatch, capsys, "replay", witness)
    looks(found, tmp_path, plot=False)


def test_claims_of_ones_own_are_given_as_they_are():
    class Own(pl.Theorem):
        claim_id, paper, source, statement = "own-claim", "own", "here", "A uniform number is at most 1."
        SETTINGS = {"as_stated": pl.Variant(pl.Setting(replicates=100))}

        def bound(self, setting):
            return pl.judges.EveryDraw(1.0)

        def draw(self, setting, stream):
            return float(stream.uniforms(1)[0]) * (1.0 if setting.replicates == 100 else 3.0)

        def control(self, setting):
            return (pl.Control("three times as much", pl.Setting(replicates=99)),)

    found = pl.check(Own(), workers=1)
    assert found.checks[0].verdict is pl.Verdict.HOLDS
    assert found.controls_caught == 1
    both = pl.check(Own, "zero-row", Own(), workers=1).checks
    assert list(dict.fromkeys(check.claim_id for check in both)) == ["own-claim", "zero-row"]


def test_check_refuses_in_arguments():
    with pytest.raises(pl.InputError, match="profile must be one of quick, full"):
        pl.check("zero-row", profile="slow")
    with pytest.raises(pl.InputError, match="workers must be at least 1"):
        pl.check("zero-row", workers=0)
    with pytest.raises(pl.InputError, match="engine must be one of"):
        pl.check(*CLAIMS, workers=2, engine="spark")
    with pytest.raises(pl.InputError, match="no claim or paper 'zero-rwo'"):
        pl.check("zero-rwo")


STUDY = """
experiment: reward_free
title: Small
seed: 3
replicates: 3
grid: {cyclic: [0.0, 1.0], parties: [1, 3], spread: [1.0]}
settings: {actions: 3, answers: 30}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "small.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def studied(file):
    return pl.run_study(file, workers=1)


def test_study_is_the_command(studied, file, tmp_path, monkeypatch, capsys):
    printed = typed_json(monkeypatch, capsys, "study", file, "--workers", 1, "--out", tmp_path / "study")
    assert _without_times(studied.as_dict()) == _without_times(printed)
    read = pl.load_study(tmp_path / "study")
    for result in (studied, read):
        looks(result, tmp_path)
        assert result.results["value"] == studied.results["value"]
        assert result.to_pandas()["value"].tolist() == pytest.approx(studied.results["value"], nan_ok=True)
        assert result.to_arrow().column_names[:4] == ["cell_id", "replicate", "method", "metric"]
    assert read.overview == studied.overview
    studied.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "summary.md").read_text() == (tmp_path / "study" / "summary.md").read_text()
    assert list((tmp_path / "saved").glob("*.png"))
    with pytest.raises(pl.InputError, match="only a study just run can be saved"):
        read.save(tmp_path / "again")
    with pytest.raises(pl.InputError, match="figure: there is no 'pie'"):
        studied.plot("pie")


def test_means_that_are_shown_are_those_of_the_rows(studied):
    frame = studied.to_pandas()
    first = frame.groupby(["cyclic", "parties", "spread", "method", "metric"], sort=False)["value"].mean()
    row = studied.page().rows[0]
    assert row[-2] == pytest.approx(first[tuple(row[:5])])


def test_settings_and_seed_change_the_study(file, studied):
    other = pl.run_study(file, settings={"replicates": 1, "cyclic": (0.5,), "answers": 20}, seed=9, workers=1)
    assert other.results.replicates == 1
    assert set(other.results["cyclic"]) == {0.5}
    assert other.as_dict()["study"]["settings"]["answers"] == 20
    assert other.as_dict()["study"]["seed"] == 9
    with pytest.raises(pl.InputError, match="answrs"):
        pl.run_study(file, settings={"answrs": 1})


def test_shipped_studies_go_by_name(tmp_path):
    found = pl.studies()
    assert {"reward_free", "section_5_1", "scenarios", "attributes"} <= set(found)
    assert all(study.file.is_file() and study.title for study in found.values())
    assert "reference" not in found
    looks(found, tmp_path, plot=False)
    small = pl.run_study("reward_free", settings={"replicates": 1, "cyclic": [0.0], "parties": [1], "spread": [1.0],
                                                  "answers": 20}, workers=1)  # fmt: skip
    assert small.as_dict()["study"]["title"] == found["reward_free"].title
    with pytest.raises(pl.InputError, match="did you mean 'reward_free'"):
        pl.run_study("reward_fre")
    with pytest.raises(pl.InputError, match=r"nowhere\.yaml"):
        pl.run_study("nowhere.yaml")


def test_a_run_is_taken_up_again_where_it_was_kept(file, tmp_path, studied):
    said = []
    pl.run_study(file, workers=1, out=tmp_path / "study", progress=said.append)
    assert said[-1].startswith("[12/12]")
    again = pl.run_study(file, workers=1, out=tmp_path / "study")
    assert again.run.resumed == again.run.tasks == 12
    assert again.results["value"] == studied.results["value"]
    out = tmp_path / "check"
    pl.check("zero-row", seed=4, workers=1, out=out, progress=said.append)
    assert "[1/1] zero-row" in said[-1]
    assert pl.check("zero-row", seed=4, workers=1, out=out).report.resumed == 1


SCRIPT = """
import json, pluralign as pl
found = pl.check("regret-beta", "zero-row", seed=4, workers=2)
study = pl.run_study({file!r}, workers=2)
print(json.dumps([[check.measured for check in found.checks], study.results["value"]]))
"""


def test_a_script_needs_no_guard(file, tmp_path, checked, studied):
    """Two workers from top-level code: the same numbers, and the script is not run again in each."""
    (tmp_path / "script.py").write_text(SCRIPT.format(file=str(file)))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())})  # fmt: skip
    (line,) = done.stdout.splitlines()
    measured, values = json.loads(line)
    assert measured == [check.measured for check in checked.checks]
    assert values == studied.results["value"]


def test_an_experiment_that_writes_its_own_way_is_shown_as_an_image(tmp_path, monkeypatch):
    (tmp_path / "own_study.py").write_text(
        "from dataclasses import dataclass\nimport pluralign as pl\n"
        "@dataclass(frozen=True)\nclass Setting:\n    size: int = 1\n"
        "def run(setting, stream, backends):\n    return [pl.Measurement('mean', 'value', float(setting.size))]\n"
        "def draw(results, folder):\n"
        "    from matplotlib.figure import Figure\n    figure = Figure()\n"
        "    figure.subplots().plot(results['value'])\n"
        "    figure.savefig(folder / 'own.png')\n    return [folder / 'own.png']\n"
        "OWN = pl.Experiment(Setting, run, {'line': pl.Figure(draw)})\n"
    )
    (tmp_path / "own.yaml").write_text("experiment: own_study:OWN\ngrid: {size: [1, 2]}\nreplicates: 1\n")
    found = pl.run_study(tmp_path / "own.yaml", workers=1)
    assert found.results["value"] == [1.0, 2.0]
    axes = found.plot()
    assert len(axes.images) == 1
    assert np.asarray(axes.images[0].get_array()).ndim == 3
    looks(found, tmp_path)


def test_errors_never_speak_of_flags(capsys, monkeypatch):
    """The commands do, of the same errors."""
    assert "--priorities" in typed(monkeypatch, capsys, "fit", "nowhere.parquet", "--priorities", "x")[2]
    with pytest.raises(pl.InputError) as caught:
        pl.fit("nowhere.parquet", priorities="x")
    assert "--" not in str(caught.value)
