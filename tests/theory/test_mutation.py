"""Planted faults: put in memory, seen by the claims that execute them, and nowhere on disk."""

import dataclasses
import json
import shutil
import signal
import time

import pytest

import pluralign as pl
from pluralign.api.mutations import MutationResult
from sim.errors import InputError
from sim.files.locks import held
from sim.files.sealed import write_sealed
from sim.running.fingerprint import versions
from theory.engine.registry import find, papers
from theory.mutation.argued import ARGUED
from theory.mutation.catalogue import NAMES, catalogue
from theory.mutation.fault import Fault
from theory.mutation.operators import OPERATORS, sample
from theory.mutation.run import run_mutations
from theory.mutation.session import Session
from theory.mutation.sources import Sources
from theory.mutation.survey import Surveyed, covering, survey
from theory.report.faults import catalogue_table

SOURCES = Sources()
FAULTS = [pytest.param(fault, id=fault.id) for fault in catalogue()]


def fault_of(place, old, new, **more):
    return Fault(id="tried", paper="unobserved_types", place=place, old=old, new=new, what="tried", **more)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_catalogue_can_be_planted(fault):
    assert SOURCES.planted(fault) != SOURCES.modules[fault.module].text
    assert fault.what
    assert not fault.what.endswith(".")
    assert fault.paper in NAMES


def test_the_catalogue_has_every_paper_and_no_fault_twice():
    assert set(NAMES) == set(papers())
    assert len(catalogue()) >= 120
    assert all(len(catalogue(name)) >= 20 for name in NAMES)
    changes = [fault.digest for fault in catalogue()]
    assert len(set(changes)) == len(changes)


@pytest.mark.parametrize(
    ("place", "old", "new", "said"),
    [
        ("sim.algorithms.nowhere:f", "a", "b", "no module"),
        ("sim.algorithms.mechanism:Mechanism.nothing", "a", "b", "has no Mechanism.nothing"),
        ("sim.algorithms.mechanism:Mechanism.outcome", "nothing of the kind", "b", "does not have"),
        ("sim.algorithms.mechanism:Mechanism.outcome", "reports", "b", "times"),
        ("sim.algorithms.mechanism:Mechanism.outcome", "if self.charged", "if (", "is no Python"),
        ("sim.algorithms.mechanism:Mechanism.outcome", "if self.charged", "if self.charged", "changes nothing"),
    ],
)
def test_a_fault_that_does_not_fit_is_named(place, old, new, said):
    with pytest.raises(InputError, match=said):
        SOURCES.planted(fault_of(place, old, new))


def test_nth_counts_from_zero():
    place, old = "sim.algorithms.mechanism:Mechanism.outcome", "reports"
    first, second = (SOURCES.span(fault_of(place, old, "b", nth=nth))[0] for nth in (0, 1))
    text = SOURCES.modules["sim.algorithms.mechanism"].text
    assert first < second
    assert text[first:].startswith(old)
    assert text[second:].startswith(old)
    with pytest.raises(InputError, match="not more"):
        SOURCES.span(fault_of(place, old, "b", nth=99))


def test_the_lines_of_a_fault_are_those_that_change():
    text = SOURCES.modules["sim.algorithms.mechanism"].text
    old = "without = pool_opinions(others, self.alpha)\n                now"
    new = "without = pool_opinions(others, self.alpha)\n                later"
    lines = list(SOURCES.lines(fault_of("sim.algorithms.mechanism:Mechanism.outcome", old, new)))
    assert [text.splitlines()[line - 1].split()[0] for line in lines] == ["now"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """cells/ of a run that has only surveyed its two claims, as they are: what every run here begins with."""
    folder = tmp_path_factory.mktemp("surveyed") / "cells"
    claims = [find("costs-not-negative"), find("manipulation-example")]
    survey(claims, SOURCES, seed=0, workers=1, cells=folder / "claims", on_progress=lambda *_: None)
    return folder


def planted(fault):
    module = SOURCES.module(fault)
    return {
        "module": module.name, "path": str(module.path), "text": SOURCES.planted(fault), "kernels": {}, "folder": "",
    }  # fmt: skip


def test_a_planted_fault_is_noticed_and_the_file_is_not_touched():
    fault = next(own for own in catalogue() if own.id == "payment-halved")
    before = SOURCES.module(fault).path.read_bytes()
    with Session(planted(fault)) as session:
        assert session.ask("check", "costs-not-negative", "quick", 0, 300)["noticed"] == ""
    with Session(planted(dataclasses.replace(fault, new="-(now - then).sum(axis=-1)"))) as session:
        said = session.ask("check", "costs-not-negative", "quick", 0, 300)["noticed"]
    assert said == "verdict: as_stated VIOLATED where HOLDS is expected"
    assert SOURCES.module(fault).path.read_bytes() == before


def test_a_fault_that_breaks_or_never_ends_is_noticed_as_an_error():
    place, old = "sim.algorithms.mechanism:Mechanism.outcome", "n = reports.shape[-2]"
    with Session(planted(fault_of(place, old, "raise RuntimeError('planted')"))) as session:
        said = session.ask("check", "costs-not-negative", "quick", 0, 300)
    assert said["noticed"] == "error: RuntimeError: planted"
    with Session(planted(fault_of(place, old, "while True: pass"))) as session:
        said = session.ask("check", "costs-not-negative", "quick", 0, 2)
        assert said["noticed"] == "error: no answer within 2 s"
        assert said["over"]
    with Session(planted(fault_of(place, old, "import os; os._exit(9)"))) as session:
        said = session.ask("check", "costs-not-negative", "quick", 0, 300)
        assert (said["noticed"], said["over"], said["died"]) == ("error: the process died", True, True)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("SIGKILL", {"noticed": "", "unanswered": "its process was ended from outside (SIGKILL)"}),
        ("SIGTERM", {"noticed": "", "unanswered": "its process was ended from outside (SIGTERM)"}),
        ("SIGSEGV", {"noticed": "error: the process died (SIGSEGV)"}),
    ],
)
def test_a_process_that_is_ended_from_outside_has_noticed_nothing(sent, said):
    with Session(None) as session:
        session._process.send_signal(signal.Signals[sent])
        for _ in range(2):
            began = time.monotonic()
            answer = session.ask("check", "costs-not-negative", "quick", 0, 300)
            assert time.monotonic() - began < 60, "the dead were waited for"
            assert {name: answer.get(name) for name in said} == said
            assert answer["over"]


class _Dying(Session):
    """Answers what it is told to, one answer a session, and is a process where it is to answer for itself."""

    answers: list = []

    def __init__(self, planted):
        self.alive = self.answers[0] is None
        if self.alive:
            super().__init__(planted)

    def ask(self, what, claim, profile, seed, seconds):
        said = self.answers.pop(0)
        if said is None:
            return super().ask(what, claim, profile, seed, seconds)
        return {"seconds": 0.0, "over": True, "died": True, **said}

    def end(self):
        if self.alive:
            super().end()


KILLED = {"noticed": "", "unanswered": "its process was ended from outside (SIGKILL)"}
DIED = {"noticed": "error: the process died (SIGSEGV)"}
ENDLESS = {"noticed": "error: no answer within 70 s", "died": False}


@pytest.mark.parametrize(
    ("answers", "killed_by", "how", "unanswered", "kept"),
    [
        ([KILLED, None], "costs-not-negative", "verdict: as_stated VIOLATED where HOLDS is expected", (), True),
        ([DIED, None], "costs-not-negative", "verdict: as_stated VIOLATED where HOLDS is expected", (), True),
        ([DIED, DIED], "costs-not-negative", "error: the process died (SIGSEGV)", (), True),
        ([ENDLESS], "costs-not-negative", "error: no answer within 70 s", (), True),
        ([KILLED, KILLED], "", "", ("costs-not-negative",), False),
        ([DIED, KILLED], "", "", ("costs-not-negative",), False),
    ],
)
def test_a_kill_is_no_evidence_and_is_not_kept(tmp_path, monkeypatch, cells, answers, killed_by, how, unanswered, kept):
    """The system's killer of processes made a fault noticed for good."""
    shutil.copytree(cells, tmp_path / "cells")
    monkeypatch.setattr("theory.mutation.run.Session", _Dying)
    monkeypatch.setattr(_Dying, "answers", list(answers))
    fault = fault_of("sim.algorithms.mechanism:Mechanism.outcome", "(now - then).sum", "(then - now).sum")
    report = run_mutations((fault,), claims=("costs-not-negative",), workers=1, out=tmp_path)
    (one,) = report.outcomes
    assert (one.killed_by, one.how, one.unanswered) == (killed_by, how, unanswered)
    assert not _Dying.answers, "asked as often as it should be"
    assert bool(list((tmp_path / "cells" / "faults").iterdir())) == kept
    assert report.exit_code == (0 if killed_by else 1)
    assert report.as_json()["unanswered"] == ([] if killed_by else ["tried"])
    page = str(MutationResult(report))
    assert ("NOT ANSWERED" in page) == ("not answered" in catalogue_table(report)) == bool(unanswered)


def test_a_run_names_the_claim_that_notices_and_resumes(tmp_path, cells):
    """One fault in Python, one in a kernel, whose caller is compiled anew without touching the kernels kept."""
    shutil.copytree(cells, tmp_path / "cells")
    faults = (
        fault_of("sim.algorithms.mechanism:Mechanism.outcome", "(now - then).sum", "(then - now).sum"),
        dataclasses.replace(
            fault_of("sim.algorithms.mechanism:Mechanism.outcome", "floored(reports)", "floored(floored(reports))"),
            id="nothing", equivalent="flooring twice is flooring once, up to the last bit",
        ),
    )  # fmt: skip
    few = ("costs-not-negative", "manipulation-example")
    asked = []

    def run():
        return run_mutations(
            faults, claims=few, workers=1, out=tmp_path, profile="quick",
            on_progress=lambda outcome, done, total, left: asked.append(outcome.fault.id),
        )  # fmt: skip

    first = run()
    assert [one.killed_by for one in first.outcomes] == ["costs-not-negative", ""]
    assert first.outcomes[0].how.startswith("verdict: as_stated VIOLATED")
    assert first.exit_code == 0
    row = first.as_json()
    assert (row["killed"], row["total"]) == (1, 2)
    assert row["catalogue"] == {"killed": 1, "total": 1, "rate": 1.0}
    json.dumps(row, allow_nan=False)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert kept
    again = run()
    # What is finished is read, and nothing of it is made again.
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [one.how for one in again.outcomes] == [one.how for one in first.outcomes]


def test_answers_are_of_the_versions_they_were_found_with(tmp_path, monkeypatch):
    """As every other cache here: what another numpy made of a claim is asked again, and of its faults."""
    from theory.mutation import survey

    theorem = find("costs-not-negative")
    before = survey.digest_of(SOURCES, theorem)
    row = {"claim_id": "costs-not-negative", "digest": before, "seed": 0, "seconds": 1.0, "noticed": "", "lines": {}}
    write_sealed(tmp_path / "one.json", row)
    assert survey._load(tmp_path / "one.json", theorem, before, 0).digest == before
    for package in ("python", "numpy", "scipy", "numba"):
        others = {**versions(), package: "0.0.1"}
        monkeypatch.setattr(survey, "versions", lambda others=others: others)
        survey._versions.cache_clear()
        now = survey.digest_of(SOURCES, theorem)
        assert now != before
        assert survey._load(tmp_path / "one.json", theorem, now, 0) is None
    survey._versions.cache_clear()


def test_a_second_run_in_the_folder_is_refused_and_takes_nothing_away(tmp_path):
    kernel = tmp_path / "cells" / "kernels" / "compiled"
    (tmp_path / "cells" / "faults").mkdir(parents=True)
    kernel.parent.mkdir()
    kernel.touch()
    with held(tmp_path), pytest.raises(pl.InputError, match="is working there"):
        pl.mutate(only="pop-optimum-beta", workers=1, out=tmp_path)
    assert kernel.exists()


def test_claims_are_tried_that_execute_the_line_quick_ones_first():
    fault = fault_of("sim.algorithms.mechanism:Mechanism.outcome", "(now - then).sum", "(then - now).sum")
    line = SOURCES.lines(fault)[0]

    def surveyed(name, lines, seconds):
        return Surveyed(name, "personalization", {fault.module: set(lines)}, seconds, "", "")

    slow, quick = surveyed("slow", [line], 9.0), surveyed("quick", [1, line], 1.0)
    other = surveyed("other", [1], 0.1)
    assert [own.claim_id for own in covering(fault, SOURCES, [slow, other, quick])] == ["quick", "slow"]
    near = surveyed("near", [line + 1], 3.0)
    assert [own.claim_id for own in covering(fault, SOURCES, [other, near])] == ["near"]


def test_the_sample_is_seeded_and_every_fault_of_it_can_be_planted():
    executed = {
        name: set(range(1, module.text.count("\n") + 2))
        for name, module in SOURCES.modules.items()
        if name.startswith("sim.algorithms")
    }
    found = sample(SOURCES, executed, 150, seed=0)
    assert found == sample(SOURCES, executed, 150, seed=0)
    assert {fault.id for fault in found} != {fault.id for fault in sample(SOURCES, executed, 150, seed=1)}
    assert len({fault.id for fault in found}) == 150
    assert {fault.kind for fault in found} == set(OPERATORS)
    for fault in found:
        SOURCES.planted(fault)
        line = SOURCES.modules[fault.module].text.splitlines()[SOURCES.lines(fault)[0] - 1]
        assert "raise " not in line
        assert "require_" not in line


def test_what_is_argued_of_the_sample_is_argued_of_changes_that_there_are():
    """A reason whose line has changed since would excuse nothing, or something else."""
    executed = {name: set(range(1, module.text.count("\n") + 2)) for name, module in SOURCES.modules.items()}
    found = {fault.id: fault for fault in sample(SOURCES, executed, 10**6, seed=0)}
    assert not set(ARGUED) - set(found)
    assert {fault.id for fault in found.values() if fault.equivalent} == set(ARGUED)


def test_lines_that_no_claim_executes_are_not_in_the_sample():
    module = SOURCES.modules["sim.algorithms.mechanism"]
    own = module.functions["Mechanism.outcome"]
    executed = {module.name: set(range(own.first, own.last + 1))}
    found = sample(SOURCES, executed, 1000, seed=0)
    assert {fault.qualname for fault in found} == {"Mechanism.outcome"}


def test_kernels_that_executed_lines_can_call_count_as_executed():
    text = SOURCES.modules["sim.streams"].text.splitlines()
    line = next(number for number, own in enumerate(text, 1) if "fill = fill_parallel" in own)
    reached = SOURCES.reached({"sim.streams": {line}})
    kernels = SOURCES.modules["sim.compiled.philox"].functions
    assert kernels["fill_serial"].compiled
    assert set(range(kernels["fill_serial"].first, kernels["fill_serial"].last + 1)) <= reached["sim.compiled.philox"]


def test_what_could_not_be_planted_counts_as_nothing():
    """A session whose module is imported already asks no claim; it must not pass for a fault that was noticed."""
    fault = fault_of(
        "sim.compiled.first_use:announced", "_say, _said, leaving = say, False", "_say, _said, leaving = say, True"
    )
    early = {**planted(fault), "kernels": {"json": "json"}}
    with pytest.raises(RuntimeError, match="imported before the fault was planted: json"):
        Session(early)


def test_a_process_that_cannot_begin_has_noticed_nothing(tmp_path, monkeypatch):
    """It counted as a fault noticed: with a broken module on the path every fault was."""
    (tmp_path / "sitecustomize.py").write_text("import os\n\nos._exit(1)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fault = fault_of("sim.algorithms.mechanism:Mechanism.outcome", "(now - then).sum", "(then - now).sum")
    with pytest.raises(RuntimeError, match="its process could not begin"):
        Session(planted(fault))


def test_a_file_in_the_working_folder_is_no_module_of_a_session(tmp_path, monkeypatch):
    (tmp_path / "enum.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    with Session(None) as session:
        assert session.ask("check", "costs-not-negative", "quick", 0, 300)["noticed"] == ""


@pytest.mark.parametrize(
    ("module", "name", "kernel"),
    [
        ("sim.estimators.low_rank_descent", "descent_kernels.descend", ("sim.compiled.descent", "descend")),
        ("sim.algorithms.em_log_linear", "em", ("sim.compiled.em", "_em")),
        ("sim.compiled.em", "one_pass", ("sim.compiled.em_pass", "serial_pass")),
        ("sim.algorithms.reduced_pessimism", "frank_wolfe_kernels.frank_wolfe",
         ("sim.compiled.frank_wolfe", "frank_wolfe")),
    ],
)  # fmt: skip
def test_kernels_are_found_through_modules_wrappers_and_other_names(module, name, kernel):
    assert SOURCES.compiled_of(module, {name}) == {kernel}
