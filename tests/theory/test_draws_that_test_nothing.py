"""Draws whose event did not happen are no evidence: judges, power, witnesses, JSON, plans, report leave them out."""

import copy
import dataclasses
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from sim.algorithms.fairness import Pareto, PigouDalton, pigou_dalton_option
from theory.engine.checks import Witness, check_theorem, stream_of
from theory.engine.judges import EveryDraw
from theory.engine.planning import plan
from theory.engine.registry import find
from theory.engine.runner import adjust, check_from_json
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.multi_party import fairness
from theory.personalization import pessimism
from theory.report.table import COLUMNS, cells_of


@dataclass(frozen=True)
class EventSetting(Setting):
    """chance: of the event.  shift: of the values where it happened."""

    replicates: int = 120
    chance: float = 0.5
    shift: float = 0.0
    control_chance: float = 0.5


class OnEvent(Theorem[EventSetting]):
    """If the event happened, a uniform number is at most 1."""

    claim_id, paper, source, statement = "on-event", "unobserved_types", "nowhere", "On the event it is at most 1."

    def __init__(self, setting=None):
        self.SETTINGS = {"as_stated": Variant(setting or EventSetting())}

    def bound(self, setting):
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        happened, value = stream.uniforms(2)
        return float(value) + setting.shift if happened < setting.chance else None

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=2.0, chance=setting.control_chance)),)


def _happened(setting, seed=0):
    """The replicates at which the event happened, by hand."""
    stream = stream_of(OnEvent(setting), setting, seed)
    return [r for r in range(setting.replicates) if stream.at(replicate=r).uniforms(2)[0] < setting.chance]


def test_the_evidence_is_of_the_draws_that_tested_the_claim():
    setting = EventSetting()
    n = len(_happened(setting))
    (check,) = check_theorem(OnEvent(setting), "quick", seed=0)
    assert 40 < n < 80
    assert (check.tested, check.replicates) == (n, 120)
    assert check.p_value == pytest.approx(0.95**n)
    assert check.interval == pytest.approx((0.0, 1.0 - 0.025 ** (1.0 / n)))
    assert check.departure_power == pytest.approx(1.0 - 0.95**n)
    # 120 draws would bear an adjustment of 20, the n of them do not.
    crowd = [dataclasses.replace(check, claim_id=f"c{i}") for i in range(20)]
    assert {one.verdict for one in adjust(crowd)} == {Verdict.INCONCLUSIVE}


def test_a_claim_that_every_draw_tests_counts_them_all():
    (check,) = check_theorem(OnEvent(EventSetting(chance=1.0)), "quick", seed=0)
    assert check.tested is None
    assert check.p_value == pytest.approx(0.95**120)


def test_it_is_said_in_the_report_and_survives_json():
    (check,) = check_theorem(OnEvent(), "quick", seed=0)
    assert f"(in {check.tested} of 120 draws)" in dict(zip(COLUMNS, cells_of(check), strict=True))["measured"]
    again = check_from_json(json.loads(json.dumps(check.as_json(), allow_nan=False)))
    assert again.as_json() == check.as_json()
    assert again.tested == check.tested


def test_a_witness_has_the_number_of_its_replicate():
    setting = EventSetting(shift=0.5)
    theorem = OnEvent(setting)
    (check,) = check_theorem(theorem, "quick", seed=0)
    assert check.verdict is Verdict.VIOLATED
    assert isinstance(check.witness, Witness)
    stream = stream_of(theorem, setting, 0)
    values = {r: theorem.draw(setting, stream.at(replicate=r)) for r in _happened(setting)}
    assert check.witness.replicate == max(values, key=values.__getitem__)
    assert check.witness.value == values[check.witness.replicate]


def test_nothing_tested_is_inconclusive():
    (check,) = check_theorem(OnEvent(EventSetting(chance=0.0)), "quick", seed=0)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert (check.tested, check.measured, check.interval) == (0, None, None)
    assert "none of 120 draws" in check.note
    json.dumps(check.as_json(), allow_nan=False)


def test_a_control_that_never_happens_is_not_caught():
    (check,) = check_theorem(OnEvent(EventSetting(control_chance=0.0)), "quick", seed=0)
    assert (check.controls[0].caught, check.controls[0].power) == (False, 0.0)


def test_the_power_against_a_rare_event_is_that_it_happens_at_all():
    """Resampled 120 draws, k of which happened: one of them is among the draws with 1 - (1 - k / 120)^120."""
    setting = EventSetting(control_chance=0.02)
    rare = replace(setting, shift=2.0, chance=0.02)
    k = len(_happened(rare))
    (check,) = check_theorem(OnEvent(setting), "quick", seed=0)
    assert 1 <= k <= 4
    assert check.controls[0].power == pytest.approx(1.0 - (1.0 - k / 120) ** 120, abs=0.1)


def test_a_plan_counts_replicates_that_test_nothing():
    found = plan(OnEvent(), "as_stated", target=0.9, family=1)
    share = len(_happened(EventSetting())) / 120
    assert found.tested == share
    assert found.departure.replicates == pytest.approx(45 / share, abs=2)
    # 59 that test it are the fewest: .95^59 < .05. Nine times in ten so many of n happen.
    assert 59 / share < found.holds.replicates < 59 / share + 25


@pytest.mark.parametrize(
    "name", ["likelihood-guarantee", "contextual-guarantee", "aggregate-guarantee", "pessimism-inequality"]
)
def test_claims_of_an_event_leave_the_other_draws_out(name):
    theorem = find(name)
    ((_, variant),) = theorem.SETTINGS.items()
    setting = replace(variant.setting, replicates=24)
    measured = theorem.measure(setting, stream_of(theorem, setting, 5))
    assert 4 <= measured.untested <= 22, "about half, of the inequality three in four"
    assert measured.drawn == 24
    # What is needed in the worst case of the adjustment, were half of them evidence.
    assert 0.95 ** (variant.setting.replicates / 2) <= 0.05 / 40


@pytest.mark.parametrize("name", ["pessimism-inequality", "aggregate-guarantee", "contextual-guarantee"])
def test_no_counted_draw_is_below_its_bound_whatever_is_claimed(name):
    """A policy as good as its target has a gap of at most 0, under a right side that is never negative; one that is the
    reference promises 0 and keeps it."""
    theorem = find(name)
    ((_, variant),) = theorem.SETTINGS.items()
    setting = replace(variant.setting, replicates=60)
    values = theorem.measure(setting, stream_of(theorem, setting, 5)).values
    assert len(values) >= 10
    assert np.all(values > 0.0) if name == "pessimism-inequality" else np.all(np.abs(values) > 1e-9)


def test_the_inequality_fails_at_half_the_radius(monkeypatch):
    """Of 159 draws 18 tested it, and it held for a policy that is half as careful."""
    own = pessimism.pessimistic_policy

    def careless(psi, law, ellipsoid, **options):
        return own(psi, law, replace(ellipsoid, radius=ellipsoid.radius / 4.0), **options)

    monkeypatch.setattr(pessimism, "pessimistic_policy", careless)
    (check,) = check_theorem(find("pessimism-inequality"), "quick", seed=0)
    assert check.verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("name", "test", "finding"),
    [
        ("pigou-dalton-approx", "pigou_dalton_option", PigouDalton(0, -np.inf)),
        ("tau-pareto", "pareto_option", Pareto(True, 0.0)),
    ],
)
def test_where_no_draw_has_what_the_claim_speaks_of_it_is_inconclusive(name, test, finding, monkeypatch):
    """No transfer, no dominating action: each of these draws counted as one in which the claim held."""
    monkeypatch.setattr(fairness, test, lambda *_: finding)
    check = check_theorem(_few(find(name)), "quick", seed=0)[-1]
    assert (check.verdict, check.tested) == (Verdict.INCONCLUSIVE, 0)


def _few(theorem, replicates=6):
    theorem = copy.copy(theorem)
    theorem.SETTINGS = {
        name: replace(variant, setting=replace(variant.setting, replicates=replicates))
        for name, variant in theorem.SETTINGS.items()
    }
    return theorem


def test_every_counted_draw_of_transfers_has_one_by_hand():
    """Enumerated here: among the options some other one moves utility between two parties towards equality, and its
    product is what the value says it is."""
    theorem = find("pigou-dalton-approx")
    setting = theorem.SETTINGS["as_corrected"].setting
    seen = []

    def spy(table, option, worth):
        found = pigou_dalton_option(table, option, worth)
        seen.append((table, option, found))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fairness, "pigou_dalton_option", spy)
        for replicate in range(8):
            value = theorem.draw(setting, stream_of(theorem, setting, 3).at(replicate=replicate))
            table, option, found = seen[-1]
            own, gains = table[:, option], []
            for other in table.T:
                (moved,) = np.nonzero(np.abs(other - own) > 1e-6)
                if len(moved) == 2 and abs((other - own).sum()) < 1e-8 and np.ptp(other[moved]) < np.ptp(own[moved]):
                    gains.append(other.prod() - own.prod())
            assert len(gains) == found.available > 0
            assert max(gains) == pytest.approx(found.best)
            assert max(gains) > 0.0
            assert 0.0 < value < 1.0
    assert len(seen) > 8, "of some worlds the choice was the optimum, and they are not counted"
