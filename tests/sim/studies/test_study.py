"""Studies: files checked, cells resumed, the same numbers for any engine, and section 5.1's own figures."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from places import EXPERIMENTS, ROOT

from pluralign.commands.study import command
from sim.errors import InputError
from sim.install import install_line
from sim.running.fingerprint import code_fingerprint
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.comparison import compare
from sim.studies.experiments.bandit.experiment import LOG_LINEAR, matched_groups, run_bandit
from sim.studies.experiments.bandit.figures import draw_bandit
from sim.studies.experiments.bandit.setting import RECIPES, BanditSetting
from sim.studies.precision import half_width
from sim.studies.reference import Reference, load_reference
from sim.studies.results import COLUMNS, Results
from sim.studies.spec import load_spec

SHIPPED = EXPERIMENTS / "bandit" / "section_5_1.yaml"
SMALL = """
experiment: bandit
seed: 5
replicates: 2
grid:
  recipe: [literal, normalised]
settings:
  n_annotators: 40
  em_rounds: 10
  restarts: 2
  hedge_rounds: 200
  evaluation_contexts: 100
"""
BACKENDS = {"log_linear": LOG_LINEAR}


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(SMALL)
    return path


def _numbers(run):
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in run.results.rows()]


def test_every_engine_and_number_of_workers_gives_the_same_bits(study, tmp_path):
    spec = load_spec(study)
    runs = [
        run_study(spec, BACKENDS, cells=tmp_path / name, workers=workers, engine=engine)
        for name, workers, engine in [("a", 1, "local"), ("b", 2, "joblib"), ("c", 4, "joblib")]
    ]
    assert _numbers(runs[0]) == _numbers(runs[1]) == _numbers(runs[2])
    assert runs[0].tasks == 4


def test_dask_gives_the_same_bits(study, tmp_path):
    pytest.importorskip("distributed")
    spec = load_spec(study)
    local = run_study(spec, BACKENDS, cells=tmp_path / "a", engine="local")
    dask = run_study(spec, BACKENDS, cells=tmp_path / "b", workers=2, engine="dask")
    assert _numbers(local) == _numbers(dask)


def _lines(cells):
    """Whole lines of finished tasks, the format's line apart."""
    files = [path.read_bytes().splitlines(keepends=True) for path in sorted(cells.glob("records-*.jsonl"))]
    return [line for lines in files for line in lines[1:] if line.endswith(b"\n")]


def test_finished_tasks_are_taken_and_damaged_ones_computed_again(study, tmp_path):
    spec, cells = load_spec(study), tmp_path / "cells"
    first = run_study(spec, BACKENDS, cells=cells, engine="local")
    assert [path.name for path in cells.iterdir()] == ["records-0001.jsonl"], "four tasks, one file"
    content = bytearray((cells / "records-0001.jsonl").read_bytes())
    content[-40] ^= 1
    (cells / "records-0001.jsonl").write_bytes(content)
    again = run_study(spec, BACKENDS, cells=cells, engine="local")
    assert again.resumed == 3, "a flipped bit costs its own task"
    assert len(again.notices) == 1
    assert "1 damaged" in again.notices[0]
    assert _numbers(again) == _numbers(first)
    assert len(list(cells.iterdir())) == 1, "whole lines are put together again"
    assert run_study(spec, BACKENDS, cells=cells, engine="local").notices == ()
    assert run_study(spec, BACKENDS, cells=cells, engine="local", fresh=True).resumed == 0
    more = run_study(load_spec(study, ["replicates=3"]), BACKENDS, cells=cells, engine="local")
    assert more.resumed == 4, "more replicates keep those that are there"
    assert run_study(spec, BACKENDS, cells=cells, engine="local").resumed == 4, "and fewer too"
    other = run_study(load_spec(study, seed=6), BACKENDS, cells=cells, engine="local")
    assert other.resumed == 0
    assert _numbers(other) != _numbers(first)
    assert len(list(cells.iterdir())) == 1


def test_files_of_the_format_before_are_named(study, tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    for name in "abc":
        (cells / f"{name}-0-123.json").write_text("[]")
    run = run_study(load_spec(study, ["recipe=literal", "replicates=1"]), BACKENDS, cells=cells, engine="local")
    assert [line for line in run.notices if "3 files of format 1" in line] == list(run.notices) != []


def test_other_code_is_not_taken_for_ours(study, tmp_path):
    spec = load_spec(study, ["recipe=literal", "replicates=1", "backend=log_linear"])
    (tmp_path / "backend").mkdir()
    net, cells = tmp_path / "backend" / "net.py", tmp_path / "cells"
    backends = {"log_linear": replace(LOG_LINEAR, sources=(net.parent,)), "other": LOG_LINEAR}
    for text, resumed in (("rate = 1\n", 0), ("rate = 1\n", 1), ("rate = 2\n", 0), ("rate = 1\n", 1)):
        net.write_text(text)
        code_fingerprint.cache_clear()
        assert run_study(spec, backends, cells=cells, engine="local").resumed == resumed
    net.write_text("rate = 3\n")
    code_fingerprint.cache_clear()
    unused = {"log_linear": LOG_LINEAR, "other": replace(LOG_LINEAR, sources=(net.parent,))}
    assert run_study(spec, unused, cells=cells, engine="local").resumed == 0
    net.write_text("rate = 4\n")
    code_fingerprint.cache_clear()
    assert run_study(spec, unused, cells=cells, engine="local").resumed == 1, "it takes no part in this study"


def test_a_killed_run_resumes_to_the_same_result(study, tmp_path):
    arguments = ["study", str(study), "--set", "replicates=12", "--set", "backend=log_linear", "--engine", "local"]
    line = [sys.executable, "-m", "pluralign", *arguments, "--out", str(tmp_path / "killed")]
    running = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    cells = tmp_path / "killed" / "cells"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and running.poll() is None and not _lines(cells):
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert running.returncode == -signal.SIGKILL, "it was to be killed in the middle"
    done = len(_lines(cells))
    assert 0 < done < 24
    # A kill in the middle of a write leaves the beginning of a line.
    (torn,) = cells.iterdir()
    torn.write_bytes(torn.read_bytes() + _lines(cells)[0][:100])
    result = CliRunner().invoke(command, [*arguments[1:], "--out", str(tmp_path / "killed"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["resumed"] == done
    assert "damaged" not in result.stderr
    whole = run_study(
        load_spec(study, ["replicates=12", "backend=log_linear"]), BACKENDS, cells=tmp_path / "b", engine="local"
    )
    resumed = Results.read(tmp_path / "killed" / "results.parquet")
    assert [{k: v for k, v in row.items() if k != "wall_s"} for row in resumed.rows()] == _numbers(whole)
    assert len(list(cells.iterdir())) == 1


def test_results_have_the_columns_of_the_format(study, tmp_path):
    spec = load_spec(study, ["mixture=[0.5, 0.5]"])
    run = run_study(spec, BACKENDS, cells=tmp_path / "cells", engine="local")
    run.results.write(tmp_path / "results.parquet")
    rows = list(Results.read(tmp_path / "results.parquet").rows())
    assert list(rows[0]) == [*COLUMNS, "recipe"]
    assert {row["status"] for row in rows} <= {"ok", "max_rounds"}
    assert {row["recipe"] for row in rows} == {"literal", "normalised"}
    assert [row["value"] for row in rows] == run.results["value"]
    assert not any("group_2" in row["metric"] for row in rows)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "results.parquet").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        Results.read(tmp_path / "cut.parquet")


def test_a_backend_that_is_absent_is_skipped_and_said(study, tmp_path):
    run = run_study(load_spec(study, ["backend=mlp"]), BACKENDS, cells=tmp_path / "cells", engine="local")
    assert run.tasks == 0
    assert all(install_line("llm") in reason for reason in run.skipped.values())
    assert run.results["status"] == ["skipped"] * 4
    assert not draw_bandit(run.results, tmp_path / "figures")
    with pytest.raises(InputError, match="backend must be one of"):
        run_study(load_spec(study, ["backend=forest"]), BACKENDS, cells=tmp_path / "cells", engine="local")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replicates: 2", "replicats: 2", "unknown key 'replicats'; did you mean 'replicates'"),
        ("n_annotators: 40", "n_anotators: 40", "unknown key 'n_anotators' in 'settings'; did you mean 'n_annotators'"),
        ("recipe: [", "recip: [", "unknown key 'recip' in 'grid'; did you mean 'recipe'"),
        ("experiment: bandit", "experiment: bandits", "did you mean 'bandit'"),
        ("experiment: bandit", "title: x", "field 'experiment': missing"),
        ("[literal, normalised]", "[literal, literal]", "occurs twice"),
        ("[literal, normalised]", "literal", "expected a list"),
        ("[literal, normalised]", "[normal]", "recipe must be one of"),
        ("replicates: 2", "replicates: 0", "whole number of at least 1"),
        ("seed: 5", "seed: -1", "whole number of at least 0"),
        ("n_annotators: 40", "n_annotators: many", "n_annotators must be a whole number"),
        ("n_annotators: 40", "mixture: [0.6, 0.6]", "mixture must be probabilities that sum to 1"),
        ("n_annotators: 40", "ridge: -1", "ridge must be positive"),
        ("n_annotators: 40", "beta: high", "beta must be a number"),
        ("n_annotators: 40", "mixture: 3", "mixture must be a list"),
        ("grid:", "grid: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_2(tmp_path, old, new, message):
    path = tmp_path / "wrong.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new))
    done = subprocess.run(
        [sys.executable, "-c", "from pluralign.__main__ import main; raise SystemExit(main())", "study", str(path)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wrong.yaml"], "nothing half-written"


def test_overrides_and_their_mistakes(study):
    spec = load_spec(study, ["recipe=[literal]", "beta=0.5", "settings.n_annotators=20", "replicates=7"], seed=9)
    assert (spec.grid, spec.seed, spec.replicates) == ({"recipe": ("literal",)}, 9, 7)
    assert next(spec.cells())[1] == BanditSetting(
        recipe="literal", beta=0.5, n_annotators=20, em_rounds=10, restarts=2, hedge_rounds=200, evaluation_contexts=100
    )
    with pytest.raises(InputError, match=r"^'betta=1': unknown key 'betta'; did you mean 'beta'"):
        load_spec(study, ["betta=1"])
    with pytest.raises(InputError, match=r"^'replicates=x', field 'replicates'"):
        load_spec(study, ["seed=3", "replicates=x"])
    with pytest.raises(InputError, match="expected key=value"):
        load_spec(study, ["beta"])
    with pytest.raises(InputError, match="check the path"):
        load_spec(study.with_name("absent.yaml"))


def test_cells_of_one_study_are_compared_on_the_same_people(study, tmp_path):
    """Common random numbers: the exact game does not know the recipe, so it must not depend on it."""
    run = run_study(load_spec(study), BACKENDS, cells=tmp_path, engine="local")
    for metric in ("regret/worst", "game_value", "annotators/group_0"):
        method = "population" if metric.startswith("annotators") else "exact_minmax"
        by_recipe = [
            run.results.where(recipe=r, method=method, metric=metric).values().tolist()
            for r in ("literal", "normalised")
        ]
        assert by_recipe[0] == by_recipe[1]
        assert len(set(by_recipe[0])) == 2, "replicates differ"


def test_groups_are_matched_by_shared_annotators():
    group = np.array([0, 0, 0, 1, 1, 2])
    responsibilities = np.eye(3)[[2, 2, 1, 0, 0, 1]]
    assert matched_groups(responsibilities, group, 3).tolist() == [2, 0, 1]
    with_soft = np.array([[0.1, 0.9], [0.2, 0.8], [0.6, 0.4]])
    assert matched_groups(with_soft, np.array([0, 0, 1]), 2).tolist() == [1, 0]


def test_section_5_1_in_small():
    """The study's own claims at 5 seeds: EM finds the types, equal strength gives equal regret, pooled DPO's argmax
    serves the majority alone, the exact game has value 10."""
    rows = {}
    for replicate in range(5):
        for m in run_bandit(BanditSetting(), Stream(123, "test", replicate), BACKENDS):
            rows.setdefault((m.method, m.metric), []).append(m.value)
    mean = {key: float(np.mean(values)) for key, values in rows.items()}
    assert mean["em_minmax", "ari"] > 0.95
    assert mean["em_minmax", "regret/worst"] < 10.5
    assert mean["cluster_minmax", "ari"] < 0.95
    assert [mean["pooled_dpo_argmax", f"regret/group_{z}"] for z in range(3)] == pytest.approx([0, 15, 15], abs=0.15)
    assert mean["pooled_dpo", "regret/group_1"] < 12.5, "sampled at beta = 1 there is no collapse"
    assert mean["exact_minmax", "game_value"] == pytest.approx(10.0, abs=0.15)
    assert [mean["exact_minmax", f"weight/group_{z}"] for z in range(3)] == pytest.approx([1 / 3] * 3, abs=2e-3)
    assert sum(mean["em_minmax", f"weight/group_{z}"] for z in range(3)) == pytest.approx(1.0)


def test_comparison_by_hand():
    rows = [{"recipe": "literal", "method": "m", "metric": "x", "value": v} for v in (1.0, 2.0, 3.0)]
    entry = {"recipe": "literal", "method": "m", "metric": "x", "value": 2.5, "sd": 1.2, "n": 4, "decimals": 1}
    reference = Reference("s", [entry, {**entry, "value": 6.0}, {**entry, "metric": "absent"}])
    near, far = compare(Results.from_rows(rows), reference)
    # ours: sd 1, n 3; theirs: 1.2, n 4; rounding to one decimal: .1 / sqrt(12)
    assert near.joint_error == pytest.approx(math.sqrt(1 / 3 + 1.44 / 4 + 0.01 / 12))
    assert near.agrees
    assert not far.agrees
    assert not compare(Results.from_rows(rows[:1]), reference), "one replicate has no standard error"
    assert half_width(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)


def test_the_shipped_study_is_complete():
    spec = load_spec(SHIPPED)
    assert spec.replicates >= 20
    assert spec.grid == {"backend": ("log_linear", "mlp"), "recipe": RECIPES}
    setting = next(spec.cells())[1]
    assert (setting.mixture, setting.n_annotators, setting.pairs_per_annotator) == ((0.6, 0.3, 0.1), 200, 10)
    assert (setting.beta, setting.epochs, setting.hedge_rounds) == (1.0, 1000, 1000)
    assert len(load_reference(spec.reference).rows) > 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{method: a, metric: regret, n: 5, decimals: 2}", "row 2, field 'value': missing"),
        ("{method: a, metric: regret, value: [1, x], n: 5, decimals: 2}", "row 2, field 'value': expected a number"),
        (
            "{method: a, metric: regret, value: 1, n: true, decimals: 2}",
            "row 2, field 'n': expected a number, got True",
        ),
        ("[1]", "row 2: expected a mapping"),
    ],
)
def test_a_bad_reference_is_said_before_the_work(tmp_path, row, message):
    path = tmp_path / "reference.yaml"
    path.write_text(f"source: s\nrows:\n- {{method: a, metric: regret, value: 1, n: 5, decimals: 2}}\n- {row}\n")
    with pytest.raises(InputError, match=message):
        load_reference(path)


def test_command_writes_tables_figures_and_the_resolved_configuration(study, tmp_path):
    study.write_text(SMALL + f"reference: {SHIPPED.with_name('reference.yaml')}\n")
    out = tmp_path / "out"
    arguments = [str(study), "--out", str(out), "--engine", "local", "--set", "backend=log_linear"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    names = {path.name for path in out.iterdir()}
    assert names >= {"results.parquet", "study.json", "summary.md"}
    found = Results.read(out / "results.parquet")
    figures = draw_bandit(found.with_columns(backend=["log_linear"] * len(found)), tmp_path / "figures")
    assert [p.name for p in figures] == [
        f"{n}.{s}" for n in ("figure-2-regret", "figure-3-weights") for s in ("png", "svg")
    ]
    assert all(p.stat().st_size > 5000 for p in figures)
    resolved = json.loads((out / "study.json").read_text())
    assert resolved["settings"]["n_annotators"] == 40
    assert resolved["settings"]["scale"] == 10.0, "defaults are written out"
    assert "numpy" in resolved["versions"]
