"""The engine on toy theorems: every verdict, controls, power, multiplicity, resuming, any engine."""

import dataclasses
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import pluralign as pl
from sim.running.engines import run_tasks
from theory.engine.checks import Check, check_theorem
from theory.engine.judges import EveryDraw, MeanAtMost
from theory.engine.registry import find
from theory.engine.runner import CheckReport, adjust, run_checks
from theory.engine.theorem import Control, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict

CHEAP = ("moment-factors", "contradicting-opinions", "manipulation-example", "costs-not-negative")


@dataclass(frozen=True)
class ToySetting(Setting):
    replicates: int = 200
    shift: float = 0.0
    premise: bool = True


class Toy(Theorem[ToySetting]):
    """|N(0, 1)| clipped at 1, plus a shift: at most 1 without the shift."""

    claim_id, paper, source, statement = "toy", "unobserved_types", "nowhere", "A toy."
    control_shift = 0.5
    largest: float | None = None

    def __init__(self, setting=None, expected=Verdict.HOLDS):
        self.SETTINGS = {"as_stated": Variant(setting or ToySetting(), expected)}

    def premises(self, setting, stream):
        return (Premise("toy premise", setting.premise, 0.0, "true"),)

    def bound(self, setting):
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        return min(abs(float(stream.normals(1)[0])), 1.0) + setting.shift

    def largest_possible(self, setting):
        return self.largest

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=self.control_shift, premise=True)),)

    def witness(self, setting, stream):
        return {"value": self.draw(setting, stream)}


def _only(theorem) -> Check:
    (check,) = check_theorem(theorem, "quick", seed=0)
    return check


def test_a_true_claim_holds():
    check = _only(Toy())
    assert check.verdict is Verdict.HOLDS
    assert check.power == 1.0
    assert check.witness is None
    assert all(control.caught for control in check.controls)


def test_a_false_claim_is_violated_with_a_witness():
    check = _only(Toy(ToySetting(shift=0.3), Verdict.VIOLATED))
    assert check.verdict is Verdict.VIOLATED
    assert check.witness.payload["value"] == pytest.approx(check.witness.value)
    assert check.witness.value > 1


def test_a_control_seldom_caught_makes_the_check_inconclusive():
    class Weak(Toy):
        def draw(self, setting, stream):
            rare = setting.shift > 0 and float(stream.child("rare").uniforms(1)[0]) < 0.004
            return 2.0 if rare else 0.5

    check = _only(Weak())
    assert check.power < 0.8
    assert check.verdict is Verdict.INCONCLUSIVE


def test_a_control_never_caught_fails_the_run():
    class Blind(Toy):
        control_shift = 0.0

    check = _only(Blind())
    assert not check.controls[0].caught
    assert CheckReport((check,), "quick", 0, 0.0, 0).exit_code == 1


def test_a_bound_nothing_can_break_is_vacuous():
    class Vacuous(Toy):
        largest = 1.0

    assert _only(Vacuous()).verdict is Verdict.VACUOUS


def test_a_broken_premise_is_said():
    check = _only(Toy(ToySetting(premise=False)))
    assert check.verdict is Verdict.PREMISE_FAILED
    assert check.measured is None
    assert not check.premises[0].holds


def test_bound_is_never_shown_to_the_measurement():
    class Nosy(Toy):
        def bound(self, setting):
            assert not self.measuring
            return super().bound(setting)

        def measure(self, setting, stream):
            self.measuring = True
            try:
                return super().measure(setting, stream)
            finally:
                self.measuring = False

        measuring = False

    assert _only(Nosy()).verdict is Verdict.HOLDS


def test_full_profile_takes_more_replicates():
    (check,) = check_theorem(Toy(), "full", seed=0)
    assert check.replicates == 1000


def test_many_weak_assertions_are_taken_back():
    class Barely(Toy):
        def bound(self, setting):
            return MeanAtMost(1.0)

    base = _only(Toy())
    weak = [dataclasses.replace(base, claim_id=f"c{i}", p_value=0.03) for i in range(5)]
    assert {check.verdict for check in adjust(weak)} == {Verdict.INCONCLUSIVE}
    assert adjust(weak[:1])[0].verdict is Verdict.HOLDS
    strong = [dataclasses.replace(base, p_value=1e-9) for _ in range(5)]
    assert {check.verdict for check in adjust(strong)} == {Verdict.HOLDS}


def test_exit_codes():
    base = _only(Toy())
    for verdict, code in ((Verdict.HOLDS, 0), (Verdict.VIOLATED, 1), (Verdict.INCONCLUSIVE, 3), (Verdict.VACUOUS, 3)):
        assert CheckReport((dataclasses.replace(base, verdict=verdict),), "quick", 0, 0.0, 0).exit_code == code


def _run(**options):
    report = run_checks([find(name) for name in CHEAP], profile="quick", seed=3, **options)
    return json.dumps([check.as_json() for check in report.checks]), report


@pytest.fixture(scope="module")
def plain():
    return _run(engine="local")[0]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_same_answers_for_any_number_of_workers(plain, workers):
    assert _run(engine="joblib", workers=workers)[0] == plain


# Dask's own start and stop warn about ports and event loops on some systems; the answers are what is tested.
@pytest.mark.filterwarnings("ignore")
def test_same_answers_on_dask(plain):
    assert _run(engine="dask", workers=2)[0] == plain


def test_a_killed_run_resumes_and_gives_the_same_answer(plain, tmp_path):
    run_checks([find(name) for name in CHEAP[:2]], profile="quick", seed=3, cells=tmp_path)
    files = sorted(tmp_path.iterdir())
    files[0].write_text(files[0].read_text()[:50])
    answer, report = _run(cells=tmp_path)
    assert report.resumed == 1
    assert answer == plain
    assert _run(cells=tmp_path)[1].resumed == len(CHEAP)
    assert _run(cells=tmp_path, fresh=True)[1].resumed == 0
    other = run_checks([find(CHEAP[0])], profile="quick", seed=4, cells=tmp_path)
    assert other.resumed == 0


def test_a_finished_claim_that_was_changed_is_checked_again(plain, tmp_path):
    """A digit of a number, which would be shown as this program's."""
    run_checks([find(CHEAP[0])], profile="quick", seed=3, cells=tmp_path)
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    at = text.index('"measured": ') + len('"measured": ')
    file.write_text(text[:at] + "7" + text[at + 1 :])
    report = run_checks([find(CHEAP[0])], profile="quick", seed=3, cells=tmp_path)
    assert report.resumed == 0
    assert file.read_text() == text


def _ending_after(number):
    seen = []

    def told(*progress):
        seen.append(progress)
        if len(seen) == number:
            raise KeyboardInterrupt

    return told


def test_what_a_fresh_run_that_was_ended_was_to_check_is_checked_by_the_next(plain, tmp_path):
    _run(cells=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        _run(cells=tmp_path, fresh=True, engine="local", on_progress=_ending_after(1))
    answer, report = _run(cells=tmp_path)
    assert (report.resumed, answer) == (1, plain)


def test_a_fresh_count_of_false_alarms_that_was_ended_leaves_no_later_seed(tmp_path):
    def resumed():
        return [
            run_checks([find(CHEAP[0])], profile="quick", seed=seed, cells=tmp_path / "o" / "cells").resumed
            for seed in range(3)
        ]

    pl.false_alarms(CHEAP[0], seeds=3, workers=1, out=tmp_path / "o")
    assert resumed() == [1, 1, 1]
    with pytest.raises(KeyboardInterrupt):
        pl.false_alarms(CHEAP[0], seeds=3, workers=1, out=tmp_path / "o", fresh=True, progress=_ending_after(1))
    assert resumed() == [1, 0, 0]


def test_changed_code_is_not_served_from_old_cells(tmp_path, monkeypatch):
    _run(cells=tmp_path)
    monkeypatch.setattr("theory.engine.runner.fingerprint", lambda: "other code")
    assert _run(cells=tmp_path)[1].resumed == 0


def test_a_failing_measurement_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run_tasks(lambda task: 1 // task, [1, 0], engine="local")


def test_answers_come_in_the_tasks_order():
    seen = []
    assert run_tasks(lambda x: x * x, [3, 1, 2], engine="local", on_done=lambda i, a: seen.append((i, a))) == [9, 1, 4]
    assert seen == [(0, 9), (1, 1), (2, 4)]


def test_json_has_no_infinity():
    check = dataclasses.replace(_only(Toy()), interval=(-np.inf, 1.0), measured=float("nan"))
    assert check.as_json()["interval"] == [None, 1.0]
    assert check.as_json()["measured"] is None
